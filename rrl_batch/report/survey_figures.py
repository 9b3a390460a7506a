"""The figures of a survey: where its stars are, and how they were observed."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.report.drawing import (
    BLUE,
    DARK,
    GREEN,
    GREY,
    PURPLE,
    VERMILION,
    draw_stars,
    new_figure,
    share_counts,
)
from rrl_batch.report.sky import (
    density_scale,
    draw_map,
    ends_of,
    map_order,
    pixels_of,
    square_degrees,
)
from rrl_batch.report.survey_stars import MODES, OTHER

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {"RRab": BLUE, "RRc": VERMILION, "RRd": GREEN, OTHER: PURPLE}
_CENTRAL = [0.001, 0.999]
_MOST_BARS = 60
_LOGARITHMIC = 100  # stars in the highest bar, from which on small bars would vanish beside it


def sky(stars: pd.DataFrame, synthetic: bool) -> "Figure":
    """Draw the density of stars, and their median number of epochs, in HEALPix pixels.

    Parameters
    ----------
    stars : pandas.DataFrame
        The stars; those without a position are left out.
    synthetic : bool
        Whether they are simulated.
    """
    from matplotlib.colors import Normalize

    figure = new_figure((8, 9), synthetic)
    placed = stars.dropna(subset=["ra", "dec"])
    order = map_order(len(placed))
    by_pixel = placed["epochs"].groupby(pixels_of(placed, order))
    density, epochs = by_pixel.size() / square_degrees(order), by_pixel.median()
    upper, lower = figure.subplots(2, 1)
    label = f"Stars per square degree (HEALPix order {order})"
    draw_map(upper, order, density, density_scale(density), label)
    draw_map(lower, order, epochs, Normalize(*ends_of(epochs)), "Median number of epochs of a star")
    return figure


def epochs(stars: pd.DataFrame, synthetic: bool) -> "Figure":
    """Draw how many epochs stars have, by mode."""
    return _histogram(stars, "epochs", "Epochs of a star", synthetic, whole=True)


def magnitudes(stars: pd.DataFrame, synthetic: bool) -> "Figure":
    """Draw the mean magnitudes of stars, by mode."""
    return _histogram(stars, "mag", "Mean G magnitude (mag)", synthetic, whole=False)


def _histogram(
    stars: pd.DataFrame, column: str, label: str, synthetic: bool, *, whole: bool
) -> "Figure":
    from matplotlib.ticker import MaxNLocator

    figure = new_figure((8, 4.6), synthetic)
    axes = figure.subplots()
    values = stars[column].replace([np.inf, -np.inf], np.nan)
    edges = _edges(values.dropna(), whole=whole)
    for mode in (*MODES, OTHER):
        some = values[stars["mode"] == mode].dropna()
        if len(some):
            within = some[some.between(edges[0], edges[-1])]
            beyond = _beyond(len(some) - len(within))
            axes.hist(within, bins=list(edges), histtype="step", linewidth=1.6,
                      color=_COLOURS[mode], label=f"{mode}: {len(some):,}{beyond}")  # fmt: skip
    axes.set(xlabel=label, ylabel="Stars", xlim=(edges[0], edges[-1]))
    if axes.dataLim.ymax >= _LOGARITHMIC:
        axes.set_yscale("log")
    else:
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)
    return figure


def _beyond(count: int) -> str:
    return f" ({count:,} beyond)" if count else ""


def _edges(values: pd.Series, *, whole: bool) -> NDArray[np.float64]:
    """Return the edges of bins for all but the farthest values; whole numbers in their middles."""
    low, high = values.quantile(_CENTRAL) if len(values) else (0.0, 1.0)
    if whole:
        width = max(1, int(np.ceil((high - low + 1) / _MOST_BARS)))
        return np.arange(np.floor(low), high + width + 1, width) - 0.5
    return np.linspace(low - 0.05, high + 0.05, _MOST_BARS + 1)


def periods_and_amplitudes(stars: pd.DataFrame, synthetic: bool) -> "Figure":
    """Draw amplitudes against periods, a panel a mode (Bailey's diagram)."""
    known = stars[np.isfinite(stars["amplitude"]) & (stars["period"] > 0)]
    modes = [mode for mode in (*MODES, OTHER) if (known["mode"] == mode).any()] or [MODES[0]]
    figure = new_figure((3.4 * len(modes) + 1, 4.2), synthetic)
    panels = figure.subplots(1, len(modes), sharex=True, sharey=True, squeeze=False)[0]
    extent = _extent(known)
    clouds = []
    for axes, mode in zip(panels, modes, strict=True):
        some = known[known["mode"] == mode]
        period, amplitude = some["period"].to_numpy(float), some["amplitude"].to_numpy(float)
        clouds.append(draw_stars(axes, period, amplitude, extent))
        inside = (extent[0] <= period) & (period <= extent[1]) & (amplitude <= extent[3])
        axes.set_title(f"{mode}: {len(some):,}{_beyond(int(np.sum(~inside)))}")
        axes.set(xlabel="Period (d)", xlim=extent[:2], ylim=extent[2:])
    panels[0].set_ylabel("Amplitude in G (mag)")
    share_counts(figure, panels, clouds)
    return figure


def _extent(known: pd.DataFrame) -> tuple[float, float, float, float]:
    if known.empty:
        return (0.2, 1.0, 0.0, 1.5)
    first, last = known["period"].quantile(_CENTRAL)
    # far above most stars, and not as far as outliers, which single bad transits make
    most = 1.5 * known["amplitude"].quantile(0.95)
    return (float(first) - 0.03, float(last) + 0.03, 0.0, float(most) + 0.01)


def transits(counts: dict[str, int], synthetic: bool) -> "Figure":
    """Draw what has become of the transits that were read.

    Parameters
    ----------
    counts : dict of str to int
        Transits by what has become of them, in words.
    synthetic : bool
        Whether the stars are simulated.
    """
    figure = new_figure((8, 0.6 + 0.42 * len(counts)), synthetic)
    axes = figure.subplots()
    bars = axes.barh(list(counts), list(counts.values()), color=[BLUE, *[GREY] * (len(counts) - 1)])
    axes.bar_label(bars, [f" {n:,}" for n in counts.values()], color=DARK)
    axes.invert_yaxis()
    axes.set(xlabel="Transits", xlim=(0, 1.18 * max(counts.values())))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
