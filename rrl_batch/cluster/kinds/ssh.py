"""Hosts that are reached by SSH."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rrl_batch.cluster.kinds.lifecycle import closed_in_the_end
from rrl_batch.errors import RunError
from rrl_batch.job import ClusterSection

if TYPE_CHECKING:
    from distributed import Security
    from distributed.deploy import Cluster

_IDLE = "1 h"
_ALONE_SECONDS = 60


@contextmanager
def ssh(cluster: ClusterSection, security: "Security") -> "Iterator[Cluster]":
    """Yield a scheduler on the first of some hosts and workers on all.

    Users, ports and keys are those of ``~/.ssh/config``, as for the command ``ssh``.
    """
    import dask
    from distributed import SSHCluster

    protocol = "tls" if security.require_encryption else "tcp"
    scheduler = {
        "protocol": protocol,
        "host": cluster.host,
        "dashboard_address": cluster.dashboard_address,
        # where the client was killed
        "idle_timeout": _IDLE,
    }
    workers = {
        "protocol": protocol,
        "n_workers": cluster.workers,
        "nthreads": cluster.threads_per_worker,
        "memory_limit": cluster.memory_per_worker,
        # where the scheduler has gone
        "death_timeout": _ALONE_SECONDS,
    }
    try:
        # the hosts inherit Dask's configuration, and find the certificates where they are here
        with dask.config.set(_certificates(security)):
            hosts = SSHCluster(
                [cluster.hosts[0], *cluster.hosts],
                scheduler_options=scheduler,
                worker_options=workers,
                remote_python=cluster.python,
                security=security,
                silence_logs=logging.CRITICAL,
            )
    except Exception as error:
        raise RunError(
            f"The cluster on {', '.join(cluster.hosts)} does not start ({error}); see that 'ssh "
            f"HOST {cluster.python or 'PYTHON'} -m rrl_batch --version' works for each without "
            f"a password."
        ) from None
    with closed_in_the_end(hosts):
        yield hosts


def _certificates(security: "Security") -> dict[str, Any]:
    """Return the certificates of a scheduler and of workers as Dask's configuration."""
    if not security.require_encryption:
        return {}
    found: dict[str, Any] = {"distributed.comm.require-encryption": True}
    for role in ("scheduler", "worker"):
        files = security.get_tls_config_for_role(role)
        found["distributed.comm.tls.ca-file"] = files["ca_file"]
        found[f"distributed.comm.tls.{role}.cert"] = files["cert"]
        found[f"distributed.comm.tls.{role}.key"] = files["key"]
    return found
