"""What this machine can do, in what the catalogue asks of it: products, disk and memory."""

import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rrl_batch.models.recurrent import UNITS

N_CORES = len(os.sched_getaffinity(0))


def processor() -> str:
    """Return the model of the processor as the system names it."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return models[0] if models else platform.processor()


def shortest(work: Callable[[], object], repeats: int) -> float:
    """Return the processor time of the shortest run, which others lengthen least, in s."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def matrix_product_rate(size: int = 2048, repeats: int = 5) -> float:
    """Return one core's rate of numpy's float32 matrix product, in GFLOP/s.

    Processor time is that of all threads, so that the number of BLAS threads makes no difference.
    """
    a = np.random.default_rng(0).random((size, size), np.float32)
    return 2e-9 * size**3 / shortest(lambda: a @ a, repeats)


def gru_operations(n_points: int) -> int:
    """Return the operations that the paper's GRU asks for, a star: its gates' weighted sums."""
    weights = sum(3 * units * (n + units) for n, units in pairwise((2, *UNITS)))
    return 2 * weights * n_points


class DiskSpeed(NamedTuple):
    """Sequential speed of plain files, in bytes per second."""

    read: float
    write: float


def disk_speed(folder: Path, size: int) -> DiskSpeed:
    """Write and read back a file of so many bytes, from the disk and not from the page cache."""
    block = np.random.default_rng(0).bytes(1 << 24)
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        with stopwatch() as writing:
            for _ in range(-(-size // len(block))):
                file.write(block)
            os.fsync(file.fileno())
        file.seek(0)
        forget(file.fileno())
        with stopwatch() as reading:
            while file.read(len(block)):
                pass
        written = file.tell()
    return DiskSpeed(written / reading[0], written / writing[0])


def forget(descriptor: int) -> None:
    """Drop a file from the page cache, so that it is read from the disk the next time."""
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def peak_memory() -> int:
    """Return the largest resident size that this process ever had, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (kibibytes,) = (line.split()[1] for line in status if line.startswith("VmHWM:"))
    return 1024 * int(kibibytes)


@contextmanager
def stopwatch() -> Iterator[list[float]]:
    """Give the elapsed seconds in the end."""
    elapsed: list[float] = []
    start = time.perf_counter()
    yield elapsed
    elapsed.append(time.perf_counter() - start)
