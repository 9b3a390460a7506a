"""The vectorised trainer does what Keras does; run by test_vectorised.py with Keras on JAX."""

from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from rrl_batch.lightcurve.inputs import Inputs
from rrl_batch.lightcurve.sequences import PADDING
from rrl_batch.models.dense import HEAD
from rrl_batch.models.registry import build
from rrl_batch.training import sequential, vectorised
from rrl_batch.training.problem import FitSettings, MemberId, Problem, Scaling

N_STARS, N_POINTS, N_STATIC = 70, 10, 3
SETTINGS = FitSettings(masked=False, epochs=5, patience=40, batch_size=16, learning_rate=0.02)
ROUNDING = 2e-5


@pytest.fixture
def inputs():
    rng = np.random.default_rng(3)
    sequences = rng.normal(0, 0.3, (N_STARS, N_POINTS, 2)).astype(np.float32)
    sequences[::2, -3:] = PADDING
    return Inputs(sequences, rng.normal(2, 0.5, (N_STARS, 16)).astype(np.float32))


@pytest.fixture
def problems(inputs):
    """Return members with two batches, with three of which one is short, and with three."""
    made = []
    for fold, n_training in enumerate((32, 33, 48)):
        rng = np.random.default_rng(fold)
        rows = rng.permutation(N_STARS)
        training, stopping = rows[:n_training], rows[n_training : n_training + 12 + fold]
        target, weights = np.full((2, N_STARS), np.nan, np.float32)
        for part in (training, stopping):
            signal = np.tanh(3 * inputs.sequences[part, :4, 0].sum(1))
            target[part] = signal + rng.normal(0, 0.3, len(part))
            weights[part] = rng.uniform(0.2, 2, len(part))
        scaling = Scaling(np.empty(0), np.empty(0), 0.0, 1.0)
        member = MemberId("gru", 0, (fold,))
        made.append(Problem(member, 10 + fold, training, stopping, target, weights, scaling))
    return made


@pytest.fixture
def _in_order(problems, monkeypatch):  # noqa: ARG001 - these are drawn before chance is taken out
    """Leave the stars in order in both trainers."""
    in_order = SimpleNamespace(permutation=lambda rows: rows)
    monkeypatch.setattr(vectorised.np.random, "default_rng", lambda _: in_order)
    fit = keras.Model.fit
    monkeypatch.setattr(keras.Model, "fit", lambda *a, **k: fit(*a, **k, shuffle=False))


def recurrent(seed, *, dropout=0.0, masked=False, static=False):
    """Build a small network with penalties, dropout, masking and shape parameters."""
    layers = keras.layers
    curve = keras.Input((N_POINTS, 2), name="curve")
    state = layers.Masking(PADDING)(curve) if masked else curve
    state = layers.GRU(
        4,
        kernel_initializer=keras.initializers.GlorotUniform(seed),
        recurrent_initializer=keras.initializers.GlorotUniform(seed + 1),
        kernel_regularizer=keras.regularizers.L2(1e-3),
        recurrent_regularizer=keras.regularizers.L1(1e-3),
    )(state)
    state = layers.Dropout(dropout, seed=seed)(state)
    if not static:
        return keras.Model(curve, _last(seed)(state))
    shape = keras.Input((N_STATIC,), name="shape")
    kernel = keras.initializers.GlorotUniform(seed)
    head = layers.Dense(3, activation="silu", kernel_initializer=kernel, name=HEAD)
    return keras.Model([curve, shape], _last(seed)(head(layers.Concatenate()([state, shape]))))


def convolutional(seed, *, dropout=0.0):
    """Build a small network whose layers keep statistics of the batches."""
    layers = keras.layers
    curve = keras.Input((N_POINTS, 2), name="curve")
    kernel = keras.initializers.GlorotUniform(seed)
    # ahead of a normalisation nothing but rounding would move biases
    state = layers.Conv1D(4, 3, use_bias=False, kernel_initializer=kernel)(curve)
    state = layers.BatchNormalization()(state)
    state = layers.Dropout(dropout, seed=seed)(layers.ReLU()(state))
    return keras.Model(curve, _last(seed)(layers.GlobalAveragePooling1D()(state)))


def dense(seed, *, dropout=0.0):
    """Build a small network that is compiled in a moment."""
    layers = keras.layers
    curve = keras.Input((N_POINTS, 2), name="curve")
    state = layers.Flatten()(curve)
    for units in (4, 3):
        kernel = keras.initializers.GlorotUniform(seed + units)
        state = layers.Dense(units, activation="silu", kernel_initializer=kernel)(state)
    return keras.Model(curve, _last(seed)(layers.Dropout(dropout, seed=seed)(state)))


def _last(seed):
    return keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(seed))


@pytest.fixture
def use(monkeypatch):
    """Return a function that makes both trainers fit a network of ours."""

    def use(network, **options):
        for trainer in (sequential, vectorised):
            monkeypatch.setattr(trainer, "fresh", lambda *given: network(given[-1], **options))

    use(dense, dropout=0.3)
    return use


def together(monkeypatch, n_members):
    monkeypatch.setattr(vectorised, "_members_together", lambda *_: n_members)


@pytest.mark.parametrize(
    ("room", "sizes"), [(10**12, [7]), (300_000, [4, 3]), (140_000, [2, 2, 2, 1]), (1, [1] * 7)]
)
def test_as_many_members_share_a_gpu_as_it_has_room_for(room, sizes, monkeypatch):
    network = recurrent(0)  # layers that give 20, 4, 4 and 1 numbers, in batches of 64
    monkeypatch.setattr(vectorised, "claim_gpu", lambda: True)
    device = SimpleNamespace(memory_stats=lambda: {"bytes_limit": room})
    monkeypatch.setattr("jax.devices", lambda: [device])
    together = vectorised._members_together(network, 7, batch_size=64)
    assert [min(together, 7 - first) for first in range(0, 7, together)] == sizes


