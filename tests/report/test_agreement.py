"""Offset, scatter and slope are found again, by formulae that others have as well."""

import numpy as np
import pandas as pd
import pytest

from rrl_batch.report.agreement import PIVOT, agreement, bins, line


def _draw(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Values with errors in both, of which those of the second are twice as large."""
    rng = np.random.default_rng(seed)
    true = rng.normal(-1.5, 0.5, n)
    x = true + rng.normal(0, 0.1, n)
    y = PIVOT + 0.07 + 0.8 * (true - PIVOT) + rng.normal(0, 0.2, n)
    return x, y


@pytest.mark.filterwarnings("ignore:`scipy.odr` is deprecated")
def test_line_is_that_of_orthogonal_distance_regression() -> None:
    odr = pytest.importorskip("scipy.odr")
    x, y = _draw(200)
    for ratio in (1.0, 4.0):
        found = line(x, y, ratio)
        data = odr.RealData(x - PIVOT, y - PIVOT, sx=0.1, sy=0.1 * np.sqrt(ratio))
        theirs = odr.ODR(data, odr.unilinear, beta0=[1.0, 0.0]).run()
        assert found["slope"]["value"] == pytest.approx(theirs.beta[0], rel=1e-5)
        assert found["offset_at_pivot"]["value"] == pytest.approx(theirs.beta[1], abs=1e-5)


def test_errors_in_both_do_not_flatten_the_slope() -> None:
    x, y = _draw(20_000)
    found = line(x, y, 4.0)
    assert found["slope"]["value"] == pytest.approx(0.8, abs=0.01)
    assert found["offset_at_pivot"]["value"] == pytest.approx(0.07, abs=0.01)
    assert np.polyfit(x, y, 1)[0] < 0.78  # plain least squares


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    held = {"slope": 0, "offset_at_pivot": 0}
    for seed in range(40):
        found = line(*_draw(100, seed), 4.0)
        for name, true in (("slope", 0.8), ("offset_at_pivot", 0.07)):
            low, high = found[name]["interval_95"]
            held[name] += low <= true <= high
    assert all(34 <= number <= 40 for number in held.values())


def test_agreement_of_known_differences() -> None:
    label = pd.Series([-2.0, -1.5, -1.0, -0.5])
    predicted = label + pd.Series([0.1, 0.3, 0.1, 0.3])
    error = pd.Series([0.1] * 4)
    found = agreement(label, error, predicted, 2 * error)
    assert found["offset"]["value"] == pytest.approx(0.2)
    assert found["scatter"]["value"] == pytest.approx(np.std([0.1, 0.3, 0.1, 0.3], ddof=1))
    assert found["error_ratio"] == pytest.approx(4.0)
    assert found["pull"] == pytest.approx(found["scatter"]["value"] / np.hypot(0.1, 0.2))
    unknown = agreement(label, error * np.nan, predicted, error)
    assert (unknown["error_ratio"], unknown["pull"]) == (None, None)


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_stars_give_nulls(n: int) -> None:
    few = pd.Series([-1.5] * n, dtype=float)
    found = agreement(few, few, few, few)
    assert found["n"] == n
    assert found["slope"] is None


def test_equal_labels_have_no_slope() -> None:
    same = pd.Series([-1.5, -1.5, -1.5])
    found = agreement(same, same * np.nan, same + pd.Series([0.1, 0.2, 0.3]), same * np.nan)
    assert found["offset"]["value"] == pytest.approx(0.2)
    assert found["slope"]["value"] is None


def test_bins_divide_the_stars() -> None:
    stars = pd.DataFrame({"feh_label": [-2.5, -2.2, -0.2, -1.2], "feh": [-2.3, -2.1, -0.4, -1.2]})
    found = bins(stars, "feh_label")
    assert [b["n"] for b in found] == [2, 0, 1, 0, 1]
    assert found[0]["offset"] == pytest.approx(0.15)
    assert found[0]["offset_error"] == pytest.approx(0.05)
    assert (found[0]["low"], found[0]["high"]) == (None, -2.0)
    assert found[-1]["offset"] == pytest.approx(-0.2)
    assert found[-1]["scatter"] is None
