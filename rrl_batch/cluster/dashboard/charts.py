"""What is drawn beside the map: how fast it goes, metallicities, flags, losses."""

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, NumeralTickFormatter, Title
from bokeh.plotting import figure

from rrl_batch.cluster.events import EpochEnded
from rrl_batch.cluster.state import HISTORY_SECONDS, RunState, StageState
from rrl_batch.contracts import Flag
from rrl_batch.contracts.histogram import LOWEST, N_BINS, WIDTH
from rrl_batch.report.drawing import BLUE, DARK, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION

_BAR_SECONDS = 10
_MEMBERS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
MOST_MEMBERS = 20
"""Members whose losses are drawn, those that began last."""

MOST_POINTS = 200
"""Passes of a member that are drawn; of more, some."""


def _figure(title: str, height: int = 230, **options: Any) -> Any:
    # a string becomes a title only while nobody has switched off Bokeh's validation, which Dask's
    # dashboard does now and then, for all threads
    plot = figure(
        title=Title(text=title), height=height, sizing_mode="stretch_width", tools="",
        toolbar_location=None, min_width=260, **options,
    )  # fmt: skip
    plot.outline_line_color = None
    plot.grid.grid_line_color = "#F0F0F0"
    plot.axis.axis_line_color = plot.axis.major_tick_line_color = GREY
    plot.axis.minor_tick_line_color = None
    plot.axis.axis_label_text_font_style = "normal"
    plot.axis.axis_label_text_color = plot.axis.major_label_text_color = DARK
    return plot


