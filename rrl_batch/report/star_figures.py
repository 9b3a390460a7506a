"""The figures of a single star: its light curve, what the prediction depends on, its place."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrl_batch.inference.sensitivity import N_PHASES
from rrl_batch.lightcurve.drawn import DrawnCurve
from rrl_batch.report.catalogue_counts import CatalogueCounts
from rrl_batch.report.catalogue_figures import draw_bailey_diagram, draw_distribution
from rrl_batch.report.drawing import BLUE, DARK, GREEN, GREY, PURPLE, VERMILION, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MINUS = "−"


class StarCurve(NamedTuple):
    """What is drawn of a star.

    Attributes
    ----------
    drawn : DrawnCurve
        Its epochs and the smoothed curve.
    sensitivity : (N_PHASES,) float64, in dex per mag
        How [Fe/H] changes when the curve is fainter; NaN where there is no [Fe/H].
    """

    drawn: DrawnCurve
    sensitivity: NDArray[np.float64]


def light_curve(star: dict[str, Any], curve: StarCurve, synthetic: bool) -> "Figure":
    """Draw a star's light curve, and below it what the prediction depends on.

    Parameters
    ----------
    star : dict
        Its row in the catalogue.
    curve : StarCurve
        Its light curve.
    synthetic : bool
        Whether it is simulated.
    """
    figure = new_figure((4.4, 3.9), synthetic)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, 1))
    _draw_light_curve(upper, curve.drawn)
    upper.set_title(f"{star['best_classification']}, P = {star['period']:.4f} d, {value_of(star)}",
                    fontsize=9, parse_math=False)  # fmt: skip
    _draw_sensitivity(lower, curve.sensitivity)
    return figure


def star_page(
    star: dict[str, Any],
    curve: StarCurve | None,
    counts: CatalogueCounts,
    synthetic: bool,
) -> "Figure":
    """Draw all that is known of a star: light curve, prediction, place among the others.

    Parameters
    ----------
    star : dict
        Its row in the catalogue.
    curve : StarCurve or None
        Its light curve, if it is there.
    counts : CatalogueCounts
        The whole catalogue's.
    synthetic : bool
        Whether it is simulated.
    """
    figure = new_figure((10.5, 6.6), synthetic)
    panels = figure.subplots(2, 2, height_ratios=(1.5, 1))
    (upper, bailey), (lower, values) = panels
    if curve is None:
        upper.set_axis_off()
        lower.set_axis_off()
        upper.text(0.5, 0.5, "The light curve is not here.", ha="center", transform=upper.transAxes)
    else:
        _draw_light_curve(upper, curve.drawn)
        _draw_sensitivity(lower, curve.sensitivity)
    upper.set_title(f"{star['source_id']} ({star['best_classification']}): {value_of(star)}",
                    fontsize=10, parse_math=False)  # fmt: skip
    draw_bailey_diagram(bailey, counts)
    if star["period"] is not None and star["amplitude_g"] is not None:
        bailey.plot(star["period"], star["amplitude_g"], "*", color=VERMILION, markersize=17,
                    markeredgecolor="white")  # fmt: skip
    bailey.set_title("Among all stars of the catalogue", fontsize=10)
    draw_distribution(values, counts)
    _draw_values(values, star)
    return figure


def value_of(star: dict[str, Any]) -> str:
    """Return the [Fe/H] of a star with its error, and the baseline's, in words."""
    if star["feh"] is None:
        return "no [Fe/H]"
    text = f"[Fe/H] = {star['feh']:.2f} ± {star['feh_error']:.2f}"
    return text.replace("-", _MINUS)


def _draw_light_curve(axes: "Axes", curve: DrawnCurve) -> None:
    """Draw folded epochs and the curve through them, over two cycles."""
    phase, mag = np.concatenate([curve.phase, curve.phase + 1]), np.tile(curve.mag, 2)
    error = np.nan_to_num(np.tile(curve.mag_error, 2))
    axes.errorbar(phase, mag, error, fmt="o", markersize=3, color=VERMILION, alpha=0.75,
                  elinewidth=0.8, markeredgewidth=0, label="epochs", zorder=3)  # fmt: skip
    if np.isfinite(curve.curve).any():
        grid, line = np.append(curve.grid, curve.grid + 1), np.tile(curve.curve, 2)
        width = np.tile(curve.error, 2)
        axes.plot(grid, line, color=BLUE, linewidth=1.5, label="smoothed")
        axes.fill_between(grid, line - width, line + width, color=BLUE, alpha=0.25, linewidth=0,
                          label="its error")  # fmt: skip
        axes.legend(frameon=False, fontsize=7, loc="lower center", ncols=3, handlelength=1.4,
                    columnspacing=1.2)  # fmt: skip
        # outliers may leave the panel: the curve must be seen
        middle, span = (line.max() + line.min()) / 2, np.ptp(line)
        axes.set_ylim(middle - 0.75 * span - 0.05, middle + 0.85 * span + 0.05)
    axes.set(xlim=(0, 2), ylabel="G (mag)")
    axes.invert_yaxis()
    _open(axes)


def _draw_sensitivity(axes: "Axes", sensitivity: NDArray[np.float64]) -> None:
    """Draw how [Fe/H] changes when the curve is 0.01 mag fainter about each phase."""
    phase = np.arange(2 * N_PHASES + 1) / N_PHASES
    change = 0.01 * np.tile(sensitivity, 3)[: len(phase)]
    axes.axhline(0, color=GREY, linewidth=1)
    for sign, colour in ((1, GREEN), (-1, PURPLE)):
        axes.fill_between(phase, 0, np.clip(sign * change, 0, None) * sign, color=colour,
                          linewidth=0)  # fmt: skip
    axes.set(xlim=(0, 2), xlabel="Phase (cycles)")
    axes.set_ylabel("Δ[Fe/H] (dex)\nif 0.01 mag fainter", fontsize=8)
    _open(axes)


def _draw_values(axes: "Axes", star: dict[str, Any]) -> None:
    """Mark a star's predictions among those of the catalogue."""
    top = axes.get_ylim()[1]
    axes.set_ylim(0, 1.45 * top)
    if star["feh"] is not None:
        axes.errorbar(star["feh"], 1.3 * top, xerr=[[star["feh"] - star["feh_lo"]],
                      [star["feh_hi"] - star["feh"]]], fmt="o", color=VERMILION, capsize=4,
                      label="feh, with its 68 % interval")  # fmt: skip
    if star["feh_baseline"] is not None:
        axes.plot(star["feh_baseline"], 1.12 * top, "D", color=DARK, label="feh_baseline")
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)


def _open(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
