"""The figures of an evaluation: predictions against labels, and distributions of [Fe/H]."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.storage.commit import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import Collection
    from matplotlib.figure import Figure

PREDICTED_AGAINST_TRUE = "predicted_against_true.png"
DISTRIBUTION = "distribution.png"

# from the colour-blind safe palette of Okabe & Ito
_BLUE, _VERMILION, _GREY = "#0072B2", "#D55E00", "#C8C8C8"

_DPI = 160
_SYNTHETIC = "SYNTHETIC: simulated stars, not a measurement"
_EMPTY_RANGE = (-3.0, 0.5)
_CENTRAL = [0.001, 0.999]
_FEWEST_IN_BIN = 5
_BIN_WIDTH = 0.25
_MOST_POINTS = 3000
_MOST_BARS = 200


def predicted_against_true(stars: pd.DataFrame, metrics: dict[str, Any]) -> "Figure":
    """Draw the predictions of network and baseline against the labels, side by side.

    Parameters
    ----------
    stars : pandas.DataFrame
        The compared stars, with `feh_label`, `feh` and `feh_baseline` (dex).
    metrics : dict
        Their figures of merit.
    """
    figure = _new_figure((10, 5.6), metrics["synthetic"])
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    architecture = metrics["provenance"]["model"]["architecture"]
    limits = _limits(stars["feh_label"], margin=0.3)
    clouds = []
    for axes, name, column, title in zip(
        panels,
        ("network", "baseline"),
        ("feh", "feh_baseline"),
        (f"Network ({architecture} ensemble)", "Baseline (linear in period and φ31)"),
        strict=True,
    ):
        true, predicted = stars["feh_label"].to_numpy(float), stars[column].to_numpy(float)
        clouds.append(_draw_stars(axes, true, predicted, limits))
        axes.plot(limits, limits, color="black", linewidth=1, zorder=3, label="1 : 1")
        _draw_medians(axes, true, predicted)
        beyond = int(np.sum((predicted < limits[0]) | (predicted > limits[1])))
        axes.text(0.04, 0.96, _corner(metrics[name], beyond), transform=axes.transAxes, va="top",
                  bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none"})  # fmt: skip
        axes.set_title(title, parse_math=False)
        axes.set(xlim=limits, ylim=limits, aspect="equal")
        axes.set_xlabel(f"[Fe/H] of the labels (dex, scale {metrics['scale']})", parse_math=False)
    panels[0].set_ylabel("Predicted [Fe/H] (dex)")
    if len(stars) > _MOST_POINTS:
        _share_colours(figure, panels, clouds)
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
    figure = _new_figure((8, 5), metrics["synthetic"])
    axes = figure.subplots()
    limits = _limits(pd.concat([stars["feh_label"], catalogue.quantile(_CENTRAL)]), margin=0.1)
    edges = np.linspace(*limits, 1 + min(round((limits[1] - limits[0]) / 0.1), _MOST_BARS))
    for values, label, style in (
        (catalogue, "Catalogue, predicted", {"histtype": "stepfilled", "color": _GREY}),
        (stars["feh_label"], "Compared stars, labels",
         {"histtype": "step", "color": _VERMILION, "linewidth": 1.8, "linestyle": "--"}),
        (stars["feh"], "Compared stars, predicted",
         {"histtype": "step", "color": _BLUE, "linewidth": 1.8}),
    ):  # fmt: skip
        within = values[values.between(*limits)]
        text = f"{label}: {len(values):,}{_beyond_text(len(values) - len(within))}"
        axes.hist(within, bins=list(edges), density=len(within) > 0, label=text, **style)
    axes.set(xlim=limits, xlabel="[Fe/H] (dex)", ylabel="Density (1/dex)")
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.14), frameon=False)
    return figure


def save(figure: "Figure", path: Path, synthetic: bool) -> None:
    """Write a figure as PNG, atomically; its metadata say so if the stars are simulated."""
    metadata = {"Title": path.stem.replace("_", " ")}
    if synthetic:
        metadata["Comment"] = _SYNTHETIC
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=_DPI, bbox_inches="tight", metadata=metadata)


def _new_figure(size: tuple[float, float], synthetic: bool) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(size, layout="compressed")
    if synthetic:
        figure.suptitle(_SYNTHETIC, color=_VERMILION, weight="bold")
    return figure


def _limits(values: pd.Series, margin: float) -> tuple[float, float]:
    """Return the range of some values and a margin, in whole tenths of a dex."""
    if values.notna().sum() == 0:
        return _EMPTY_RANGE
    return (
        float(np.floor((values.min() - margin) * 10) / 10),
        float(np.ceil((values.max() + margin) * 10) / 10),
    )


def _draw_stars(
    axes: "Axes",
    true: NDArray[np.float64],
    predicted: NDArray[np.float64],
    limits: tuple[float, float],
) -> "Collection":
    """Draw a point a star, or counts in hexagons where points would hide each other."""
    if len(true) > _MOST_POINTS:
        return axes.hexbin(
            true, predicted, gridsize=70, extent=(*limits, *limits), mincnt=1, cmap="Blues",
            linewidths=0,
        )  # fmt: skip
    alpha = float(np.clip(10 / np.sqrt(len(true) + 1), 0.25, 0.8))
    return axes.scatter(true, predicted, s=12, color=_BLUE, alpha=alpha, linewidths=0)


def _share_colours(
    figure: "Figure", panels: NDArray[np.object_], hexagons: "list[Collection]"
) -> None:
    """Give the counts of all panels one logarithmic scale of colours."""
    from matplotlib.colors import LogNorm

    most = float(np.max(np.concatenate([[2.0], *(cells.get_array() for cells in hexagons)])))
    for cells in hexagons:
        # from below 1, so that a single star does not fade into the white ground
        cells.set_norm(LogNorm(0.3, most))
    bar = figure.colorbar(hexagons[0], ax=panels, label="Stars per hexagon", pad=0.01, shrink=0.9)
    bar.ax.set_ylim(1, most)


def _draw_medians(axes: "Axes", true: NDArray[np.float64], predicted: NDArray[np.float64]) -> None:
    """Draw the median prediction, with the range of 16 to 84 %, in bins of the labels."""
    bins = pd.Series(predicted).groupby(np.floor(true / _BIN_WIDTH))
    populated = bins.size() >= _FEWEST_IN_BIN
    lower, median, upper = (bins.quantile(q)[populated] for q in (0.16, 0.5, 0.84))
    axes.errorbar(
        (median.index + 0.5) * _BIN_WIDTH, median, [median - lower, upper - median],
        fmt="o", color=_VERMILION, markeredgecolor="white", capsize=3, zorder=4,
        label="median, 16–84 %",
    )  # fmt: skip


def _corner(scores: dict[str, Any], beyond: int) -> str:
    rmse, r2 = ("–" if scores[key] is None else f"{scores[key]:.3f}" for key in ("rmse", "r2"))
    return f"n = {scores['n']:,}{_beyond_text(beyond)}\nRMSE = {rmse} dex\nR² = {r2}"


def _beyond_text(count: int) -> str:
    return f" ({count:,} beyond the axes)" if count else ""
