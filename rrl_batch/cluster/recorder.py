"""Tell what happens in a job: to the scheduler, whose dashboard shows it, and to a file."""

import asyncio
import concurrent.futures
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rrl_batch import __version__
from rrl_batch.cluster.events import (
    EVENTS_FILE,
    Advanced,
    EpochEnded,
    Event,
    JobEnded,
    JobOutcome,
    JobStarted,
    Piece,
    StageEnded,
    StageStarted,
    TaskDone,
    TaskFailed,
    TrainingSetKnown,
    Warned,
)
from rrl_batch.errors import RunError, SchedulerLostError, UserError
from rrl_batch.storage.manifest import Receipt
from rrl_batch.storage.sky import Pixel
from rrl_batch.training.problem import Pass, Plan

if TYPE_CHECKING:
    from distributed import Client

TOPIC = "rrl-batch"
"""Topic of the scheduler to which the events go, as lists of lines of JSON."""

_ADVANCED_SECONDS = 0.5
_CANCELLED = (KeyboardInterrupt, asyncio.CancelledError, concurrent.futures.CancelledError)

NamedPass = tuple[str, int, float | None, float | None]
"""Member, number, loss and stopping loss of a pass over the training stars."""


@dataclass(frozen=True)
class Outcome:
    """What the result of a task says about the job.

    Parameters
    ----------
    amount : float
        How many units the task was in the end.
    fresh : float or None
        Units of these that were not found finished; if None, those that the task has reported.
    pieces : list of Piece
        Pieces of the sky in it.
    passes : list of tuple
        Passes over training stars, of members that have been fitted.
    """

    amount: float
    fresh: float | None = None
    pieces: list[Piece] = field(default_factory=list)
    passes: list[NamedPass] = field(default_factory=list)


class Recorder:
    """Sends the events of a job to the scheduler and, if the job has a folder, keeps them there.

    Parameters
    ----------
    client : distributed.Client
        The cluster's client.
    job : str
        Identifier of the job.
    folder : pathlib.Path, optional
        Folder of the job, whose file of events is continued.
    listener : callable, optional
        Told every event as well.
    """

    def __init__(
        self,
        client: "Client",
        job: str,
        folder: Path | None = None,
        listener: Callable[[Event], None] | None = None,
    ) -> None:
        self.job = job
        self._listener = listener
        self._client, self._file = client, None if folder is None else folder / EVENTS_FILE
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            _end_torn_line(self._file)

    def stamp(self) -> dict[str, Any]:
        """Return the time and the job, as every event has them."""
        return {"time": time.time(), "job": self.job}

    def emit(self, *events: Event) -> None:
        """Keep and send some events, at once.

        Raises
        ------
        RunError
            If the file of events cannot be written.
        """
        if not events:
            return
        lines = [event.to_json() for event in events]
        if self._file is not None:
            kept = "".join(
                f"{line}\n" for line, event in zip(lines, events, strict=True) if event.kept
            )
            try:
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(kept)
            except OSError as error:
                raise RunError(f"{self._file} cannot be written: {error.strerror}.") from None
        # a job fails of itself, with a better sentence, if its scheduler is gone
        with suppress(OSError, TimeoutError):
            self._client.log_event(TOPIC, lines)
        if self._listener is not None:
            for event in events:
                self._listener(event)


def _end_torn_line(file: Path) -> None:
    """Let what a killed driver was writing be a line of its own."""
    if file.exists() and file.stat().st_size and not file.read_bytes().endswith(b"\n"):
        with file.open("a") as end:
            end.write("\n")


_RECORDER: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


def recorder_of(client: "Client") -> Recorder:
    """Return the recorder of the job that runs; else one for what this client computes."""
    return _RECORDER.get() or Recorder(client, str(client.id))


@contextmanager
def recording(
    client: "Client",
    job: str,
    folder: Path | None = None,
    *,
    title: str = "",
    command: str = "",
    listener: Callable[[Event], None] | None = None,
) -> Iterator[Recorder]:
    """Record what happens within the block as a job: its beginning, its warnings and its end.

    To Dask, the tasks of a job are a span of its name, and those of a stage a span within.

    Parameters
    ----------
    client : distributed.Client
        The cluster's client.
    job : str
        Identifier of the job.
    folder : pathlib.Path, optional
        Folder of the job, which gets `events.jsonl`.
    title : str, optional
        What the job is, for people; else its identifier.
    command : str, optional
        What was asked for.
    listener : callable, optional
        Told every event as well.
    """
    from distributed import span

    recorder = Recorder(client, job, folder, listener)
    token = _RECORDER.set(recorder)
    handler = _Warnings(recorder)
    logger = logging.getLogger("rrl_batch")
    logger.addHandler(handler)
    try:
        recorder.emit(
            JobStarted(
                **recorder.stamp(), title=title or job, command=command,
                folder=str(folder or ""), version=__version__,
            )
        )  # fmt: skip
        with span("rrl-batch", job):
            yield recorder
    except SchedulerLostError:
        raise  # another driver may go on
    except BaseException as error:
        _end(recorder, *how_ended(error))
        raise
    else:
        _end(recorder, "done")
    finally:
        logger.removeHandler(handler)
        _RECORDER.reset(token)


def _end(recorder: Recorder, state: JobOutcome, message: str = "") -> None:
    recorder.emit(JobEnded(**recorder.stamp(), state=state, message=message))


def how_ended(error: BaseException) -> tuple[JobOutcome, str]:
    """Return how a job has ended by an exception, and why."""
    if isinstance(error, _CANCELLED):
        return "cancelled", ""
    return "failed", reason_of(error)


