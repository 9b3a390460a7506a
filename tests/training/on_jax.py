"""The vectorised trainer does what Keras does; run by test_vectorised.py with Keras on JAX."""

from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from rrl_batch.lightcurve.sequences import PADDING
from rrl_batch.training import sequential, vectorised
from rrl_batch.training.problem import FitSettings, Problem

N_STARS, N_POINTS = 70, 10
SETTINGS = FitSettings("gru", False, 0.2, 5, 40, 16, 0.02, seed=0)
ROUNDING = 2e-5


@pytest.fixture
def curves():
    rng = np.random.default_rng(3)
    sequences = rng.normal(0, 0.3, (N_STARS, N_POINTS, 2)).astype(np.float32)
    sequences[::2, -3:] = PADDING
    return sequences


@pytest.fixture
def problems(curves):
    """Return members with two batches, with three of which one is short, and with three."""
    made = []
    for fold, n_training in enumerate((32, 33, 48)):
        rng = np.random.default_rng(fold)
        rows = rng.permutation(N_STARS)
        training, stopping = rows[:n_training], rows[n_training : n_training + 12 + fold]
        target, weights = np.full((2, N_STARS), np.nan, np.float32)
        for part in (training, stopping):
            signal = np.tanh(3 * curves[part, :4, 0].sum(1))
            target[part] = signal + rng.normal(0, 0.3, len(part))
            weights[part] = rng.uniform(0.2, 2, len(part))
        made.append(Problem(fold, 10 + fold, training, stopping, target, weights, 0.0, 1.0))
    return made


@pytest.fixture
def _in_order(problems, monkeypatch):  # noqa: ARG001 - these are drawn before chance is taken out
    """Leave the stars in order in both trainers."""
    in_order = SimpleNamespace(permutation=lambda rows: rows)
    monkeypatch.setattr(vectorised.np.random, "default_rng", lambda _: in_order)
    fit = keras.Model.fit
    monkeypatch.setattr(keras.Model, "fit", lambda *a, **k: fit(*a, **k, shuffle=False))


def recurrent(seed, *, dropout=0.0, masked=False):
    """Build a small network with what the paper's has: penalties, dropout, masking."""
    layers = keras.layers
    curve = keras.Input((N_POINTS, 2))
    state = layers.Masking(PADDING)(curve) if masked else curve
    state = layers.GRU(
        4,
        kernel_initializer=keras.initializers.GlorotUniform(seed),
        recurrent_initializer=keras.initializers.GlorotUniform(seed + 1),
        kernel_regularizer=keras.regularizers.L2(1e-3),
        recurrent_regularizer=keras.regularizers.L1(1e-3),
    )(state)
    state = layers.Dropout(dropout, seed=seed)(state)
    return keras.Model(curve, _last(seed)(state))


def convolutional(seed, *, dropout=0.0):
    """Build a small network whose layers keep statistics of the batches."""
    layers = keras.layers
    curve = keras.Input((N_POINTS, 2))
    kernel = keras.initializers.GlorotUniform(seed)
    # ahead of a normalisation nothing but rounding would move biases
    state = layers.Conv1D(4, 3, use_bias=False, kernel_initializer=kernel)(curve)
    state = layers.BatchNormalization()(state)
    state = layers.Dropout(dropout, seed=seed)(layers.ReLU()(state))
    return keras.Model(curve, _last(seed)(layers.GlobalAveragePooling1D()(state)))


def _last(seed):
    return keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(seed))


@pytest.fixture
def use(monkeypatch):
    """Return a function that makes both trainers fit a network of ours."""

    def use(network, **options):
        for trainer in (sequential, vectorised):
            monkeypatch.setattr(trainer, "build", lambda *_, seed, **__: network(seed, **options))

    use(recurrent, dropout=0.3)
    return use


def together(monkeypatch, n_members):
    monkeypatch.setattr(vectorised, "_members_together", lambda _: n_members)


def results(fit, problems, curves, settings=SETTINGS):
    """Return what each fit has come to, in the order of the folds; weights None if diverged."""
    found = {}
    for done in fit(problems, curves, settings, lambda _: None):
        weights = done.network and done.network.get_weights()
        found[done.problem.fold] = (done.epochs, done.epochs_run, weights)
    return [found[problem.fold] for problem in problems]


def assert_same(first, second, tolerance=ROUNDING):
    for (*epochs, weights), (*other_epochs, other_weights) in zip(first, second, strict=True):
        assert epochs == other_epochs
        assert len(weights) == len(other_weights) >= 5
        for a, b in zip(weights, other_weights, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


@pytest.mark.usefixtures("_in_order")
def test_a_member_is_the_one_that_keras_fits(problems, curves, use, monkeypatch):
    use(recurrent, masked=True)
    together(monkeypatch, 2)
    two = problems[:2]  # of two full batches, and of two full ones and one of a single star
    assert_same(*(results(trainer.fit, two, curves) for trainer in (vectorised, sequential)))


@pytest.mark.usefixtures("_in_order")
def test_dropout_and_statistics_of_full_batches_are_those_of_keras(
    problems, curves, use, monkeypatch
):
    use(convolutional, dropout=0.3)
    together(monkeypatch, 2)
    whole = [problems[0], problems[2]]  # of two and three full batches
    assert_same(*(results(trainer.fit, whole, curves) for trainer in (vectorised, sequential)))


@pytest.mark.usefixtures("_in_order")
def test_training_ends_at_the_pass_at_which_keras_ends_it(problems, curves, use, monkeypatch):
    use(recurrent)
    together(monkeypatch, 2)
    problems = problems[:2]
    settings = replace(SETTINGS, epochs=60, patience=3, learning_rate=0.05)
    expected = results(sequential.fit, problems, curves, settings)
    assert len({epochs_run for _, epochs_run, _ in expected}) == 2
    assert all(epochs < epochs_run < 60 for epochs, epochs_run, _ in expected)
    assert_same(results(vectorised.fit, problems, curves, settings), expected, 1e-3)


@pytest.mark.usefixtures("use")
def test_a_member_is_the_same_whichever_others_there_are(problems, curves, monkeypatch):
    together(monkeypatch, 3)
    first, _, last = results(vectorised.fit, problems, curves)
    assert_same(results(vectorised.fit, problems[:1], curves), [first])

    diverging = replace(problems[1], target=problems[1].target * 1e30)
    among = results(vectorised.fit, [problems[0], diverging, problems[2]], curves)
    assert_same([among[0], among[2]], [first, last], 0)
    assert among[1] == (0, 1, None)


@pytest.mark.usefixtures("use")
def test_training_can_be_repeated(problems, curves):
    assert_same(*(results(vectorised.fit, problems[1:], curves) for _ in range(2)), 0)


def test_stars_are_shuffled_for_each_member_by_its_own_seed(problems, curves, use, monkeypatch):
    use(lambda _: recurrent(7))
    together(monkeypatch, 2)
    twins = [problems[2], replace(problems[2], fold=3, seed=99)]
    (*_, first), (*_, second) = results(vectorised.fit, twins, curves)
    assert not np.allclose(first[0], second[0], atol=1e-3)


@pytest.mark.usefixtures("use")
def test_passes_are_counted_member_by_member(problems, curves, monkeypatch):
    together(monkeypatch, 3)
    passes = []
    list(vectorised.fit(problems, curves, SETTINGS, passes.append))
    assert passes == [3] * SETTINGS.epochs
