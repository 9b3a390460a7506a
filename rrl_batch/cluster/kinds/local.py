"""Processes on this machine."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rrl_batch.cluster.kinds.lifecycle import closed_in_the_end, quiet_about_ports
from rrl_batch.errors import UserError
from rrl_batch.job import ClusterSection

if TYPE_CHECKING:
    from distributed import Security
    from distributed.deploy import Cluster


@contextmanager
def local(cluster: ClusterSection, security: "Security") -> "Iterator[Cluster]":
    """Yield workers that are processes of this machine; all listen on loopback only."""
    from dask.system import CPU_COUNT
    from distributed import LocalCluster

    workers = cluster.workers or max(1, CPU_COUNT // cluster.threads_per_worker)
    if workers * cluster.threads_per_worker > CPU_COUNT:
        raise UserError(
            f"{workers} workers of {cluster.threads_per_worker} threads are more than the "
            f"{CPU_COUNT} cores of this machine; lower cluster.workers or "
            f"cluster.threads_per_worker."
        )
    with quiet_about_ports():
        processes = LocalCluster(
            n_workers=workers,
            threads_per_worker=cluster.threads_per_worker,
            memory_limit=cluster.memory_per_worker,
            dashboard_address=cluster.dashboard_address,
            host="127.0.0.1",
            security=security,
            # what fails comes back to the client, which says it in a sentence
            silence_logs=logging.CRITICAL,
        )
    with closed_in_the_end(processes):
        yield processes
