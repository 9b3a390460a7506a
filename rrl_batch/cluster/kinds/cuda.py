"""A process on each GPU of this machine, and others on the cores that are left."""

import copy
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from rrl_batch.cluster.kinds.lifecycle import closed_in_the_end, quiet_about_ports
from rrl_batch.cluster.kinds.local import local
from rrl_batch.cluster.worker import GPU
from rrl_batch.errors import RunError, UserError
from rrl_batch.job import ClusterSection
from rrl_batch.models.device import WITHOUT_GPU

if TYPE_CHECKING:
    from distributed import Security
    from distributed.deploy import Cluster
    from distributed.deploy.spec import SpecCluster

_INSTALL = "pip install 'rrl-batch[cuda]'"
_OF_GPUS = ("resources", "preload", "preload_argv", "data", "plugins", "env")

log = logging.getLogger(__name__)


@contextmanager
def cuda(cluster: ClusterSection, security: "Security") -> "Iterator[Cluster]":
    """Yield a worker on each GPU, which declares it, and others beside them.

    Without a GPU that can be used it says what is missing, and starts workers on all cores.
    """
    found = visible_gpus()
    if isinstance(found, str):
        log.warning("cluster.kind = 'cuda': %s; all work is done on the cores instead.", found)
        kept = cluster.model_dump(include={"memory_per_worker", "dashboard_address"})
        kept["threads_per_worker"] = cluster.threads_per_worker
        with local(ClusterSection(**kept), security) as processes:
            yield processes
        return
    from dask.system import CPU_COUNT
    from dask_cuda import LocalCUDACluster
    from distributed.system import MEMORY_LIMIT

    threads, gpus = cluster.threads_per_worker, cluster.workers or len(found)
    if gpus > len(found):
        raise UserError(
            f"cluster.workers = {gpus}, one a GPU, and this process sees {len(found)}; lower it."
        )
    cpus = cluster.cpu_workers
    if cpus is None:
        cpus = max(0, CPU_COUNT // threads - gpus)
    if (gpus + cpus) * threads > CPU_COUNT:
        raise UserError(
            f"{gpus} workers with a GPU and {cpus} others, of {threads} threads each, are more "
            f"than the {CPU_COUNT} cores of this machine; lower cluster.workers, "
            f"cluster.cpu_workers or cluster.threads_per_worker."
        )
    memory: str | int = cluster.memory_per_worker
    if memory == "auto":  # dask-cuda would share the machine's among its own workers
        memory = MEMORY_LIMIT // (gpus + cpus)
    try:
        with quiet_about_ports():
            processes = LocalCUDACluster(
                CUDA_VISIBLE_DEVICES=found[:gpus],
                threads_per_worker=threads,
                memory_limit=memory,
                dashboard_address=cluster.dashboard_address,
                host="127.0.0.1",
                security=security,
                resources={GPU: 1},
                silence_logs=logging.CRITICAL,
            )
    except Exception as error:
        raise RunError(
            f"The workers on GPUs do not start: {error}; see that 'nvidia-smi' lists the GPUs, or "
            f"take cluster.kind = 'local'."
        ) from None
    with closed_in_the_end(processes):
        _add_cpu_workers(processes, cpus)
        yield processes


def visible_gpus() -> list[str] | str:
    """Return the GPUs that this process sees, as CUDA numbers them, or why it can use none."""
    if find_spec("dask_cuda") is None:
        return f"the package dask-cuda is not installed ({_INSTALL})"
    try:
        from dask_cuda.utils import get_gpu_count
        from pynvml import NVMLError
    except ImportError as error:
        return f"dask-cuda finds no CUDA bindings ({error}; {_INSTALL})"
    try:
        number = get_gpu_count()  # asks the driver
    except NVMLError as error:
        return f"no NVIDIA driver answers ({error})"
    # what is hidden is hidden on purpose; by default it is all of them
    named = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(number))))
    if named in ("", "-1"):
        return "this process sees no GPU (none is there, or CUDA_VISIBLE_DEVICES hides all)"
    return named.split(",")


def _add_cpu_workers(cluster: "SpecCluster", number: int) -> None:
    """Start workers beside those on GPUs, which see none."""
    options = copy.copy(cluster.new_spec["options"])
    for name in _OF_GPUS:
        options.pop(name, None)
    spec = {"cls": cluster.new_spec["cls"], "options": {**options, "env": WITHOUT_GPU}}
    cluster.worker_spec |= {f"cpu-{i}": spec for i in range(number)}
    cluster.sync(_started, cluster)


async def _started(cluster: "SpecCluster") -> None:
    """Wait until the workers are there that a cluster is to have."""
    await cluster
