"""A process on each GPU of this machine."""

import logging
from typing import TYPE_CHECKING

from rrl_batch.cluster.kinds.local import local, quiet_about_ports
from rrl_batch.job import ClusterSection

if TYPE_CHECKING:
    from distributed import Security
    from distributed.deploy import Cluster

log = logging.getLogger(__name__)


def cuda(cluster: ClusterSection, security: "Security") -> "Cluster":
    """Start a worker on each GPU, which declares it; where there is none, say so and use cores."""
    try:
        # imports the bindings, and asks the driver
        from dask_cuda import LocalCUDACluster
        from dask_cuda.utils import get_n_gpus

        gpus = get_n_gpus()
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        log.warning("There is no GPU that can be used (%s); the cores are used instead.", reason)
        return local(cluster.model_copy(update={"kind": "local", "workers": None}), security)
    with quiet_about_ports():
        return LocalCUDACluster(
            n_workers=cluster.workers or gpus,
            threads_per_worker=cluster.threads_per_worker,
            memory_limit=cluster.memory_per_worker,
            dashboard_address=cluster.dashboard_address,
            host="127.0.0.1",
            security=security,
            resources={"GPU": 1},
            silence_logs=logging.CRITICAL,
        )
