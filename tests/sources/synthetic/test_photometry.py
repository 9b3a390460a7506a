"""Light curves: partitions, noise, outliers, modulation and the second mode."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from astropy.timeseries import LombScargle
from hypothesis import given, settings
from hypothesis import strategies as st

from rrl_batch.sources.synthetic import (
    LightCurves,
    photometry,
    simulate_light_curves,
    simulate_stars,
)

SMALL = simulate_stars(60, 11)


def _residual(stars: pd.DataFrame, light_curves: LightCurves) -> np.ndarray:
    star = np.repeat(np.arange(len(stars)), np.diff(light_curves.offsets))
    return light_curves.mag - photometry.noiseless_magnitude(stars, star, light_curves.time)


@settings(max_examples=40)
@given(rows=st.lists(st.integers(0, 59), max_size=25))
def test_a_star_has_the_same_light_curve_in_any_selection(rows: list[int]) -> None:
    whole = simulate_light_curves(SMALL, 11)
    part = simulate_light_curves(SMALL.iloc[rows], 11)
    assert len(part.offsets) == len(rows) + 1
    for i, row in enumerate(rows):
        ours = slice(part.offsets[i], part.offsets[i + 1])
        theirs = slice(whole.offsets[row], whole.offsets[row + 1])
        for ours_of, whole_of in zip(part[1:], whole[1:], strict=True):
            np.testing.assert_array_equal(ours_of[ours], whole_of[theirs])


def test_slices_of_the_survey_join_to_the_whole(
    stars: pd.DataFrame, light_curves: LightCurves
) -> None:
    parts = [simulate_light_curves(stars.iloc[i : i + 2_999], 7) for i in range(0, 12_000, 2_999)]
    for name in ("time", "mag", "mag_error"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(joined, getattr(light_curves, name))


def test_seed_decides_everything() -> None:
    again = simulate_light_curves(SMALL, 11)
    other = simulate_light_curves(SMALL, 12)
    np.testing.assert_array_equal(again.mag, simulate_light_curves(SMALL, 11).mag)
    assert not np.array_equal(again.mag, other.mag)


def test_types_and_counts(stars: pd.DataFrame, light_curves: LightCurves) -> None:
    types = [values.dtype for values in light_curves]
    assert types == [np.int64, np.float64, np.float32, np.float32]
    np.testing.assert_array_equal(np.diff(light_curves.offsets), stars["num_clean_epochs_g"])
    assert all(np.isfinite(values).all() for values in light_curves)
    assert light_curves.mag_error.min() > 0


def test_scatter_is_that_of_the_errors(stars: pd.DataFrame, light_curves: LightCurves) -> None:
    expected = np.hypot(light_curves.mag_error, photometry.EXTRA_SCATTER)
    score = _residual(stars, light_curves) / expected
    width = np.diff(np.quantile(score, [0.1587, 0.8413]))[0] / 2.0
    assert abs(width - 1.0) < 0.02


def test_fraction_of_outliers(stars: pd.DataFrame, light_curves: LightCurves) -> None:
    bright = light_curves.mag < 17.0
    residual = _residual(stars, light_curves)[bright]
    beyond = np.mean(np.abs(residual) > 0.06)
    # Of a normal distribution with 0.12 mag, 61.7 % lie beyond 0.06 mag.
    assert abs(beyond - 0.617 * photometry.OUTLIER_FRACTION) < 0.0015
    assert abs(np.mean(residual[np.abs(residual) > 0.06] > 0) - 0.5) < 0.1


def test_errors_are_those_of_real_photometry(shared_data: Path, light_curves: LightCurves) -> None:
    real = pq.read_table(
        shared_data / "gaia_dr3/epoch_photometry.parquet",
        columns=["mag", "flux_over_error"],
        filters=[("band", "==", "G"), ("rejected_by_variability", "==", False)],
    ).to_pandas()
    real_error = 1.0857 / real["flux_over_error"]
    for middle in (14.0, 15.0, 16.0, 17.0, 18.0, 19.0):
        ours = np.abs(light_curves.mag - middle) < 0.25
        theirs = np.abs(real["mag"] - middle) < 0.25
        for quantile, tolerance in ((0.16, 0.15), (0.5, 0.10), (0.84, 0.15)):
            ratio = np.quantile(light_curves.mag_error[ours], quantile) / np.quantile(
                real_error[theirs], quantile
            )
            assert abs(np.log(ratio)) < tolerance


def test_modulation_widens_the_folded_curve(stars: pd.DataFrame) -> None:
    rrab = stars[stars["best_classification"] == "RRab"]
    strong = rrab[rrab["sim_blazhko_depth"] > 0.2].head(1)
    steady = strong.assign(sim_blazhko_depth=0.0, sim_blazhko_shift=0.0)
    beat = float(strong["sim_blazhko_period"].iloc[0])
    time = 1700.0 + np.linspace(0.0, 4.0 * beat, 40_000)
    star = np.zeros(len(time), np.int64)
    modulated = photometry.noiseless_magnitude(strong, star, time)
    plain = photometry.noiseless_magnitude(steady, star, time)
    depth = float(strong["sim_blazhko_depth"].iloc[0])
    mean = float(strong["sim_mean_mag"].iloc[0])
    brightest = (mean - modulated.min()) / (mean - plain.min())
    assert abs(brightest - (1.0 + depth)) < 0.02


def test_rrd_pulsate_in_two_modes(stars: pd.DataFrame) -> None:
    double = stars[stars["best_classification"] == "RRd"]
    star = double.loc[[double["sim_second_amplitude"].idxmax()]]
    time = 1700.0 + np.sort(np.random.default_rng(0).uniform(0.0, 900.0, 400))
    mag = photometry.noiseless_magnitude(star, np.zeros(400, np.int64), time)
    first, second = (float(star[c].iloc[0]) for c in ("period", "sim_second_period"))
    angle = 2.0 * np.pi * np.outer(time, np.arange(1, 4)) / first
    overtone = np.hstack([np.ones((400, 1)), np.cos(angle), np.sin(angle)])
    mag -= overtone @ np.linalg.lstsq(overtone, mag)[0]
    frequency = np.linspace(1.0, 5.0, 40_000)
    power = LombScargle(time, mag).power(frequency)
    assert abs(frequency[power.argmax()] - 1.0 / second) < 2e-3
