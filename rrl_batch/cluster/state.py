"""The state of a job, from its events alone: what every view of it is drawn from.

No input or output, no Dask: events in, state out. Events that come twice, late or out of order, as
when a run is resumed or its file is read while it goes on, give the same totals.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import singledispatchmethod
from typing import Literal

from rrl_batch.cluster.events import (
    Advanced,
    EpochEnded,
    Event,
    JobEnded,
    JobStarted,
    StageEnded,
    StageEvent,
    StageStarted,
    TaskDone,
    TaskFailed,
    TrainingSetKnown,
    Warned,
)
from rrl_batch.storage.sky import Pixel

RATE_SECONDS = 120
"""Time over which the rate of a stage is taken, in s."""

HISTORY_SECONDS = 600
"""Time for which is kept how much was done in each second, in s."""

MOST_WARNINGS = 100

TaskState = Literal["waiting", "running", "done", "failed"]


@dataclass
class StageState:
    """How far a stage is, in the run that began last.

    Parameters
    ----------
    name : str
        Name of the stage.
    began : float
        When it began, in seconds of Unix time.

    Attributes
    ----------
    unit : str
        What is counted.
    planned : list of float
        How many units each task is, at most.
    pixels : list of list of Pixel
        HEALPix pixels of each task, if it is a stage over the sky.
    ended : float or None
        When it ended.
    done : dict of int to TaskDone
        Tasks that are done.
    running : dict of int to float
        Units so far of the tasks that run.
    failures : dict of int to TaskFailed
        Tasks that have failed.
    losses : dict of str to dict of int to EpochEnded
        Passes by member and number.
    amount, seconds : float
        Units in the tasks that are done, and their time of computing, in s.
    rows : int
        Stars in the pieces of the sky that are done.
    counts : Counter
        What was counted in them.
    feh_histogram : list of int
        Their stars in bins of [Fe/H].
    """

    name: str
    began: float
    unit: str = ""
    planned: list[float] = field(default_factory=list)
    pixels: list[list[Pixel]] = field(default_factory=list)
    ended: float | None = None
    done: dict[int, TaskDone] = field(default_factory=dict)
    running: dict[int, float] = field(default_factory=dict)
    failures: dict[int, TaskFailed] = field(default_factory=dict)
    losses: dict[str, dict[int, EpochEnded]] = field(default_factory=dict)
    amount: float = 0.0
    seconds: float = 0.0
    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    feh_histogram: list[int] = field(default_factory=list)
    work: dict[int, float] = field(default_factory=dict, repr=False)
    """Units done in each of the last seconds, by its Unix time."""
    _saved: float = field(default=0.0, repr=False)
    """Units by which tasks that are done were fewer than planned."""
    _total_planned: float = field(default=0.0, repr=False)

    @property
    def total(self) -> float:
        """Units of the whole stage, as far as is known."""
        return self._total_planned - self._saved

    @property
    def so_far(self) -> float:
        """Units that are done, those of running tasks included."""
        return self.amount + sum(self.running.values())

    @property
    def fraction(self) -> float:
        """Part of the stage that is done, from 0 to 1."""
        if self.ended:
            return 1.0
        return min(self.so_far / self.total, 1.0) if self.total else 0.0

    def rate(self, now: float) -> float:
        """Return how many units were done a second over the last `RATE_SECONDS` of the stage.

        What an earlier run had left finished is not among them.

        Parameters
        ----------
        now : float
            Unix time, in s.
        """
        now = min(now, self.ended or now)
        since = max(self.began, now - RATE_SECONDS)
        recent = sum(units for second, units in self.work.items() if since - 1 < second <= now)
        return recent / max(now - since, 1.0)

    def seconds_left(self, now: float) -> float | None:
        """Return how long the rest will take at the present rate; None if that is not known."""
        left = max(self.total - self.so_far, 0.0)
        if self.ended or (self.planned and not left):
            return 0.0
        rate = self.rate(now)
        return left / rate if rate > 0 else None

    def state_of(self, task: int) -> TaskState:
        """Return how a task is."""
        if task in self.done:
            return "done"
        if task in self.failures:
            return "failed"
        return "running" if task in self.running else "waiting"

    def start(self, event: StageStarted) -> None:
        """Take in what the stage consists of."""
        if self.planned:
            return
        self.unit, self.planned, self.pixels = event.unit, event.planned, event.pixels
        self._total_planned = sum(self.planned)
        self._saved = sum(self._plan_of(done.task) - done.amount for done in self.done.values())

    def finish(self, event: TaskDone) -> None:
        """Count a task that is done, once."""
        if event.task in self.done:
            return
        self.done[event.task] = event
        self.running.pop(event.task, None)
        self.amount += event.amount
        self.seconds += event.seconds
        if self.planned:
            self._saved += self._plan_of(event.task) - event.amount
        self._count_work(event.time, event.fresh)
        for piece in event.pieces:
            self.rows += piece.rows
            self.counts.update(piece.counts)
            if piece.feh_histogram:
                known = self.feh_histogram or [0] * len(piece.feh_histogram)
                self.feh_histogram = [
                    a + b for a, b in zip(known, piece.feh_histogram, strict=True)
                ]

    def advance(self, event: Advanced) -> None:
        """Take in how far a task is."""
        if event.task not in self.done:
            before = self.running.get(event.task, 0.0)
            self.running[event.task] = max(before, event.done)
            self._count_work(event.time, max(event.done - before, 0.0))

    def end_epoch(self, event: EpochEnded) -> None:
        """Take in a pass, which is a unit of the progress of the task that has made it."""
        passes = self.losses.setdefault(event.member, {})
        if event.epoch in passes:
            return
        passes[event.epoch] = event
        if event.task is not None:
            self._count_work(event.time, 1.0)
            if event.task not in self.done:
                self.running[event.task] = self.running.get(event.task, 0.0) + 1

    def _plan_of(self, task: int) -> float:
        """Return how many units a task is; one that the stage does not have is none."""
        return self.planned[task] if 0 <= task < len(self.planned) else 0.0

    def _count_work(self, time: float, units: float) -> None:
        if units:
            self.work[int(time)] = self.work.get(int(time), 0.0) + units
        if len(self.work) > 2 * HISTORY_SECONDS:
            last = max(self.work)
            self.work = {t: n for t, n in self.work.items() if t > last - HISTORY_SECONDS}


@dataclass
class RunState:
    """The state of a job.

    Attributes
    ----------
    started : JobStarted or None
        How it began, the last time that it did.
    stages : dict of str to StageState
        Its stages by name, each as it ran last.
    training_histogram : list of int
        Training stars in bins of [Fe/H], where they are known.
    """

    started: JobStarted | None = None
    stages: dict[str, StageState] = field(default_factory=dict)
    training_histogram: list[int] = field(default_factory=list)
    _ended: JobEnded | None = None
    _training_set: TrainingSetKnown | None = None
    _warnings: dict[tuple[float, str], Warned] = field(default_factory=dict)

    @classmethod
    def of(cls, events: Iterable[Event]) -> "RunState":
        """Return the state after some events."""
        state = cls()
        for event in events:
            state.apply(event)
        return state

    @property
    def began(self) -> float:
        """When it began, as far as is known, in seconds of Unix time."""
        if self.started:
            return self.started.time
        return min((stage.began for stage in self.stages.values()), default=0.0)

    @property
    def ended(self) -> JobEnded | None:
        """How the job has ended, unless it has begun again since."""
        if self._ended and self.started and self._ended.time < self.started.time:
            return None
        return self._ended

    @property
    def state(self) -> Literal["running", "done", "failed", "cancelled"]:
        """How the job is; one that nobody has declared, by its stages."""
        if self.ended:
            return self.ended.state
        if self.started or not self.stages:
            return "running"
        if any(stage.failures for stage in self.stages.values()):
            return "failed"
        return "done" if all(stage.ended for stage in self.stages.values()) else "running"

    @property
    def order(self) -> list[StageState]:
        """The stages in the order in which they began."""
        return sorted(self.stages.values(), key=lambda stage: stage.began)

    @property
    def current(self) -> StageState | None:
        """The stage that began last."""
        return self.order[-1] if self.stages else None

    @property
    def sky(self) -> StageState | None:
        """The stage over the sky that began last."""
        over_the_sky = [stage for stage in self.order if stage.pixels]
        return over_the_sky[-1] if over_the_sky else None

    @property
    def losses(self) -> dict[str, list[EpochEnded]]:
        """The passes of each member in order, of all stages that have some."""
        return {
            member: [passes[number] for number in sorted(passes)]
            for stage in self.order
            for member, passes in stage.losses.items()
        }

    @property
    def warnings(self) -> list[Warned]:
        """The last warnings, in order."""
        return [self._warnings[key] for key in sorted(self._warnings)]

    @property
    def failures(self) -> list[TaskFailed]:
        """The tasks that have failed, in order, since the job began last."""
        since = self.started.time if self.started else 0.0
        found = [event for stage in self.order for event in stage.failures.values()]
        return sorted((event for event in found if event.time >= since), key=lambda e: e.time)

    @singledispatchmethod
    def apply(self, event: Event) -> None:
        """Take in an event."""
        raise TypeError(f"{type(event).__name__} is no event of a job")

    @apply.register
    def _(self, event: JobStarted) -> None:
        if self.started is None or event.time >= self.started.time:
            self.started = event

    @apply.register
    def _(self, event: JobEnded) -> None:
        if self._ended is None or event.time >= self._ended.time:
            self._ended = event

    @apply.register
    def _(self, event: TrainingSetKnown) -> None:
        if self._training_set is None or event.time >= self._training_set.time:
            self._training_set, self.training_histogram = event, event.histogram

    @apply.register
    def _(self, event: Warned) -> None:
        self._warnings[event.time, event.message] = event
        if len(self._warnings) > MOST_WARNINGS:
            del self._warnings[min(self._warnings)]

    @apply.register
    def _(self, event: StageEvent) -> None:
        stage = self.stages.get(event.stage)
        if stage is None or event.began > stage.began:
            stage = self.stages[event.stage] = StageState(event.stage, event.began)
        elif event.began < stage.began:
            return  # of a run that the present one has replaced
        match event:
            case StageStarted():
                stage.start(event)
            case Advanced():
                stage.advance(event)
            case TaskDone():
                stage.finish(event)
            case TaskFailed():
                stage.failures[event.task] = event
            case EpochEnded():
                stage.end_epoch(event)
            case StageEnded():
                stage.ended = event.time
