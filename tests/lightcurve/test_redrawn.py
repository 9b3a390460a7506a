"""Curves that are drawn anew have the covariance of the fit, star by star the same draws."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import curve_errors
from hypothesis import given, settings
from hypothesis import strategies as st

from rrl_batch.lightcurve.fold import fold
from rrl_batch.lightcurve.fourier import fit_fourier
from rrl_batch.lightcurve.inputs import Inputs
from rrl_batch.lightcurve.population import FoldedCurves, smooth_by_population
from rrl_batch.lightcurve.population_prior import PopulationPrior
from rrl_batch.lightcurve.prepare import prepare
from rrl_batch.lightcurve.redrawn import N_DRAWS, period_errors, signs_of
from rrl_batch.sources.synthetic import simulate_stars
from rrl_batch.sources.synthetic.source import SimulatedLightCurves

N_POINTS, ALL = 16, 32


def inputs_of(errors):
    """Curves that are just the harmonics, from phase 0 of the harmonics on."""
    phase = np.arange(N_POINTS) / N_POINTS
    order = np.arange(1, errors.harmonics.shape[1] + 1)
    curve = (errors.harmonics @ np.exp(2j * np.pi * np.outer(order, phase))).real
    sequences = np.stack([curve, np.outer(errors.period, phase)], axis=2)
    return Inputs(sequences.astype(np.float32), np.zeros((len(curve), 16), np.float32))


def observed(n_epochs, rng):
    phase = rng.random(n_epochs)
    angle = 2 * np.pi * np.outer(phase, np.arange(1, 5)) + [1.7, 1.4, 1.1, 0.9]
    return phase, 15 + np.cos(angle) @ [0.34, 0.16, 0.11, 0.07] + rng.normal(0, 0.02, n_epochs)


@settings(max_examples=15)
@given(st.integers(0, 2**32))
def test_over_the_whole_design_a_linear_function_has_its_variance_to_the_last_bit(seed):
    rng = np.random.default_rng(seed)
    known = replace(
        curve_errors(3), alignment="maximum", factor=rng.normal(0, 1e-3, (3, 14, 14)),
        period_error=np.full(3, 1e-3),
    )  # fmt: skip
    inputs = inputs_of(known)
    moved = known.redrawn(inputs, ALL).sequences - inputs.sequences[:, None]
    waves = np.exp(2j * np.pi * np.outer(np.arange(1, 8), np.arange(N_POINTS) / N_POINTS))
    basis = np.stack([waves.real, waves.imag], axis=1).reshape(14, N_POINTS)
    weights = rng.normal(size=N_POINTS)
    gradient = basis @ weights
    covariance = known.factor @ known.factor.transpose(0, 2, 1)
    expected = np.einsum("i,nij,j->n", gradient, covariance, gradient)
    found = np.square(moved[..., 0] @ weights).mean(axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-3)  # in single precision
    of_period = (moved[:, :, -1, 1] * N_POINTS / (N_POINTS - 1)) ** 2
    np.testing.assert_allclose(of_period, 1e-6, rtol=1e-3)


def test_few_draws_have_the_variance_on_average_over_stars():
    known = replace(curve_errors(1000, noise=1e-3), alignment="maximum")
    moved = known.redrawn(inputs_of(known)).sequences - inputs_of(known).sequences[:, None]
    assert moved.shape[1] == N_DRAWS
    variance = np.square(moved[..., 0] @ np.arange(N_POINTS)).mean(axis=1)
    whole = known.redrawn(inputs_of(known), ALL).sequences - inputs_of(known).sequences[:, None]
    expected = np.square(whole[..., 0] @ np.arange(N_POINTS)).mean()
    assert variance.mean() == pytest.approx(expected, rel=0.05)
    # a fifth in the error, that is two fifths in the variance
    assert np.sqrt(variance).std() / np.sqrt(variance).mean() < 0.25


@pytest.mark.parametrize("alignment", ["fourier", "rising"])
def test_phase_0_is_found_anew_in_every_draw(alignment):
    known = replace(curve_errors(20, noise=3e-3), alignment=alignment)
    inputs = inputs_of(replace(known, harmonics=known.harmonics))
    turned = known.harmonics * np.exp(2j * np.pi * 0.3 * np.arange(1, 8))
    other = replace(known, harmonics=turned)
    # without errors of the curve nothing moves, wherever phase 0 was
    still = replace(other, factor=np.zeros_like(other.factor))
    np.testing.assert_allclose(
        still.redrawn(inputs).sequences, np.repeat(inputs.sequences[:, None], N_DRAWS, axis=1),
        atol=1e-6,
    )  # fmt: skip
    first = np.fft.rfft(known.redrawn(inputs).sequences[..., 0].astype(float), axis=2)[..., 1]
    if alignment == "fourier":  # of what was added to the curve
        before = np.fft.rfft(inputs.sequences[:, None, :, 0].astype(float), axis=2)[..., 1]
        np.testing.assert_allclose((first - before).imag, 0, atol=1e-4)


@pytest.mark.parametrize("n_epochs", [30, 120])
def test_the_factors_are_square_roots_of_what_the_fits_say_of_their_errors(n_epochs):
    rng = np.random.default_rng(1)
    phase, mag = observed(n_epochs, rng)
    offsets = np.array([0, n_epochs])
    fit = fit_fourier(phase, mag, offsets)
    a, b = fit.harmonics[0].real, -fit.harmonics[0].imag
    square = a**2 + b**2
    gradient = np.zeros(16)
    gradient[[0, 1]] = -3 * b[0] / square[0], 3 * a[0] / square[0]
    gradient[[4, 5]] = b[2] / square[2], -a[2] / square[2]
    assert np.linalg.norm(gradient @ fit.factor[0]) == pytest.approx(fit.phi31_error[0], rel=1e-9)

    curves = FoldedCurves(phase, mag, offsets, np.array([0.57]))
    smoothed = smooth_by_population(curves, PopulationPrior.first("RRab"))
    factor = smoothed.factor()[0]
    np.testing.assert_allclose(factor @ factor.T, smoothed.covariance[0, 1:, 1:], atol=1e-12)


def test_a_raw_curve_has_its_epochs_moved_and_its_padding_not():
    known = replace(curve_errors(5), raw=True, n_epochs=np.array([3, 40, 10, 16, 5]))
    inputs = inputs_of(known)
    moved = known.redrawn(inputs, ALL).sequences - inputs.sequences[:, None]
    inside = np.arange(N_POINTS) < known.n_epochs[:, None]
    assert (moved[..., 0][np.broadcast_to(~inside[:, None], moved.shape[:3])] == 0).all()
    np.testing.assert_allclose(
        np.abs(moved[..., 0][np.broadcast_to(inside[:, None], moved.shape[:3])]), 0.02, atol=1e-6
    )


def test_draws_depend_on_the_star_alone():
    survey = SimulatedLightCurves(4)(simulate_stars(40, 4), 0)
    whole = prepare(survey, points=N_POINTS)
    rows = np.flatnonzero(whole.table["amplitude"].notna())
    some = rows[[9, 2, 5]]
    part = prepare(survey.take(some), points=N_POINTS)
    for ours, theirs in zip(part.redrawn(np.arange(3)), whole.redrawn(some), strict=True):
        assert np.array_equal(ours, theirs)
        assert np.isfinite(ours).all()


def test_signs_are_even_and_independent_of_neighbouring_identifiers():
    signs = signs_of(np.arange(2**40, 2**40 + 10_000), 70)
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert np.abs(signs.mean(axis=0)).max() < 0.04
    correlation = signs.T @ signs / len(signs) - np.eye(70)
    assert np.abs(correlation).max() < 0.05
    assert np.abs((signs[1:] * signs[:-1]).mean(axis=0)).max() < 0.04


def test_errors_of_periods_are_those_of_periods_that_are_fitted():
    """Against least squares in all parameters at once, over many noisy light curves."""
    rng = np.random.default_rng(8)
    n_epochs, period, noise = 60, 0.57, 0.03
    time = np.sort(rng.uniform(0, 1000, n_epochs))
    harmonics = np.array([0.3 + 0.1j, -0.1 + 0.1j, 0.05 - 0.06j])
    order = np.arange(1, 4)

    def basis(frequency):
        return np.exp(2j * np.pi * frequency * np.outer(time, order))

    waves = basis(1 / period)
    slope = (waves * (2j * np.pi * np.outer(time, order))) @ harmonics
    columns = np.column_stack([np.ones(n_epochs), waves.real, waves.imag, slope.real])
    expected = noise * np.sqrt(np.linalg.inv(columns.T @ columns)[-1, -1]) * period**2
    offsets = np.array([0, n_epochs, n_epochs, 2 * n_epochs])
    both = np.concatenate([time, fold(time, offsets[:2], np.array([period]), np.zeros(1))])
    found = period_errors(
        both, offsets, np.full(3, period), np.stack([harmonics, harmonics * np.nan, harmonics]),
        np.full(3, noise),
    )  # fmt: skip
    assert found[0] == pytest.approx(expected, rel=0.15)
    assert np.isnan(found[1])
    assert found[2] == 0.0  # folded epochs do not tell