def reason_of(error: BaseException) -> str:
    """Return in one sentence why something has failed."""
    known = isinstance(error, UserError | RunError)
    return str(error) if known else f"{type(error).__name__}: {error}"


class _Warnings(logging.Handler):
    """Makes events of the warnings that this package logs."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(logging.WARNING)
        self._recorder = recorder

    def emit(self, record: logging.LogRecord) -> None:
        """Tell of a warning."""
        try:
            stamp = self._recorder.stamp()
            self._recorder.emit(Warned(**stamp, message=record.getMessage()))
        except Exception:
            self.handleError(record)


class StageRecorder:
    """Tells how a stage goes on.

    Parameters
    ----------
    client : distributed.Client
        The cluster's client.
    stage, unit : str
        Name of the stage, and what it counts.
    keys : sequence of str
        Keys of its tasks.
    planned : sequence of float
        How many units each of them is, at most.
    pixels : sequence of sequence of Pixel
        HEALPix pixels of each task, if it is a stage over the sky.
    """

    def __init__(
        self,
        client: "Client",
        stage: str,
        unit: str,
        keys: Sequence[str],
        planned: Sequence[float],
        pixels: Sequence[Sequence[Pixel]] = (),
    ) -> None:
        self._recorder = recorder_of(client)
        self._number = {key: i for i, key in enumerate(keys)}
        self._stage, self._began = stage, time.time()
        self._seconds: dict[str, float] = {}
        self._reported: dict[str, float] = {}
        self._advanced: dict[str, float] = {}
        self._told: set[tuple[str, int]] = set()
        self._waiting: list[Event] = []
        self._next = 0.0
        self._recorder.emit(
            StageStarted(
                **self._stamp(), unit=unit, planned=[float(n) for n in planned],
                pixels=[list(some) for some in pixels],
            )
        )  # fmt: skip

    def report(self, message: dict[str, Any]) -> None:
        """Take in what a task says of itself, if it is one of this stage."""
        task = message["task"]
        if task not in self._number:
            return
        if "seconds" in message:
            self._seconds[task] = self._seconds.get(task, 0.0) + message["seconds"]
        elif message.get("passes"):
            self._waiting += self._passes_of(message["passes"], self._number[task])
        else:
            self._reported[task] = message["done"]

    def done(self, key: str, outcome: Outcome) -> None:
        """Tell that a task is done."""
        reported, advanced = (of.pop(key, 0.0) for of in (self._reported, self._advanced))
        fresh = reported if outcome.fresh is None else outcome.fresh
        self._waiting += self._passes_of(outcome.passes)
        self._waiting.append(
            TaskDone(
                **self._stamp(), task=self._number[key], amount=float(outcome.amount),
                fresh=float(fresh - advanced), seconds=self._seconds.pop(key, 0.0),
                pieces=outcome.pieces,
            )
        )  # fmt: skip

    def failed(self, key: str, error: BaseException) -> None:
        """Tell that a task has failed."""
        self._waiting.append(
            TaskFailed(**self._stamp(), task=self._number[key], reason=reason_of(error))
        )
        self.flush()

    def ended(self) -> None:
        """Tell that all is done."""
        self._waiting.append(StageEnded(**self._stamp()))
        self.flush()

    def flush(self) -> None:
        """Send what there is to tell."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _ADVANCED_SECONDS
            self._waiting += [
                Advanced(**self._stamp(), task=self._number[key], done=float(done))
                for key, done in self._reported.items()
                if self._advanced.get(key) != done
            ]
            self._advanced |= self._reported
        waiting, self._waiting = self._waiting, []
        self._recorder.emit(*waiting)

    def _stamp(self) -> dict[str, Any]:
        return self._recorder.stamp() | {"stage": self._stage, "began": self._began}

    def _passes_of(self, passes: Iterable[NamedPass], task: int | None = None) -> list[Event]:
        """Return the passes of which nothing has been told yet."""
        events: list[Event] = []
        for member, epoch, loss, stopping_loss in passes:
            if (member, epoch) not in self._told:
                self._told.add((member, epoch))
                events.append(
                    EpochEnded(
                        **self._stamp(), member=member, epoch=epoch, loss=_finite(loss),
                        stopping_loss=_finite(stopping_loss), task=task,
                    )
                )  # fmt: skip
        return events


def _finite(loss: float | None) -> float | None:
    return None if loss is None or not math.isfinite(loss) else float(loss)


def pieces_of(pixels: Sequence[Pixel], rows: Sequence[int], receipts: Sequence[Receipt]) -> Outcome:
    """Return what the receipts of a task over the sky say.

    Parameters
    ----------
    pixels : sequence of Pixel
        Its pieces of the sky.
    rows : sequence of int
        Stars in each.
    receipts : sequence of Receipt
        What has become of each.
    """
    pieces = [
        Piece(
            pixel, n, {name: count for name, count in receipt.counts.items() if count},
            receipt.summary.get("feh_mean"), receipt.summary.get("feh_histogram", []),
        )
        for pixel, n, receipt in zip(pixels, rows, receipts, strict=True)
    ]  # fmt: skip
    fresh = sum(n for n, receipt in zip(rows, receipts, strict=True) if not receipt.found)
    return Outcome(sum(rows), fresh, pieces)


def passes_of(plan: Plan, passes: Iterable[Pass]) -> list[NamedPass]:
    """Return passes over training stars by the names of their members."""
    return [(plan.name_of(one.member), *one[1:]) for one in passes]


def tell_training_set(client: "Client", histogram: list[int]) -> None:
    """Tell which metallicities the model has learnt from."""
    recorder = recorder_of(client)
    recorder.emit(TrainingSetKnown(**recorder.stamp(), histogram=histogram))
