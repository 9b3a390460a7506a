"""What happens in a job, as facts that can be kept, sent and replayed: a line of JSON each.

Every view of a job is drawn from its events (`rrl_batch.cluster.state`). They may arrive more than
once and out of order: an event of a stage says when its stage began, and which task it is about.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, TypeAdapter

from rrl_batch.contracts.histogram import N_BINS
from rrl_batch.storage.sky import Pixel

EVENTS_FILE = "events.jsonl"


def _of_all_bins(counts: list[int]) -> list[int]:
    if counts and (len(counts) != N_BINS or min(counts) < 0):
        raise ValueError(f"not {N_BINS} counts")
    return counts


_UNIX_TIME = Field(ge=0, le=1e11)

Finite = Annotated[float, Field(allow_inf_nan=False)]

Histogram = Annotated[list[int], AfterValidator(_of_all_bins)]

JobOutcome = Literal["done", "failed", "cancelled"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that has happened.

    Parameters
    ----------
    time : float
        When, in seconds of Unix time.
    job : str
        Identifier of the job.
    """

    kept: ClassVar[bool] = True
    """Whether it is worth a line in the job's folder."""

    time: Annotated[float, _UNIX_TIME]
    job: str

    def to_json(self) -> str:
        """Return the event as one line of JSON, without its end."""
        content = {"event": type(self).__name__} | asdict(self)
        return json.dumps(content, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, kw_only=True)
class JobStarted(Event):
    """A job has begun, or begun again where it was stopped.

    Parameters
    ----------
    title : str
        What it is, for people.
    command : str
        What was asked for, as on the command line.
    folder : str
        Folder of the job; empty if it has none.
    version : str
        Version of this package.
    """

    title: str
    command: str = ""
    folder: str = ""
    version: str = ""


@dataclass(frozen=True, kw_only=True)
class TrainingSetKnown(Event):
    """It is known which metallicities the model has learnt from.

    Parameters
    ----------
    histogram : list of int
        Training stars in the bins of [Fe/H] of `rrl_batch.contracts.histogram`.
    """

    histogram: Histogram


@dataclass(frozen=True, kw_only=True)
class Warned(Event):
    """The user should know of something that does not stop the job."""

    message: str


@dataclass(frozen=True, kw_only=True)
class JobEnded(Event):
    """A job has ended.

    Parameters
    ----------
    state : {"done", "failed", "cancelled"}
        How.
    message : str
        Why, if it has failed.
    """

    state: JobOutcome
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class StageEvent(Event):
    """Something that has happened in a stage.

    Parameters
    ----------
    stage : str
        Name of the stage, e.g. "predict".
    began : float
        When the stage began, in seconds of Unix time: a stage that runs again begins anew, with
        all that it finds finished.
    """

    stage: str
    began: Annotated[float, _UNIX_TIME]


@dataclass(frozen=True, kw_only=True)
class StageStarted(StageEvent):
    """A stage has begun.

    Parameters
    ----------
    unit : str
        What is counted, e.g. "stars".
    planned : list of float
        How many units each task is, at most.
    pixels : list of list of Pixel
        HEALPix pixels of each task; empty if the stage is not one over the sky.
    """

    unit: str
    planned: list[Finite]
    pixels: list[list[Pixel]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Advanced(StageEvent):
    """A task has got further; the first time, with nothing done, that it runs.

    Parameters
    ----------
    task : int
        Which of the stage.
    done : float
        Units that it has done so far.
    """

    kept = False

    task: int
    done: Finite


@dataclass(frozen=True)
class Piece:
    """A piece of the sky that a task has finished.

    Parameters
    ----------
    pixel : Pixel
        Which.
    rows : int
        Stars in it.
    counts : dict of str to int
        What was counted in it, e.g. stars per flag, without zeros.
    feh_mean : float or None
        Mean [Fe/H] of its stars, in dex, if they have any.
    feh_histogram : list of int
        Stars in bins of [Fe/H]; empty if they have none.
    """

    pixel: Pixel
    rows: int
    counts: dict[str, int] = field(default_factory=dict)
    feh_mean: float | None = None
    feh_histogram: Histogram = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class TaskDone(StageEvent):
    """A task is done.

    Parameters
    ----------
    task : int
        Which of the stage.
    amount : float
        How many units it was in the end.
    fresh : float
        Units that it has done since it was last said to have advanced: not what an earlier run has
        left finished.
    seconds : float
        How long it has computed.
    pieces : list of Piece
        Pieces of the sky in it.
    """

    task: int
    amount: Finite
    fresh: Finite
    seconds: float = 0.0
    pieces: list[Piece] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class TaskFailed(StageEvent):
    """A task has failed.

    Parameters
    ----------
    task : int
        Which of the stage.
    reason : str
        Why, in a sentence.
    """

    task: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class EpochEnded(StageEvent):
    """A member has made a pass over its training stars.

    Parameters
    ----------
    member : str
        Name of the member.
    epoch : int
        Number of the pass, from 1.
    loss, stopping_loss : float or None
        Loss on the stars learnt from and on those that end the training, where there are any and
        the loss is a finite number.
    task : int or None
        Which of the stage has made it, which is a unit of its progress; None if an earlier run
        had made it.
    """

    member: str
    epoch: int
    loss: Finite | None = None
    stopping_loss: Finite | None = None
    task: int | None = None


@dataclass(frozen=True, kw_only=True)
class StageEnded(StageEvent):
    """A stage has ended, with all its tasks done."""


_KINDS: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in (
        JobStarted, TrainingSetKnown, Warned, JobEnded, StageStarted, Advanced, TaskDone,
        TaskFailed, EpochEnded, StageEnded,
    )
}  # fmt: skip


def from_json(line: str) -> Event:
    """Return the event that `Event.to_json` has written.

    Raises
    ------
    ValueError
        If the line is none.
    """
    try:
        content = json.loads(line)
        return _checked(content.pop("event")).validate_python(content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not an event ({error}): {line[:80]}") from None


@cache
def _checked(kind: str) -> TypeAdapter[Event]:
    """Return what makes an event of JSON, and refuses what is none."""
    return TypeAdapter(_KINDS[kind])


def read_events(folder: Path) -> Iterator[Event]:
    """Yield the events of a job's folder, in the order in which they were written.

    Lines that are not whole are passed over: a driver may have been killed while it wrote one.
    """
    try:
        with (folder / EVENTS_FILE).open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    yield from_json(line)
                except ValueError:
                    continue
    except FileNotFoundError:
        return
