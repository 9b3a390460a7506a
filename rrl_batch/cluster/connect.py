"""Connect to a Dask cluster: one of our own on this machine, or one that is running."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rrl_batch.cluster.placement import keras_backend
from rrl_batch.errors import RunError, UserError
from rrl_batch.job import ClusterSection

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

_CONNECT_TIMEOUT = "10 s"


@contextmanager
def connect(cluster: ClusterSection) -> Iterator["Client"]:
    """Yield a client of the cluster that a job asks for; a local one ends with the block.

    The workers of a host never own more threads than it has cores; a task uses those of its worker
    (`rrl_batch.cluster.worker.takes_turns`).

    Parameters
    ----------
    cluster : ClusterSection
        Section of the job.

    Raises
    ------
    UserError
        If the scheduler's address is missing, or the workers of a host own more threads than it
        has cores.
    RunError
        If no scheduler answers at the address.
    """
    if cluster.kind == "address":
        with _running(cluster) as client:
            yield client
    else:
        with _local(cluster) as client:
            yield client


@contextmanager
def _running(cluster: ClusterSection) -> Iterator["Client"]:
    from distributed import Client

    if not cluster.address:
        raise UserError("The job's cluster is of kind 'address' but names no cluster.address.")
    try:
        client = Client(cluster.address, timeout=_CONNECT_TIMEOUT)
    except (OSError, ValueError) as error:
        raise RunError(f"No scheduler answers at {cluster.address}: {error}.") from None
    with client:
        _check_threads(client)
        yield client


def _check_threads(client: "Client") -> None:
    """Check that no host of a cluster has workers with more threads than it has cores."""
    from dask.system import cpu_count

    workers = client.scheduler_info(n_workers=-1)["workers"]
    cores = client.run(cpu_count)
    for host in {worker["host"] for worker in workers.values()}:
        mine = {a: w["nthreads"] for a, w in workers.items() if w["host"] == host and a in cores}
        if mine and sum(mine.values()) > (available := max(cores[address] for address in mine)):
            raise UserError(
                f"The workers on {host} have {sum(mine.values())} threads for {available} cores; "
                f"start fewer, or with fewer threads each, e.g. 'dask worker ADDRESS --nthreads 1 "
                f"--nworkers {available}'."
            )


@contextmanager
def _local(cluster: ClusterSection) -> Iterator["Client"]:
    import dask
    from dask.system import CPU_COUNT
    from distributed import Client, LocalCluster

    workers = cluster.workers or max(1, CPU_COUNT // cluster.threads_per_worker)
    if workers * cluster.threads_per_worker > CPU_COUNT:
        raise UserError(
            f"{workers} workers of {cluster.threads_per_worker} threads are more than the "
            f"{CPU_COUNT} cores of this machine; lower cluster.workers or "
            f"cluster.threads_per_worker."
        )
    settings = {
        # each member is a network of its own, which TensorFlow warns of as "retracing"
        "distributed.nanny.pre-spawn-environ.DASK_LOGGING__TENSORFLOW": "error",
        # kernels and training hold the interpreter for longer than Dask's default patience
        "distributed.admin.tick.limit": "30 s",
        "distributed.worker.multiprocessing-method": "spawn",
    }
    with (
        dask.config.set(settings),
        _quiet_about_ports(),
        _closed_in_the_end(
            LocalCluster(
                n_workers=workers,
                threads_per_worker=cluster.threads_per_worker,
                memory_limit=cluster.memory_per_worker,
                dashboard_address=cluster.dashboard_address,
                host="127.0.0.1",
                env={"KERAS_BACKEND": keras_backend(), "TF_CPP_MIN_LOG_LEVEL": "3"},
                # what fails comes back to the client, which says it in a sentence
                silence_logs=logging.CRITICAL,
            )
        ) as local,
        Client(local) as client,
    ):
        yield client


@contextmanager
def _closed_in_the_end(local: "LocalCluster") -> "Iterator[LocalCluster]":
    """Close a cluster; that a worker takes long to leave, on a busy machine, is no failure."""
    try:
        yield local
    finally:
        with suppress(TimeoutError):
            local.close()


@contextmanager
def _quiet_about_ports() -> Iterator[None]:
    """Let the dashboard take another port without a warning: the address is printed anyway."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*Port .* is already in use", UserWarning)
        yield
