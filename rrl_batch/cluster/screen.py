"""How jobs look in a terminal: a line each, or all about one."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rrl_batch.cluster.jobs import JobView
from rrl_batch.cluster.state import RunState, StageState
from rrl_batch.contracts.histogram import HIGHEST, LOWEST

STYLES = {
    "waiting": "yellow", "running": "cyan", "stopping": "yellow", "lost": "bold red",
    "done": "green", "failed": "bold red", "cancelled": "magenta",
}  # fmt: skip

_BARS = " ▁▂▃▄▅▆▇█"
_SMALL = ("compile", "check")
"""Stages that are shown only while they run."""
_LEAST_BAR, _MOST_BAR = 6, 30
_MOST_PASSES = 40
_LAST = 4


def jobs_table(views: Sequence[JobView], now: float) -> RenderableType:
    """Lay out some jobs, a line each, and below what is to know about some of them.

    Parameters
    ----------
    views : sequence of JobView
        How they are.
    now : float
        Unix time, in s.
    """
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("job", "state", "stage"):
        table.add_column(name, no_wrap=True)
    for name in ("partitions", "rate", "left", "warnings"):
        table.add_column(name, justify="right", no_wrap=True)
    notes = []
    for view in views:
        run = view.run
        stage = None if view.is_over else run.current
        goes_on = stage if view.state == "running" else None
        table.add_row(
            view.folder.id,
            Text(view.state, STYLES[view.state]),
            f"{stage.name} {stage.fraction:.0%}" if stage else "",
            _partitions(run),
            _rate(goes_on, now) if goes_on else "",
            _left(goes_on, now) if goes_on else "",
            str(len(run.warnings) or ""),
        )
        if said := note(view, now):
            notes.append(Text.assemble((f"{view.folder.id}: ", "bold"), said))
    return Group(table, *notes)


def note(view: JobView, now: float) -> str:
    """Say in a sentence what is to know about a job beside its figures."""
    if view.run.ended:
        return view.run.ended.message
    if view.state == "waiting":
        return (
            "no worker has started its driver yet. If its scheduler was stopped since, submit the "
            "job again."
        )
    if view.state == "lost":
        since = f"for {duration(now - view.sign.heard)}" if view.sign else "any more"
        return (
            f"its driver has not been heard of {since}. If its scheduler runs on, another worker "
            f"starts it again; if it was stopped, submit the job again, which goes on from what is "
            f"finished."
        )
    return ""


def job_screen(view: JobView, now: float) -> RenderableType:
    """Lay out all about a job.

    Parameters
    ----------
    view : JobView
        How it is.
    now : float
        Unix time, in s.
    """
    run = view.run
    parts: list[RenderableType] = [_head(view, now)]
    stages = [s for s in run.order if s.name not in _SMALL or not (s.ended or view.is_over)]
    if stages:
        parts.append(_stages(stages, run.ended.time if run.ended else now, view.state == "running"))
    if run.sky and run.sky.rows:
        parts.append(_sky(run))
    if run.losses:
        parts.append(_losses(run))
    for title, style, lines in (
        ("failed", "red", [f"{f.stage}: {f.reason}" for f in run.failures]),
        ("warnings", "yellow", [w.message for w in run.warnings]),
    ):
        if lines:
            parts.append(_sentences(title, style, lines))
    return Group(*(Padding(part, (0, 0, 1, 0)) for part in parts))


def _head(view: JobView, now: float) -> Text:
    started = view.run.started
    text = Text.assemble((view.folder.id, "bold"), "  ", (view.state, STYLES[view.state]))
    if started:
        end = view.run.ended.time if view.run.ended else now
        began = datetime.fromtimestamp(started.time).astimezone()
        text.append(f"  since {began:%Y-%m-%d %H:%M:%S}, {duration(end - started.time)}", "dim")
    text.append(f"\n{view.folder.path}", "dim")
    if said := note(view, now):
        text.append(f"\n{said}", STYLES[view.state])
    return text


def _stages(stages: Sequence[StageState], now: float, goes_on: bool) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(min_width=_LEAST_BAR)
    for _ in range(4):
        table.add_column(justify="right", no_wrap=True)
    for stage in stages:
        style = "green" if stage.ended else "cyan"
        table.add_row(
            Text(stage.name, style),
            _Bar(stage.fraction),
            f"{stage.so_far:,.0f} of {stage.total:,.0f} {stage.unit}",
            _rate(stage, now).replace(f" {stage.unit}", "") if stage.ended or goes_on else "",
            clock((stage.ended or now) - stage.began),
            "" if stage.ended or not goes_on else f"{_clock_left(stage, now)} left",
        )
    return table


class _Bar:
    """A bar that takes the room that is left in its line, within limits."""

    def __init__(self, fraction: float) -> None:
        self._bar = ProgressBar(100, 100 * fraction)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._bar

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(_LEAST_BAR, min(_MOST_BAR, options.max_width))


def _sky(run: RunState) -> Table:
    stage = run.sky
    table = Table.grid(padding=(0, 2))
    if stage is None:
        return table
    table.add_row("partitions", f"{_partitions(run)} in '{stage.name}'")
    if stage.feh_histogram:
        table.add_row("[Fe/H]", _histogram(stage.feh_histogram, "cyan", "so far"))
        if any(run.training_histogram):
            table.add_row("", _histogram(run.training_histogram, "dim", "learnt from"))
    counts = ", ".join(f"{name} {n:,}" for name, n in sorted(stage.counts.items()))
    table.add_row("stars", f"{stage.rows:,}" + (f": {counts}" if counts else ""))
    return table


def _histogram(counts: Sequence[int], style: str, what: str) -> Text:
    ends = f"{LOWEST:.1f}".replace("-", "−"), f"{HIGHEST:.1f}"
    return Text.assemble((ends[0], "dim"), (bars(counts), style), (ends[1], "dim"), f"  {what}")


def _losses(run: RunState) -> Table:
    table = Table.grid(padding=(0, 2))
    shown = list(run.losses.items())[-12:]
    for member, passes in shown:
        last = passes[-1]
        values = [p.stopping_loss if p.stopping_loss is not None else p.loss for p in passes]
        known = [value for value in values if value is not None]
        if known:
            some = known[:: -(-len(known) // _MOST_PASSES)]
            curve = Text(bars(some, low=min(some)), "cyan")
            table.add_row(member, curve, f"pass {last.epoch}", f"loss {known[-1]:.4g}")
    return table


def _sentences(title: str, style: str, lines: Sequence[str]) -> Text:
    more = f", the last of {len(lines)}" if len(lines) > _LAST else ""
    return Text("\n").join([Text(title + more, style), *(Text(s) for s in lines[-_LAST:])])


def bars(values: Sequence[float], low: float = 0.0) -> str:
    """Return some values as a row of bars, one a character."""
    span = (max(values, default=0.0) - low) or 1.0
    steps = len(_BARS) - 1
    return "".join(_BARS[round(max(value - low, 0.0) / span * steps)] for value in values)


def _partitions(run: RunState) -> str:
    stage = run.sky
    if stage is None:
        return ""
    done = sum(len(task.pieces) for task in stage.done.values())
    return f"{done:,}/{sum(map(len, stage.pixels)):,}"


def _rate(stage: StageState, now: float) -> str:
    rate = stage.rate(now)
    if not rate:
        return ""
    return f"{rate:,.0f} {stage.unit}/s" if rate >= 10 else f"{rate:.2g} {stage.unit}/s"


def _left(stage: StageState, now: float) -> str:
    left = stage.seconds_left(now)
    return "?" if left is None else duration(left)


def _clock_left(stage: StageState, now: float) -> str:
    left = stage.seconds_left(now)
    return "?" if left is None else clock(left)


def clock(seconds: float) -> str:
    """Return a time as a clock would show it, hours only if there are some."""
    minutes, rest = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def duration(seconds: float) -> str:
    """Return a time in the units that people would use."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
