"""What a task may count on where it runs: threads of its own, compiled kernels, enough memory."""

import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from rrl_batch.errors import RunError

if TYPE_CHECKING:
    from distributed import Client

P = ParamSpec("P")
T = TypeVar("T")

_TURN = threading.Lock()
_LIMITED = threading.local()  # numba and OpenMP count threads by the thread that calls them

# read when a library is loaded, which some tasks do later
_THREAD_SETTINGS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS", "NPROC",
)  # fmt: skip


def takes_turns(task: Callable[P, T]) -> Callable[P, T]:
    """Make a function a task that runs alone on its worker, on all threads that the worker owns.

    Dask starts as many tasks at once as a worker has threads, and each would call kernels that
    are parallel themselves. So tasks take turns, and the threads go to the kernels of the one
    whose turn it is: whatever kind of cluster it is, no more threads compute than workers own.
    """

    @functools.wraps(task)
    def alone(*arguments: P.args, **named: P.kwargs) -> T:
        with _turn():
            return task(*arguments, **named)

    return alone


@contextmanager
def _turn() -> Iterator[None]:
    from distributed import get_worker

    with _TURN:
        _use_threads(get_worker().state.nthreads)
        yield


def _use_threads(number: int) -> None:
    """Let kernels, Arrow, BLAS, OpenMP, TensorFlow and JAX use so many threads."""
    if getattr(_LIMITED, "number", None) == number:
        return  # it takes milliseconds
    import numba
    import pyarrow as pa
    from threadpoolctl import threadpool_limits

    os.environ.update(dict.fromkeys(_THREAD_SETTINGS, str(number)))
    numba.set_num_threads(min(number, numba.config.NUMBA_NUM_THREADS))
    pa.set_cpu_count(number)
    # after numba, which lets OpenMP use all cores
    threadpool_limits(number)
    _LIMITED.number = number


def compile_once(
    client: "Client", function: Callable[..., Any], *arguments: Any, **named: Any
) -> None:
    """Call a function on one worker of each host, so that the others find its kernels compiled.

    Compiled code is kept on disk: all workers of a host, and later runs, read it from there.

    Parameters
    ----------
    client : distributed.Client
        The cluster's client.
    function : callable
        What calls the kernels.
    *arguments, **named
        Its arguments: of the types of the run to come, but with nothing to work on.
    """
    workers = client.scheduler_info(n_workers=-1)["workers"]
    one_a_host = {worker["host"]: address for address, worker in workers.items()}
    compiling = [
        client.submit(_call, function, *arguments, **named, workers=address, pure=False)
        for address in one_a_host.values()
    ]
    client.gather(compiling)


def call_once(
    client: "Client", function: Callable[..., Any], *arguments: Any, **named: Any
) -> None:
    """Call a function as a task of its own, on any worker, and wait for it."""
    client.submit(_call, function, *arguments, **named, pure=False).result()


@takes_turns
def _call(function: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    function(*arguments, **named)


def require_memory(needed: int, what: str) -> None:
    """Check, in a task, that its worker has the memory that something needs.

    Parameters
    ----------
    needed : int
        Bytes, beyond what the worker uses already.
    what : str
        What needs them, as the beginning of a sentence.

    Raises
    ------
    RunError
        If the worker's limit is too low: better said than killed for it.
    """
    from dask.utils import format_bytes
    from distributed import get_worker

    worker = get_worker()
    limit = worker.memory_manager.memory_limit
    used = worker.monitor.get_process_memory()
    if limit and used + needed > limit:
        raise RunError(
            f"{what} needs about {format_bytes(needed)}, and the worker already uses "
            f"{format_bytes(used)} of its {format_bytes(limit)}; give each worker more "
            f"(cluster.memory_per_worker, or fewer cluster.workers) and run again."
        )
