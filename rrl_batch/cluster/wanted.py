"""Whether anybody still wants what a task computes: Dask lets a task run on that nobody wants."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from distributed import Worker

T = TypeVar("T")


def is_wanted(worker: "Worker", key: str) -> bool:
    """Return whether somebody wants the result of a task that runs on a worker."""
    task = worker.state.tasks.get(key)
    return task is not None and task.state != "cancelled"


def end_unwanted_task() -> None:
    """End the task from which this is called, if nobody wants its result any more.

    Raises
    ------
    distributed.Reschedule
        So that the task runs anew, should somebody want it again in this very moment.
    """
    from distributed import Reschedule, get_worker

    worker = get_worker()
    if not is_wanted(worker, worker.get_current_task()):
        raise Reschedule


def while_wanted(items: Iterable[T]) -> Iterator[T]:
    """Yield what a task works on, as long as somebody wants its result."""
    for item in items:
        end_unwanted_task()
        yield item
