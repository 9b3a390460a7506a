"""Progress: a line per stage, with how much is done, how fast, and the time that is left."""

import logging
import math
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from tqdm import tqdm

from rrl_batch.cluster.chances import SecondChances
from rrl_batch.cluster.clock import keep_sending
from rrl_batch.cluster.recorder import NamedPass, Outcome, StageRecorder
from rrl_batch.cluster.wanted import end_unwanted_task
from rrl_batch.errors import RunError, SchedulerLostError
from rrl_batch.storage.sky import Pixel

if TYPE_CHECKING:
    from distributed import Client, Future

T = TypeVar("T")

MORE_MEMORY = (
    "give each worker more (cluster.memory_per_worker, or fewer cluster.workers; --memory-limit "
    "of 'dask worker') and run again."
)

log = logging.getLogger(__name__)

LOGGED_ABOUT = ("stage", "partition", "star")
"""What a log record may be about (``extra`` of a logging call)."""

PATIENCE = "rrl-batch.worker-patience"
"""Dask's setting, in a client, that says for how long it waits for workers, in seconds."""

_TOPIC = "rrl-batch-progress"
_LINE = (
    "{desc:<10} {n:,.0f} of {total:,.0f}{unit}  {percentage:3.0f} %  {rate_fmt}  "
    "{elapsed} + {remaining} left"
)
_POLL_SECONDS = 0.1
_LOOK_SECONDS = 5.0
_PAUSE_SECONDS = 30.0
_SHOW_SECONDS = 0.5
_LOG_SECONDS = 10.0


def report(done: float, passes: Sequence[NamedPass] = ()) -> None:
    """Tell the client, from within a task, how far the task is.

    Parameters
    ----------
    done : float
        Units that are done.
    passes : sequence of tuple
        Passes over training stars that have just ended.

    Raises
    ------
    distributed.Reschedule
        If nobody wants the result of the task any more.
    """
    end_unwanted_task()
    _say({"done": done, "passes": passes})


@contextmanager
def timed() -> Iterator[None]:
    """Tell the client, from within a task, that it runs and, in the end, for how long it did.

    Raises
    ------
    distributed.Reschedule
        If nobody wants the result of the task any more.
    """
    end_unwanted_task()
    _tell_what_is_logged()
    keep_sending()
    _say({"done": 0.0})
    start = time.monotonic()
    try:
        yield
    finally:
        _say({"seconds": time.monotonic() - start})


