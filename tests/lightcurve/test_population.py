from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import digamma

from rrl_batch.errors import UserError
from rrl_batch.lightcurve.population import (
    ITERATIONS,
    FoldedCurves,
    Noise,
    smooth_by_population,
    statistics,
    update,
)
from rrl_batch.lightcurve.population_prior import PopulationPrior
from rrl_batch.lightcurve.spline import smooth

NU, FLOOR, FLOOR_EPOCHS, BINS = 4.0, 0.008, 4.0, 25
HARMONIC = np.repeat(np.arange(1, 13), 2)


def basis(phase):
    """1, cos, sin, cos 2, sin 2, ... at every phase."""
    angle = 2 * np.pi * np.asarray(phase)[:, None] * np.arange(1, 13)
    waves = np.stack([np.cos(angle), np.sin(angle)], axis=2).reshape(len(angle), 24)
    return np.hstack([np.ones((len(waves), 1)), waves])


def true_prior(mode="RRab"):
    """A population of skew curves that depend on the period, with correlated coefficients."""
    rng = np.random.default_rng(3)
    amplitude, fall, scatter = (0.35, 0.6, 0.25) if mode == "RRab" else (0.22, 0.2, 0.15)
    size = amplitude * fall ** (HARMONIC - 1)
    mean = np.zeros((4, 24))
    mean[0, ::2] = -(size * np.cos(0.4 * (HARMONIC - 1)))[::2]
    mean[0, 1::2] = (size * np.sin(0.4 * (HARMONIC - 1)))[1::2]
    mean[1:] = rng.normal(size=(3, 24)) * size * [[0.1], [0.04], [0.02]]
    mixing = np.eye(24) + 0.5 * rng.normal(size=(24, 24)) / np.sqrt(24)
    factor = scatter * size[:, None] * mixing
    profile = 1 + 2 * np.exp(-0.5 * ((np.arange(BINS) - 12) / 2) ** 2)
    profile /= np.exp(np.log(profile).mean())
    return PopulationPrior(mode, mean, factor @ factor.T + 1e-10 * np.eye(24), profile)


def simulate(prior, counts, seed, noise=0.02):
    """Return curves that were drawn from a prior, and their coefficients."""
    rng = np.random.default_rng(seed)
    counts = np.asarray(counts)
    low, high = (0.45, 0.75) if prior.mode == "RRab" else (0.26, 0.38)
    period = rng.uniform(low, high, len(counts))
    factor = np.linalg.cholesky(prior.covariance)
    shape = prior.powers(period) @ prior.mean + rng.normal(size=(len(counts), 24)) @ factor.T
    coefficients = np.hstack([rng.uniform(14, 19, (len(counts), 1)), shape])
    phase = rng.random(counts.sum())
    scale = noise * np.sqrt(prior.relative_variance[(phase * BINS).astype(int)])
    mag = (basis(phase) * np.repeat(coefficients, counts, axis=0)).sum(axis=1)
    mag += scale * rng.standard_t(NU, len(mag))
    return FoldedCurves(phase, mag, np.r_[0, np.cumsum(counts)], period), coefficients


def part(curves, first, last):
    low, high = curves.offsets[[first, last]]
    return FoldedCurves(
        curves.phase[low:high],
        curves.mag[low:high],
        curves.offsets[first : last + 1] - low,
        curves.period[first:last],
    )


def fit(curves, mode="RRab", iterations=ITERATIONS):
    prior, noise = PopulationPrior.first(mode), Noise.first(curves)
    for _ in range(iterations):
        found, noise = statistics(curves, noise, prior)
        prior = update(found, mode)
    return prior


def dense_pass(phase, mag, period, prior, weight, variance):
    """One star's posterior, the expected squares and the noise that follows, by plain algebra."""
    waves = basis(phase)
    profile = prior.relative_variance[(phase * BINS).astype(int)]
    precision = np.zeros((25, 25))
    precision[1:, 1:] = np.linalg.inv(prior.covariance)
    mean = np.r_[0.0, (prior.powers(np.array([period])) @ prior.mean)[0]]
    weighted = waves.T * (weight / (variance * profile))
    covariance = np.linalg.inv(weighted @ waves + precision)
    zero = np.median(mag)
    coefficients = covariance @ (weighted @ (mag - zero) + precision @ mean)
    residual = mag - zero - waves @ coefficients
    squares = (residual**2 + np.einsum("ij,jk,ik->i", waves, covariance, waves)) / profile
    weight = (NU + 1) / (NU + squares / variance)
    variance = (weight @ squares + FLOOR_EPOCHS * FLOOR**2) / (len(mag) + FLOOR_EPOCHS)
    coefficients[0] += zero
    return coefficients, covariance, squares, weight, variance


