"""What goes on inside a cluster, measured without a line for it in the package.

Functions that a benchmark sends to the workers live here, so that they are found there by name.
"""

import functools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    from distributed import Client

_spent: list[float] = []


def time_kernels() -> None:
    """Let the kernels that this worker has called so far note their times, and forget earlier ones.

    What Python calls is timed; what a kernel calls is compiled into it and counts as its own.
    """
    from numba.core.registry import CPUDispatcher

    _spent.clear()
    modules = [m for name, m in sys.modules.copy().items() if name.startswith("rrl_batch.")]
    for module in modules:
        for name, kernel in list(vars(module).items()):
            if isinstance(kernel, CPUDispatcher) and kernel.signatures:
                setattr(module, name, _timed(kernel))


def seconds_in_kernels() -> float:
    """Return the time since `time_kernels` that this worker has spent in them."""
    return sum(_spent)


def _timed(kernel: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(kernel)
    def call(*arguments: Any) -> Any:
        start = time.perf_counter()
        try:
            return kernel(*arguments)
        finally:
            _spent.append(time.perf_counter() - start)

    return call


class Tasks:
    """The tasks of a block, by the scheduler's records: when each began and ended, in s.

    `working` tells those of the longest stage from others, which only hand over the plan.
    """

    start: npt.NDArray[np.float64]
    stop: npt.NDArray[np.float64]
    working: npt.NDArray[np.bool_]

    @property
    def seconds(self) -> npt.NDArray[np.float64]:
        """Duration of each."""
        return self.stop - self.start


@contextmanager
def recorded_tasks(client: "Client") -> Iterator[Tasks]:
    """Yield the tasks that run within the block, but for single calls such as to compile."""
    from dask.utils import key_split
    from distributed import get_task_stream

    tasks = Tasks()
    with get_task_stream(client) as stream:
        yield tasks
    times = pd.DataFrame(
        [
            (key_split(task["key"]), step["start"], step["stop"])
            for task in stream.data
            for step in task["startstops"]
            if step["action"] == "compute"
        ],
        columns=["stage", "start", "stop"],
    )
    times = times[times.groupby("stage")["stage"].transform("size") > 1]
    tasks.start, tasks.stop = times["start"].to_numpy(), times["stop"].to_numpy()
    by_stage = pd.Series(tasks.seconds).groupby(times["stage"].to_numpy()).sum()
    tasks.working = (times["stage"] == by_stage.idxmax()).to_numpy()
