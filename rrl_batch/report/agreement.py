"""How predictions agree with values of another origin: offset, scatter and slope, with intervals.

References
----------
The slope is that of Deming's regression, the maximum likelihood for errors in both variables whose
variances have a constant ratio: Fuller (1987), Measurement Error Models, Eq. 1.3.7.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.experiment.bootstrap import estimate
from rrl_batch.training.metrics import FEH_EDGES

Floats = NDArray[np.float64]

PIVOT = -1.5
"""Metallicity, in dex, at which the offset of a line is given: the middle of the stars."""

STATISTICS = ("offset", "scatter", "slope", "offset_at_pivot")

BINS: dict[str, tuple[float, ...]] = {
    "feh_label": FEH_EDGES,
    "int_average_g": (14.0, 16.0, 17.0, 18.0, 19.0),
    "num_epochs_used": (25.0, 50.0, 75.0),
}
"""Columns by which stars are divided, and the edges of the bins; the outer ones are open."""


def agreement(
    label: pd.Series, label_error: pd.Series, predicted: pd.Series, predicted_error: pd.Series
) -> dict[str, Any]:
    """Return how predictions agree with labels.

    Parameters
    ----------
    label, label_error, predicted, predicted_error : (n_stars,) pandas.Series
        Values and standard errors, in dex; errors NaN where they are not known.

    Returns
    -------
    dict
        `n`; `offset`, the mean of predicted − label, `scatter`, the standard deviation of it,
        `slope` and `offset_at_pivot` of the line through both, each a dict with `value` and
        `interval_95`, None where too few stars are there; `error_ratio`, the variance of the
        predictions' errors in units of the labels', None where it is not known and 1 is taken;
        and `pull`, the standard deviation of predicted − label in units of both errors, None
        where errors are not known.
    """
    x, y, x_error, y_error = (
        values.to_numpy(np.float64) for values in (label, predicted, label_error, predicted_error)
    )
    known = np.isfinite(x_error) & np.isfinite(y_error)
    n = len(x)
    ratio = None
    if n and known.all() and np.any(x_error > 0):
        ratio = float(np.mean(y_error**2) / np.mean(x_error**2))
    found = line(x, y, ratio or 1.0) if n > 1 else dict.fromkeys(STATISTICS)
    pulls = (y - x)[known] / np.hypot(x_error, y_error)[known]
    pull = float(np.std(pulls, ddof=1)) if len(pulls) > 1 else None
    return {"n": n, **found, "error_ratio": ratio, "pull": pull}


def line(x: Floats, y: Floats, ratio: float) -> dict[str, Any]:
    """Return offset, scatter and the line of Deming's regression, with bootstrap intervals.

    Parameters
    ----------
    x, y : (n,) float64
        Values that are compared, in dex.
    ratio : float
        Variance of the errors of `y` in units of those of `x`.
    """
    a, b = x - PIVOT, y - PIVOT
    terms = np.stack([np.ones_like(a), a, b, a * a, b * b, a * b])
    found = estimate(terms, lambda sums: _statistics(sums, ratio))
    return {
        name: {
            "value": _or_none(found.value[i]),
            "interval_95": [float(found.low[i]), float(found.high[i])]
            if np.isfinite(found.low[i] + found.high[i])
            else None,
        }
        for i, name in enumerate(STATISTICS)
    }


def bins(stars: pd.DataFrame, column: str) -> list[dict[str, Any]]:
    """Return offset and scatter in bins of a column.

    Parameters
    ----------
    stars : pandas.DataFrame
        With `feh_label`, `feh` (dex) and the column.
    column : str
        One of `BINS`.

    Returns
    -------
    list of dict
        `low` and `high` (None at the open ends), `n`, `offset`, `offset_error` and `scatter`, the
        last three None where too few stars are there. Stars without the value are in none.
    """
    edges = BINS[column]
    lows, highs = (-np.inf, *edges), (*edges, np.inf)
    known = stars.dropna(subset=[column])
    which = np.digitize(known[column], edges)
    difference = (known["feh"] - known["feh_label"]).to_numpy(np.float64)
    return [
        {
            "low": _or_none(low), "high": _or_none(high),
            **spread(difference[which == i]),
        }
        for i, (low, high) in enumerate(zip(lows, highs, strict=True))
    ]  # fmt: skip


def spread(difference: Floats) -> dict[str, Any]:
    """Return number, mean with its standard error, and standard deviation of some differences."""
    n = len(difference)
    scatter = float(np.std(difference, ddof=1)) if n > 1 else None
    return {
        "n": n,
        "offset": float(difference.mean()) if n else None,
        "offset_error": scatter / np.sqrt(n) if scatter is not None else None,
        "scatter": scatter,
    }


def _statistics(sums: Floats, ratio: float) -> Floats:
    n, x, y, xx, yy, xy = sums
    mean_x, mean_y = x / n, y / n
    var_x, var_y, cov = xx / n - mean_x**2, yy / n - mean_y**2, xy / n - mean_x * mean_y
    offset = mean_y - mean_x
    scatter = np.sqrt(np.maximum(var_x + var_y - 2 * cov, 0) * n / (n - 1))
    excess = var_y - ratio * var_x
    slope = (excess + np.sqrt(excess**2 + 4 * ratio * cov**2)) / (2 * cov)
    return np.stack([offset, scatter, slope, mean_y - slope * mean_x])


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
