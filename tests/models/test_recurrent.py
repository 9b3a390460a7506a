import numpy as np
import pytest

from rrl_batch.errors import UserError
from rrl_batch.models.recurrent import DROPOUT, KERNEL_L2, RECURRENT_L1
from rrl_batch.models.registry import ARCHITECTURES, build


def gru_parameters(inputs, units):
    """Three gates, each with input weights, recurrent weights and two biases (reset after)."""
    return 3 * (inputs * units + units * units + 2 * units)


def test_the_gru_is_that_of_the_paper():
    network = build("gru", 265, masked=False)
    layers = [layer for layer in network.layers if type(layer).__name__ == "GRU"]
    assert [layer.count_params() for layer in layers] == [1440, 1824, 624]
    assert network.count_params() == 3897
    assert network.count_params() == sum(map(gru_parameters, (2, 20, 16), (20, 16, 8))) + 9
    dropouts = [layer.rate for layer in network.layers if type(layer).__name__ == "Dropout"]
    assert tuple(dropouts) == DROPOUT == (0.2, 0.2, 0.1)
    for layer in layers:
        assert float(layer.cell.kernel_regularizer.l2) == pytest.approx(KERNEL_L2)
        assert float(layer.cell.recurrent_regularizer.l1) == pytest.approx(RECURRENT_L1)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_seed_gives_the_same_weights_whatever_else_draws(architecture):
    import random

    first = build(architecture, 16, masked=False, seed=3).get_weights()
    random.random()  # noqa: S311 -- as other threads of a worker do
    again = build(architecture, 16, masked=False, seed=3).get_weights()
    other = build(architecture, 16, masked=False, seed=4).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_padding_makes_no_difference_to_a_masked_network(architecture):
    rng = np.random.default_rng(0)
    curve = rng.normal(0, 0.3, (4, 12, 2)).astype(np.float32)
    padded = np.concatenate([curve, np.full((4, 20, 2), -1, np.float32)], axis=1)
    short = build(architecture, 12, masked=True, seed=1)
    long = build(architecture, 32, masked=True, seed=1)
    expected = short.predict(curve, verbose=0)
    assert np.allclose(long.predict(padded, verbose=0), expected, atol=1e-6)


def test_an_unknown_architecture_names_the_nearest():
    with pytest.raises(UserError, match=r"no architecture 'grv'; did you mean 'gru'\?"):
        build("grv", 16, masked=False)
