"""Figures of a comparison with reference values: both against each other, and what is left over."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rrl_batch.report.agreement import PIVOT
from rrl_batch.report.drawing import (
    PURPLE,
    VERMILION,
    comparison_panel,
    draw_stars,
    limits_of,
    new_figure,
    share_counts,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COMPARISON, RESIDUALS = NAMES = ("predicted_against_reference.png", "residuals.png")

_AGAINST = {
    "feh_label": "[Fe/H] of the reference (dex)",
    "period": "Period (d)",
    "int_average_g": "Mean G (mag)",
    "num_epochs_used": "Epochs",
}
_FEWEST_IN_BIN = 5
_MOST_BINS = 8


def draw(stars: pd.DataFrame, metrics: dict[str, Any]) -> dict[str, "Figure"]:
    """Return the figures by name.

    Parameters
    ----------
    stars : pandas.DataFrame
        The compared stars, with `feh_label`, `feh` and `feh_baseline` (dex) and the catalogue's
        columns.
    metrics : dict
        Their figures of merit.
    """
    return {COMPARISON: _comparison(stars, metrics), RESIDUALS: _residuals(stars, metrics)}


def _comparison(stars: pd.DataFrame, metrics: dict[str, Any]) -> "Figure":
    figure = new_figure((10, 5.6), metrics["synthetic"])
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    limits = limits_of(stars["feh_label"], margin=0.3)
    clouds = []
    for axes, name, column, title in (
        (panels[0], "network", "feh", "Catalogue"),
        (panels[1], "baseline", "feh_baseline", "Baseline (linear in period and φ31)"),
    ):
        true, predicted = (stars[c].to_numpy(float) for c in ("feh_label", column))
        clouds.append(comparison_panel(axes, true, predicted, limits, metrics[name]))
        _draw_line(axes, metrics[name], limits)
        axes.set_title(title)
        axes.set_xlabel(f"[Fe/H] of the reference (dex, {metrics['scale']})", parse_math=False)
    panels[0].set_ylabel("[Fe/H] of the catalogue (dex)")
    share_counts(figure, panels, clouds)
    panels[0].legend(loc="lower right", framealpha=0.85, edgecolor="none")
    return figure


def _draw_line(axes: "Axes", scores: dict[str, Any], limits: tuple[float, float]) -> None:
    """Draw the line of the regression with errors in both variables."""
    if not scores["slope"] or scores["slope"]["value"] is None:
        return
    slope, offset = (scores[key]["value"] for key in ("slope", "offset_at_pivot"))
    ends = np.array(limits)
    fitted = PIVOT + offset + slope * (ends - PIVOT)
    axes.plot(
        ends, fitted, color=PURPLE, linewidth=1.5, linestyle="--", zorder=3,
        label=f"slope {slope:.2f}",
    )  # fmt: skip


def _residuals(stars: pd.DataFrame, metrics: dict[str, Any]) -> "Figure":
    figure = new_figure((10, 7), metrics["synthetic"])
    panels = figure.subplots(2, 2, sharey=True)
    left_over = (stars["feh"] - stars["feh_label"]).to_numpy(float)
    for axes, (column, label) in zip(panels.flat, _AGAINST.items(), strict=True):
        values = stars[column].to_numpy(float)
        known = np.isfinite(values)
        _panel(axes, values[known], left_over[known])
        axes.set_xlabel(label)
    for axes in panels[:, 0]:
        axes.set_ylabel("Catalogue − reference (dex)")
    return figure


def _panel(axes: "Axes", values: np.ndarray, left_over: np.ndarray) -> None:
    axes.axhline(0, color="black", linewidth=1, zorder=3)
    if len(values) == 0:
        return
    height = max(0.5, float(np.quantile(np.abs(left_over), 0.99)) * 1.1)
    margin = 0.02 * (np.ptp(values) or 1.0)
    extent = (values.min() - margin, values.max() + margin, -height, height)
    draw_stars(axes, values, left_over, extent)
    n_bins = min(_MOST_BINS, len(values) // _FEWEST_IN_BIN)
    for part in np.array_split(np.argsort(values), n_bins) if n_bins else ():
        low, median, high = np.quantile(left_over[part], [0.16, 0.5, 0.84])
        axes.errorbar(
            np.median(values[part]), median, [[median - low], [high - median]], fmt="o",
            color=VERMILION, markeredgecolor="white", capsize=3, zorder=4,
        )  # fmt: skip
    axes.set(xlim=extent[:2], ylim=extent[2:])
