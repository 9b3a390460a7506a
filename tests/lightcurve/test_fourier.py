from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrl_batch.lightcurve.coverage import phase_gap
from rrl_batch.lightcurve.fourier import MAX_HARMONICS, FourierFit, fit_fourier

# A typical RRab: steep rise, A_k roughly halving.
RRAB_AMPLITUDES = np.array([0.34, 0.165, 0.11, 0.07, 0.045, 0.028, 0.017, 0.01])
RRAB_PHASES = np.array([1.7, 1.35, 1.1, 0.9, 0.75, 0.5, 0.3, 0.1])


def series(phase, mean_mag, amplitudes, phases):
    k = np.arange(1, len(amplitudes) + 1)
    return mean_mag + (amplitudes * np.cos(2 * np.pi * phase[:, None] * k + phases)).sum(axis=1)


def design(phase, n_harmonics):
    angle = 2 * np.pi * phase[:, None] * np.arange(1, n_harmonics + 1)
    return np.hstack([np.ones((len(phase), 1)), np.cos(angle), np.sin(angle)])


def wrapped(angle):
    return np.angle(np.exp(1j * np.asarray(angle)))


def phase_difference(solution, k):
    """phi_k1 of a solution ordered as in `design`."""
    n_harmonics = len(solution) // 2
    phi = np.angle(solution[1 : 1 + n_harmonics] - 1j * solution[1 + n_harmonics :])
    return phi[k - 1] - k * phi[0]


def rrab_batch(rng, n_stars, n_epochs, sigma, gap=0.0):
    phase = gap + (1 - gap) * rng.random(n_stars * n_epochs)
    shift = np.repeat(rng.random(n_stars), n_epochs)
    mag = series(phase + shift, 17.0, RRAB_AMPLITUDES, RRAB_PHASES)
    mag += sigma * rng.normal(size=len(mag))
    return phase, mag, np.arange(n_stars + 1) * n_epochs


RRAB_PHI31 = RRAB_PHASES[2] - 3 * RRAB_PHASES[0]


@settings(max_examples=50)
@given(
    fundamental=st.floats(0.05, 0.6),
    ratios=st.lists(st.floats(0.2, 0.75), min_size=2, max_size=MAX_HARMONICS - 1),
    angles=st.lists(st.floats(0.0, 6.28), min_size=MAX_HARMONICS, max_size=MAX_HARMONICS),
    mean_mag=st.floats(8.0, 21.0),
    n_epochs=st.integers(24, 150),
    seed=st.integers(0, 2**32 - 1),
)
def test_recovers_a_noiseless_series(fundamental, ratios, angles, mean_mag, n_epochs, seed):
    amplitudes = fundamental * np.cumprod([1.0, *ratios])  # of each harmonic to the one before
    phases = np.array(angles[: len(amplitudes)])
    phase = (np.arange(n_epochs) + 0.5 * np.random.default_rng(seed).random(n_epochs)) / n_epochs
    mag = series(phase, mean_mag, amplitudes, phases)

    fit = fit_fourier(phase, mag, [0, n_epochs])

    assert fit.n_harmonics[0] == MAX_HARMONICS
    assert fit.mean_mag[0] == pytest.approx(mean_mag, abs=1e-6)
    assert fit.amplitudes[0, : len(amplitudes)] == pytest.approx(amplitudes, abs=1e-6)
    assert fit.amplitudes[0, len(amplitudes) :] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(
        wrapped(fit.phases[0, : len(phases)] - phases), 0, atol=1e-6 / amplitudes.min()
    )
    assert fit.r21[0] == pytest.approx(amplitudes[1] / amplitudes[0], rel=1e-3)
    assert fit.r31[0] == pytest.approx(amplitudes[2] / amplitudes[0], rel=1e-3)
    assert wrapped(fit.phi21[0] - phases[1] + 2 * phases[0]) == pytest.approx(0, abs=1e-3)
    assert wrapped(fit.phi31[0] - phases[2] + 3 * phases[0]) == pytest.approx(0, abs=1e-3)
    assert fit.residual_rms[0] < 1e-6