class _ToDriver(logging.Handler):
    """Sends what a task logs to who drives it: nobody reads what a worker prints."""

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record, if it is a task that logs."""
        about = {name: getattr(record, name) for name in LOGGED_ABOUT if hasattr(record, name)}
        level = {"levelno": record.levelno, "levelname": record.levelname}
        with suppress(ValueError, AttributeError):
            _say({"log": {"name": record.name, "msg": record.getMessage(), **level, **about}})


def _tell_what_is_logged() -> None:
    logger = logging.getLogger("rrl_batch")
    if not any(isinstance(handler, _ToDriver) for handler in logger.handlers):
        logger.addHandler(_ToDriver())
        logger.setLevel(logging.INFO)


def _say(message: dict[str, Any]) -> None:
    from distributed import get_worker

    worker = get_worker()
    worker.log_event(_TOPIC, {"task": _mark(worker.get_current_task()), **message})


def _mark(key: Any) -> str:
    """Return what a task's key has in common for its worker and its client.

    Dask gives tasks of a bag that it fuses a name of all of them, but with the token of the last.
    """
    if not isinstance(key, tuple):
        return str(key)
    name, *number = key
    return ":".join((name.rsplit("-", 1)[-1], *map(str, number)))


def gather(
    client: "Client",
    futures: "Sequence[Future]",
    *,
    stage: str,
    unit: str,
    planned: Sequence[float],
    pixels: Sequence[Sequence[Pixel]] = (),
    outcome: Callable[[int, T], Outcome] | None = None,
    resources: Mapping[str, float] | None = None,
    again: "Callable[[int, bool], Future] | None" = None,
    careful: bool = False,
) -> list[T]:
    """Wait for tasks and return their results in order, showing how far they are.

    What happens is also told as events (`rrl_batch.cluster.events`), for every other view of it.

    Parameters
    ----------
    client : distributed.Client
        The cluster's client.
    futures : sequence of Future
        The tasks.
    stage : str
        What is being done, for the line shown, e.g. "predict".
    unit : str
        What is counted, e.g. "stars".
    planned : sequence of float
        How many units each task is, at most.
    pixels : sequence of sequence of Pixel, optional
        HEALPix pixels of each task, if it is a stage over the sky.
    outcome : callable, optional
        From a task's number and result to what it says; else it was as planned.
    resources : mapping of str to float, optional
        What the tasks ask for, of the workers that they wait for.
    again : callable, optional
        From the number of a task that has failed, and whether it shall be careful, to another one
        in its place. What Dask knows as several tasks needs it: Dask's client does again only what
        it has asked for itself.
    careful : bool
        Whether tasks can be careful, as they are done again when workers have died that had them:
        they, or other tasks that these had, may be at fault.

    Raises
    ------
    Exception
        What the first task to fail has raised; the others are cancelled. Errors that may pass
        are waited for, a few times.
    RunError
        If workers died of a task, there were none for long, or all of them have paused for lack of
        memory.
    """
    running: dict[str, float] = {}
    keys = [_mark(future.key) for future in futures]
    names = dict(zip(keys, keys, strict=True))
    number = {future: i for i, future in enumerate(futures)}
    recorder = StageRecorder(client, stage, unit, keys, planned, pixels)

    # they come in another thread
    messages: deque[tuple[float, dict[str, Any]]] = deque()
    client.subscribe_topic(_TOPIC, messages.append)
    expected = [float(units) for units in planned]
    waiting, results = set(futures), {}
    second = SecondChances(client, stage, again, careful)
    bar = tqdm(
        desc=stage,
        unit=f" {unit}",
        total=sum(expected),
        bar_format=_LINE,
        file=sys.stderr,
        mininterval=_SHOW_SECONDS if sys.stderr.isatty() else _LOG_SECONDS,
    )
    finished = 0.0
    watch = _Watch(client, stage, resources)
    try:
        while waiting:
            time.sleep(_POLL_SECONDS)
            watch.look()
            done = []
            for future in [future for future in waiting if future.done()]:
                waiting.remove(future)
                if replacement := second.chance_of(future, number[future]):
                    waiting.add(replacement)
                    number[replacement] = number[future]
                    names[_mark(replacement.key)] = keys[number[future]]
                else:
                    done.append(future)
            # what a task has said of itself is here before its result
            while messages:
                _take_in(messages.popleft()[1], names, stage, running, recorder)
            for future in done:
                if future.status == "error":
                    recorder.failed(keys[number[future]], future.exception())
            for future, result in zip(done, _results(client, done, stage), strict=True):
                i = number[future]
                told = outcome(i, result) if outcome else Outcome(expected[i], expected[i])
                results[i], expected[i] = result, told.amount
                finished += told.amount
                recorder.done(keys[i], told)
            recorder.flush()
            bar.total = sum(expected)
            bar.update(finished + sum(running.get(keys[number[f]], 0.0) for f in waiting) - bar.n)
        bar.refresh()
        recorder.ended()
    finally:
        bar.close()
        client.unsubscribe_topic(_TOPIC)
        # those that failed too: the same tasks given again shall run again (to cancel tasks of
        # which one depends on another would break off the connection to the scheduler)
        for future in number:
            future.release()
    return [results[i] for i in range(len(futures))]


def _take_in(
    message: dict[str, Any],
    names: Mapping[str, str],
    stage: str,
    running: dict[str, float],
    recorder: StageRecorder,
) -> None:
    """Take in what a task says of itself, if it is one of this stage."""
    if message["task"] not in names:
        return  # of another job
    if "log" in message:
        record = logging.makeLogRecord(message["log"] | {"stage": stage})
        logging.getLogger(record.name).handle(record)
        return
    message = message | {"task": names[message["task"]]}
    if "done" in message:
        running[message["task"]] = message["done"]
    recorder.report(message)


def workers_with(client: "Client", resources: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """Return what the scheduler knows of the workers that declare some resources, by address."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return {
        address: worker
        for address, worker in workers.items()
        if all(worker["resources"].get(name, 0) >= n for name, n in resources.items())
    }


class _Watch:
    """An eye on the workers: without one that runs, a stage would wait for ever, in silence."""

    def __init__(
        self, client: "Client", stage: str, resources: Mapping[str, float] | None = None
    ) -> None:
        self._client, self._stage, self._resources = client, stage, resources or {}
        self._next = self._ran = self._there = time.monotonic() + _LOOK_SECONDS
        self._told = False

    def look(self) -> None:
        """Say that there are no workers; raise RunError if that is so, or all paused, for long."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _LOOK_SECONDS
        workers = workers_with(self._client, self._resources).values()
        if workers:
            self._there, self._told = now, False
        else:
            self._look_at_none(now)
        if not workers or any(worker["status"] == "running" for worker in workers):
            self._ran = now
        elif now - self._ran > _PAUSE_SECONDS:
            raise RunError(
                f"{self._stage}: all workers have paused for lack of memory; {MORE_MEMORY}"
            )

    def _look_at_none(self, now: float) -> None:
        lacking = f"no workers that declare {', '.join(self._resources)}"
        none = lacking if self._resources else "no workers"
        patience = _worker_patience()
        if now - self._there > patience:
            raise RunError(
                f"{self._stage}: the cluster has had {none} for {patience / 60:g} minutes; start "
                f"some and give the same command again, what is finished stays "
                f"(cluster.start_timeout = … waits longer)."
            )
        if not self._told:
            log.warning("%s: the cluster has %s; waiting for some.", self._stage, none)
            self._told = True


def _worker_patience() -> float:
    """Return for how many seconds a stage waits while there are no workers."""
    import dask

    return float(dask.config.get(PATIENCE, math.inf))


def _results(client: "Client", done: "list[Future]", stage: str) -> list[Any]:
    """Return tasks' results; say in a sentence that one has killed its workers, or all are lost."""
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    try:
        return client.gather(done)
    except FutureCancelledError:
        raise SchedulerLostError(
            f"{stage}: the scheduler has let go of its tasks: it has gone or was restarted; give "
            f"the same command again when it is there, what is finished stays."
        ) from None
    except KilledWorker as error:
        raise RunError(
            f"{stage}: the task {error.task} was given up after {error.allowed_failures + 1} of "
            f"the workers that ran it had died, most likely for lack of memory; {MORE_MEMORY}"
        ) from None