@settings(max_examples=25)
@given(
    n_epochs=st.integers(1, 70),
    seed=st.integers(0, 2**32 - 1),
    noise=st.floats(0.003, 0.3),
    mode=st.sampled_from(["RRab", "RRc"]),
)
def test_statistics_are_those_of_the_dense_posterior(n_epochs, seed, noise, mode):
    prior = true_prior(mode)
    curves, _ = simulate(prior, [n_epochs], seed, noise)
    rng = np.random.default_rng(seed)
    before = Noise(rng.uniform(0.05, 1.25, n_epochs), np.array([noise**2]))

    found, after = statistics(curves, before, prior)

    mean, covariance, squares, weight, variance = dense_pass(
        curves.phase, curves.mag, curves.period[0], prior, before.weight, before.variance[0]
    )
    powers = prior.powers(curves.period)[0]
    close = {"rtol": 1e-7, "atol": 1e-10}
    np.testing.assert_allclose(found.cross, np.outer(powers, mean[1:]), **close)
    expected = np.outer(mean[1:], mean[1:]) + covariance[1:, 1:]
    np.testing.assert_allclose(found.products, expected, **close)
    np.testing.assert_allclose(after.weight, weight, rtol=1e-7)
    np.testing.assert_allclose(after.variance, variance, rtol=1e-7)
    bins = (curves.phase * BINS).astype(int)
    by_bin = np.bincount(bins, weight * squares * prior.relative_variance[bins] / variance, BINS)
    np.testing.assert_allclose(found.noise_sum, by_bin, rtol=1e-7, atol=1e-12)
    assert found.n_epochs.tolist() == np.bincount(bins, minlength=BINS).tolist()


def test_curves_and_covariances_are_those_of_the_dense_fixed_point():
    prior = true_prior()
    curves, _ = simulate(prior, [6, 15, 40, 90], 1)

    smoothed = smooth_by_population(curves, prior)

    for star in range(4):
        own = part(curves, star, star + 1)
        weight, variance = np.ones(len(own.mag)), 0.03**2
        for _ in range(300):
            used = weight / variance
            mean, covariance, _, weight, variance = dense_pass(
                own.phase, own.mag, own.period[0], prior, weight, variance
            )
        # Student's t holds less information than its weights, by (nu + 1) / (nu + 3)
        profile = prior.relative_variance[(own.phase * BINS).astype(int)]
        data = basis(own.phase).T * (used / profile) @ basis(own.phase)
        covariance = np.linalg.inv(np.linalg.inv(covariance) - data * 2 / 7)
        waves = basis((np.arange(32) / 32 + smoothed.origin[star]) % 1.0)
        error = np.sqrt(np.einsum("ij,jk,ik->i", waves, covariance, waves))
        ours = basis(np.arange(32) / 32)
        curve = smoothed.on_grid(32)[star]
        assert np.abs((curve - waves @ mean) / error).max() < 0.02
        np.testing.assert_allclose(curve, ours @ smoothed.coefficients[star], atol=1e-12)
        our_error = np.sqrt(np.einsum("ij,jk,ik->i", ours, smoothed.covariance[star], ours))
        np.testing.assert_allclose(our_error, error, rtol=0.01)
        assert smoothed.noise[star] == pytest.approx(np.sqrt(variance), rel=0.01)