class Rate:
    """Units a second over the last minutes."""

    def __init__(self) -> None:
        minutes = HISTORY_SECONDS / 60
        self._source = ColumnDataSource({"x": [], "top": []})
        self.root = _figure("Rate", x_range=(-minutes, 0))
        self.root.vbar(
            "x", top="top", width=0.9 * _BAR_SECONDS / 60, source=self._source, color=BLUE
        )
        self.root.y_range.start = 0
        self.root.xgrid.visible = False
        self.root.xaxis.axis_label = "Minutes from now"
        self.root.yaxis.formatter = NumeralTickFormatter(format="0,0.[00]")

    def update(self, stage: StageState | None, now: float) -> None:
        """Show how fast a stage goes."""
        self.root.title.text = f"{stage.unit.capitalize()} a second" if stage else "Rate"
        rates = np.zeros(HISTORY_SECONDS // _BAR_SECONDS)
        last = int(min(now, stage.ended or now)) if stage else 0
        for second, units in (stage.work if stage else {}).items():
            bar = (last - second) // _BAR_SECONDS
            if 0 <= bar < len(rates):
                rates[bar] += units / _BAR_SECONDS
        x = -(np.arange(len(rates)) + 0.5) * _BAR_SECONDS / 60
        self._source.data = {"x": x, "top": rates}


class Metallicities:
    """Histogram of [Fe/H] in the catalogue so far, and of the training stars."""

    def __init__(self) -> None:
        edges = LOWEST + WIDTH * np.arange(N_BINS + 1)
        self._catalogue = ColumnDataSource({"left": [], "right": [], "top": []})
        self._training = ColumnDataSource({"x": [], "y": []})
        self._left, self._right = edges[:-1].round(2), edges[1:].round(2)
        self._known: tuple[int, int] | None = None
        self.root = _figure("[Fe/H]", x_range=(-3, 0.5))
        self.root.quad(
            left="left", right="right", bottom=0, top="top", source=self._catalogue,
            fill_color=BLUE, fill_alpha=0.75, line_color="white", legend_label="catalogue so far",
        )  # fmt: skip
        self.root.step(
            "x", "y", source=self._training, mode="after", line_color=VERMILION, line_width=2,
            legend_label="training set",
        )  # fmt: skip
        self.root.y_range.start = 0
        self.root.xaxis.axis_label = "[Fe/H] (dex)"
        self.root.yaxis.axis_label = "Part of the stars per dex"
        self.root.legend.location = "top_left"
        self.root.legend.border_line_color = None
        self.root.legend.background_fill_alpha = 0.6
        self.root.legend.label_text_font_size = "11px"

    def update(self, state: RunState, stage: StageState | None) -> None:
        """Show the metallicities that are known by now."""
        counts = np.array(stage.feh_histogram if stage else [], float)
        training = np.array(state.training_histogram, float)
        known = int(counts.sum()), int(training.sum())
        if known == self._known:
            return
        self._known = known
        self.root.title.text = f"[Fe/H] of {known[0]:,} stars"
        top = counts / max(counts.sum(), 1) / WIDTH
        n_bins = len(top)
        self._catalogue.data = {
            "left": self._left[:n_bins],
            "right": self._right[:n_bins],
            "top": top,
        }
        line = training / max(training.sum(), 1) / WIDTH
        self._training.data = {"x": self._left[: len(line)], "y": line}


class Flags:
    """How many stars have each flag, so far."""

    def __init__(self) -> None:
        self._names = [str(flag.name) for flag in reversed(Flag)]
        labels = [name.lower().replace("_", " ") for name in self._names]
        self._labels = labels
        self._source = ColumnDataSource(
            {"y": labels, "right": [0.0] * len(labels), "text": [""] * len(labels)}
        )
        self.root = _figure("Flags", y_range=labels, x_range=(0, 1))
        self.root.hbar("y", right="right", height=0.7, source=self._source, color=SKY)
        self.root.text(
            "right", "y", text="text", source=self._source, x_offset=4, text_baseline="middle",
            text_font_size="11px", text_color=DARK,
        )  # fmt: skip
        self.root.ygrid.visible = False
        self.root.xaxis.axis_label = "Part of the stars"
        self.root.xaxis.formatter = NumeralTickFormatter(format="0 %")
        self.root.yaxis.major_label_text_font_size = "11px"
        self._rows = -1

    def update(self, stage: StageState | None) -> None:
        """Show the flags of the stars that are done."""
        rows = stage.rows if stage else 0
        if rows == self._rows:
            return
        self._rows = rows
        counts = [stage.counts[name] if stage else 0 for name in self._names]
        parts = [count / max(rows, 1) for count in counts]
        self.root.title.text = f"Flags of {rows:,} stars"
        self.root.x_range.end = min(1.25 * max(0.08, *parts), 1.15)
        self._source.data = {
            "y": self._labels, "right": parts,
            "text": [f"{count:,}" if count else "" for count in counts],
        }  # fmt: skip


_LOSS_TICKS = [n * 10.0**power for power in range(-4, 3) for n in (1, 2, 5)]
_TITLE = "Loss on the stopping stars, and on the stars learnt from (pale)"


class Losses:
    """Losses of the members, pass after pass."""

    def __init__(self) -> None:
        empty: dict[str, list[Any]] = {"xs": [], "ys": [], "colour": [], "member": []}
        self._stopping, self._training = ColumnDataSource(empty), ColumnDataSource(empty)
        self._known: tuple[float, int] | None = None
        self.root = _figure("Loss", y_axis_type="log")
        self.root.multi_line(
            "xs", "ys", source=self._training, line_color="colour", line_alpha=0.35, line_width=1.5
        )
        self.root.multi_line(
            "xs", "ys", source=self._stopping, line_color="colour", line_width=2,
            legend_field="member",
        )  # fmt: skip
        self.root.x_range.start = 0
        self.root.yaxis.ticker = FixedTicker(ticks=_LOSS_TICKS)
        self.root.yaxis.formatter = NumeralTickFormatter(format="0.[0000]")
        self.root.xaxis.axis_label = "Pass over the training stars"
        self.root.yaxis.axis_label = "Loss"
        self.root.legend.location = "top_right"
        self.root.legend.border_line_color = None
        self.root.legend.background_fill_alpha = 0.6
        self.root.legend.label_text_font_size = "11px"
        self.root.legend.spacing = 0

    def update(self, state: RunState) -> None:
        """Show the losses that are known by now."""
        stages = [stage for stage in state.order if stage.losses]
        stage = stages[-1] if stages else None
        members = dict(list(stage.losses.items())[-MOST_MEMBERS:]) if stage else {}
        known = (stage.began if stage else 0.0, sum(map(len, members.values())))
        if known == self._known:
            return
        self._known = known
        self.root.title.text = _TITLE if stage else "Loss: nothing has been trained yet"
        curves = {
            name: [passes[number] for number in _some(sorted(passes))]
            for name, passes in sorted(members.items())
        }
        self._stopping.data = _lines(curves, "stopping_loss")
        self._training.data = _lines(curves, "loss")


def _some(numbers: list[int]) -> list[int]:
    """Return the numbers of the passes that are drawn, the last among them."""
    every = -(-len(numbers) // MOST_POINTS)
    return numbers[::-1][::every][::-1]


def _lines(curves: dict[str, list[EpochEnded]], which: str) -> dict[str, list[Any]]:
    """Return the lines of members; where there is no loss to stop by, that of the training."""
    lines: dict[str, list[Any]] = {"xs": [], "ys": [], "colour": [], "member": []}
    for i, (name, passes) in enumerate(curves.items()):
        drawn = [(one.epoch, getattr(one, which)) for one in passes]
        if all(loss is None for _, loss in drawn):
            drawn = [(one.epoch, one.loss) for one in passes]
        lines["xs"].append([epoch for epoch, _ in drawn])
        lines["ys"].append([float("nan") if loss is None else loss for _, loss in drawn])
        lines["colour"].append(_MEMBERS[i % len(_MEMBERS)])
        lines["member"].append(name)
    return lines
