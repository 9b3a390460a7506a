"""What a task may count on where it runs: threads of its own, compiled kernels, enough memory."""

import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from rrl_batch.cluster.monitor import MORE_MEMORY, gather, timed, workers_with
from rrl_batch.errors import RunError
from rrl_batch.models.device import WITHOUT_GPU

if TYPE_CHECKING:
    from distributed import Client, Worker

P = ParamSpec("P")
T = TypeVar("T")

GPU = "GPU"
"""The resource that a worker declares which owns a GPU."""

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
    with _TURN:
        worker = _worker()
        if worker is None:
            yield  # under another of Dask's schedulers a turn is all that there is to be had
        else:
            if not worker.state.total_resources.get(GPU, 0):
                os.environ.update(WITHOUT_GPU)
            _use_threads(worker.state.nthreads)
            with timed():
                yield


def _worker() -> "Worker | None":
    from distributed import get_worker

    try:
        return get_worker()
    except ValueError:
        return None


def _use_threads(number: int) -> None:
    """Let kernels, Arrow, BLAS, OpenMP, TensorFlow and JAX use so many threads.

    A worker's number never changes, so that what holds for the process is set but once a thread.
    """
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
    client: "Client",
    function: Callable[..., Any],
    *arguments: Any,
    resources: dict[str, float] | None = None,
    **named: Any,
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
    resources : dict of str to float, optional
        What the workers of the run to come declare, if not all of them take part.
    """
    from distributed import span

    wanted = resources or {}
    hosts: dict[str, list[str]] = {}
    for address, worker in workers_with(client, wanted).items():
        hosts.setdefault(worker["host"], []).append(address)
    # any worker of the host, and any other rather than none: one may die of it
    with span("compile"):
        compiling = [
            client.submit(
                _call, function, *arguments, **named,
                workers=addresses, allow_other_workers=True, resources=wanted, pure=False,
            )
            for addresses in hosts.values()
        ]  # fmt: skip
    gather(client, compiling, stage="compile", unit="hosts", planned=[1] * len(hosts))


def call_once(
    client: "Client", function: Callable[..., Any], *arguments: Any, **named: Any
) -> None:
    """Call a function as a task of its own, on any worker, and wait for it."""
    from distributed import span

    with span("check"):
        future = client.submit(_call, function, *arguments, **named, pure=False)
    gather(client, [future], stage="check", unit="surveys", planned=[1])


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

    limit, used = memory_of(get_worker())
    if limit and used + needed > limit:
        raise RunError(
            f"{what} needs about {format_bytes(needed)}, and the worker already uses "
            f"{format_bytes(used)} of the {format_bytes(limit)} at which it pauses; {MORE_MEMORY}"
        )


def memory_limit() -> int:
    """Return, in a task, the memory in bytes at which its worker pauses, 0 without a limit."""
    worker = _worker()
    return memory_of(worker)[0] if worker else 0


def memory_of(worker: "Worker") -> tuple[int, int]:
    """Return the memory at which a worker pauses, 0 without a limit, and what it uses, in bytes."""
    memory = worker.memory_manager
    limit = int((memory.memory_limit or 0) * (memory.memory_pause_fraction or 1.0))
    return limit, worker.monitor.get_process_memory()
