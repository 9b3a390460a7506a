import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import Input, Sequential, layers
from networks import FUSED, of, with_shape
from numpy.testing import assert_allclose, assert_array_equal

from rrl_batch.errors import UserError
from rrl_batch.inference.fused import FusedEnsemble
from rrl_batch.inference.recurrent_kernel import LANES, evaluate
from rrl_batch.models.registry import arrays_for, build

N_POINTS = 6
GRU, LSTM, Both = layers.GRU, layers.LSTM, layers.Bidirectional


def stack(*hidden, n_points=N_POINTS, n_channels=2):
    return Sequential([Input((n_points, n_channels)), *hidden, layers.Dense(1)])


def randomised(network, seed=0, spread=0.8):
    """Give all weights, biases too, a spread that drives gates to their ends and back."""
    rng = np.random.default_rng(seed)
    network.set_weights([rng.normal(0.0, spread, w.shape) for w in network.get_weights()])
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
    predicted = fuse(tmp_path, network).predict(of(sequences))
    assert predicted.dtype == np.float32
    assert_allclose(predicted, network(sequences, training=False), rtol=0, atol=2e-6)


def test_an_ensemble_is_its_members_side_by_side(network, tmp_path):
    others = [randomised(stack_like(network), seed) for seed in (1, 2)]
    together = fuse(tmp_path, network, *others).predict(of(curves(70)))
    alone = [fuse(tmp_path, member) for member in (network, *others)]
    assert_array_equal(together, np.hstack([one.predict(of(curves(70))) for one in alone]))
    assert len(np.unique(together[0])) == 3


def stack_like(network):
    return type(network).from_config(network.get_config())


@settings(max_examples=40)
@given(st.integers(0, 3 * LANES + 1), st.data())
def test_a_star_does_not_depend_on_those_beside_it(fused, n_stars, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, n_stars), max_size=4)))
    sequences = curves(n_stars)
    parts = [fused.predict(of(part)) for part in np.split(sequences, cuts)]
    assert_array_equal(np.concatenate(parts), fused.predict(of(sequences)))


def test_a_star_does_not_depend_on_the_number_of_threads(fused):
    sequences = curves(5 * LANES + 1)
    usual = fused.predict(of(sequences))
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        assert_array_equal(fused.predict(of(sequences)), usual)
    finally:
        numba.set_num_threads(threads)


@pytest.mark.parametrize("step", [0, N_POINTS // 2, N_POINTS - 1])
def test_a_nan_spoils_its_own_star_only(fused, step):
    sequences = curves(2 * LANES)
    clean = fused.predict(of(sequences))
    # the bits of a NaN can be many
    sequences.view(np.int32)[[3, LANES], step, 1] = [0x7FC00001, -1]
    predicted = fused.predict(of(sequences))
    spoilt = np.isin(np.arange(2 * LANES), [3, LANES])
    assert np.isnan(predicted[spoilt]).all()
    assert_array_equal(predicted[~spoilt], clean[~spoilt])


def test_huge_inputs_saturate_and_stay_finite(network, fused):
    sequences = 1e30 * curves(40)
    assert_allclose(fused.predict(of(sequences)), network(sequences, training=False), atol=2e-6)


def test_any_memory_layout_is_read(fused):
    sequences = curves(50)
    expected = fused.predict(of(sequences))
    read_only = sequences.copy()
    read_only.flags.writeable = False
    assert_array_equal(fused.predict(of(read_only)), expected)
    assert_array_equal(fused.predict(of(np.asfortranarray(sequences))), expected)
    assert_array_equal(fused.predict(of(sequences[::-1])), expected[::-1])
    assert_array_equal(fused.predict(of(sequences.astype(np.float64))), expected)
    assert sequences.flags.writeable


def test_no_stars_give_no_predictions_and_compile_what_stars_need(fused):
    assert fused.predict(of(curves(0))).shape == (0, 1)
    compiled = list(evaluate.signatures)
    fused.predict(of(curves(1)))
    fused.predict(of(curves(2 * LANES)[::-1]))
    assert list(evaluate.signatures) == compiled
    assert len(compiled) == 1


@pytest.mark.parametrize("shape", [(4, 6, 3), (4, 0, 2), (4, 6)])
def test_sequences_of_another_shape_are_refused(fused, shape):
    with pytest.raises(ValueError, match="must have the shape"):
        fused.predict(of(np.zeros(shape, np.float32)))


def beside(architecture, n_static, seed=0):
    network = build(architecture, N_POINTS, masked=False, n_static=n_static)
    return randomised(network, seed, 0.3)


def fuse_beside(folder, n_static, *networks):
    paths = [folder / f"{number}.weights.h5" for number in range(len(networks))]
    for network, path in zip(networks, paths, strict=True):
        network.save_weights(path)
    return FusedEnsemble.from_files(paths, 2, n_static)


@pytest.mark.parametrize("n_static", [1, 16])
@pytest.mark.parametrize("architecture", FUSED)
def test_shape_parameters_beside_a_curve_are_taken_as_keras_takes_them(
    architecture, n_static, tmp_path
):
    networks = [beside(architecture, n_static, seed) for seed in (1, 2)]
    inputs = with_shape(curves(LANES + 5))
    predicted = fuse_beside(tmp_path, n_static, *networks).predict(inputs)
    expected = [np.asarray(network(arrays_for(network, inputs))) for network in networks]
    assert_allclose(predicted, np.hstack(expected), rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def fused_beside(tmp_path_factory):
    folder = tmp_path_factory.mktemp("beside")
    return fuse_beside(folder, 3, *(beside("bigru", 3, seed) for seed in (1, 2)))


@settings(max_examples=20)
@given(st.integers(1, 2 * LANES + 1), st.data())
def test_a_shape_parameter_concerns_its_own_star_only(fused_beside, n_stars, data):
    inputs = with_shape(curves(n_stars))
    clean = fused_beside.predict(inputs)
    cut = data.draw(st.integers(0, n_stars))
    parts = [fused_beside.predict(type(inputs)(*part)) for part in cut_at(cut, inputs)]
    assert_array_equal(np.concatenate(parts), clean)
    star, column = data.draw(st.integers(0, n_stars - 1)), data.draw(st.integers(0, 15))
    inputs.shape[star, column] = np.nan
    spoilt = fused_beside.predict(inputs)
    assert np.isnan(spoilt[star]).all() == (column < 3)
    assert_array_equal(np.delete(spoilt, star, 0), np.delete(clean, star, 0))


def cut_at(cut, inputs):
    return zip(*(np.split(array, [cut]) for array in inputs), strict=True)


def test_too_few_shape_parameters_are_refused(fused_beside):
    with pytest.raises(ValueError, match=r"must have 4 rows with 3 columns or more, got \(4, 2\)"):
        fused_beside.predict(with_shape(curves(4), 2))


def test_members_with_other_hidden_layers_are_refused(tmp_path, monkeypatch):
    first = beside("gru", 3)
    monkeypatch.setattr("rrl_batch.models.registry.HEAD_UNITS", 5)
    with pytest.raises(UserError, match=r"1\.weights\.h5 has other layers than .*0\.weights\.h5"):
        fuse_beside(tmp_path, 3, first, beside("gru", 3))


def test_members_must_be_alike(network, tmp_path):
    with pytest.raises(UserError, match=r"1\.weights\.h5 has other layers than .*0\.weights\.h5"):
        fuse(tmp_path, network, stack(GRU(5)))