def penalised_by_lstsq(phase, mag, n_harmonics, nu=8.0):
    """The same model by brute force: augmented least squares, iterated to the fixed point."""
    k = np.arange(1, n_harmonics + 1)
    inverse_sd = np.r_[0.0, np.tile(2.0 ** (k - 1), 2)]
    basis, weight, penalty = design(phase, n_harmonics), np.ones(len(mag)), 0.1
    for _ in range(2000):
        rows = np.vstack([basis * np.sqrt(weight)[:, None], np.sqrt(penalty) * np.diag(inverse_sd)])
        target = np.r_[mag * np.sqrt(weight), np.zeros(len(inverse_sd))]
        solution = np.linalg.lstsq(rows, target, rcond=None)[0]
        hat = rows @ np.linalg.pinv(rows)
        effective = np.trace(hat[: len(mag), : len(mag)])
        residual = mag - basis @ solution
        variance = (weight * residual**2).sum() / (len(mag) - effective)
        penalty = variance * (effective - 1) / ((inverse_sd * solution) ** 2).sum()
        weight = (nu + 1) / (nu + residual**2 / variance)
    return solution


def test_same_as_augmented_least_squares():
    phase, mag, offsets = rrab_batch(np.random.default_rng(3), 4, 35, 0.02)

    fit = fit_fourier(phase, mag, offsets)

    for i in range(4):
        own = slice(offsets[i], offsets[i + 1])
        solution = penalised_by_lstsq(phase[own], mag[own], MAX_HARMONICS)
        amplitudes = np.hypot(*np.split(solution[1:], 2))
        assert fit.mean_mag[i] == pytest.approx(solution[0], abs=1e-4)
        assert fit.amplitudes[i] == pytest.approx(amplitudes, abs=3e-4)
        for k, value, error in (
            (2, fit.phi21[i], fit.phi21_error[i]),
            (3, fit.phi31[i], fit.phi31_error[i]),
        ):
            assert abs(wrapped(value - phase_difference(solution, k))) < 0.02 * error


@pytest.mark.parametrize(("n_epochs", "sigma"), [(40, 0.02), (60, 0.005), (100, 0.04)])
def test_pulls_have_unit_scatter(n_epochs, sigma):
    fit = fit_fourier(*rrab_batch(np.random.default_rng(5), 2000, n_epochs, sigma))

    pulls = {
        "r21": (fit.r21 - RRAB_AMPLITUDES[1] / RRAB_AMPLITUDES[0]) / fit.r21_error,
        "r31": (fit.r31 - RRAB_AMPLITUDES[2] / RRAB_AMPLITUDES[0]) / fit.r31_error,
        "phi21": wrapped(fit.phi21 - RRAB_PHASES[1] + 2 * RRAB_PHASES[0]) / fit.phi21_error,
        "phi31": wrapped(fit.phi31 - RRAB_PHI31) / fit.phi31_error,
    }
    for name, pull in pulls.items():
        assert 0.9 < pull.std() < 1.2, (name, pull.std())
        assert abs(pull.mean()) < 0.2, (name, pull.mean())


def test_errors_are_petersens_for_even_epochs():
    n_epochs, sigma = 400, 0.02
    phase = np.arange(n_epochs) / n_epochs
    noise = sigma * np.random.default_rng(11).normal(size=n_epochs)
    mag = series(phase, 15.0, RRAB_AMPLITUDES, RRAB_PHASES) + noise

    fit = fit_fourier(phase, mag, [0, n_epochs])

    one, three = np.sqrt(2 / n_epochs) * sigma / RRAB_AMPLITUDES[[0, 2]]
    assert fit.phi31_error[0] == pytest.approx(np.hypot(three, 3 * one), rel=0.15)


