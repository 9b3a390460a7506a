"""The map of the sky, which fills as partitions finish."""

from collections.abc import Iterable
from itertools import chain, islice
from typing import Any, Literal

import numpy as np
from bokeh.models import (
    ColorBar,
    ColumnDataSource,
    FixedTicker,
    HoverTool,
    Label,
    Legend,
    LegendItem,
    LinearColorMapper,
)
from bokeh.palettes import Viridis256
from bokeh.plotting import figure

from rrl_batch.cluster.events import Piece
from rrl_batch.cluster.state import StageState, TaskState
from rrl_batch.report.drawing import BLUE, DARK, GREY, ORANGE, VERMILION
from rrl_batch.report.projection import mollweide, polygons

Colouring = Literal["state", "feh"]

COLOURS: dict[TaskState, str] = {
    "waiting": "#ECECEC", "running": ORANGE, "done": BLUE, "failed": VERMILION,
}  # fmt: skip
FEH_RANGE = -1.9, -1.1
"""Mean [Fe/H] of a pixel, in dex, to which the ends of the colours belong."""


class SkyMap:
    """A map of a stage over the sky, by the state of its pixels or by their mean [Fe/H].

    The polygons are sent once; then only what has changed is.

    Attributes
    ----------
    root : bokeh.plotting.figure
        The figure.
    """

    def __init__(self) -> None:
        self.colouring: Colouring = "state"
        self._source = ColumnDataSource(_no_pixels())
        self._stage: StageState | None = None
        self._n_pixels = 0
        self._polygons: list[list[list[int]]] = []
        self._shown: dict[int, TaskState] = {}
        self._n_done = 0
        self.root = figure(
            title="Sky", height=460, sizing_mode="stretch_width", match_aspect=True,
            x_range=(-2.08, 2.08), y_range=(-1.12, 1.04), tools="pan,wheel_zoom,reset,save",
            active_scroll=None, output_backend="canvas",
        )  # fmt: skip
        self.root.axis.visible = False
        self.root.grid.visible = False
        self.root.outline_line_color = None
        _draw_frame(self.root)
        drawn = self.root.patches(
            "xs", "ys", source=self._source, fill_color="colour", line_color="colour",
            line_width=0.5,
        )  # fmt: skip
        _draw_grid(self.root)
        self.root.add_tools(HoverTool(renderers=[drawn], tooltips=_TOOLTIPS))
        self._legend = _legend_of_states(self.root)
        self._bar = ColorBar(
            color_mapper=LinearColorMapper(Viridis256, low=FEH_RANGE[0], high=FEH_RANGE[1]),
            ticker=FixedTicker(ticks=[-1.9, -1.8, -1.7, -1.6, -1.5, -1.4, -1.3, -1.2, -1.1]),
            title="Mean [Fe/H] of the stars in a pixel (dex)", location="center",
            orientation="horizontal", width=420, height=10, padding=4, visible=False,
            background_fill_color=None,
        )  # fmt: skip
        self.root.add_layout(self._legend, "below")
        self.root.add_layout(self._bar, "below")

    def colour_by(self, colouring: Colouring) -> None:
        """Colour all pixels by their state, or by their mean [Fe/H]."""
        self.colouring = colouring
        self._legend.visible, self._bar.visible = colouring == "state", colouring == "feh"
        stage, self._stage = self._stage, None
        self.update(stage)

    def update(self, stage: StageState | None) -> None:
        """Show how a stage is now."""
        if stage is None:
            self._source.data = _no_pixels()
            self._stage, self._n_pixels = None, 0
            self.root.title.text = "Sky: no stage over the sky yet"
            return
        self.root.title.text = (
            f"Sky: {stage.name}, {len(stage.done):,} of {len(stage.planned):,} tasks"
        )
        if stage is not self._stage or self._n_pixels != sum(map(len, stage.pixels)):
            self._draw(stage)
        else:
            self._patch(stage, self._changed(stage))

    def _draw(self, stage: StageState) -> None:
        """Send all polygons."""
        pixels = tuple(chain.from_iterable(stage.pixels))
        shapes = polygons(pixels)
        of_pixel: list[list[int]] = [[] for _ in pixels]
        for polygon, pixel in enumerate(shapes.pixel):
            of_pixel[pixel].append(polygon)
        numbers = iter(of_pixel)
        self._polygons = [list(islice(numbers, len(some))) for some in stage.pixels]
        self._stage, self._n_pixels = stage, len(pixels)
        self._shown, self._n_done = {}, 0
        blank = len(shapes.pixel)
        columns: dict[str, list[Any]] = {
            "colour": [COLOURS["waiting"]] * blank, "state": ["waiting"] * blank,
            "stars": [""] * blank, "feh": [""] * blank,
        }  # fmt: skip
        for polygon, values in self._values(stage, self._changed(stage)):
            for name, value in values.items():
                columns[name][polygon] = value
        self._source.data = {
            "xs": shapes.xs, "ys": shapes.ys, **columns,
            "pixel": [f"order {pixels[i].order}, pixel {pixels[i].pixel:,}" for i in shapes.pixel],
        }  # fmt: skip

    def _patch(self, stage: StageState, tasks: Iterable[int]) -> None:
        """Send what has changed."""
        patches: dict[str, list[tuple[int, str]]] = {}
        for polygon, values in self._values(stage, tasks):
            for name, value in values.items():
                patches.setdefault(name, []).append((polygon, value))
        if patches:
            self._source.patch(patches)

    def _changed(self, stage: StageState) -> list[int]:
        """Return the tasks whose state is not what is shown, without looking at all of them."""
        done = list(islice(stage.done, self._n_done, None))
        self._n_done = len(stage.done)
        lively = [task for task, state in self._shown.items() if state == "running"]
        candidates = dict.fromkeys((*done, *lively, *stage.running, *stage.failures))
        changed = []
        for task in candidates:
            state = stage.state_of(task)
            if self._shown.get(task) != state:
                changed.append(task)
                # what is done stays so, and what waits is so unless told
                self._shown[task] = state
                if state == "done":
                    del self._shown[task]
        return changed

    def _values(
        self, stage: StageState, tasks: Iterable[int]
    ) -> Iterable[tuple[int, dict[str, str]]]:
        """Yield what is shown of each polygon of some tasks."""
        for task in tasks:
            if task >= len(self._polygons):
                continue
            state = stage.state_of(task)
            done = stage.done.get(task)
            pieces = done.pieces if done else []
            for i, some in enumerate(self._polygons[task]):
                piece = pieces[i] if i < len(pieces) else None
                values = {"state": state, "colour": self._colour(state, piece)}
                if piece is not None:
                    values["stars"] = f"{piece.rows:,}"
                    values["feh"] = "" if piece.feh_mean is None else f"{piece.feh_mean:.2f} dex"
                for polygon in some:
                    yield polygon, values

    def _colour(self, state: TaskState, piece: Piece | None) -> str:
        if self.colouring == "state" or piece is None:
            return COLOURS[state]
        if piece.feh_mean is None:
            return GREY
        low, high = FEH_RANGE
        place = (piece.feh_mean - low) / (high - low) * (len(Viridis256) - 1)
        return str(Viridis256[int(np.clip(round(place), 0, len(Viridis256) - 1))])


