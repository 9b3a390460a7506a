"""Coverage is counted star by star, in bins, and judged where there are enough stars."""

import numpy as np
import pandas as pd
import pytest

from rrl_batch.models.calibration import LEVELS
from rrl_batch.report.coverage import BINS, FEWEST, coverage, coverage_table, off_by


@pytest.fixture
def stars():
    """Stars whose errors are normal and as large as they say, but for G beyond 19."""
    rng = np.random.default_rng(4)
    n = 4000
    error, mag = rng.uniform(0.05, 0.4, n), rng.uniform(14, 21, n)
    label = rng.normal(-1.4, 0.5, n)
    feh = label + error * rng.normal(size=n) * np.where(mag > 19, 2, 1)
    return pd.DataFrame(
        {"feh": feh.astype("f4"), "feh_label": label, "feh_error": error.astype("f4"),
         "feh_lo": feh - error, "feh_hi": feh + error, "feh_lo95": feh - 1.96 * error,
         "feh_hi95": feh + 1.96 * error, "num_epochs_used": rng.integers(12, 100, n),
         "int_average_g": mag}
    )  # fmt: skip


def test_bins_divide_the_stars_and_each_counts_its_own(stars):
    found = coverage(stars)
    inside = (stars["feh_label"] - stars["feh"]).abs() <= stars["feh_error"] * 1.96
    assert found["all"]["n"] == len(stars)
    assert found["all"]["coverage"][1] == pytest.approx(inside.mean(), abs=1e-3)
    for bins in BINS:
        parts = found["bins"][bins.column]
        assert len(parts) == len(bins.edges) + 1
        assert sum(part["n"] for part in parts) == len(stars)
        for part in parts:
            low = -np.inf if part["low"] is None else part["low"]
            high = np.inf if part["high"] is None else part["high"]
            own = (stars[bins.column] >= low) & (stars[bins.column] < high)
            assert part["n"] == own.sum()
            if part["n"]:
                assert part["coverage"][1] == pytest.approx(inside[own].mean(), abs=1e-2)


def test_errors_that_are_too_small_somewhere_are_found_there(stars):
    found = coverage(stars)
    off = [off_by(part, 0) for part in found["bins"]["int_average_g"]]
    assert max(abs(value) for value in off[:4]) < 4
    assert max(off[5:]) < -10
    assert found["pulls"]["scatter"] > found["pulls"]["scatter_of_half"] > 1.05
    right = coverage(stars[stars["int_average_g"] < 19])
    assert right["pulls"]["scatter"] == pytest.approx(1, abs=0.06)
    assert right["all"]["coverage"] == pytest.approx(LEVELS, abs=0.03)
    assert right["sharpness"]["0.5"] == pytest.approx(0.225, abs=0.02)


def test_few_stars_are_shown_and_not_judged(stars):
    found = coverage(stars[: FEWEST - 1])
    assert off_by(found["all"], 0) is None
    assert "(" not in coverage_table(found).rows[0][2]
    assert "(" in coverage_table(coverage(stars)).rows[0][2]
    none = coverage(stars[:0])
    assert none["all"]["coverage"] is None
    assert [row[0] for row in coverage_table(none).rows] == ["all"]


def test_a_star_without_an_error_or_a_magnitude_does_not_count_there(stars):
    spoilt = stars.copy()
    spoilt.loc[:9, "feh_error"] = np.nan
    spoilt.loc[10:29, "int_average_g"] = np.nan
    found = coverage(spoilt)
    assert found["all"]["n"] == len(stars) - 10
    assert sum(part["n"] for part in found["bins"]["int_average_g"]) == len(stars) - 30
