"""The figures of an evaluation: predictions against labels, and distributions of [Fe/H]."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rrl_batch.report.coverage import pulls_of
from rrl_batch.report.drawing import (
    BLUE,
    GREY,
    VERMILION,
    beyond_text,
    comparison_panel,
    limits_of,
    new_figure,
    share_counts,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PREDICTED_AGAINST_TRUE = "predicted_against_true.png"
DISTRIBUTION = "distribution.png"
PULLS = "pulls.png"

_CENTRAL = [0.001, 0.999]
_MOST_BARS = 200
_MOST_PULLS = 5.0
_FEWEST_IN_BIN = 10


def predicted_against_true(stars: pd.DataFrame, metrics: dict[str, Any]) -> "Figure":
    """Draw the predictions of network and baseline against the labels, side by side.

    Parameters
    ----------
    stars : pandas.DataFrame
        The compared stars, with `feh_label`, `feh` and `feh_baseline` (dex).
    metrics : dict
        Their figures of merit.
    """
    figure = new_figure((10, 5.6), metrics["synthetic"])
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    architecture = metrics["provenance"]["model"]["architecture"]
    limits = limits_of(stars["feh_label"], margin=0.3)
    clouds = []
    for axes, name, column, title in zip(
        panels,
        ("network", "baseline"),
        ("feh", "feh_baseline"),
        (f"Network ({architecture} ensemble)", "Baseline (linear in period and φ31)"),
        strict=True,
    ):
        true, predicted = stars["feh_label"].to_numpy(float), stars[column].to_numpy(float)
        clouds.append(comparison_panel(axes, true, predicted, limits, metrics[name]))
        axes.set_title(title, parse_math=False)
        axes.set_xlabel(f"[Fe/H] of the labels (dex, scale {metrics['scale']})", parse_math=False)
    panels[0].set_ylabel("Predicted [Fe/H] (dex)")
    share_counts(figure, panels, clouds)
    panels[0].legend(loc="lower right", framealpha=0.85, edgecolor="none")
    return figure


def distribution(catalogue: pd.Series, stars: pd.DataFrame, metrics: dict[str, Any]) -> "Figure":
    """Draw the distributions of [Fe/H]: the catalogue's, the labels' and the predictions'.

    Parameters
    ----------
    catalogue : pandas.Series
        Predictions for all stars of the catalogue that have one, in dex.
    stars : pandas.DataFrame
        The compared stars, with `feh_label` and `feh` (dex).
    metrics : dict
        Their figures of merit.
    """
    figure = new_figure((8, 5), metrics["synthetic"])
    axes = figure.subplots()
    limits = limits_of(pd.concat([stars["feh_label"], catalogue.quantile(_CENTRAL)]), margin=0.1)
    edges = np.linspace(*limits, 1 + min(round((limits[1] - limits[0]) / 0.1), _MOST_BARS))
    for values, label, style in (
        (catalogue, "Catalogue, predicted", {"histtype": "stepfilled", "color": GREY}),
        (stars["feh_label"], "Compared stars, labels",
         {"histtype": "step", "color": VERMILION, "linewidth": 1.8, "linestyle": "--"}),
        (stars["feh"], "Compared stars, predicted",
         {"histtype": "step", "color": BLUE, "linewidth": 1.8}),
    ):  # fmt: skip
        within = values[values.between(*limits)]
        text = f"{label}: {len(values):,}{beyond_text(len(values) - len(within))}"
        axes.hist(within, bins=list(edges), density=len(within) > 0, label=text, **style)
    axes.set(xlim=limits, xlabel="[Fe/H] (dex)", ylabel="Density (1/dex)")
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.14), frameon=False)
    return figure


def pulls(stars: pd.DataFrame, metrics: dict[str, Any]) -> "Figure":
    """Draw errors in units of `feh_error`, and how large they are where it is small or large.

    Parameters
    ----------
    stars : pandas.DataFrame
        The compared stars, with `feh_label`, `feh` and `feh_error` (dex).
    metrics : dict
        Their figures of merit.
    """
    stars = stars.dropna(subset=["feh_error"])
    figure = new_figure((10, 4.6), metrics["synthetic"])
    left, right = figure.subplots(1, 2)
    pull = pulls_of(stars)
    edges = np.linspace(-_MOST_PULLS, _MOST_PULLS, 41)
    if len(pull):
        left.hist(pull, bins=edges, density=True, color=GREY, label="compared stars")
    left.plot(edges, np.exp(-0.5 * edges**2) / np.sqrt(2 * np.pi), color=VERMILION, label="normal")
    beyond = int((np.abs(pull) > _MOST_PULLS).sum())
    left.set(xlabel=f"(predicted − label) / feh_error{beyond_text(beyond)}", ylabel="Density")
    left.legend(loc="upper right", framealpha=0.85, edgecolor="none")

    error = stars["feh_error"].to_numpy(np.float64)
    order = np.argsort(error)
    tenths = [rows for rows in np.array_split(order, 10) if len(rows) >= _FEWEST_IN_BIN]
    expected = [float(np.sqrt(np.mean(error[rows] ** 2))) for rows in tenths]
    found = np.array([np.sqrt(np.mean((pull[rows] * error[rows]) ** 2)) for rows in tenths])
    uncertain = found / np.sqrt([2 * len(rows) for rows in tenths])
    most = 1.1 * max([0.1, *expected, *found])
    right.plot([0, most], [0, most], color="black", linewidth=1, label="1 : 1")
    right.errorbar(expected, found, uncertain, fmt="o", color=BLUE, capsize=3,
                   label="tenths of the stars")  # fmt: skip
    right.set(xlabel="feh_error, root mean square (dex)", ylabel="RMSE (dex)",
              xlim=(0, most), ylim=(0, most))  # fmt: skip
    right.legend(loc="upper left", framealpha=0.85, edgecolor="none")
    return figure
