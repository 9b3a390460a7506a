import random

import keras
import numpy as np
import pytest
from networks import spread

from rrl_batch.errors import UserError
from rrl_batch.models.folder import save_weights
from rrl_batch.models.registry import ARCHITECTURES, build


def curves(n_points=16):
    return np.random.default_rng(1).normal(0, 0.4, (5, n_points, 2)).astype(np.float32)


def test_there_are_the_networks_of_the_paper_and_a_transformer():
    assert set(ARCHITECTURES) == {
        "fcn", "resnet", "inceptiontime", "lstm", "bilstm", "gru", "bigru", "convlstm", "convgru",
        "transformer",
    }  # fmt: skip


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_seed_gives_the_same_weights_whatever_else_draws(architecture):
    first = build(architecture, 16, masked=False, seed=3).get_weights()
    random.random()  # noqa: S311 -- as other threads of a worker do
    again = build(architecture, 16, masked=False, seed=3).get_weights()
    other = build(architecture, 16, masked=False, seed=4).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_two_layers_start_alike(architecture):
    weights = build(architecture, 16, masked=False, seed=3).get_weights()
    kernels = [w for w in weights if w.ndim > 1 and np.unique(w).size > 3]
    starts = [tuple(np.sort(kernel, axis=None)[:4] / kernel.std()) for kernel in kernels]
    assert len(set(starts)) == len(kernels) >= 4


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_all_that_draws_at_random_has_a_seed_of_its_own(architecture):
    network = build(architecture, 16, masked=False, seed=3)
    again = build(architecture, 16, masked=False, seed=3)
    passes = [np.asarray(n(curves(), training=True)) for n in (network, again)]
    assert np.array_equal(*passes)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_last_layer_is_linear_and_of_one_unit(architecture):
    *_, last = build(architecture, 16, masked=False).layers
    assert isinstance(last, keras.layers.Dense)
    assert (last.units, last.activation) == (1, keras.activations.linear)


@pytest.mark.usefixtures("small_networks")
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_weights_come_back_from_their_file(architecture, masked, tmp_path):
    network = spread(build(architecture, 16, masked=masked, seed=1))
    save_weights(network, tmp_path / "member.weights.h5")
    again = build(architecture, 16, masked=masked, seed=2)
    again.load_weights(tmp_path / "member.weights.h5")
    for a, b in zip(network.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(a, b)
    assert np.array_equal(network(curves()), again(curves()))


def test_an_unknown_architecture_names_the_nearest():
    with pytest.raises(UserError, match=r"no architecture 'grv'; did you mean 'gru'\?"):
        build("grv", 16, masked=False)
