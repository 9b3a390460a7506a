"""What all figures share: colours, the mark of simulated stars, and clouds of stars."""

import io
from collections.abc import Sequence
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

# the colour-blind safe palette of Okabe & Ito, and two greys
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY = "#E69F00", "#56B4E9"
GREY, DARK = "#C8C8C8", "#505050"

_DPI = 160
_SYNTHETIC = "SYNTHETIC: simulated stars, not a measurement"
_REMARK = {"png": "Comment", "svg": "Description", "pdf": "Subject"}
"""What the metadata of each format call a remark."""

_EMPTY_RANGE = (-3.0, 0.5)
_FEWEST_IN_BIN = 5
_BIN_WIDTH = 0.25
_MOST_POINTS = 3000


def png(figure: "Figure", title: str, synthetic: bool) -> bytes:
    """Return a figure as PNG; its metadata say so if the stars are simulated."""
    return _content(figure, "png", title, synthetic)


def _content(figure: "Figure", kind: str, title: str, synthetic: bool) -> bytes:
    metadata = {"Title": title}
    if synthetic:
        metadata[_REMARK[kind]] = _SYNTHETIC
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=_DPI, bbox_inches="tight", metadata=metadata)
    return buffer.getvalue()


def save(figure: "Figure", path: Path, synthetic: bool) -> None:
    """Write a figure as PNG, SVG or PDF, by the ending of its name, atomically."""
    content = _content(figure, path.suffix[1:].lower(), path.stem.replace("_", " "), synthetic)
    with replacing(path) as partial:
        partial.write_bytes(content)


def new_figure(size: tuple[float, float], synthetic: bool) -> "Figure":
    """Return an empty figure, size in inches, with a warning over it if stars are simulated."""
    from matplotlib.figure import Figure

    figure = Figure(size, layout="compressed")
    if synthetic:
        figure.suptitle(_SYNTHETIC, color=VERMILION, weight="bold")
    return figure


def limits_of(values: pd.Series, margin: float) -> tuple[float, float]:
    """Return the range of some values and a margin, in whole tenths of a dex."""
    if values.notna().sum() == 0:
        return _EMPTY_RANGE
    return (
        float(np.floor((values.min() - margin) * 10) / 10),
        float(np.ceil((values.max() + margin) * 10) / 10),
    )


def draw_stars(
    axes: "Axes",
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    extent: tuple[float, float, float, float],
) -> "Collection":
    """Draw a point a star, or counts in hexagons where points would hide each other."""
    if len(x) > _MOST_POINTS:
        return axes.hexbin(x, y, gridsize=70, extent=extent, mincnt=1, cmap="Blues", linewidths=0)
    alpha = float(np.clip(10 / np.sqrt(len(x) + 1), 0.25, 0.8))
    return axes.scatter(x, y, s=12, color=BLUE, alpha=alpha, linewidths=0)


def _draw_medians(axes: "Axes", true: NDArray[np.float64], predicted: NDArray[np.float64]) -> None:
    """Draw the median prediction, with the range of 16 to 84 %, in bins of the labels."""
    bins = pd.Series(predicted).groupby(np.floor(true / _BIN_WIDTH))
    populated = bins.size() >= _FEWEST_IN_BIN
    lower, median, upper = (bins.quantile(q)[populated] for q in (0.16, 0.5, 0.84))
    axes.errorbar(
        (median.index + 0.5) * _BIN_WIDTH, median, [median - lower, upper - median],
        fmt="o", color=VERMILION, markeredgecolor="white", capsize=3, zorder=4,
        label="median, 16–84 %",
    )  # fmt: skip


def comparison_panel(
    axes: "Axes",
    true: NDArray[np.float64],
    predicted: NDArray[np.float64],
    limits: tuple[float, float],
    scores: dict[str, Any],
) -> "Collection":
    """Draw predictions against labels: stars, the 1 : 1 line, medians and figures of merit.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    true, predicted : (n_stars,) float64
        Labels and predictions, in dex.
    limits : tuple of float
        Range of both axes, in dex.
    scores : dict
        Figures of merit of the stars: `n`, `rmse` and `r2`.

    Returns
    -------
    matplotlib.collections.Collection
        The stars, as points or as counts in hexagons.
    """
    stars = draw_stars(axes, true, predicted, (*limits, *limits))
    axes.plot(limits, limits, color="black", linewidth=1, zorder=3, label="1 : 1")
    _draw_medians(axes, true, predicted)
    beyond = int(np.sum((predicted < limits[0]) | (predicted > limits[1])))
    axes.text(0.04, 0.96, _corner(scores, beyond), transform=axes.transAxes, va="top",
              bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none"})  # fmt: skip
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    return stars


def share_counts(
    figure: "Figure", panels: "Sequence[Axes]", clouds: "Sequence[Collection]"
) -> None:
    """Give the counts of all panels that have hexagons one logarithmic scale of colours."""
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import LogNorm

    hexagons = [cells for cells in clouds if isinstance(cells, PolyCollection)]
    if not hexagons:
        return
    most = float(np.max(np.concatenate([[2.0], *(cells.get_array() for cells in hexagons)])))
    for cells in hexagons:
        # from below 1, so that a single star does not fade into the white ground
        cells.set_norm(LogNorm(0.3, most))
    bar = figure.colorbar(
        hexagons[0], ax=list(panels), label="Stars per hexagon", pad=0.01, shrink=0.9
    )
    bar.ax.set_ylim(1, most)


def beyond_text(count: int) -> str:
    """Return how many stars are not shown, in brackets, or nothing."""
    return f" ({count:,} beyond the axes)" if count else ""


def _corner(scores: dict[str, Any], beyond: int) -> str:
    rmse, r2 = ("–" if scores[key] is None else f"{scores[key]:.3f}" for key in ("rmse", "r2"))
    return f"n = {scores['n']:,}{beyond_text(beyond)}\nRMSE = {rmse} dex\nR² = {r2}"
