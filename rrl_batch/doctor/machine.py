"""Hosts, this one and the workers': cores, memory, and where compiled kernels are kept."""

from collections.abc import Iterator

from dask.utils import format_bytes

from rrl_batch.doctor.finding import Finding, fails, ok
from rrl_batch.doctor.subject import HERE, Subject


def cores_and_memory(subject: Subject) -> Iterator[Finding]:
    """Say how many cores and how much memory a process may use, on each host."""
    for host, (cores, limit) in subject.on_each_host(_cores_and_memory).items():
        yield ok(f"{host}: {cores} core{'s' * (cores > 1)}, {format_bytes(limit)} of memory")


def kernels(subject: Subject) -> Iterator[Finding]:
    """Find out whether compiled kernels can be kept, so that they are compiled once a host."""
    for host, (folder, fault) in subject.on_each_host(_kernel_cache).items():
        if fault:
            where = "" if host == HERE else f" where the workers of {host} start"
            yield fails(
                f"{host}: compiled kernels cannot be kept ({fault}); set NUMBA_CACHE_DIR{where} to "
                f"a folder that can be written."
            )
        else:
            yield ok(f"{host}: compiled kernels are kept in {folder}")


def _cores_and_memory() -> tuple[int, int]:
    """Return the cores and the bytes that this process may use."""
    from dask.system import cpu_count
    from distributed.system import MEMORY_LIMIT

    return cpu_count(), MEMORY_LIMIT


def _kernel_cache() -> tuple[str, str]:
    """Return numba's folder for our kernels, and what is wrong with it."""
    from numba.core.caching import FunctionCache

    from rrl_batch.lightcurve.memory import memory_needed

    try:
        # as for a kernel: it looks for the first place that can be written
        return str(FunctionCache(memory_needed).cache_path), ""
    except (RuntimeError, OSError) as error:
        return "", str(error).split(":")[0]
