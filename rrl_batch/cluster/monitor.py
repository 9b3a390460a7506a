"""Progress: a line per stage, with how much is done, how fast, and the time that is left."""

import logging
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from tqdm import tqdm

from rrl_batch.errors import RunError

if TYPE_CHECKING:
    from distributed import Client, Future

T = TypeVar("T")

MORE_MEMORY = (
    "give each worker more (cluster.memory_per_worker, or fewer cluster.workers; --memory-limit "
    "of 'dask worker') and run again."
)

log = logging.getLogger(__name__)

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


def report(done: float) -> None:
    """Tell the client, from within a task, how far the task is."""
    from distributed import get_worker

    worker = get_worker()
    worker.log_event(_TOPIC, {"task": str(worker.get_current_task()), "done": done})


def gather(
    client: "Client",
    futures: "Sequence[Future]",
    *,
    stage: str,
    unit: str,
    planned: Sequence[float],
    amount: Callable[[T], float] | None = None,
) -> list[T]:
    """Wait for tasks and return their results in order, showing how far they are.

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
    amount : callable, optional
        How many units a result was in the end, where it may be fewer.

    Raises
    ------
    Exception
        What the first task to fail has raised; the others are cancelled.
    RunError
        If workers died of a task, or all of them have paused for lack of memory.
    """
    running: dict[str, float] = {}

    def listen(event: "tuple[float, dict[str, float]]") -> None:
        running[str(event[1]["task"])] = event[1]["done"]

    client.subscribe_topic(_TOPIC, listen)
    expected = {future.key: float(units) for future, units in zip(futures, planned, strict=True)}
    waiting, results = set(futures), {}
    bar = tqdm(
        desc=stage,
        unit=f" {unit}",
        total=sum(expected.values()),
        bar_format=_LINE,
        file=sys.stderr,
        mininterval=_SHOW_SECONDS if sys.stderr.isatty() else _LOG_SECONDS,
    )
    finished = 0.0
    watch = _Watch(client, stage)
    try:
        while waiting:
            time.sleep(_POLL_SECONDS)
            watch.look()
            done = [future for future in waiting if future.done()]
            waiting.difference_update(done)
            for future, result in zip(done, _results(client, done, stage), strict=True):
                results[future.key] = result
                if amount is not None:
                    expected[future.key] = amount(result)
                finished += expected[future.key]
            bar.total = sum(expected.values())
            bar.update(finished + sum(running.get(f.key, 0.0) for f in waiting) - bar.n)
        bar.refresh()
    finally:
        bar.close()
        client.unsubscribe_topic(_TOPIC)
        # those that failed too: the same tasks given again shall run again (to cancel tasks of
        # which one depends on another would break off the connection to the scheduler)
        for future in futures:
            future.release()
    return [results[future.key] for future in futures]


class _Watch:
    """An eye on the workers: without one that runs, a stage waits in silence."""

    def __init__(self, client: "Client", stage: str) -> None:
        self._client, self._stage = client, stage
        self._next = self._ran = time.monotonic() + _LOOK_SECONDS
        self._told = False

    def look(self) -> None:
        """Say that there are no workers; raise RunError if all have been paused for long."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _LOOK_SECONDS
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        if not workers and not self._told:
            log.warning("%s: the cluster has no workers; waiting for some.", self._stage)
            self._told = True
        if not workers or any(worker["status"] == "running" for worker in workers):
            self._ran = now
        elif now - self._ran > _PAUSE_SECONDS:
            raise RunError(
                f"{self._stage}: all workers have paused for lack of memory; {MORE_MEMORY}"
            )


def _results(client: "Client", done: "list[Future]", stage: str) -> list[Any]:
    """Return tasks' results; say in a sentence that one has killed its workers."""
    from distributed import KilledWorker

    try:
        return client.gather(done)
    except KilledWorker as error:
        raise RunError(
            f"{stage}: the task {error.task} was given up after {error.allowed_failures + 1} of "
            f"the workers that ran it had died, most likely for lack of memory; {MORE_MEMORY}"
        ) from None