def bound(curves, prior, before, after):
    """The lower bound of the log-likelihood, with the penalties, that EM climbs.

    With its best weights, an epoch counts as Student's t at the expected square of its residual.
    """
    inverse = np.linalg.inv(prior.covariance)
    log_det = np.linalg.slogdet(prior.covariance)[1]
    total = -0.5 * (log_det + 1e-6 * np.trace(inverse))
    total -= 0.5e-3 * np.trace(prior.mean @ inverse @ prior.mean.T)
    total -= 25 * (np.log(prior.relative_variance) + 1 / prior.relative_variance).sum()
    for star in range(len(curves.period)):
        own, epochs = part(curves, star, star + 1), slice(*curves.offsets[star : star + 2])
        mean, covariance, squares, _, _ = dense_pass(
            own.phase, own.mag, own.period[0], prior,
            before.weight[epochs], before.variance[star],
        )  # fmt: skip
        weight, variance = after.weight[epochs], after.variance[star]
        profile = prior.relative_variance[(own.phase * BINS).astype(int)]
        # the weights' own distribution is Gamma of this shape, about the weights as means
        shape = (NU + 1) / 2
        log_weight = np.log(weight) + digamma(shape) - np.log(shape)
        total += (0.5 * (log_weight - np.log(variance * profile))).sum()
        total -= (0.5 * weight * squares / variance).sum()
        total += ((NU / 2 - 1) * log_weight - NU / 2 * weight).sum()
        total += stats.gamma(shape, scale=weight / shape).entropy().sum()
        offset = mean[1:] - (prior.powers(own.period) @ prior.mean)[0]
        spread = np.trace(inverse @ covariance[1:, 1:]) + offset @ inverse @ offset
        total += 0.5 * (np.linalg.slogdet(covariance)[1] - log_det - spread)
        total -= FLOOR_EPOCHS / 2 * (np.log(variance) + FLOOR**2 / variance)
    return total


def test_the_likelihood_never_falls():
    curves, _ = simulate(true_prior(), np.random.default_rng(8).integers(3, 40, 120), 8)
    curves.mag[::37] += 0.4
    prior, noise, bounds = PopulationPrior.first("RRab"), Noise.first(curves), []
    for _ in range(12):
        found, after = statistics(curves, noise, prior)
        bounds.append(bound(curves, prior, noise, after))
        prior, noise = update(found, "RRab"), after

    rises = np.diff(bounds)
    assert (rises > 0).all(), bounds
    assert rises[0] > 10 * rises[-1], bounds


@settings(max_examples=20)
@given(cuts=st.lists(st.integers(0, 150), max_size=6))
def test_any_partitioning_gives_the_same_prior(cuts):
    curves, _ = simulate(true_prior(), np.random.default_rng(2).integers(0, 30, 150), 2)
    edges = sorted({0, 150, *cuts})
    noise, first = Noise.first(curves), PopulationPrior.first("RRab")
    whole, noise_of_whole = statistics(curves, noise, first)

    parts = [part(curves, *pair) for pair in pairwise(edges)]
    results = [statistics(piece, Noise.first(piece), first) for piece in parts]
    total = results[0][0]
    for found, _ in results[1:]:
        total = total + found

    for field in fields(PopulationPrior)[1:]:
        ours, theirs = (getattr(update(found, "RRab"), field.name) for found in (total, whole))
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    for j, joined in enumerate(noise_of_whole):
        pieces = np.concatenate([after[j] for _, after in results])
        np.testing.assert_array_equal(pieces, joined)


def test_a_star_is_smoothed_alone_as_in_a_batch():
    prior = true_prior()
    curves, _ = simulate(prior, np.random.default_rng(4).integers(0, 60, 100), 4)

    batch = smooth_by_population(curves, prior)

    for star in range(100):
        alone = smooth_by_population(part(curves, star, star + 1), prior)
        for ours, theirs in zip(alone, batch, strict=True):
            np.testing.assert_array_equal(ours[0], theirs[star])


@pytest.mark.parametrize(("mode", "strongest"), [("RRab", 6), ("RRc", 4)])
def test_recovers_a_known_population(mode, strongest):
    truth = true_prior(mode)
    curves, coefficients = simulate(truth, np.full(2000, 30), 11)

    prior = fit(curves, mode)

    powers = prior.powers(np.linspace(*np.quantile(curves.period, [0.02, 0.98]), 20))
    waves = basis(np.arange(64) / 64)[:, 1:]
    assert np.std(powers @ (prior.mean - truth.mean) @ waves.T) < 0.01
    scatter = np.sqrt(np.diag(prior.covariance) / np.diag(truth.covariance))[:strongest]
    assert scatter == pytest.approx(1, abs=0.12)
    assert prior.relative_variance == pytest.approx(truth.relative_variance, rel=0.25)

    smoothed = smooth_by_population(curves, prior)
    assert np.median(smoothed.noise) == pytest.approx(0.02, rel=0.15)
    # amplitudes of the harmonics do not depend on the origin of phase
    found, true = (np.hypot(c[:, 1::2], c[:, 2::2]) for c in (smoothed.coefficients, coefficients))
    best = smooth_by_population(curves, truth).coefficients
    best = np.hypot(best[:, 1::2], best[:, 2::2])
    assert np.std(found[:, :4] - true[:, :4]) < 1.1 * np.std(best[:, :4] - true[:, :4])