@pytest.mark.parametrize("architecture", ["bilstm", "convlstm"])
def test_no_layer_takes_what_jax_cannot_do_for_several_members_on_a_gpu(architecture):
    network = build(architecture, N_POINTS, masked=False)
    layers = [layer for layer in network._flatten_layers() if hasattr(layer, "use_cudnn")]
    assert layers
    assert not any(layer.use_cudnn for layer in layers)


def test_on_a_cpu_members_are_fitted_one_by_one():
    assert vectorised._members_together(recurrent(0), 7, batch_size=64) == 1


def results(fit, problems, inputs, settings=SETTINGS):
    """Return what each fit has come to, in the order of the folds; weights None if diverged."""
    found = {}
    for done in fit(problems, inputs, settings, lambda _: None):
        weights = done.predictor and done.predictor.network.get_weights()
        found[done.problem.member] = (done.epochs, done.history, weights)
    return [found[problem.member] for problem in problems]


def assert_same(first, second, tolerance=ROUNDING):
    for (epochs, history, weights), (other_epochs, other_history, other_weights) in zip(
        first, second, strict=True
    ):
        assert epochs == other_epochs
        for a, b in zip(history, other_history, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=max(tolerance, 1e-7))
        assert len(weights) == len(other_weights) >= 5
        for a, b in zip(weights, other_weights, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({"masked": True}, {}),
        ({"static": True}, {"schedule": "onecycle", "stop_fraction": 0.0, "patience": 1}),
    ],
    ids=["masked", "with shape, in one cycle to the last pass"],
)
@pytest.mark.usefixtures("_in_order")
def test_a_member_is_the_one_that_keras_fits(options, settings, problems, inputs, use, monkeypatch):
    use(recurrent, **options)
    together(monkeypatch, 2)
    problems = problems[:2]  # of two full batches, and of two full ones and one of a single star
    if "static" in options:
        of_shape = Scaling(np.array([2.0, 2.1, 1.9]), np.array([0.5, 0.4, 0.6]), -1.5, 0.4)
        problems = [replace(problem, scaling=of_shape) for problem in problems]
    if "stop_fraction" in settings:
        problems = [replace(problem, stopping=problem.stopping[:0]) for problem in problems]
    ours, theirs = (
        results(trainer.fit, problems, inputs, replace(SETTINGS, **settings))
        for trainer in (vectorised, sequential)
    )
    assert_same(ours, theirs)
    if "stop_fraction" in settings:
        assert [(epochs, len(losses.training)) for epochs, losses, _ in ours] == [(5, 5)] * 2


@pytest.mark.usefixtures("_in_order")
def test_dropout_and_statistics_of_full_batches_are_those_of_keras(
    problems, inputs, use, monkeypatch
):
    use(convolutional, dropout=0.3)
    together(monkeypatch, 2)
    whole = [problems[0], problems[2]]  # of two and three full batches
    assert_same(*(results(trainer.fit, whole, inputs) for trainer in (vectorised, sequential)))


@pytest.mark.usefixtures("_in_order")
def test_training_ends_at_the_pass_at_which_keras_ends_it(problems, inputs, use, monkeypatch):
    use(dense)
    together(monkeypatch, 2)
    problems = problems[:2]
    settings = replace(SETTINGS, epochs=60, patience=3, learning_rate=0.05)
    expected = results(sequential.fit, problems, inputs, settings)
    assert len({len(losses.training) for _, losses, _ in expected}) == 2
    assert all(epochs < len(losses.training) < 60 for epochs, losses, _ in expected)
    assert_same(results(vectorised.fit, problems, inputs, settings), expected, 1e-3)


@pytest.mark.usefixtures("use")
def test_a_member_is_the_same_whichever_others_there_are(problems, inputs, monkeypatch):
    """The schedule of its learning rate too: that of the first has fewer steps."""
    together(monkeypatch, 3)
    settings = replace(SETTINGS, schedule="onecycle")
    first, _, last = results(vectorised.fit, problems, inputs, settings)
    assert_same(results(vectorised.fit, problems[:1], inputs, settings), [first])

    diverging = replace(problems[1], target=problems[1].target * 1e30)
    among = results(vectorised.fit, [problems[0], diverging, problems[2]], inputs, settings)
    assert_same([among[0], among[2]], [first, last], 0)
    epochs, losses, weights = among[1]
    assert (epochs, len(losses.training), weights) == (0, 1, None)


@pytest.mark.usefixtures("use")
def test_training_can_be_repeated(problems, inputs):
    assert_same(*(results(vectorised.fit, problems[1:], inputs) for _ in range(2)), 0)


def test_stars_are_shuffled_for_each_member_by_its_own_seed(problems, inputs, use, monkeypatch):
    use(lambda _: dense(7))
    together(monkeypatch, 2)
    twins = [problems[2], replace(problems[2], member=MemberId("gru", 0, (3,)), seed=99)]
    (*_, first), (*_, second) = results(vectorised.fit, twins, inputs)
    assert not np.allclose(first[0], second[0], atol=1e-3)


@pytest.mark.usefixtures("use")
def test_passes_are_counted_member_by_member(problems, inputs, monkeypatch):
    together(monkeypatch, 3)
    passes = []
    list(vectorised.fit(problems, inputs, SETTINGS, passes.append))
    # the first has fewer batches than the others, which a program has in common
    assert [len(some) for some in passes] == [1] * SETTINGS.epochs + [2] * SETTINGS.epochs
