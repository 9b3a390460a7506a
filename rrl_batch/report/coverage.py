"""Whether the intervals of a catalogue hold as many labels as they say, and how wide they are."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.models.calibration import LEVELS
from rrl_batch.report.html import Table, count, dex, percent, signed
from rrl_batch.training.metrics import FEH_EDGES

ENDS = (("feh_lo", "feh_hi"), ("feh_lo95", "feh_hi95"))
"""Columns of the catalogue with the ends of the intervals of `LEVELS`."""

FEWEST = 100
"""Stars of a bin from which on its coverage is judged."""

_HALF_OF_NORMAL = 0.6745
"""Standard normal deviate that half of all are within."""


class _Bins(NamedTuple):
    column: str
    title: str
    edges: Sequence[float]


BINS = (
    _Bins("feh", "predicted [Fe/H]", FEH_EDGES),
    _Bins("feh_label", "[Fe/H] of the label", FEH_EDGES),
    _Bins("num_epochs_used", "epochs", (20, 30, 50, 80)),
    _Bins("int_average_g", "G", (15, 16, 17, 18, 19, 20)),
    _Bins("feh_error", "feh_error", (0.10, 0.15, 0.20, 0.30)),
)
"""By what the compared stars are divided; the first and last bins are open."""


def coverage(stars: pd.DataFrame) -> dict[str, Any]:
    """Return how many labels lie within the intervals, and how wide these are.

    Parameters
    ----------
    stars : pandas.DataFrame
        Columns of the catalogue, and `feh_label` (dex), of stars that have both.

    Returns
    -------
    dict
        `levels`; `all`: figures of all stars; `bins`: by column a list of figures a bin, with its
        `low` and `high` edge; `pulls`: errors in units of `feh_error`; and `sharpness`: quantiles
        of `feh_error`. Figures are `n`, `coverage` and its `standard_error` if the intervals were
        right, both a value a level, the mean square root `feh_error` and `rmse`, in dex. A figure
        that no star is there for is None.
    """
    known = stars.dropna(subset=["feh_error"])
    return {
        "levels": list(LEVELS),
        "all": _figures(known),
        "bins": {bins.column: _by_bin(known, bins) for bins in BINS},
        "pulls": _pulls(known),
        "sharpness": _sharpness(known),
    }


def _figures(stars: pd.DataFrame) -> dict[str, Any]:
    n = len(stars)
    if n == 0:
        return {"n": 0} | dict.fromkeys(("coverage", "standard_error", "feh_error", "rmse"))
    inside = [stars["feh_label"].between(stars[low], stars[high]).mean() for low, high in ENDS]
    error = stars["feh"].astype(np.float64) - stars["feh_label"]
    return {
        "n": n,
        "coverage": [float(part) for part in inside],
        "standard_error": [float(np.sqrt(p * (1 - p) / n)) for p in LEVELS],
        "feh_error": float(np.sqrt(np.square(stars["feh_error"].astype(np.float64)).mean())),
        "rmse": float(np.sqrt(np.square(error).mean())),
    }


def _by_bin(stars: pd.DataFrame, bins: _Bins) -> list[dict[str, Any]]:
    values = stars[bins.column].to_numpy(np.float64)
    which = np.where(np.isfinite(values), np.digitize(values, bins.edges), -1)
    lower, upper = (None, *bins.edges), (*bins.edges, None)
    return [
        {"low": lower[i], "high": upper[i], **_figures(stars[which == i])}
        for i in range(len(lower))
    ]


def pulls_of(stars: pd.DataFrame) -> NDArray[np.float64]:
    """Return the errors of stars in units of their standard errors, predicted less label."""
    error = stars["feh"].astype(np.float64) - stars["feh_label"]
    return (error / stars["feh_error"].astype(np.float64)).to_numpy(np.float64)


def _pulls(stars: pd.DataFrame) -> dict[str, Any]:
    pulls = pulls_of(stars)
    if len(pulls) < 2:
        return dict.fromkeys(("mean", "scatter", "scatter_of_half", "beyond_3"))
    return {
        "mean": float(pulls.mean()),
        "scatter": float(pulls.std(ddof=1)),
        "scatter_of_half": float(np.median(np.abs(pulls)) / _HALF_OF_NORMAL),
        "beyond_3": float((np.abs(pulls) > 3).mean()),
    }


def _sharpness(stars: pd.DataFrame) -> dict[str, Any]:
    quantiles = (0.05, 0.25, 0.5, 0.75, 0.95)
    if stars.empty:
        return {f"{q:g}": None for q in quantiles}
    found = np.quantile(stars["feh_error"].to_numpy(np.float64), quantiles)
    return {f"{q:g}": float(value) for q, value in zip(quantiles, found, strict=True)}


def off_by(figures: dict[str, Any], level: int) -> float | None:
    """Return by how many standard errors a coverage is off, if enough stars are there to judge."""
    if figures["n"] < FEWEST:
        return None
    error: float = figures["coverage"][level] - LEVELS[level]
    return error / figures["standard_error"][level]


def coverage_table(found: dict[str, Any]) -> Table:
    """Return coverage and width as the page shows them.

    Parameters
    ----------
    found : dict
        What `coverage` has returned.
    """
    rows = [_row("all", found["all"])]
    for bins in BINS:
        rows += [
            _row(f"{bins.title} {_range(figures)}", figures)
            for figures in found["bins"][bins.column]
            if figures["n"]
        ]
    pulls, sharpness = found["pulls"], found["sharpness"]
    return Table(
        "coverage",
        "Intervals",
        f"Part of the labels within the intervals of {100 * LEVELS[0]:.1f} and "
        f"{100 * LEVELS[1]:.0f} %, and in brackets by how many standard errors of a part it is off "
        f"where there are {FEWEST} stars or more; root mean squares of feh_error and of predicted "
        f"− label. In bins of the label, intervals about values that are drawn towards the mean "
        f"have to miss more at both ends. Pulls, (predicted − label) / feh_error: mean "
        f"{signed(pulls['mean'])}, scatter {dex(pulls['scatter'])}, that of the inner half "
        f"{dex(pulls['scatter_of_half'])}, beyond 3: {percent(pulls['beyond_3'])} (normal: 0.3 %). "
        f"feh_error from {dex(sharpness['0.05'])} to {dex(sharpness['0.95'])} dex (5 and 95 % of "
        f"the stars), median {dex(sharpness['0.5'])}.",
        ["Stars", "Number", "68 %", "95 %", "feh_error", "RMSE"],
        rows,
    )


def _row(name: str, figures: dict[str, Any]) -> list[str]:
    cells = [_part(figures, level) for level in range(len(LEVELS))]
    return [name, count(figures["n"]), *cells, dex(figures["feh_error"]), dex(figures["rmse"])]


def _part(figures: dict[str, Any], level: int) -> str:
    if figures["coverage"] is None:
        return percent(None)
    shown = percent(figures["coverage"][level])
    off = off_by(figures, level)
    return shown if off is None else f"{shown} ({off:+.1f})".replace("-", "−")


def _range(figures: dict[str, Any]) -> str:
    low, high = figures["low"], figures["high"]
    if low is None:
        return f"below {high:g}".replace("-", "−")
    if high is None:
        return f"{low:g} and above".replace("-", "−")
    return f"{low:g} to {high:g}".replace("-", "−")
