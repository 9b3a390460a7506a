"""The figures of the method: light curves as a network gets them, and the network itself."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from rrl_batch.inference.model import Model
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.drawn import DrawnCurve, drawn_curves
from rrl_batch.report.drawing import BLUE, DARK, GREY, SKY, VERMILION, new_figure

if TYPE_CHECKING:
    import keras
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 3
_BOX = (2.9, 0.62)
"""Width and height of a layer's box, in inches."""
_STEP = (3.3, 0.95)
"""Distance of the boxes' centres, in inches."""
_PALE = "#E6F1FA"


def light_curves(stars: pd.DataFrame, curves: Sequence[DrawnCurve], synthetic: bool) -> "Figure":
    """Draw the folded epochs of some stars and the smoothed curve through them, a panel a star.

    Parameters
    ----------
    stars : pandas.DataFrame
        Their `source_id` and `period` (days).
    curves : sequence of DrawnCurve
        Their folded epochs, and the curves through them.
    synthetic : bool
        Whether the stars are simulated.
    """
    n_rows = -(-len(stars) // _COLUMNS)
    figure = new_figure((3.6 * _COLUMNS, 2.7 * n_rows), synthetic)
    panels = figure.subplots(n_rows, _COLUMNS, sharex=True, squeeze=False).ravel()
    for i, (axes, star, curve) in enumerate(zip(panels, stars.itertuples(), curves, strict=False)):
        axes.scatter(curve.phase, curve.mag, s=13, color=VERMILION, alpha=0.7, linewidths=0,
                     label="folded epochs")  # fmt: skip
        axes.plot(curve.grid, curve.curve, color=BLUE, linewidth=1.6, label="smoothed")
        axes.set_title(f"{star.source_id}, P = {star.period:.4f} d", parse_math=False, fontsize=9)
        axes.set(xlim=(0, 1))
        axes.tick_params(labelbottom=i + _COLUMNS >= len(stars))
        axes.invert_yaxis()
    for axes in panels[len(stars) :]:
        axes.set_axis_off()
    figure.supxlabel("Phase (cycles)")
    figure.supylabel("G (mag)")
    panels[0].legend(frameon=False, fontsize=8)
    return figure


def draw_light_curves(stars: LightCurveBatch, model: Model, *, synthetic: bool = False) -> "Figure":
    """Draw the folded epochs of some stars, and the smoothed curves that a model gets of them.

    Parameters
    ----------
    stars : LightCurveBatch
        The stars, a panel each.
    model : Model
        The model.
    synthetic : bool
        Whether the stars are simulated, so that the figure says so.
    """
    return light_curves(stars.stars, drawn_curves(stars, model.preparation), synthetic)


def network_diagram(network: "keras.Model", synthetic: bool) -> "Figure":
    """Draw the layers of a network from input to output, with output shapes and parameters.

    Parameters
    ----------
    network : keras.Model
        A functional model.
    synthetic : bool
        Whether it is for simulated stars.
    """
    layers = [layer for layer in network.operations if not _is_mask(layer)]
    parents = _parents(layers)
    depth = _depths(parents)
    places = _places(depth)
    lanes = _lanes(parents, depth, places)
    left = min(x for x, _ in places) - _BOX[0] / 2 - 0.2
    right = max([x + _BOX[0] / 2 for x, _ in places] + list(lanes.values())) + 0.2
    bottom = max(y for _, y in places) + _BOX[1] / 2 + 0.1
    top = -_BOX[1] / 2 - 0.1
    figure = new_figure((right - left, bottom - top + 0.4), synthetic)
    axes = figure.subplots()
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    axes.set_axis_off()
    axes.set_title(f"{network.name}: {network.count_params():,} parameters", parse_math=False)
    for layer, place in zip(layers, places, strict=True):
        _draw_layer(axes, layer, place)
    for child, place in enumerate(places):
        for parent in parents[child]:
            _draw_arrow(axes, places[parent], place, lanes.get((parent, child)))
    return figure


def _is_mask(layer: Any) -> bool:
    """Tell whether an operation gives nothing but the mask of padded steps."""
    return bool(getattr(layer.output, "dtype", None) == "bool")


def _parents(layers: list[Any]) -> list[list[int]]:
    """Return for each layer which others its inputs are the outputs of."""
    from keras import tree

    made_by = {
        id(tensor): i for i, layer in enumerate(layers) for tensor in tree.flatten(layer.output)
    }
    found = [
        {made_by.get(id(tensor), i) for tensor in tree.flatten(layer.input)}
        for i, layer in enumerate(layers)
    ]
    # the input of an input layer is its own output
    return [sorted(those - {i}) for i, those in enumerate(found)]


def _depths(parents: list[list[int]]) -> list[int]:
    """Return the longest way from an input to each layer; parents come before their children."""
    depth: list[int] = []
    for those in parents:
        depth.append(1 + max((depth[parent] for parent in those), default=-1))
    return depth


def _places(depth: list[int]) -> list[tuple[float, float]]:
    """Return the centre of each box: layers of one depth side by side."""
    beside = {own: [i for i, d in enumerate(depth) if d == own] for own in depth}
    return [
        ((beside[own].index(i) - (len(beside[own]) - 1) / 2) * _STEP[0], own * _STEP[1])
        for i, own in enumerate(depth)
    ]


def _lanes(
    parents: list[list[int]], depth: list[int], places: list[tuple[float, float]]
) -> dict[tuple[int, int], float]:
    """Return where each connection that leaps over layers passes them on the right."""
    lanes = {}
    for child, those in enumerate(parents):
        for parent in those:
            if depth[child] - depth[parent] > 1:
                passed = range(depth[parent], depth[child] + 1)
                outermost = max(x for (x, _), d in zip(places, depth, strict=True) if d in passed)
                lanes[parent, child] = outermost + _BOX[0] / 2 + 0.25
    return lanes


def _draw_layer(axes: "Axes", layer: Any, place: tuple[float, float]) -> None:
    from matplotlib.patches import FancyBboxPatch

    count = layer.count_params() if hasattr(layer, "count_params") else 0
    shape = " × ".join("stars" if size is None else str(size) for size in layer.output.shape)
    parameters = f", {count:,} parameters" if count else ""
    x, y = place
    axes.add_patch(
        FancyBboxPatch(
            (x - _BOX[0] / 2, y - _BOX[1] / 2), *_BOX, boxstyle="round,pad=0,rounding_size=0.08",
            facecolor=_PALE if count else "white", edgecolor=BLUE if count else GREY,
        )
    )  # fmt: skip
    axes.text(x, y, f"{_name(layer)}\n{shape}{parameters}", ha="center", va="center",
              fontsize=8.5, parse_math=False)  # fmt: skip


def _name(layer: Any) -> str:
    """Return the class of a layer, and its name if that is not of Keras' making."""
    kind = type(layer).__name__
    given = re.sub(r"_\d+$", "", layer.name).replace("_", "") != kind.lower()
    if hasattr(layer, "forward_layer"):
        kind += f" {type(layer.forward_layer).__name__}"
    return f"{layer.name} · {kind}" if given else kind


def _draw_arrow(
    axes: "Axes", start: tuple[float, float], end: tuple[float, float], lane: float | None
) -> None:
    """Draw a connection downwards, or round the layers between by a lane on their right."""
    (x0, y0), (x1, y1) = start, end
    if lane is None:
        points = [(x0, y0 + _BOX[1] / 2), (x1, y1 - _BOX[1] / 2)]
    else:
        side = _BOX[0] / 2
        points = [(x0 + side, y0), (lane, y0), (lane, y1), (x1 + side, y1)]
        axes.plot(*zip(*points, strict=True), color=SKY, linewidth=1.4, zorder=0.5)
    axes.annotate(
        "", points[-1], points[-2], zorder=0.5,
        arrowprops={"arrowstyle": "-|>", "color": DARK if lane is None else SKY, "shrinkA": 0,
                    "shrinkB": 0},
    )  # fmt: skip
