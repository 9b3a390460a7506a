"""Connect to a Dask cluster: one that is started for the run, or one that is running."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from rrl_batch.cluster.clock import keep_sending
from rrl_batch.cluster.environment import settings
from rrl_batch.cluster.handshake import noticing_loss, reach
from rrl_batch.cluster.kinds import started
from rrl_batch.cluster.monitor import PATIENCE
from rrl_batch.cluster.security import make_security
from rrl_batch.cluster.versions import check_versions
from rrl_batch.errors import RunError, UserError
from rrl_batch.job import ClusterSection

if TYPE_CHECKING:
    from distributed import Client, Security
    from distributed.deploy import Cluster

_CONNECT_TIMEOUT = "10 s"
_PATIENCE_SECONDS = 2.0

_WHERE_WORKERS_ARE = {
    "address": "start some there, e.g. 'dask worker ADDRESS --nthreads 1'",
    "slurm": "'squeue --me' says why the jobs wait, and their logs why workers end",
    "kubernetes": "'kubectl get pods' and 'kubectl describe pod' say why the pods wait",
}

log = logging.getLogger(__name__)


@contextmanager
def connect(cluster: ClusterSection) -> Iterator["Client"]:
    """Yield a client of the cluster that a job asks for; one that is started ends with the block.

    The workers of a host never own more threads than it has cores; a task uses those of its worker
    (`rrl_batch.cluster.worker.takes_turns`).

    Parameters
    ----------
    cluster : ClusterSection
        Section of the job.

    Raises
    ------
    UserError
        If the cluster cannot be as the job has it, the workers of a host own more threads than it
        has cores, or client, scheduler and workers are not of the same versions.
    RunError
        If the cluster does not start, no scheduler answers at the address, or no worker comes; a
        SchedulerLostError if the scheduler is out of reach later.
    """
    with connected(cluster) as client:
        wait_for_workers(client, cluster)
        check_threads(client)
        check_versions(client)
        _show_jobs(client)
        yield client


@contextmanager
def connected(cluster: ClusterSection) -> Iterator["Client"]:
    """Yield a client of a cluster, whether it has workers, and whatever they are like.

    Raises
    ------
    UserError
        If the cluster cannot be as the job has it.
    RunError
        If the cluster does not start, or no scheduler answers at the address.
    """
    import dask

    keep_sending()
    with (
        dask.config.set(settings(cluster.kind) | {PATIENCE: 60 * cluster.start_timeout}),
        _quiet(),
        _scheduler(cluster) as scheduler,
        _client(scheduler, cluster) as client,
        noticing_loss(client),
    ):
        yield client


@contextmanager
def _quiet() -> Iterator[None]:
    """Let Dask's client not log the traceback of what `noticing_loss` says in a sentence."""
    loggers = [logging.getLogger(f"distributed.{name}") for name in ("client", "batched")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _scheduler(cluster: ClusterSection) -> "AbstractContextManager[Cluster | str]":
    """Return what a client connects to: an address, or a cluster that is started."""
    security = security_of(cluster)
    if cluster.address:
        return nullcontext(reach(cluster.address, security))
    return started(cluster, security)


def _client(scheduler: "Cluster | str", cluster: ClusterSection) -> "Client":
    from distributed import Client
    from distributed.versions import VersionMismatchWarning

    # of a cluster that is started, the client asks for its certificates
    arguments = client_arguments(cluster) if cluster.address else {"timeout": _CONNECT_TIMEOUT}
    try:
        with warnings.catch_warnings():
            # `check_versions` says it better
            warnings.simplefilter("ignore", VersionMismatchWarning)
            return Client(scheduler, **arguments)
    except (OSError, ValueError) as error:
        where = cluster.address or f"the cluster of kind '{cluster.kind}'"
        raise RunError(f"No scheduler answers at {where}: {error}.") from None


def client_arguments(cluster: ClusterSection) -> dict[str, Any]:
    """Return what a client of any kind of cluster is given, besides the cluster or its address."""
    return {"security": security_of(cluster), "timeout": _CONNECT_TIMEOUT}


def security_of(cluster: ClusterSection) -> "Security":
    """Return the certificates of all that takes part in a cluster; none where all is local."""
    from distributed import Security

    if cluster.kind in ("local", "cuda"):
        return Security(require_encryption=False)
    return make_security(cluster.tls, serves=cluster.kind != "address")


def wait_for_workers(client: "Client", cluster: ClusterSection) -> None:
    """Wait for the first worker; what is done first must know how many there are."""
    with suppress(TimeoutError):
        client.wait_for_workers(1, timeout=_PATIENCE_SECONDS)
        return
    log.warning("the cluster has no workers; waiting up to %g minutes.", cluster.start_timeout)
    try:
        client.wait_for_workers(1, timeout=60 * cluster.start_timeout)
    except TimeoutError:
        where = _WHERE_WORKERS_ARE.get(cluster.kind, "see why they end")
        raise RunError(
            f"No worker has come within {cluster.start_timeout:g} minutes; {where}; "
            f"cluster.start_timeout = … waits longer."
        ) from None


def check_threads(client: "Client") -> None:
    """Check that no workers own more threads than there are cores for them.

    Jobs of a queue on the same host may have cores of their own each.
    """
    granted = client.run(_cores, on_error="ignore")
    workers = client.scheduler_info(n_workers=-1)["workers"]
    sharing: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for address in granted.keys() & workers.keys():
        cores, _ = granted[address]
        sharing.setdefault((workers[address]["host"], cores), []).append(address)
    for (host, _), addresses in sharing.items():
        threads = sum(workers[address]["nthreads"] for address in addresses)
        number = max(granted[address][1] for address in addresses)
        if threads > number:
            raise UserError(
                f"The workers on {host} have {threads} threads for {number} cores; start fewer, "
                f"or with fewer threads each, e.g. 'dask worker ADDRESS --nthreads 1 --nworkers "
                f"{number}'."
            )


def _cores() -> tuple[tuple[int, ...], int]:
    """Return the cores that this process may use, and how many of them it is granted."""
    from dask.system import cpu_count

    return tuple(sorted(os.sched_getaffinity(0))), cpu_count()


def _show_jobs(client: "Client") -> None:
    """Let the scheduler's dashboard have our page, unless it has it already."""
    from rrl_batch.cluster.dashboard.plugin import JobsPlugin

    try:
        client.register_plugin(JobsPlugin())
    except ImportError as error:
        log.warning("The scheduler's dashboard has no page /rrl: %s there.", error)