def test_bridges_a_gap_better_than_least_squares():
    n_stars, n_epochs = 200, 32
    phase, mag, offsets = rrab_batch(np.random.default_rng(7), n_stars, n_epochs, 0.02, gap=0.15)

    penalised = np.abs(wrapped(fit_fourier(phase, mag, offsets).phi31 - RRAB_PHI31))

    for n_harmonics in (3, 4, 5, 6):
        least_squares = [
            phase_difference(np.linalg.lstsq(design(p, n_harmonics), m, rcond=None)[0], 3)
            for p, m in zip(np.split(phase, n_stars), np.split(mag, n_stars), strict=True)
        ]
        deviation = np.abs(wrapped(np.array(least_squares) - RRAB_PHI31))
        assert np.percentile(penalised, 68) < 0.8 * np.percentile(deviation, 68)


def test_an_outlier_does_little():
    phase, mag, offsets = rrab_batch(np.random.default_rng(9), 200, 40, 0.02)
    clean = fit_fourier(phase, mag, offsets).phi31
    mag[offsets[:-1]] += 0.5

    spoilt = fit_fourier(phase, mag, offsets).phi31

    least_squares = [
        phase_difference(np.linalg.lstsq(design(p, 5), m, rcond=None)[0], 3)
        for p, m in zip(np.split(phase, 200), np.split(mag, 200), strict=True)
    ]
    shift = np.median(np.abs(wrapped(spoilt - clean)))
    assert shift < 0.1
    assert shift < 0.3 * np.median(np.abs(wrapped(np.array(least_squares) - RRAB_PHI31)))


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), shift=st.floats(0.0, 1.0), scale=st.floats(0.5, 2.0))
def test_symmetries(seed, shift, scale):
    rng = np.random.default_rng(seed)
    phase, mag, offsets = rrab_batch(rng, 1, 45, 0.01)
    order = rng.permutation(len(phase))
    fit = fit_fourier(phase, mag, offsets)

    other = fit_fourier(((phase + shift) % 1)[order], 3.0 + scale * mag[order], offsets)

    tolerance = 0.02 * fit.phi31_error[0]
    assert abs(wrapped(other.phi31[0] - fit.phi31[0])) < tolerance
    assert abs(wrapped(other.phi21[0] - fit.phi21[0])) < tolerance
    assert other.r31[0] == pytest.approx(fit.r31[0], rel=1e-3)
    assert other.phi31_error[0] == pytest.approx(fit.phi31_error[0], rel=1e-2)
    assert other.mean_mag[0] == pytest.approx(3.0 + scale * fit.mean_mag[0], abs=1e-4)
    assert other.amplitudes[0] == pytest.approx(scale * fit.amplitudes[0], abs=1e-4)


@settings(max_examples=30)
@given(
    lengths=st.lists(st.integers(0, 60), max_size=8),
    cut=st.integers(0, 8),
    seed=st.integers(0, 2**32 - 1),
)
def test_batching_changes_nothing(lengths, cut, seed):
    rng = np.random.default_rng(seed)
    offsets = np.cumsum([0, *lengths])
    phase, mag = rng.random(offsets[-1]), 15 + rng.normal(size=offsets[-1])
    cut = min(cut, len(lengths))

    whole = fit_fourier(phase, mag, offsets)

    edge = offsets[cut]
    parts = (
        fit_fourier(phase[:edge], mag[:edge], offsets[: cut + 1]),
        fit_fourier(phase[edge:], mag[edge:], offsets[cut:] - edge),
    )
    for name in FourierFit._fields:
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(getattr(whole, name), joined, err_msg=name)