_TOOLTIPS = [
    ("HEALPix", "@pixel"), ("State", "@state"), ("Stars", "@stars"), ("Mean [Fe/H]", "@feh"),
]  # fmt: skip


def _no_pixels() -> dict[str, list[Any]]:
    return {name: [] for name in ("xs", "ys", "colour", "state", "stars", "feh", "pixel")}


def _line(longitude: Any, latitude: Any) -> dict[str, Any]:
    x, y = mollweide(*np.broadcast_arrays(np.asarray(longitude, float), latitude))
    return {"x": x.round(4).tolist(), "y": y.round(4).tolist()}


def _draw_frame(plot: Any) -> None:
    """Draw the edge of the map and the directions on it."""
    up = np.linspace(-90, 90, 91)
    edge = _line(np.repeat([180.0, -180.0], len(up)), np.concatenate([up, up[::-1]]))
    plot.patch(**edge, fill_color="white", line_color=GREY, line_width=1)


def _draw_grid(plot: Any) -> None:
    """Draw lines of Galactic longitude and latitude, and say which."""
    up, around = np.linspace(-90, 90, 61), np.linspace(-180, 180, 61)
    style = {"line_color": DARK, "line_width": 0.5, "line_alpha": 0.35}
    for longitude in range(-120, 180, 60):
        plot.line(**_line(longitude, up), **style)
    for latitude in range(-60, 90, 30):
        plot.line(**_line(around, latitude), **style)
    font = {"text_font_size": "11px", "text_color": DARK}
    over = {"background_fill_color": "white", "background_fill_alpha": 0.65, "padding": 1}
    for longitude in (120, 60, 0, -60, -120):
        x, y = mollweide(np.array(float(longitude)), np.array(0.0))
        plot.add_layout(
            Label(
                x=float(x), y=float(y), text=f"{longitude % 360}°", text_align="center",
                text_baseline="middle", **font, **over,
            )
        )  # fmt: skip
    for latitude in (-60, -30, 30, 60):
        x, y = mollweide(np.array(180.0), np.array(float(latitude)))
        plot.add_layout(
            Label(
                x=float(x), y=float(y), text=f"{latitude:+d}°", text_align="right",
                text_baseline="bottom" if latitude > 0 else "top", x_offset=-4, **font,
            )
        )  # fmt: skip


def _legend_of_states(plot: Any) -> Legend:
    items = []
    for state, colour in COLOURS.items():
        mark = plot.scatter(
            [np.nan], [np.nan], marker="square", size=12, color=colour, line_color=GREY
        )
        items.append(LegendItem(label=state, renderers=[mark]))
    return Legend(
        items=items,
        orientation="horizontal",
        location="center",
        border_line_color=None,
        background_fill_alpha=0,
    )
