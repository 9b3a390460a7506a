import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import Input, Sequential, layers
from numpy.testing import assert_allclose, assert_array_equal

from rrl_batch.errors import UserError
from rrl_batch.inference.fused import FusedEnsemble
from rrl_batch.inference.recurrent_kernel import LANES, evaluate

N_POINTS = 6
GRU, LSTM, Both = layers.GRU, layers.LSTM, layers.Bidirectional


def stack(*hidden, n_points=N_POINTS, n_channels=2):
    return Sequential([Input((n_points, n_channels)), *hidden, layers.Dense(1)])


def randomised(network, seed=0):
    """Give all weights, biases too, a spread that drives gates to their ends and back."""
    rng = np.random.default_rng(seed)
    network.set_weights([rng.normal(0.0, 0.8, w.shape) for w in network.get_weights()])
    return network


def curves(n_stars, n_points=N_POINTS, n_channels=2):
    rng = np.random.default_rng(n_stars)
    return rng.normal(0.0, 0.7, (n_stars, n_points, n_channels)).astype(np.float32)


def fuse(folder, *networks):
    """Evaluate networks by the kernel, from the files that Keras writes."""
    paths = [folder / f"{number}.weights.h5" for number in range(len(networks))]
    for network, path in zip(networks, paths, strict=True):
        network.save_weights(path)
    return FusedEnsemble.from_files(paths, networks[0].input_shape[2])


@pytest.fixture(scope="module")
def network():
    """A network that has all that the kernel can do."""
    return randomised(
        stack(
            Both(GRU(5, return_sequences=True)),
            layers.Dropout(0.5),
            Both(LSTM(3, return_sequences=True)),
            Both(GRU(2)),
        )
    )


@pytest.fixture(scope="module")
def fused(network, tmp_path_factory):
    return fuse(tmp_path_factory.mktemp("fused"), network)


STACKS = {
    "gru": lambda: stack(GRU(4)),
    "lstm": lambda: stack(LSTM(4)),
    "bidirectional gru": lambda: stack(Both(GRU(3))),
    "bidirectional lstm": lambda: stack(Both(LSTM(3))),
    "one unit of one channel": lambda: stack(LSTM(1), n_channels=1),
    "narrow to wide": lambda: stack(GRU(2, return_sequences=True), GRU(17), n_channels=3),
    "four layers": lambda: stack(
        *(Both(GRU(n, return_sequences=True)) for n in (3, 1, 4)), layers.Dropout(0.1), Both(GRU(2))
    ),
    "unlike directions": lambda: stack(
        Both(LSTM(3), backward_layer=GRU(3, go_backwards=True)), layers.Dropout(0.1)
    ),
    "one step": lambda: stack(Both(GRU(3, return_sequences=True)), Both(LSTM(2)), n_points=1),
}


@pytest.mark.parametrize("name", STACKS)
def test_every_stack_is_evaluated_as_keras_does(name, tmp_path):
    network = randomised(STACKS[name]())
    sequences = curves(LANES + 5, *network.input_shape[1:])
    predicted = fuse(tmp_path, network).predict(sequences)
    assert predicted.dtype == np.float32
    assert_allclose(predicted, network(sequences, training=False), rtol=0, atol=2e-6)


def test_an_ensemble_is_its_members_side_by_side(network, tmp_path):
    others = [randomised(stack_like(network), seed) for seed in (1, 2)]
    together = fuse(tmp_path, network, *others).predict(curves(70))
    alone = [fuse(tmp_path, member) for member in (network, *others)]
    assert_array_equal(together, np.hstack([one.predict(curves(70)) for one in alone]))
    assert len(np.unique(together[0])) == 3


def stack_like(network):
    return type(network).from_config(network.get_config())


@settings(max_examples=40)
@given(st.integers(0, 3 * LANES + 1), st.data())
def test_a_star_does_not_depend_on_those_beside_it(fused, n_stars, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, n_stars), max_size=4)))
    sequences = curves(n_stars)
    parts = [fused.predict(part) for part in np.split(sequences, cuts)]
    assert_array_equal(np.concatenate(parts), fused.predict(sequences))


def test_a_star_does_not_depend_on_the_number_of_threads(fused):
    sequences = curves(5 * LANES + 1)
    usual = fused.predict(sequences)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        assert_array_equal(fused.predict(sequences), usual)
    finally:
        numba.set_num_threads(threads)


@pytest.mark.parametrize("step", [0, N_POINTS // 2, N_POINTS - 1])
def test_a_nan_spoils_its_own_star_only(fused, step):
    sequences = curves(2 * LANES)
    clean = fused.predict(sequences)
    # the bits of a NaN can be many
    sequences.view(np.int32)[[3, LANES], step, 1] = [0x7FC00001, -1]
    predicted = fused.predict(sequences)
    spoilt = np.isin(np.arange(2 * LANES), [3, LANES])
    assert np.isnan(predicted[spoilt]).all()
    assert_array_equal(predicted[~spoilt], clean[~spoilt])


def test_huge_inputs_saturate_and_stay_finite(network, fused):
    sequences = 1e30 * curves(40)
    assert_allclose(fused.predict(sequences), network(sequences, training=False), atol=2e-6)


def test_any_memory_layout_is_read(fused):
    sequences = curves(50)
    expected = fused.predict(sequences)
    read_only = sequences.copy()
    read_only.flags.writeable = False
    assert_array_equal(fused.predict(read_only), expected)
    assert_array_equal(fused.predict(np.asfortranarray(sequences)), expected)
    assert_array_equal(fused.predict(sequences[::-1]), expected[::-1])
    assert_array_equal(fused.predict(sequences.astype(np.float64)), expected)
    assert sequences.flags.writeable


def test_no_stars_give_no_predictions_and_compile_what_stars_need(fused):
    assert fused.predict(curves(0)).shape == (0, 1)
    compiled = list(evaluate.signatures)
    fused.predict(curves(1))
    fused.predict(curves(2 * LANES)[::-1])
    assert list(evaluate.signatures) == compiled
    assert len(compiled) == 1


@pytest.mark.parametrize("shape", [(4, 6, 3), (4, 0, 2), (4, 6)])
def test_sequences_of_another_shape_are_refused(fused, shape):
    with pytest.raises(ValueError, match="must have the shape"):
        fused.predict(np.zeros(shape, np.float32))


def test_members_must_be_alike(network, tmp_path):
    with pytest.raises(UserError, match=r"1\.weights\.h5 has other layers than .*0\.weights\.h5"):
        fuse(tmp_path, network, stack(GRU(5)))