def test_number_of_harmonics_follows_the_epochs():
    lengths = [0, 1, 3, 4, 6, 7, 8, 17, 18, 40]
    offsets = np.cumsum([0, *lengths])
    rng = np.random.default_rng(1)
    phase = rng.random(offsets[-1])

    fit = fit_fourier(phase, series(phase, 16.0, RRAB_AMPLITUDES, RRAB_PHASES), offsets)

    assert fit.n_harmonics.tolist() == [0, 0, 0, 1, 2, 2, 3, 7, 8, 8]
    assert fit.n_harmonics.dtype == np.int32
    for i, n_harmonics in enumerate(fit.n_harmonics):
        assert np.isfinite(fit.amplitudes[i]).sum() == n_harmonics
        assert np.isfinite(fit.mean_mag[i]) == (n_harmonics > 0)
    assert np.isnan(fit.phi31[:6]).all()
    assert np.isnan(fit.phi21[:4]).all()
    assert np.isfinite(fit.phi31_error[7:]).all()


@pytest.mark.parametrize(
    ("phase", "mag"),
    [
        (np.full(20, 0.3), 15 + 0.1 * np.sin(np.arange(20))),  # all epochs at one phase
        (np.linspace(0, 0.95, 20), np.full(20, 15.0)),  # no variation at all
        (np.linspace(0, 0.95, 20), np.full(20, 15.1)),  # none but rounding
        (np.full(20, 0.3), np.full(20, 15.0)),
    ],
)
def test_no_parameters_without_a_pulsation(phase, mag):
    fit = fit_fourier(phase, mag, [0, 20])

    for name in ("r21", "r31", "phi21", "phi31", "r21_error", "phi31_error"):
        assert np.isnan(getattr(fit, name)[0]), name
    assert fit.amplitudes[0] == pytest.approx(0, abs=0.1)


