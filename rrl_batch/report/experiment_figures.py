"""The figures of an experiment, drawn from its tables."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.report.drawing import (
    BLUE,
    DARK,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    VERMILION,
    comparison_panel,
    limits_of,
    new_figure,
    share_counts,
)
from rrl_batch.training.metrics import scores as scores_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

_MINUS = "−"
_GRID_POINTS = 400
_STYLES: dict[str, dict[str, Any]] = {
    "rival": {"color": "black", "marker": "v", "linestyle": "--"},
    "baseline": {"color": VERMILION, "marker": "^", "linestyle": ":"},
    "reference": {"color": BLUE, "marker": "o", "linestyle": "-"},
    "regressor": {"color": PURPLE, "marker": "D", "linestyle": "-."},
    "best": {"color": GREEN, "marker": "s", "linestyle": "-"},
}
_ROLES = {"regressor": "best without a network"}


def score_chart(scores: pd.DataFrame, marked: Mapping[str, str], synthetic: bool) -> "Figure":
    """Draw the RMSE of all cases with their intervals, the best on top.

    Parameters
    ----------
    scores : pandas.DataFrame
        Table `scores` of an experiment.
    marked : mapping of str to str
        Cases to be set off, by role: those of `opponents`, and "best".
    synthetic : bool
        Whether the stars are simulated.
    """
    ensemble = scores[scores["of"] == "ensemble"].dropna(subset="rmse")
    ensemble = ensemble.sort_values("rmse", kind="stable")
    single = scores[scores["of"] == "single"].set_index("case")["rmse"].reindex(ensemble["case"])
    figure = new_figure((8, 1.6 + 0.3 * len(ensemble)), synthetic)
    axes = figure.subplots()
    rows = np.arange(len(ensemble))
    axes.scatter(single, rows, s=26, facecolors="none", edgecolors=DARK, zorder=3,
                 label="one repeat, mean")  # fmt: skip
    styles = _styles(marked)
    for row, case in zip(rows, ensemble.itertuples(), strict=True):
        style = styles.get(str(case.case), {"color": DARK, "marker": "o"})
        _interval(axes, [case.rmse], [row], [case.rmse_low], [case.rmse_high], style)
    axes.plot([], [], "o-", color=DARK, label="mean over the repeats, 95 % interval")
    for name, style in styles.items():
        value = ensemble.loc[ensemble["case"] == name, "rmse"]
        if len(value):
            axes.axvline(value.iloc[0], color=style["color"], linestyle=style["linestyle"],
                         linewidth=1.1, zorder=1, label=_label(name, marked))  # fmt: skip
    axes.set_yticks(rows, list(ensemble["case"]), parse_math=False)
    axes.set(ylim=(len(ensemble) - 0.4, -0.6), xlabel="RMSE, out of fold (dex)")
    axes.grid(axis="y", color=GREY, linewidth=0.5)
    _legend(figure)
    return figure


def bias_chart(bias: pd.DataFrame, marked: Mapping[str, str], synthetic: bool) -> "Figure":
    """Draw the mean error of some cases in bins of [Fe/H], with standard errors.

    Parameters
    ----------
    bias : pandas.DataFrame
        Table `bias` of an experiment.
    marked : mapping of str to str
        Cases to draw, by role.
    synthetic : bool
        Whether the stars are simulated.
    """
    error = bias["bias_error"].fillna(0)
    table = pd.DataFrame(
        {
            "case": bias["case"],
            "tick": [
                f"{_bin(low, high)}\n{n:,} stars"
                for low, high, n in zip(bias["feh_min"], bias["feh_max"], bias["n"], strict=True)
            ],
            "value": bias["bias"],
            "low": bias["bias"] - error,
            "high": bias["bias"] + error,
        }
    )
    figure = _chart_of_groups(table, marked, synthetic)
    (axes,) = figure.axes
    axes.axhline(0, color="black", linewidth=1)
    axes.set(xlabel="[Fe/H] of the labels (dex)", ylabel="Mean of predicted − label (dex)")
    return figure


def noise_chart(noise: pd.DataFrame, marked: Mapping[str, str], synthetic: bool) -> "Figure":
    """Draw the RMSE of some cases against the photometric noise, in quintiles of it.

    Parameters
    ----------
    noise : pandas.DataFrame
        Table `noise` of an experiment.
    marked : mapping of str to str
        Cases to draw, by role.
    synthetic : bool
        Whether the stars are simulated.
    """
    ticks = [f"{row.noise_min:.4f}–\n{row.noise_max:.4f}" for row in noise.itertuples()]
    figure = _chart_of_groups(
        noise.rename(columns={"rmse": "value"}).assign(tick=ticks), marked, synthetic
    )
    figure.axes[0].set(xlabel="Photometric noise of an epoch (mag), quintiles", ylabel="RMSE (dex)")
    return figure


def _chart_of_groups(table: pd.DataFrame, marked: Mapping[str, str], synthetic: bool) -> "Figure":
    """Draw `value` from `low` to `high` of marked cases side by side, a `tick` for each group."""
    figure = new_figure((8, 5), synthetic)
    axes = figure.subplots()
    ticks: list[str] = []
    for i, (name, style) in enumerate(styles := _styles(marked).items()):
        rows = table[table["case"] == name].reset_index(drop=True)
        x = rows.index.to_numpy() + _dodge(i, len(styles))
        _interval(axes, x, rows["value"], rows["low"], rows["high"], style, vertical=True,
                  label=_label(name, marked))  # fmt: skip
        ticks = list(rows["tick"])
    axes.set_xticks(np.arange(len(ticks)), ticks)
    _legend(figure)
    return figure


def learning_chart(
    learning: pd.DataFrame, levels: Mapping[str, tuple[str, float]], synthetic: bool
) -> "Figure":
    """Draw learning curves: RMSE against the number of training stars.

    Parameters
    ----------
    learning : pandas.DataFrame
        Table `learning` of an experiment.
    levels : mapping of str to (str, float)
        RMSE (dex) of baseline and rival with all their training stars: role to name and value.
    synthetic : bool
        Whether the stars are simulated.
    """
    from matplotlib.ticker import NullFormatter

    figure = new_figure((8, 5), synthetic)
    axes = figure.subplots()
    styles = [*list(_STYLES.values())[2:], {"color": ORANGE, "marker": "P", "linestyle": "-"}]
    for i, (series, rows) in enumerate(learning.groupby("series", sort=False)):
        style = styles[i % len(styles)]
        axes.plot(rows["n_training"], rows["rmse"], color=style["color"], linewidth=1.2)
        _interval(axes, rows["n_training"], rows["rmse"], rows["low"], rows["high"], style,
                  vertical=True, label=str(series))  # fmt: skip
    for role, (name, value) in levels.items():
        style = _STYLES[role]
        axes.axhline(value, color=style["color"], linestyle=style["linestyle"], linewidth=1.1,
                     label=f"{name} ({role}), all its training stars")  # fmt: skip
    axes.set(xscale="log", xlabel="Training stars of a member", ylabel="RMSE, out of fold (dex)")
    stars = sorted({round(n) for n in learning["n_training"].dropna()})
    axes.set_xticks(stars, [f"{n:,}" for n in stars])
    axes.xaxis.set_minor_formatter(NullFormatter())
    _legend(figure)
    return figure


def loss_chart(history: pd.DataFrame, members: pd.DataFrame, synthetic: bool) -> "Figure":
    """Draw the losses of the members of a case pass by pass: a line a fold and repeat.

    Parameters
    ----------
    history, members : pandas.DataFrame
        Rows of one case, or of one architecture of it.
    synthetic : bool
        Whether the stars are simulated.
    """
    from matplotlib.ticker import MaxNLocator

    figure = new_figure((8, 5), synthetic)
    axes = figure.subplots()
    for column, color, style, label in (
        ("training_loss", BLUE, "-", "training stars"),
        ("stopping_loss", VERMILION, "--", "stopping stars, inside the training folds"),
    ):
        wide = history.pivot_table(column, "epoch", ["architecture", "repeat", "fold"],
                                   observed=True)  # fmt: skip
        axes.plot(wide.index, wide, color=color, alpha=0.35, linewidth=0.8, linestyle=style)
        axes.plot(wide.index, wide.median(axis=1), color=color, linewidth=2.2, linestyle=style,
                  label=f"{label}, median of {wide.shape[1]} members")  # fmt: skip
    kept = members["epochs"].dropna()
    if len(kept):
        axes.axvline(kept.median(), color=DARK, linewidth=1, linestyle=":",
                     label="weights kept, median")  # fmt: skip
    axes.set(yscale="log", xlabel="Pass over the training stars", ylabel="Loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(figure)
    return figure


def prediction_chart(sets: Mapping[str, tuple[Floats, Floats]], synthetic: bool) -> "Figure":
    """Draw histograms of labels and predictions, and predictions against labels, of sets of stars.

    Parameters
    ----------
    sets : mapping of str to (true, predicted)
        Labels and predictions, (n_stars,) float64, in dex, of e.g. training and validation stars.
    synthetic : bool
        Whether the stars are simulated.
    """
    figure = new_figure((9.6, 4.8 * len(sets)), synthetic)
    panels = figure.subplots(len(sets), 2, squeeze=False)
    limits = limits_of(pd.Series(np.concatenate([true for true, _ in sets.values()])), margin=0.3)
    edges = list(np.linspace(*limits, 1 + round((limits[1] - limits[0]) / 0.1)))
    clouds = []
    for (title, (true, predicted)), (left, right) in zip(sets.items(), panels, strict=True):
        known = np.isfinite(predicted)
        label, value = true[known], predicted[known]
        left.hist(label, bins=edges, color=GREY, label="labels")
        left.hist(np.clip(value, *limits), bins=edges, histtype="step", color=BLUE, linewidth=1.8,
                   label="predicted")  # fmt: skip
        left.set(xlim=limits, xlabel="[Fe/H] (dex)", ylabel="Stars per 0.1 dex", box_aspect=1)
        left.set_title(title, parse_math=False)
        left.legend(loc="upper right", frameon=False)
        merit = scores_of(label, value, np.ones_like(label))
        clouds.append(comparison_panel(right, label, value, limits, merit))
        right.set(xlabel="[Fe/H] of the labels (dex)", ylabel="Predicted [Fe/H] (dex)")
        right.legend(loc="lower right", framealpha=0.85, edgecolor="none")
    share_counts(figure, list(panels[:, 1]), clouds)
    return figure


def label_chart(feh: Floats, weights: Floats, synthetic: bool) -> "Figure":
    """Draw the distribution of the labels, its kernel density estimate, and the weights.

    Parameters
    ----------
    feh : (n_stars,) float64
        Labels, in dex.
    weights : (n_stars,) float64
        Sample weights.
    synthetic : bool
        Whether the stars are simulated.
    """
    from scipy.stats import gaussian_kde

    figure = new_figure((8, 5), synthetic)
    axes = figure.subplots()
    limits = limits_of(pd.Series(feh), margin=0.1)
    edges = list(np.linspace(*limits, 1 + round((limits[1] - limits[0]) / 0.1)))
    axes.hist(feh, bins=edges, density=True, color=GREY, label=f"{len(feh):,} stars")
    if np.ptp(feh) > 0:
        grid = np.linspace(*limits, _GRID_POINTS)
        axes.plot(grid, gaussian_kde(feh)(grid), color=BLUE, linewidth=1.8,
                  label="kernel density estimate")  # fmt: skip
    axes.set(xlim=limits, xlabel="[Fe/H] of the labels (dex)", ylabel="Density (1/dex)")
    right = axes.twinx()
    right.scatter(feh, weights, s=5, color=VERMILION, linewidths=0)
    right.set(ylim=(0, 1.08 * float(weights.max())))
    right.set_ylabel("Weight of a star", color=VERMILION)
    axes.scatter([], [], s=20, color=VERMILION, label="weight, right-hand scale")
    _legend(figure)
    return figure


def _styles(marked: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the style of each marked case, that of its first role in the order of the styles."""
    found: dict[str, dict[str, Any]] = {}
    for role, style in _STYLES.items():
        if role in marked:
            found.setdefault(marked[role], style)
    return found