def test_posterior_pulls_have_unit_scatter():
    prior = true_prior()
    curves, coefficients = simulate(prior, np.full(1500, 25), 5)

    smoothed = smooth_by_population(curves, prior)

    waves = basis(np.arange(16) / 16)
    for star_phase in range(16):
        shifted = basis((star_phase / 16 + smoothed.origin) % 1.0)
        true = (shifted * coefficients).sum(axis=1)
        curve = smoothed.coefficients @ waves[star_phase]
        error = np.sqrt(smoothed.covariance @ waves[star_phase] @ waves[star_phase])
        assert 0.95 < np.std((curve - true) / error) < 1.3


def test_sparse_curves_with_gaps_are_better_than_the_spline():
    prior = true_prior()
    curves, coefficients = simulate(prior, np.tile([5, 6, 7, 8, 20], 100), 6)
    curves = curves._replace(phase=0.25 + 0.75 * curves.phase)  # a gap of a quarter of a cycle
    waves = basis(curves.phase)
    noise = 0.02 * np.random.default_rng(6).normal(size=len(waves))
    each = np.repeat(coefficients, np.diff(curves.offsets), axis=0)
    curves = curves._replace(mag=(waves * each).sum(axis=1) + noise)

    smoothed = smooth_by_population(curves, prior)
    spline = smooth(curves.phase, curves.mag, curves.offsets, 64, "robust").mag

    true = coefficients @ basis(np.arange(64) / 64).T
    shifted = np.stack([
        basis((np.arange(64) / 64 - origin) % 1.0) @ c
        for origin, c in zip(smoothed.origin, smoothed.coefficients, strict=True)
    ])  # fmt: skip
    assert np.isfinite(shifted).all()
    ours, theirs = (np.sqrt(((c - true) ** 2).mean(axis=1)) for c in (shifted, spline))
    assert np.median(ours) < 0.5 * np.nanmedian(theirs)


def test_phase_zero_is_the_maximum_of_the_first_harmonic():
    prior = true_prior()
    curves, _ = simulate(prior, np.full(50, 60), 7, noise=0.003)

    smoothed = smooth_by_population(curves, prior)

    assert np.abs(smoothed.coefficients[:, 2]).max() < 1e-12
    assert (smoothed.coefficients[:, 1] < 0).all()
    each = np.diff(curves.offsets)
    waves = basis((curves.phase - np.repeat(smoothed.origin, each)) % 1.0)
    residual = curves.mag - (waves * np.repeat(smoothed.coefficients, each, axis=0)).sum(axis=1)
    assert np.median(np.abs(residual)) < 0.005


@settings(max_examples=20)
@given(constant=st.floats(-20, 20), seed=st.integers(0, 2**32 - 1))
def test_a_constant_says_nothing_of_the_shape(constant, seed):
    prior = true_prior()
    curves, _ = simulate(prior, [9, 30], seed)

    ours = smooth_by_population(curves, prior)
    theirs = smooth_by_population(curves._replace(mag=curves.mag + constant), prior)

    np.testing.assert_allclose(theirs.coefficients[:, 1:], ours.coefficients[:, 1:], atol=1e-8)
    moved = theirs.coefficients[:, 0] - ours.coefficients[:, 0]
    np.testing.assert_allclose(moved, constant, atol=1e-8)


def test_an_outlier_does_little():
    prior = true_prior()
    curves, _ = simulate(prior, np.full(200, 30), 9)
    spoilt = curves._replace(mag=curves.mag.copy())
    spoilt.mag[spoilt.offsets[:-1]] += 0.5

    before, after = (smooth_by_population(c, prior) for c in (curves, spoilt))

    error = np.sqrt(np.einsum("nii->ni", before.covariance))
    assert np.median(np.abs(after.coefficients - before.coefficients) / error) < 0.3


