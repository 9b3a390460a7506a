"""Weights undo the density of [Fe/H], within bounds, and follow the errors of the labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import gaussian_kde

from rrl_batch.training.weights import (
    MIN_DENSE_WEIGHT,
    MIN_RELATIVE_DENSITY,
    density_weights,
    noise_weights,
)

UNKNOWN = np.nan


def _direct(feh: np.ndarray) -> np.ndarray:
    density = gaussian_kde(feh)(feh)
    return 1 / np.maximum(density / density.max(), MIN_RELATIVE_DENSITY)


@pytest.mark.parametrize("n", [2, 30, 3000])
def test_weights_are_inverse_to_the_kernel_density(n: int) -> None:
    rng = np.random.default_rng(n)
    feh = np.concatenate([rng.normal(-1.5, 0.3, n), rng.normal(-0.3, 0.1, n // 10), [-3.5]])
    weights = density_weights(feh, np.full(len(feh), UNKNOWN))
    expected = _direct(feh)
    # 0.2 % of the peak's density, where the density is a tenth of it
    np.testing.assert_allclose(weights, expected / expected.mean(), rtol=0.02)


@pytest.fixture
def feh() -> np.ndarray:
    rng = np.random.default_rng(4)
    return np.concatenate([rng.normal(-1.5, 0.3, 400), rng.normal(-0.3, 0.1, 40)])


def test_half_the_strength_is_the_root_of_the_published_weights(feh: np.ndarray) -> None:
    weights = density_weights(feh, np.full(len(feh), UNKNOWN), strength=0.5)
    expected = np.sqrt(_direct(feh))
    np.testing.assert_allclose(weights, expected / expected.mean(), rtol=0.01)


@pytest.mark.parametrize("kind", ["density", "denseweight"])
def test_without_strength_all_stars_weigh_alike_but_for_their_errors(
    feh: np.ndarray, kind: str
) -> None:
    error = np.linspace(0.05, 0.4, len(feh))
    unknown = np.full(len(feh), UNKNOWN)
    np.testing.assert_array_equal(density_weights(feh, unknown, kind, 0.0), np.ones(len(feh)))
    weights = density_weights(feh, error, kind, 0.0)
    np.testing.assert_allclose(weights, error**-2 / np.mean(error**-2))


@pytest.mark.parametrize("strength", [0.5, 1.0, 2.0])
def test_denseweight_is_that_of_its_paper(feh: np.ndarray, strength: float) -> None:
    """Steininger et al. (2021), Eqs. 2 to 5: p' is scaled to [0, 1], f = max(1 - alpha p', eps)."""
    density = gaussian_kde(feh)(feh)
    scaled = (density - density.min()) / (density.max() - density.min())
    expected = np.maximum(1 - strength * scaled, MIN_DENSE_WEIGHT)
    weights = density_weights(feh, np.full(len(feh), UNKNOWN), "denseweight", strength)
    np.testing.assert_allclose(weights, expected / expected.mean(), rtol=0, atol=0.01)
    assert weights.min() > 0
    assert (weights.min() < 1e-3) == (strength >= 1)


def test_a_lone_star_weighs_no_more_than_ten_at_the_peak() -> None:
    feh = np.append(np.random.default_rng(0).normal(-1.5, 0.2, 500), 3.0)
    weights = density_weights(feh, np.full(501, UNKNOWN))
    assert weights[-1] == weights.max()
    assert weights.max() / weights.min() == pytest.approx(1 / MIN_RELATIVE_DENSITY, rel=0.01)


@settings(deadline=None)
@given(arrays(float, st.integers(1, 60), elements=st.floats(-3, 0.5, width=16)), st.randoms())
def test_weights_belong_to_stars_and_not_to_their_order(feh: np.ndarray, random: object) -> None:
    error = np.linspace(0.05, 0.4, len(feh))
    order = np.arange(len(feh))
    random.shuffle(order)  # type: ignore[attr-defined]
    weights = density_weights(feh, error)
    assert weights.mean() == pytest.approx(1)
    assert np.all(weights > 0)
    np.testing.assert_allclose(density_weights(feh[order], error[order]), weights[order])


def test_errors_weigh_by_their_inverse_squares() -> None:
    weights = density_weights(np.full(2, -1.0), np.array([0.1, 0.2]))
    assert weights[0] / weights[1] == pytest.approx(4)


@pytest.mark.parametrize("unknown", [np.nan, 0.0, -0.1])
def test_errors_count_only_if_every_star_has_one(unknown: float) -> None:
    feh = np.array([-2.0, -1.5, -1.4, -1.0])
    without = density_weights(feh, np.full(4, UNKNOWN))
    np.testing.assert_array_equal(density_weights(feh, [0.1, 0.2, 0.3, unknown]), without)


def test_stars_of_one_metallicity_weigh_the_same() -> None:
    np.testing.assert_array_equal(density_weights([-1.0] * 3, [UNKNOWN] * 3), np.ones(3))


def test_no_stars_have_no_weights() -> None:
    assert density_weights([], []).shape == (0,)


def test_weights_for_noise_are_those_of_least_squares() -> None:
    """An oracle: a mean with these weights has the least variance that any mean can have."""
    rng = np.random.default_rng(1)
    noise = rng.uniform(0.002, 0.06, 200)
    scatter = 0.1  # dex; and as much again from a noise of 1/50 mag
    variance = scatter**2 + (scatter * 50 * noise) ** 2
    weights = noise_weights(noise, 50)
    best = weights @ (variance * weights) / weights.sum() ** 2
    assert best == pytest.approx(1 / np.sum(1 / variance))
    for _ in range(20):
        other = weights * rng.uniform(0.5, 1.5, 200)
        assert other @ (variance * other) / other.sum() ** 2 > best


def test_a_star_whose_noise_doubles_the_variance_weighs_half() -> None:
    np.testing.assert_allclose(noise_weights([0.0, 0.01, 0.03, np.inf], 100), [1, 0.5, 0.1, 0])
    np.testing.assert_array_equal(noise_weights([0.0, 0.01, 0.03], 0), 1)
