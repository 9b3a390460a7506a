import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import i0

from rrl_batch.lightcurve.fourier import fit_fourier
from rrl_batch.lightcurve.population import FoldedCurves, smooth_by_population
from rrl_batch.lightcurve.population_prior import PopulationPrior
from rrl_batch.lightcurve.shape import N_SHAPE, SHAPE_COLUMNS, intensity_mean, shape_parameters

AMPLITUDES = np.array([0.34, 0.165, 0.11, 0.07, 0.045, 0.028, 0.017])
PHASES = np.array([1.7, 1.35, 1.1, 0.9, 0.75, 0.5, 0.3])
COLUMN = {name: number for number, name in enumerate(SHAPE_COLUMNS)}
PERIOD, NOISE = 0.57, 0.004


def observed(n_epochs, seed=0):
    rng = np.random.default_rng(seed)
    phase = rng.random(n_epochs)
    angle = 2 * np.pi * phase[:, None] * np.arange(1, 8) + PHASES
    return phase, 15 + np.cos(angle) @ AMPLITUDES + rng.normal(0, NOISE, n_epochs)


def expected():
    """From amplitude ratios and phase differences as they are defined."""
    order = np.arange(2, 8)
    ratio, phi = AMPLITUDES[1:] / AMPLITUDES[0], PHASES[1:] - order * PHASES[0]
    return np.r_[ratio * np.cos(phi), ratio * np.sin(phi)]


def star_by_star(phase, mag):
    fit = fit_fourier(phase, mag, np.array([0, len(phase)]))
    return fit.harmonics, fit.residual_rms


def by_population(phase, mag):
    curves = FoldedCurves(phase, mag, np.array([0, len(phase)]), np.array([PERIOD]))
    smoothed = smooth_by_population(curves, PopulationPrior.first("RRab"))
    return smoothed.harmonics, smoothed.noise


@pytest.mark.parametrize("fit", [star_by_star, by_population])
def test_ratios_and_phase_differences_of_a_known_curve_come_out(fit):
    harmonics, noise = fit(*observed(400))
    shape = shape_parameters(harmonics, np.array([PERIOD]), noise, np.array([400]))
    assert shape.shape == (1, N_SHAPE) == (1, 16)
    assert shape.dtype == np.float32
    assert shape[0, COLUMN["period"]] == np.float32(PERIOD)
    assert shape[0, COLUMN["a1"]] == pytest.approx(AMPLITUDES[0], abs=0.002)
    np.testing.assert_allclose(shape[0, 2:14], expected(), atol=0.01)
    assert np.exp(shape[0, COLUMN["log_noise"]]) == pytest.approx(NOISE, rel=0.25)
    assert np.exp(shape[0, COLUMN["log_epochs"]]) == pytest.approx(400)


def test_the_columns_are_in_the_order_that_their_names_say():
    harmonics = np.zeros((1, 7), complex)
    harmonics[0, 0], harmonics[0, 4] = 0.5, 0.1 + 0.2j
    (shape,) = shape_parameters(harmonics, np.array([0.6]), np.array([0.01]), np.array([30]))
    assert shape[COLUMN["re51"]] == pytest.approx(0.2)
    assert shape[COLUMN["im51"]] == pytest.approx(0.4)
    # harmonics that were not fitted
    assert (
        shape[[COLUMN[f"{part}{k}1"] for part in ("re", "im") for k in (2, 3, 4, 6, 7)]] == 0
    ).all()


@given(origin=st.floats(0, 1), seed=st.integers(0, 2**32 - 1))
def test_the_shape_does_not_depend_on_where_phase_0_is(origin, seed):
    rng = np.random.default_rng(seed)
    harmonics = (rng.normal(size=(3, 12)) + 1j * rng.normal(size=(3, 12))) * 0.1
    harmonics[:, 0] += 1.0
    turned = harmonics * np.exp(2j * np.pi * origin * np.arange(1, 13))
    others = rng.uniform(0.1, 1, 3), rng.uniform(0.01, 0.1, 3), rng.integers(5, 90, 3)
    np.testing.assert_allclose(
        shape_parameters(turned, *others), shape_parameters(harmonics, *others), atol=1e-5
    )


def test_a_star_of_few_epochs_has_zeros_and_one_of_none_nan():
    phase, mag = observed(9)
    fit = fit_fourier(phase, mag, np.array([0, 9, 9]))
    shape = shape_parameters(fit.harmonics, np.ones(2), fit.residual_rms, np.array([9, 0]))
    assert fit.n_harmonics.tolist() == [3, 0]
    assert (shape[0, [COLUMN["re41"], COLUMN["im71"]]] == 0).all()
    assert (shape[0, [COLUMN["re21"], COLUMN["im31"]]] != 0).all()
    assert np.isnan(shape[1]).all()


def test_a_perfect_fit_has_a_finite_noise():
    shape = shape_parameters(np.ones((1, 7), complex), np.ones(1), np.zeros(1), np.array([30]))
    assert np.isfinite(shape).all()


def test_phi31_and_its_error_are_those_of_draws_from_the_posterior():
    phase, mag = observed(25, seed=2)
    curves = FoldedCurves(phase, mag, np.array([0, 25]), np.array([PERIOD]))
    smoothed = smooth_by_population(curves, PopulationPrior.first("RRab"))
    phi31, error = smoothed.phi31()
    draws = np.random.default_rng(0).multivariate_normal(
        smoothed.coefficients[0], smoothed.covariance[0], 20_000
    )
    harmonics = draws[:, 1::2] - 1j * draws[:, 2::2]
    turned = harmonics[:, 2] * harmonics[:, 0].conj() ** 3 * np.exp(-1j * phi31[0])
    assert np.std(np.angle(turned)) == pytest.approx(error[0], rel=0.05)
    assert abs(np.mean(np.angle(turned))) < 0.1 * error[0]
    true = (PHASES[2] - 3 * PHASES[0]) % (2 * np.pi)
    assert abs(phi31[0] - true) < 4 * error[0]


@given(st.floats(-5, 30), st.floats(0, 3))
def test_the_intensity_mean_of_a_cosine_is_a_bessel_function(zero, amplitude):
    mag = zero + amplitude * np.cos(2 * np.pi * np.arange(64) / 64)
    expected = zero - 2.5 * np.log10(i0(0.4 * np.log(10) * amplitude))
    found = intensity_mean(np.stack([mag, np.full(64, np.nan)]))
    assert found[0] == pytest.approx(expected, abs=1e-9)
    assert np.isnan(found[1])
