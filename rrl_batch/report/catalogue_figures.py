"""The figures of a catalogue, all of them drawn from counts."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.report.catalogue_counts import (
    AMPLITUDE,
    EPOCHS,
    ERROR,
    ERRORS,
    FEH,
    MAGNITUDE,
    MODE_NAMES,
    PERIOD,
    CatalogueCounts,
)
from rrl_batch.report.counting import Bins, Counts, median, quantile
from rrl_batch.report.drawing import (
    BLUE,
    DARK,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    new_figure,
)
from rrl_batch.report.regions import REGIONS
from rrl_batch.report.sky import density_scale, draw_map, ends_of, square_degrees

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = (6.4, 4.3)
_MAP = (6.4, 3.9)
_COLOURS = (BLUE, VERMILION, GREEN, PURPLE)
_REGION_COLOURS = (ORANGE, SKY, BLUE, GREEN, VERMILION, PURPLE)
_FEWEST = 5
"""Stars of which a median is drawn."""
_PER_CELL = 8
"""Stars that a cell of the Bailey diagram should have, on average over those that have any."""

FEH_LABEL = "[Fe/H] (dex)"


def density_map(counts: CatalogueCounts, synthetic: bool) -> "Figure":
    """Draw the number of stars per square degree."""
    values = pd.Series(counts.density.table)
    values = values[values > 0] / square_degrees(counts.order)
    label = f"Stars per square degree (HEALPix order {counts.order})"
    return _map(counts.order, values, density_scale(values), label, synthetic)


def feh_map(counts: CatalogueCounts, synthetic: bool) -> "Figure":
    """Draw the median [Fe/H]."""
    return _median_map(counts.order, counts.sky_feh, FEH, f"Median {FEH_LABEL}", synthetic)


def error_map(counts: CatalogueCounts, synthetic: bool) -> "Figure":
    """Draw the median error of [Fe/H]."""
    label = "Median feh_error (dex)"
    return _median_map(counts.order, counts.sky_error, ERROR, label, synthetic)


def _median_map(order: int, counts: Counts, bins: Bins, label: str, synthetic: bool) -> "Figure":
    from matplotlib.colors import Normalize

    # a median wants more stars than a density: four pixels are one of the order below
    table = counts.table.reshape(-1, 4, bins.number).sum(axis=1)
    values = pd.Series(median(table, bins)).dropna()
    label = f"{label}, HEALPix order {order - 1}"
    return _map(order - 1, values, Normalize(*ends_of(values)), label, synthetic)


def _map(order: int, values: pd.Series, norm: Any, label: str, synthetic: bool) -> "Figure":
    figure = new_figure(_MAP, synthetic)
    draw_map(figure.subplots(), order, values, norm, label)
    return figure


def feh_by_mode(counts: CatalogueCounts, synthetic: bool) -> "Figure":
    """Draw the distribution of [Fe/H], by pulsation mode."""
    return _distributions(counts.feh_by_mode, MODE_NAMES, _COLOURS, "Stars", synthetic)


def feh_by_region(counts: CatalogueCounts, synthetic: bool) -> "Figure":
    """Draw the distribution of [Fe/H], by region of the sky."""
    return _distributions(
        counts.feh_by_region, tuple(REGIONS), _REGION_COLOURS, "Density (1/dex)", synthetic
    )


def _distributions(
    counts: Counts, names: tuple[str, ...], colours: tuple[str, ...], label: str, synthetic: bool
) -> "Figure":
    figure = new_figure(_SIZE, synthetic)
    axes = figure.subplots()
    coarse = counts.table.reshape(len(names), -1, 2).sum(axis=2)
    edges = FEH.edges[::2]
    used = np.flatnonzero(coarse.sum(axis=0))
    for name, colour, numbers in zip(names, colours, coarse, strict=True):
        if total := int(numbers.sum()):
            height = numbers if label == "Stars" else numbers / (total * np.diff(edges))
            axes.stairs(height, edges, color=colour, linewidth=1.6, label=f"{name}: {total:,}")
    axes.set(xlabel=FEH_LABEL, ylabel=label)
    if len(used):
        axes.set_xlim(edges[used[0]] - 0.1, edges[used[-1] + 1] + 0.1)
        axes.set_ylim(0, 1.35 * axes.get_ylim()[1])
        axes.legend(frameon=False, fontsize=8, loc="upper left", ncols=2)
    _open(axes)
    return figure


def draw_distribution(axes: "Axes", counts: CatalogueCounts) -> None:
    """Draw the distribution of [Fe/H] of all stars."""
    numbers = counts.feh_by_mode.table.sum(axis=0).reshape(-1, 2).sum(axis=1)
    axes.stairs(numbers, FEH.edges[::2], fill=True, color=GREY, label="all stars of the catalogue")
    used = np.flatnonzero(numbers)
    if len(used):
        axes.set_xlim(FEH.edges[::2][used[0]] - 0.1, FEH.edges[::2][used[-1] + 1] + 0.1)
    axes.set(xlabel=FEH_LABEL, ylabel="Stars")
    _open(axes)


def bailey_diagram(counts: CatalogueCounts, synthetic: bool) -> "Figure":
    """Draw amplitudes against periods, coloured by the median [Fe/H]."""
    figure = new_figure((6.4, 4.8), synthetic)
    draw_bailey_diagram(figure.subplots(), counts)
    return figure


def draw_bailey_diagram(axes: "Axes", counts: CatalogueCounts) -> None:
    """Draw amplitudes against periods in cells, coloured by the median [Fe/H] of their stars.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    counts : CatalogueCounts
        The catalogue's.
    """
    from matplotlib.colors import ListedColormap, Normalize

    side = _side(counts.bailey.table)
    stars = _coarser(counts.bailey.table, side)
    values = median(_coarser(counts.bailey_feh.table, side), FEH)
    edges = PERIOD.edges[::side], AMPLITUDE.edges[::side]
    axes.pcolormesh(*edges, np.where(stars > 0, 1.0, np.nan).T, cmap=ListedColormap([GREY]))
    norm = Normalize(*ends_of(pd.Series(values.ravel()).dropna()))
    cells = axes.pcolormesh(*edges, values.T, cmap="viridis", norm=norm)
    figure = axes.get_figure()
    assert figure is not None  # noqa: S101 -- whoever made the axes has made it
    figure.colorbar(cells, ax=axes, label=f"Median {FEH_LABEL}", extend="both", pad=0.02)
    axes.set(xlabel="Period (d)", ylabel="Amplitude in G (mag)")
    filled = np.argwhere(stars)
    if len(filled):
        first, last = filled.min(axis=0), filled.max(axis=0) + 1
        axes.set_xlim(edges[0][first[0]] - 0.02, edges[0][last[0]] + 0.02)
        axes.set_ylim(0, edges[1][last[1]] + 0.04)
    _open(axes)


def _side(stars: NDArray[np.int64]) -> int:
    """Return how many fine bins a cell has along each side, so that it holds some stars."""
    for side in (1, 2, 4):
        coarse = _coarser(stars, side)
        if coarse.sum() >= _PER_CELL * np.count_nonzero(coarse):
            return side
    return 4


def _coarser(table: NDArray[np.int64], side: int) -> NDArray[np.int64]:
    """Return counts in cells of several bins along the first two dimensions."""
    n_period, n_amplitude, *rest = table.shape
    blocks = table.reshape(n_period // side, side, n_amplitude // side, side, *rest)
    coarse: NDArray[np.int64] = blocks.sum(axis=(1, 3))
    return coarse


def errors_by_magnitude(counts: CatalogueCounts, synthetic: bool) -> "Figure":
    """Draw the parts of the error of [Fe/H] against the mean magnitude."""
    return _budget(counts.by_magnitude, MAGNITUDE, "Mean G magnitude (mag)", synthetic)


def errors_by_epochs(counts: CatalogueCounts, synthetic: bool) -> "Figure":
    """Draw the parts of the error of [Fe/H] against the number of epochs."""
    return _budget(counts.by_epochs, EPOCHS, "Epochs of the curve", synthetic)


def _budget(counts: Counts, bins: Bins, label: str, synthetic: bool) -> "Figure":
    figure = new_figure(_SIZE, synthetic)
    axes = figure.subplots()
    for words, colour, table in zip(
        ERRORS.values(), (DARK, BLUE, VERMILION, GREEN), counts.table, strict=False
    ):
        shown = table.sum(axis=1) >= _FEWEST
        low, middle, high = (quantile(table[shown], ERROR, part) for part in (0.16, 0.5, 0.84))
        axes.plot(bins.centres[shown], middle, "o-", color=colour, markersize=4, label=words)
        axes.fill_between(bins.centres[shown], low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set(xlabel=label, ylabel="Error of [Fe/H] (dex)", ylim=(0, None))
    axes.legend(frameon=False, fontsize=8)
    _open(axes)
    return figure


def _open(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