@settings(max_examples=50)
@given(
    n_epochs=st.integers(0, 40),
    width=st.sampled_from([1e-9, 0.1, 0.5, 1.0]),
    outlier=st.floats(-1e6, 1e6),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_clean_input_breaks_it(n_epochs, width, outlier, seed):
    rng = np.random.default_rng(seed)
    mag = rng.normal(15, 0.3, n_epochs).astype(np.float32)
    mag[:1] += outlier

    fit = fit_fourier(width * rng.random(n_epochs), mag, [0, n_epochs])

    expected = np.clip((n_epochs - 2) // 2, 0, MAX_HARMONICS)
    assert fit.n_harmonics[0] in (0, expected)
    assert np.isfinite(fit.residual_rms[0]) == (fit.n_harmonics[0] > 0)
    if width >= 0.5:
        assert fit.n_harmonics[0] == expected


def test_reads_read_only_buffers():
    phase, mag, offsets = rrab_batch(np.random.default_rng(2), 2, 20, 0.01)
    expected = fit_fourier(phase, mag, offsets).phi31
    for array in (phase, mag, offsets):
        array.setflags(write=False)

    np.testing.assert_array_equal(fit_fourier(phase, mag, offsets).phi31, expected)


@pytest.mark.parametrize("offsets", [[0, 3], [1, 4], [0, 4, 2, 4], [0, 5]])
def test_offsets_must_fit(offsets):
    with pytest.raises(ValueError, match="offsets must rise from 0"):
        fit_fourier(np.zeros(4), np.zeros(4), offsets)


def flat(epochs: pd.DataFrame, stars: pd.DataFrame):
    """Phase, mag and offsets of the epochs in the order of the stars."""
    position = pd.Index(stars["source_id"]).get_indexer(epochs["source_id"])
    epochs, position = epochs[position >= 0], position[position >= 0]
    order = np.argsort(position, kind="stable")
    lengths = np.bincount(position, minlength=len(stars))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return epochs["phase"].to_numpy()[order], epochs["mag"].to_numpy()[order], offsets


def gaia_g(folder: Path):
    stars = pd.read_parquet(folder / "stars.parquet")
    epochs = pd.read_parquet(folder / "epoch_photometry.parquet")
    rejected = epochs["rejected_by_photometry"] | epochs["rejected_by_variability"]
    epochs = epochs[(epochs["band"] == "G") & ~rejected & epochs["mag"].notna()]
    epochs = epochs.merge(stars[["source_id", "period", "epoch_g"]], on="source_id")
    epochs["phase"] = ((epochs["time"] - epochs["epoch_g"]) / epochs["period"]) % 1
    return stars, *flat(epochs, stars)


def test_agrees_with_an_independent_fit_to_gaia_photometry(shared_data: Path):
    stars, phase, mag, offsets = gaia_g(shared_data / "gaia_dr3")
    fit = fit_fourier(phase, mag, offsets)
    rrab = (stars["best_classification"] == "RRab").to_numpy()
    gap = phase_gap(phase, offsets)
    compared = rrab & (np.diff(offsets) >= 30) & (gap < 0.2)

    assert gap == pytest.approx(stars["max_phase_gap"].to_numpy(), abs=1e-9)
    assert compared.sum() > 1700
    assert np.isfinite(fit.phi31[compared]).mean() > 0.999

    def deviation(name, chosen):
        difference = getattr(fit, name)[chosen] - stars[f"{name}_g"].to_numpy()[chosen]
        return np.abs(wrapped(difference) if name.startswith("phi") else difference)

    # The reference is a fit without a penalty to three bands; gaps separate the two.
    assert np.nanmean(deviation("phi31", compared) < 0.1) > 0.75
    assert np.nanmean(deviation("phi31", compared) < 0.2) > 0.86
    assert np.nanmean(deviation("phi21", compared) < 0.05) > 0.72
    assert np.nanmean(deviation("r21", compared) < 0.02) > 0.70
    assert np.nanmean(deviation("r31", compared) < 0.02) > 0.68
    # Where the stated error is small, the two are the same measurement.
    sure = rrab & (fit.phi31_error < 0.1)
    assert sure.sum() > 900
    assert np.mean(deviation("phi31", sure) < 0.1) > 0.94
    assert np.mean(deviation("phi31", sure) < 3 * fit.phi31_error[sure]) > 0.97


def test_two_halves_of_real_light_curves_agree_within_their_errors(shared_data: Path):
    stars, phase, mag, offsets = gaia_g(shared_data / "gaia_dr3")
    rng = np.random.default_rng(0)
    rich = (np.diff(offsets) >= 60) & (stars["best_classification"] == "RRab").to_numpy()
    halves = [
        half
        for star in np.flatnonzero(rich & stars["period_reliable"].to_numpy())
        for half in np.array_split(rng.permutation(np.arange(*offsets[star : star + 2])), 2)
    ]
    chosen = np.concatenate(halves)
    fit = fit_fourier(phase[chosen], mag[chosen], np.cumsum([0, *map(len, halves)]))

    error = np.hypot(fit.phi31_error[::2], fit.phi31_error[1::2])
    pull = wrapped(fit.phi31[::2] - fit.phi31[1::2]) / error
    pull = pull[error < 0.5]

    assert len(pull) > 250
    assert 0.75 < pull.std() < 1.15


def test_period_and_phi31_give_the_metallicity_of_real_stars(shared_data: Path):
    folder = shared_data / "dekany2022"
    stars = pd.read_parquet(folder / "stars.parquet").merge(
        pd.read_parquet(folder / "labels.parquet"), on="source_id"
    )
    fit = fit_fourier(*flat(pd.read_parquet(folder / "photometry.parquet"), stars))
    feh, fold = stars["feh"].to_numpy(), stars["fold"].to_numpy()
    centre = np.angle(np.exp(1j * fit.phi31).mean())
    features = np.column_stack([np.ones(len(stars)), stars["period"], wrapped(fit.phi31 - centre)])

    predicted = np.empty(len(stars))
    for k in np.unique(fold):
        train, test = fold != k, fold == k
        predicted[test] = features[test] @ np.linalg.lstsq(features[train], feh[train])[0]

    # Least squares of any fixed number of harmonics from 3 to 8 gives 0.247 at best.
    assert np.sqrt(np.mean((predicted - feh) ** 2)) < 0.226
