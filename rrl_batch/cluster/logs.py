"""The log of a job: a line of JSON a message, with the stage, partition and star it is about."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rrl_batch.cluster.events import (
    Event,
    JobEnded,
    JobStarted,
    StageEnded,
    StageStarted,
    TaskDone,
    TaskFailed,
)
from rrl_batch.cluster.jobs import JobFolder
from rrl_batch.cluster.monitor import LOGGED_ABOUT

LOG_FILE = "log.jsonl"


@contextmanager
def logged(folder: JobFolder) -> Iterator[Callable[[Event], None]]:
    """Keep what this package logs within the block in a job's folder.

    Yields
    ------
    callable
        Takes an event, and logs that, too.
    """
    logger = logging.getLogger("rrl_batch")
    handler = logging.FileHandler(folder.path / LOG_FILE, encoding="utf-8")
    handler.setFormatter(_Lines(folder.id))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)

    def log_event(event: Event) -> None:
        for line in _lines_of(event):
            handler.handle(logging.makeLogRecord({"levelname": "INFO", **line}))

    try:
        yield log_event
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        handler.close()


def _lines_of(event: Event) -> Iterator[dict[str, Any]]:
    """Yield what is logged of an event; warnings are logged where they arise."""
    match event:
        case JobStarted():
            yield {"msg": f"started by rrl_batch {event.version}: {event.command}"}
        case StageStarted():
            total = f"{sum(event.planned):,.0f} {event.unit}"
            yield {"stage": event.stage, "msg": f"begins: {total} in {len(event.planned):,} tasks"}
        case TaskDone():
            for piece in event.pieces:
                counts = "".join(f", {name} {n:,}" for name, n in sorted(piece.counts.items()))
                where = str(piece.pixel.path)
                message = f"{piece.rows:,} stars{counts}"
                yield {"stage": event.stage, "partition": where, "msg": message}
        case TaskFailed():
            yield {"stage": event.stage, "levelname": "ERROR", "msg": event.reason}
        case StageEnded():
            yield {"stage": event.stage, "msg": "is done"}
        case JobEnded():
            level = "ERROR" if event.state == "failed" else "INFO"
            yield {"levelname": level, "msg": ": ".join(filter(None, (event.state, event.message)))}


class _Lines(logging.Formatter):
    """Makes a line of JSON of a record."""

    def __init__(self, job: str) -> None:
        super().__init__()
        self._job = job

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": time, "level": record.levelname, "job": self._job}
        line |= {name: getattr(record, name) for name in LOGGED_ABOUT if hasattr(record, name)}
        return json.dumps(line | {"message": record.getMessage()}, ensure_ascii=False)


def read_log(folder: JobFolder) -> Iterator[str]:
    """Yield the lines of a job's log for people."""
    try:
        with (folder.path / LOG_FILE).open(encoding="utf-8", errors="replace") as lines:
            for text in lines:
                try:
                    yield _readable(json.loads(text))
                except (ValueError, KeyError, TypeError, RecursionError):
                    continue  # a driver was killed while it wrote it
    except FileNotFoundError:
        return


def _readable(line: dict[str, Any]) -> str:
    when = datetime.fromisoformat(line["time"]).astimezone()
    about = " ".join(str(line[name]) for name in LOGGED_ABOUT if name in line)
    return (
        f"{when:%Y-%m-%d %H:%M:%S} {line['level']:<7} {about}{': ' * bool(about)}{line['message']}"
    )
