import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import Input, Model, Sequential, layers
from numpy.testing import assert_allclose, assert_array_equal

from rrl_batch.inference.fused import FusedEnsemble, can_fuse
from rrl_batch.inference.recurrent_kernel import LANES
from rrl_batch.models.registry import build

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


@pytest.fixture(scope="module")
def network():
    """A network that has all that the kernel can do."""
    return randomised(
        stack(
            GRU(5, return_sequences=True),
            layers.Dropout(0.5),
            Both(LSTM(3, return_sequences=True)),
            Both(GRU(2)),
        )
    )


@pytest.fixture(scope="module")
def fused(network):
    return FusedEnsemble.from_networks([network])


STACKS = {
    "gru": lambda: stack(GRU(4)),
    "lstm": lambda: stack(LSTM(4)),
    "bidirectional gru": lambda: stack(Both(GRU(3))),
    "bidirectional lstm": lambda: stack(Both(LSTM(3))),
    "one unit of one channel": lambda: stack(LSTM(1), n_channels=1),
    "narrow to wide": lambda: stack(GRU(2, return_sequences=True), LSTM(37), n_channels=3),
    "four layers": lambda: stack(
        *(Both(GRU(n, return_sequences=True)) for n in (3, 1, 4)), layers.Dropout(0.1), GRU(2)
    ),
    "unlike directions": lambda: stack(
        Both(LSTM(3), backward_layer=GRU(3, go_backwards=True)), layers.Dropout(0.1)
    ),
    "without biases": lambda: Sequential(
        [
            Input((N_POINTS, 2)),
            GRU(3, use_bias=False, return_sequences=True),
            LSTM(2, use_bias=False),
            layers.Dense(1, use_bias=False),
        ]
    ),
    "one step": lambda: stack(Both(GRU(3, return_sequences=True)), LSTM(2), n_points=1),
}


@pytest.mark.parametrize("name", STACKS)
def test_every_stack_is_evaluated_as_keras_does(name):
    network = randomised(STACKS[name]())
    sequences = curves(LANES + 5, *network.input_shape[1:])
    assert can_fuse(network)
    predicted = FusedEnsemble.from_networks([network]).predict(sequences)
    assert predicted.dtype == np.float32
    assert_allclose(predicted, network(sequences, training=False), rtol=0, atol=2e-6)


def test_an_ensemble_is_its_members_side_by_side(network):
    others = [randomised(stack_like(network), seed) for seed in (1, 2)]
    together = FusedEnsemble.from_networks([network, *others]).predict(curves(70))
    alone = [FusedEnsemble.from_networks([member]) for member in (network, *others)]
    assert_array_equal(together, np.hstack([one.predict(curves(70)) for one in alone]))
    assert len(np.unique(together[0])) == 3


def stack_like(network):
    return type(network).from_config(network.get_config())


@settings(deadline=None, max_examples=40)
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


def test_no_stars_give_no_predictions(fused):
    assert fused.predict(curves(0)).shape == (0, 1)


@pytest.mark.parametrize("shape", [(4, 6, 3), (4, 0, 2), (4, 6)])
def test_sequences_of_another_shape_are_refused(fused, shape):
    with pytest.raises(ValueError, match="must have the shape"):
        fused.predict(np.zeros(shape, np.float32))


def test_members_must_be_alike(network):
    with pytest.raises(ValueError, match="same layers"):
        FusedEnsemble.from_networks([network, stack(GRU(5))])
    with pytest.raises(ValueError, match="one or more"):
        FusedEnsemble.from_networks([])
    with pytest.raises(ValueError, match="can be fused"):
        FusedEnsemble.from_networks([stack(layers.Flatten())])


def branched():
    curve = Input((N_POINTS, 2))
    states = [GRU(3)(curve), LSTM(3)(curve)]
    return Model(curve, layers.Dense(1)(layers.Add()(states)))


def skipped():
    curve = Input((N_POINTS, 2))
    LSTM(4)(curve)
    layer = GRU(2, return_sequences=True)
    return Model(curve, layers.Dense(1)(GRU(2)(layer(layer(curve)))))


class Subclassed(Model):
    def call(self, inputs):
        return inputs


NOT_FUSED = {
    "masked": lambda: build("gru", N_POINTS, masked=True),
    "convolution": lambda: stack(layers.Conv1D(4, 3), GRU(3)),
    "no recurrent layer": lambda: stack(layers.Flatten()),
    "only an output": stack,
    "output a step": lambda: stack(GRU(3, return_sequences=True)),
    "two outputs": lambda: Sequential([Input((N_POINTS, 2)), GRU(3), layers.Dense(2)]),
    "dense in between": lambda: stack(GRU(3), layers.Dense(4)),
    "output not linear": lambda: Sequential(
        [Input((N_POINTS, 2)), GRU(3), layers.Dense(1, activation="tanh")]
    ),
    "another activation": lambda: stack(LSTM(3, activation="relu")),
    "another gate": lambda: stack(GRU(3, recurrent_activation="hard_sigmoid")),
    "reset before": lambda: stack(GRU(3, reset_after=False)),
    "backwards": lambda: stack(GRU(3, go_backwards=True)),
    "sum of directions": lambda: stack(Both(GRU(3), merge_mode="sum")),
    "half precision": lambda: stack(GRU(3, dtype="mixed_bfloat16")),
    "branched": branched,
    "a layer used twice": skipped,
    "subclassed": Subclassed,
    "not built": lambda: Sequential([GRU(3), layers.Dense(1)]),
}


@pytest.mark.parametrize("name", NOT_FUSED)
def test_what_the_kernel_cannot_do_is_left_to_keras(name):
    assert not can_fuse(NOT_FUSED[name]())


def test_the_papers_gru_is_fused():
    assert can_fuse(build("gru", N_POINTS, masked=False))
