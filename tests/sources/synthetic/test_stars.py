"""The star table: identifiers, order, determinism, and its likeness to the real sky."""

from pathlib import Path

import cdshealpix
import numpy as np
import pandas as pd
import pytest
from astropy import units
from astropy.coordinates import Latitude, Longitude

from rrl_batch.sources.synthetic import simulate_stars


def test_identifiers_encode_the_position(stars: pd.DataFrame) -> None:
    pixel = cdshealpix.nested.lonlat_to_healpix(
        Longitude(stars["ra"].to_numpy(), units.deg),
        Latitude(stars["dec"].to_numpy(), units.deg),
        depth=12,
    )
    np.testing.assert_array_equal(stars["source_id"].to_numpy() >> 35, pixel.astype(np.int64))
    assert stars["source_id"].is_unique
    assert stars["source_id"].is_monotonic_increasing


def test_table_is_a_function_of_number_and_seed() -> None:
    pd.testing.assert_frame_equal(simulate_stars(200, 5), simulate_stars(200, 5))
    assert not simulate_stars(200, 5)["feh"].equals(simulate_stars(200, 6)["feh"])


@pytest.mark.parametrize("n_stars", [0, 1, 2, 77])
def test_any_number_of_stars(n_stars: int) -> None:
    assert len(simulate_stars(n_stars, 0)) == n_stars


def test_no_value_is_missing(stars: pd.DataFrame) -> None:
    assert not stars.isna().any(axis=None)
    assert np.isfinite(stars.select_dtypes("number").to_numpy()).all()


# Tolerances at the quantiles 0.16, 0.5 and 0.84. The real curves are fitted, noisy ones, and the
# two real samples differ from each other by about half of these tolerances.
REAL = [
    ("RRab", "period", 0.03),
    ("RRab", "peak_to_peak_g", 0.09),
    ("RRc", "period", 0.02),
    ("RRc", "peak_to_peak_g", 0.05),
]


@pytest.mark.parametrize(("name", "column", "tolerance"), REAL)
def test_distributions_are_near_the_real_ones(
    shared_data: Path, stars: pd.DataFrame, name: str, column: str, tolerance: float
) -> None:
    real = pd.read_parquet(shared_data / "gaia_dr3/stars.parquet")
    real = real[real["period_reliable"] & (real["num_clean_epochs_g"] >= 25)]
    quantiles = [0.16, 0.5, 0.84]
    difference = np.quantile(
        stars.loc[stars["best_classification"] == name, column], quantiles
    ) - np.quantile(real.loc[real["best_classification"] == name, column], quantiles)
    assert np.abs(difference).max() < tolerance


def test_metallicities_are_near_the_real_labels(shared_data: Path, stars: pd.DataFrame) -> None:
    real = pd.read_parquet(shared_data / "dekany2022/labels.parquet")["feh"]
    quantiles = [0.05, 0.16, 0.5, 0.84]
    difference = np.quantile(stars["feh"], quantiles) - np.quantile(real, quantiles)
    # The labelled stars are mostly of bulge and disc fields, hence more metal-rich at the top.
    assert np.abs(difference[:3]).max() < 0.12
    assert -0.4 < difference[3] < 0.05
