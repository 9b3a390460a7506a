"""What the page says in words: the headline, the stages, what went wrong. All of it escaped."""

import time
from html import escape

from rrl_batch.cluster.dashboard.sky_map import COLOURS
from rrl_batch.cluster.state import RunState, StageState
from rrl_batch.report.drawing import BLUE, DARK, GREEN, GREY, ORANGE, VERMILION

_STATES = {"running": ORANGE, "done": GREEN, "failed": VERMILION, "cancelled": GREY}
_MOST_FAULTS = 8
_FONT = "font: 14px/1.5 system-ui, sans-serif; color: #222;"


def duration(seconds: float | None) -> str:
    """Return a time for people, e.g. "1 h 05 min"."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours:,} h {minutes:02d} min"
    return f"{minutes} min {whole % 60:02d} s" if minutes else f"{whole} s"


def label(job: str, state: RunState) -> str:
    """Return how a job is called where one is chosen."""
    title = state.started.title if state.started else ""
    return f"{title} ({job}): {state.state}" if title and title != job else f"{job}: {state.state}"


def headline(job: str, state: RunState, now: float) -> str:
    """Return what a job is, how it is, and how its stages are, as HTML."""
    started = state.started
    title = started.title if started else job
    began = state.began or now
    ended = state.ended.time if state.ended else now
    clock = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(began))
    badge = (
        f'<span style="background:{_STATES[state.state]};color:white;border-radius:3px;'
        f'padding:2px 8px;font-size:13px">{state.state}</span>'
    )
    message = escape(state.ended.message) if state.ended else ""
    facts = [f"job {escape(job)}", f"began {clock}", f"{duration(ended - began)} so far"]
    if state.ended:
        facts[-1] = f"took {duration(ended - began)}"
    if started and started.command:
        facts.append(f"<code>{escape(started.command)}</code>")
    rows = "".join(_stage_row(stage, now) for stage in state.order)
    return (
        f'<div style="{_FONT}"><div style="font-size:22px">{escape(title)} {badge}</div>'
        f'<div style="color:{DARK}">{" · ".join(facts)}</div>'
        f'<div style="color:{VERMILION}">{message}</div>'
        f'<table style="border-spacing:0 2px;margin-top:6px">{rows}</table></div>'
    )


def _stage_row(stage: StageState, now: float) -> str:
    percent = 100 * stage.fraction
    colour = GREEN if stage.ended else VERMILION if stage.failures else BLUE
    bar = (
        f'<div style="width:220px;height:10px;background:{COLOURS["waiting"]};border-radius:2px">'
        f'<div style="width:{percent:.1f}%;height:10px;background:{colour};border-radius:2px">'
        f"</div></div>"
    )
    amounts = f"{stage.so_far:,.0f} of {stage.total:,.0f} {escape(stage.unit)}"
    if stage.ended:
        end = f"in {duration(stage.ended - stage.began)}"
    else:
        end = f"{duration(stage.seconds_left(now))} left"
    cells = [
        escape(stage.name), bar, f"{percent:.0f} %", amounts,
        f"{stage.rate(now):,.0f} {escape(stage.unit)}/s" if not stage.ended else "", end,
    ]  # fmt: skip
    aligned = ("left", "left", "right", "right", "right", "left")
    return "<tr>" + "".join(
        f'<td style="padding:0 14px 0 0;text-align:{side}">{cell}</td>'
        for cell, side in zip(cells, aligned, strict=True)
    ) + "</tr>"  # fmt: skip


def faults(state: RunState) -> str:
    """Return the tasks that have failed, with their reasons, and the warnings, as HTML."""
    rows = []
    for failure in reversed(state.failures[-_MOST_FAULTS:]):
        stage = state.stages[failure.stage]
        pixels = stage.pixels[failure.task] if failure.task < len(stage.pixels) else []
        where = f"order {pixels[0].order}, pixel {pixels[0].pixel:,}" if pixels else ""
        if len(pixels) > 1:
            where += f" and {len(pixels) - 1} more"
        what = f"{failure.stage}, task {failure.task}" + (f" ({where})" if where else "")
        rows.append((VERMILION, failure.time, what, failure.reason))
    rows += [
        (ORANGE, warning.time, "warning", warning.message)
        for warning in reversed(state.warnings[-_MOST_FAULTS:])
    ]
    lines = "".join(
        f'<tr><td style="color:{colour};padding-right:10px">●</td>'
        f'<td style="padding-right:14px;white-space:nowrap">'
        f"{time.strftime('%H:%M:%S', time.gmtime(at))}</td>"
        f'<td style="padding-right:14px;white-space:nowrap">{escape(what)}</td>'
        f"<td>{escape(why)}</td></tr>"
        for colour, at, what, why in rows
    )
    body = f"<table>{lines}</table>" if lines else f'<span style="color:{DARK}">None.</span>'
    return f'<div style="{_FONT}"><b>Failures and warnings</b><br>{body}</div>'