def _label(name: str, marked: Mapping[str, str]) -> str:
    roles = [_ROLES.get(role, role) for role, case in marked.items() if case == name]
    return f"{name} ({', '.join(roles)})"


def _interval(
    axes: "Axes", x: Any, y: Any, low: Any, high: Any, style: dict[str, Any], *,
    vertical: bool = False, label: str | None = None,
) -> None:  # fmt: skip
    """Draw points with intervals, which are those of y if vertical, else of x."""
    value = np.asarray(y if vertical else x, float)
    # no bar where there is no interval
    bars = np.nan_to_num([value - np.asarray(low, float), np.asarray(high, float) - value])
    axes.errorbar(
        x, y, **{"yerr" if vertical else "xerr": np.maximum(bars, 0)}, fmt=style["marker"],
        color=style["color"], markersize=6, capsize=2.5, linewidth=1.4, zorder=4, label=label,
    )  # fmt: skip


def _dodge(i: int, n: int) -> float:
    """Return the offset of the i-th of n series, so that none hides another."""
    return 0.11 * (i - (n - 1) / 2)


def _bin(low: float, high: float) -> str:
    edge = {True: f"{low:.1f}", False: f"{high:.1f}"}
    if np.isnan(low):
        text = f"below {edge[False]}"
    elif np.isnan(high):
        text = f"above {edge[True]}"
    else:
        text = f"{edge[True]} to {edge[False]}"
    return text.replace("-", _MINUS)


def _legend(figure: "Figure") -> None:
    """Write the legend under the axes; names from files are no mathematics."""
    legend = figure.legend(loc="outside lower left", frameon=False, ncols=2)
    for text in legend.get_texts():
        text.set_parse_math(False)
