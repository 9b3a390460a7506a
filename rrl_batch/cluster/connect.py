"""Connect to a Dask cluster: one of our own on this machine, or one that is running."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

from rrl_batch.errors import RunError, UserError
from rrl_batch.job import ClusterSection

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

BACKENDS = ("tensorflow", "jax")
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

    from rrl_batch.cluster.handshake import reach
    from rrl_batch.cluster.security import make_security

    if not cluster.address:
        raise UserError("The job's cluster is of kind 'address' but names no cluster.address.")
    security = make_security(cluster.tls)
    address = reach(cluster.address, security)
    try:
        client = Client(address, security=security, timeout=_CONNECT_TIMEOUT)
    except (OSError, ValueError) as error:
        raise RunError(f"No scheduler answers at {address}: {error}.") from None
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


def keras_backend() -> str:
    """Return the name of Keras's backend in this process: the user's choice, else TensorFlow."""
    return os.environ.get("KERAS_BACKEND", "tensorflow")


def training_backend(client: "Client") -> str:
    """Return the name of Keras's backend on the workers.

    Raises
    ------
    UserError
        If it is none that we train with, is not installed, or is not the same everywhere and here.
    """
    ours = keras_backend()
    if ours not in BACKENDS:
        raise UserError(f"KERAS_BACKEND is '{ours}'; there are: {', '.join(BACKENDS)}.")
    for address, (theirs, installed) in client.run(_backend).items():
        if theirs != ours:
            raise UserError(
                f"Keras's backend is {ours} here and {theirs} on the worker {address}; set "
                f"KERAS_BACKEND where the workers start, and here to the same."
            )
        if not installed:
            raise UserError(f"{theirs} is not installed for the worker {address}; install it.")
    return ours


def _backend() -> tuple[str, bool]:
    backend = keras_backend()
    return backend, find_spec(backend) is not None


def training_workers(client: "Client") -> tuple[int, dict[str, float]]:
    """Return how many workers train, and what a training task asks for.

    These are the workers that declare a GPU; if none does, all of them train.
    """
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    gpus = sum(worker["resources"].get("GPU", 0) >= 1 for worker in workers)
    return (gpus, {"GPU": 1}) if gpus else (len(workers), {})
