"""The figure of a comparison with globular clusters."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rrl_batch.report.drawing import BLUE, DARK, GREY, PURPLE, limits_of, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLUSTERS = "clusters.png"
NAMES = (CLUSTERS,)


def draw(metrics: dict[str, Any]) -> dict[str, "Figure"]:
    """Return the figure by its name: means of clusters against the literature, and differences.

    Parameters
    ----------
    metrics : dict
        What was found.
    """
    clusters = pd.DataFrame(metrics["clusters"])
    figure = new_figure((7, 8), metrics["synthetic"])
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    limits = limits_of(clusters["feh_literature"], margin=0.3)
    x, error = clusters["feh_literature"], clusters["feh_error"].astype(float).fillna(0)
    scatter = clusters["scatter"].astype(float).fillna(0)
    for axes, values in ((above, clusters["feh"]), (below, clusters["difference"])):
        axes.errorbar(x, values, scatter, fmt="none", color=GREY, linewidth=4, label="members")
        axes.errorbar(
            x, values, error, fmt="o", color=BLUE, markeredgecolor="white", capsize=3,
            label="mean with its error",
        )  # fmt: skip
    for cluster in clusters.itertuples():
        above.annotate(
            f"{cluster.name} ({cluster.n})", (cluster.feh_literature, cluster.feh), (5, 3),
            textcoords="offset points", fontsize=7, color=DARK, parse_math=False,
        )  # fmt: skip
    above.plot(limits, limits, color="black", linewidth=1, label="1 : 1")
    below.axhline(0, color="black", linewidth=1)
    _draw_line(above, metrics["line"], limits)
    above.set(xlim=limits, ylabel="Mean [Fe/H] of the members (dex)")
    below.set(ylabel="Difference (dex)")
    below.set_xlabel(f"[Fe/H] of the literature (dex, {metrics['scale']})", parse_math=False)
    above.legend(loc="lower right", framealpha=0.85, edgecolor="none")
    return {CLUSTERS: figure}


def _draw_line(axes: Any, line: dict[str, Any] | None, limits: tuple[float, float]) -> None:
    from rrl_batch.report.agreement import PIVOT

    if not line or line["slope"]["value"] is None:
        return
    slope, offset = line["slope"]["value"], line["offset_at_pivot"]["value"]
    ends = np.array(limits)
    fitted = PIVOT + offset + slope * (ends - PIVOT)
    axes.plot(ends, fitted, color=PURPLE, linestyle="--", label=f"slope {slope:.2f}")