def test_a_bad_star_stays_alone():
    prior = true_prior()
    curves, _ = simulate(prior, [20, 0, 20, 20, 20, 20, 20], 10)
    alone = smooth_by_population(part(curves, 0, 1), prior)
    period = curves.period.copy()
    period[2:4] = np.nan, -0.5
    mag = curves.mag.copy()
    mag[curves.offsets[4]] = np.nan
    phase = curves.phase.copy()
    phase[curves.offsets[5]] = np.inf
    bad = FoldedCurves(phase, mag, curves.offsets, period)

    smoothed = smooth_by_population(bad, prior)
    found, noise = statistics(bad, Noise.first(bad), prior)

    for array in smoothed:
        assert np.isnan(array[1:6]).all()
        assert np.isfinite(array[[0, 6]]).all()
    np.testing.assert_array_equal(smoothed.coefficients[0], alone.coefficients[0])
    assert found.n_stars == 2
    assert found.n_epochs.sum() == 40
    assert all(np.isfinite(getattr(found, field.name)).all() for field in fields(found))
    assert np.isnan(noise.variance[1:6]).all()
    again, _ = statistics(bad, noise, prior)
    assert again.n_stars == 2


def test_no_stars_are_no_error_but_no_population():
    none = FoldedCurves(np.empty(0), np.empty(0), np.zeros(1, np.int64), np.empty(0))
    prior = true_prior()

    assert smooth_by_population(none, prior).on_grid(16).shape == (0, 16)
    found, _ = statistics(none, Noise.first(none), prior)
    with pytest.raises(UserError, match="Only 0 light curves of RRab stars"):
        update(found, "RRab")


def test_periods_beyond_the_mode_count_as_its_limits():
    prior = true_prior()
    assert prior.powers([5.0, 0.01]) == pytest.approx(prior.powers([0.9, 0.3]))


def test_a_prior_is_read_as_it_was_written(tmp_path):
    prior = fit(simulate(true_prior("RRc"), np.full(120, 20), 3)[0], "RRc", 3)

    prior.write(tmp_path / "prior.json")
    again = PopulationPrior.read(tmp_path / "prior.json")

    assert again.mode == "RRc"
    for field in fields(PopulationPrior)[1:]:
        np.testing.assert_array_equal(getattr(again, field.name), getattr(prior, field.name))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ({"mode": "Mira"}, "no mode Mira"),
        ({"mean": np.zeros((4, 23))}, "another shape"),
        ({"covariance": np.triu(np.ones((24, 24)))}, "not symmetric"),
        ({"covariance": -np.eye(24)}, "not positive"),
        ({"relative_variance": np.zeros(25)}, "not positive"),
    ],
)
def test_a_damaged_prior_is_refused(tmp_path, damage, reason):
    path = tmp_path / "prior.json"
    replace(true_prior(), **damage).write(path)
    with pytest.raises(UserError, match=f"not a population prior .*{reason}"):
        PopulationPrior.read(path)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"mean": [[1, NaN]]}'])
def test_what_is_no_prior_is_refused(tmp_path, content):
    path = tmp_path / "prior.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not a population prior"):
        PopulationPrior.read(path)


def test_a_missing_prior_is_refused(tmp_path):
    with pytest.raises(UserError, match="no population prior"):
        PopulationPrior.read(tmp_path / "prior.json")


def test_left_out_epochs_of_real_stars_are_predicted_better_than_by_the_spline(shared_data: Path):
    folder = shared_data / "dekany2022"
    stars = pd.read_parquet(folder / "stars.parquet").sort_values("source_id")
    epochs = pd.read_parquet(folder / "photometry.parquet")
    epochs = epochs.sort_values("source_id", kind="stable", ignore_index=True)
    out = np.arange(len(epochs)) % 7 == 3
    counts = epochs[~out].groupby("source_id").size().to_numpy()
    curves = FoldedCurves(
        epochs["phase"][~out].to_numpy(),
        epochs["mag"][~out].to_numpy(),
        np.r_[0, np.cumsum(counts)],
        stars["period"].to_numpy(),
    )

    smoothed = smooth_by_population(curves, fit(curves, iterations=10))
    spline = smooth(curves.phase, curves.mag, curves.offsets, 512, "robust").mag

    star = np.searchsorted(stars["source_id"], epochs["source_id"][out])
    phase, mag = epochs["phase"][out].to_numpy(), epochs["mag"][out].to_numpy()
    predicted = (basis((phase - smoothed.origin[star]) % 1.0) * smoothed.coefficients[star]).sum(
        axis=1
    )
    by_spline = spline[star, np.round(phase * 512).astype(int) % 512]
    ours, theirs = (np.abs(mag - p).mean() for p in (predicted, by_spline))
    assert ours < 0.9 * theirs
