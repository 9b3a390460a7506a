"""The log of a job: a line of JSON a message, with the stage, partition and star it is about."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rrl_batch.cluster.jobs import JobFolder

LOG_FILE = "log.jsonl"

_ABOUT = ("stage", "partition", "star")
"""Attributes that a record may have (``extra`` of a logging call)."""


@contextmanager
def logged(folder: JobFolder) -> Iterator[None]:
    """Keep what this package logs within the block in a job's folder."""
    logger = logging.getLogger("rrl_batch")
    handler = logging.FileHandler(folder.path / LOG_FILE, encoding="utf-8")
    handler.setFormatter(_Lines(folder.id))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        handler.close()


class _Lines(logging.Formatter):
    """Makes a line of JSON of a record."""

    def __init__(self, job: str) -> None:
        super().__init__()
        self._job = job

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": time, "level": record.levelname, "job": self._job}
        line |= {name: getattr(record, name) for name in _ABOUT if hasattr(record, name)}
        return json.dumps(line | {"message": record.getMessage()}, ensure_ascii=False)


def read_log(folder: JobFolder) -> Iterator[str]:
    """Yield the lines of a job's log for people."""
    try:
        with (folder.path / LOG_FILE).open(encoding="utf-8", errors="replace") as lines:
            for text in lines:
                try:
                    yield _readable(json.loads(text))
                except (ValueError, KeyError):
                    continue  # a driver was killed while it wrote it
    except FileNotFoundError:
        return


def _readable(line: dict[str, Any]) -> str:
    when = datetime.fromisoformat(line["time"]).astimezone()
    about = " ".join(str(line[name]) for name in _ABOUT if name in line)
    return (
        f"{when:%Y-%m-%d %H:%M:%S} {line['level']:<7} {about}{': ' * bool(about)}{line['message']}"
    )
