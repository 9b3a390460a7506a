"""Processes on this machine."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rrl_batch.errors import UserError
from rrl_batch.job import ClusterSection

if TYPE_CHECKING:
    from distributed import Security
    from distributed.deploy import Cluster


def local(cluster: ClusterSection, security: "Security") -> "Cluster":
    """Start workers as processes of this machine; all listen on loopback only."""
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
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=cluster.threads_per_worker,
            memory_limit=cluster.memory_per_worker,
            dashboard_address=cluster.dashboard_address,
            host="127.0.0.1",
            security=security,
            # what fails comes back to the client, which says it in a sentence
            silence_logs=logging.CRITICAL,
        )


@contextmanager
def quiet_about_ports() -> Iterator[None]:
    """Let the dashboard take another port without a warning: the address is printed anyway."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*Port .* is already in use", UserWarning)
        yield
