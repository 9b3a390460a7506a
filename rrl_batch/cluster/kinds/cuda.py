"""A process on each GPU of this machine."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rrl_batch.cluster.kinds.lifecycle import closed_in_the_end, quiet_about_ports
from rrl_batch.cluster.kinds.local import local
from rrl_batch.job import ClusterSection

if TYPE_CHECKING:
    from distributed import Security
    from distributed.deploy import Cluster

log = logging.getLogger(__name__)


@contextmanager
def cuda(cluster: ClusterSection, security: "Security") -> "Iterator[Cluster]":
    """Yield a worker on each GPU, which declares it; where there is none, say so and use cores."""
    gpus = _count_gpus()
    if not gpus:
        cores = cluster.model_copy(update={"kind": "local", "workers": None})
        with local(cores, security) as processes:
            yield processes
        return
    from dask_cuda import LocalCUDACluster

    with quiet_about_ports():
        cards = LocalCUDACluster(
            n_workers=cluster.workers or gpus,
            threads_per_worker=cluster.threads_per_worker,
            memory_limit=cluster.memory_per_worker,
            dashboard_address=cluster.dashboard_address,
            host="127.0.0.1",
            security=security,
            resources={"GPU": 1},
            silence_logs=logging.CRITICAL,
        )
    with closed_in_the_end(cards):
        yield cards


def _count_gpus() -> int:
    """Return how many GPUs can be used; if none, say why."""
    try:
        # loads CUDA's bindings, and asks the driver
        from dask_cuda.utils import get_n_gpus

        return int(get_n_gpus())
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        log.warning("No GPU can be used here (%s); the cores are used instead.", reason)
        return 0
