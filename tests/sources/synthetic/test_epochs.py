"""Simulated transits: pairs, number against ecliptic latitude, and those of the real stars."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from rrl_batch.sources.synthetic import LightCurves, epochs, scanning


def _intervals(light_curves: LightCurves) -> np.ndarray:
    """Intervals between consecutive transits of the same star, in minutes."""
    interval = np.diff(light_curves.time) * 1440.0
    same_star = np.ones(len(interval), bool)
    same_star[light_curves.offsets[1:-1] - 1] = False
    return interval[same_star]


def test_every_transit_crosses_a_field_of_view(
    stars: pd.DataFrame, light_curves: LightCurves
) -> None:
    star = np.repeat(np.arange(len(stars)), np.diff(light_curves.offsets))
    target = scanning.ecliptic_direction(stars["ra"].to_numpy(), stars["dec"].to_numpy())[star]
    axis = scanning.spin_axis()
    turn = (light_curves.time - scanning.START) / scanning.SPIN_PERIOD
    grid = np.arange(len(axis))
    then = np.column_stack([np.interp(turn, grid, component) for component in axis.T])
    distance = np.abs(np.arcsin(np.einsum("ij,ij->i", target, then)))
    assert distance.max() < epochs.HALF_FIELD * 1.001


def test_transits_are_in_order_within_the_observations(light_curves: LightCurves) -> None:
    assert _intervals(light_curves).min() > 0.0
    assert light_curves.time.min() >= scanning.START
    assert light_curves.time.max() <= scanning.END + 1.0


def test_visits_come_in_pairs(light_curves: LightCurves) -> None:
    interval = _intervals(light_curves)
    pairs = np.abs(interval - 106.57) < 1.5
    next_spin = np.abs(interval - 253.67) < 1.5
    # Of the intervals of Gaia DR3, 32.8 % are of the first kind and 17.2 % of the second.
    assert 0.28 < pairs.mean() < 0.38
    assert 0.13 < next_spin.mean() < 0.21
    assert interval.min() > 100.0


def test_number_of_epochs(stars: pd.DataFrame) -> None:
    number = stars["num_clean_epochs_g"].to_numpy()
    assert number.min() >= 12
    assert 150 < number.max() < 300
    assert 36 <= np.median(number) <= 44
    direction = scanning.ecliptic_direction(stars["ra"].to_numpy(), stars["dec"].to_numpy())
    latitude = np.degrees(np.arcsin(np.abs(direction[:, 2])))
    near_ecliptic = number[latitude < 20.0].mean()
    near_45 = number[(latitude > 40.0) & (latitude < 50.0)].mean()
    near_60 = number[(latitude > 55.0) & (latitude < 65.0)].mean()
    assert near_45 > 1.7 * near_ecliptic
    assert near_45 > 1.4 * near_60


def test_no_stars_give_no_transits() -> None:
    nothing = np.empty(0)
    transits = epochs.observe(nothing, nothing, nothing.astype(np.int64), 0)
    assert transits.offsets.tolist() == [0]
    assert len(transits.time) == len(transits.number) == 0


def test_transits_are_counted_as_they_are_observed(stars: pd.DataFrame) -> None:
    where = [stars[name].to_numpy() for name in ("ra", "dec", "source_id")]
    observed = epochs.observe(*where, seed=4)
    assert np.array_equal(epochs.count(*where, seed=4), np.diff(observed.offsets))


def test_transits_of_real_stars_are_found(shared_data: Path) -> None:
    real = pd.read_parquet(shared_data / "gaia_dr3/stars.parquet")
    ra, dec, source_id = (real[c].to_numpy() for c in ("ra", "dec", "source_id"))
    transits = epochs.observe(ra, dec, source_id, 0)
    number = np.diff(transits.offsets)
    assert np.corrcoef(number, real["num_clean_epochs_g"])[0, 1] > 0.85
    assert abs(number.mean() / real["num_clean_epochs_g"].mean() - 1.0) < 0.05

    columns = ["source_id", "time"]
    photometry = pq.read_table(
        shared_data / "gaia_dr3/epoch_photometry.parquet",
        columns=columns,
        filters=[("band", "==", "G")],
    ).to_pandas()
    photometry = photometry.dropna()
    photometry = photometry[photometry["time"] > 1735.0]
    # One ascending axis of all stars: a star every 10,000 days.
    row = pd.Index(source_id).get_indexer(photometry["source_id"])
    observed = np.sort(1e4 * row + photometry["time"].to_numpy())
    simulated = 1e4 * np.repeat(np.arange(len(real)), number) + transits.time
    right = np.searchsorted(simulated, observed).clip(1, len(simulated) - 1)
    nearest = np.minimum(simulated[right] - observed, observed - simulated[right - 1], where=True)
    assert np.mean(np.abs(nearest) < 0.5) > 0.9
