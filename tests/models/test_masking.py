"""A padded curve counts as the curve that it holds: when predicting, and when training."""

from functools import lru_cache

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import OF_CURVES, spread

from rrl_batch.lightcurve.sequences import PADDING
from rrl_batch.models import hybrid, recurrent, transformer
from rrl_batch.models.registry import build

pytestmark = pytest.mark.usefixtures("small_networks")

N_STARS, N_POINTS = 6, 16
SHORT, LONG = 5, 12


@lru_cache
def network(architecture, n_points, *, masked):
    return spread(build(architecture, n_points, masked=masked))


def draw(seed, n_points):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.5, (N_STARS, n_points, 2)).astype(np.float32)


def padded(curves, lengths):
    """Return curves that end after some steps."""
    inside = np.arange(N_POINTS) < np.reshape(lengths, (-1, 1))
    missing = N_POINTS - curves.shape[1]
    filled = np.pad(curves, ((0, 0), (0, missing), (0, 0)))
    return np.where(inside[..., None], filled, np.float32(PADDING))


@pytest.mark.parametrize("architecture", OF_CURVES)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    is_long=st.lists(st.booleans(), min_size=N_STARS, max_size=N_STARS), seed=st.integers(0, 9**9)
)
def test_a_curve_is_predicted_as_if_it_were_not_padded(architecture, is_long, seed):
    curves = draw(seed, LONG)
    batch = padded(curves, np.where(is_long, LONG, SHORT))
    predicted = network(architecture, N_POINTS, masked=True).predict_on_batch(batch)
    long, short = (
        network(architecture, n_points, masked=False).predict_on_batch(curves[:, :n_points])
        for n_points in (LONG, SHORT)
    )
    expected = np.where(np.reshape(is_long, (-1, 1)), long, short)
    np.testing.assert_allclose(predicted, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", OF_CURVES)
def test_a_network_without_masking_would_see_the_padding(architecture):
    curves = draw(3, LONG)
    plain = network(architecture, LONG, masked=False).predict_on_batch(curves)
    blind = network(architecture, N_POINTS, masked=False).predict_on_batch(padded(curves, LONG))
    assert np.abs(plain - blind).max() > 1e-3


@pytest.mark.parametrize("architecture", OF_CURVES)
def test_a_step_of_training_is_the_same_with_padding(architecture, monkeypatch):
    """What it changes holds the gradients, and the statistics of the batch."""
    monkeypatch.setattr(recurrent, "DROPOUT", (0.0, 0.0))  # it draws for each step
    monkeypatch.setattr(hybrid, "DROPOUT", (0.0, 0.0))
    monkeypatch.setattr(transformer, "DROPOUT", 0.0)
    curves, target = draw(5, 7), np.linspace(-2, 0, N_STARS, dtype=np.float32)

    def changes(masked, curves):
        trained = spread(build(architecture, curves.shape[1], masked=masked))
        # to trace a step takes longer than to take it
        trained.compile(keras.optimizers.SGD(0.1), loss="mse", run_eagerly=True)
        before = trained.get_weights()
        trained.train_on_batch(curves, target)
        return [after - b for after, b in zip(trained.get_weights(), before, strict=True)]

    for plain, masked in zip(changes(False, curves), changes(True, padded(curves, 7)), strict=True):
        assert np.isfinite(masked).all()
        np.testing.assert_allclose(masked, plain, rtol=0, atol=2e-4 * max(np.abs(plain).max(), 0.1))
