"""Jobs of a SLURM queue, each with one worker or several."""

import asyncio
import logging
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rrl_batch.cluster.environment import worker_environment
from rrl_batch.cluster.kinds.lifecycle import closed_in_the_end, quiet_about_ports
from rrl_batch.errors import RunError, UserError
from rrl_batch.job import ClusterSection

if TYPE_CHECKING:
    from distributed import Security
    from distributed.deploy import Cluster
    from distributed.deploy.spec import SpecCluster

_LONGEST_MARGIN = 10.0  # minutes


@contextmanager
def slurm(cluster: ClusterSection, security: "Security") -> "Iterator[Cluster]":
    """Yield a scheduler in this process, and jobs in the queue whose workers connect to it.

    What the job does not say is taken from Dask's configuration, most often
    ``~/.config/dask/jobqueue.yaml``. Workers that have ended are replaced.
    """
    from distributed.utils import silence_logging_cmgr

    if shutil.which("sbatch") is None:
        raise UserError(
            "There is no command sbatch on this machine; give the command on a host of the SLURM "
            "cluster, most often its login node."
        )
    least = cluster.min_workers or cluster.workers
    with _certificates(security) as certificates:
        try:
            jobs = _jobs(cluster, certificates)
        except (OSError, RuntimeError, ValueError) as error:
            raise RunError(f"The scheduler of SLURM's workers does not start: {error}.") from None
        with closed_in_the_end(jobs):
            try:
                # what is logged there comes back as an exception
                with silence_logging_cmgr(logging.CRITICAL, root="tornado.application"):
                    jobs.scale(least)
                    jobs.sync(_submitted, jobs)
            except RuntimeError as error:
                reason = str(error).strip().splitlines()[-1].rpartition("error: ")[2]
                raise RunError(f"SLURM refuses a job of workers: {reason}.") from None
            # workers end before their jobs do, and nothing else replaces them
            jobs.adapt(minimum=least, maximum=cluster.workers)
            yield jobs


@contextmanager
def _interrupts_as_before() -> Iterator[None]:
    """Keep what ctrl-C does: dask-jobqueue 0.9, when it is imported, lets it end the process."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _jobs(cluster: ClusterSection, security: "Security") -> "SpecCluster":
    """Return a scheduler in this process that can submit jobs."""
    import dask
    from dask.utils import format_bytes, parse_bytes
    from distributed import Status

    with _interrupts_as_before():
        from dask_jobqueue import SLURMCluster
        from dask_jobqueue.slurm import SLURMJob

    class Job(SLURMJob):
        async def close(self) -> None:
            await super().close()
            self.status = Status.closed  # a cluster does not end before (dask-jobqueue 0.9)

    def site(key: str) -> Any:
        return dask.config.get(f"jobqueue.slurm.{key}")

    memory = site("memory")
    if cluster.memory_per_worker != "auto":
        memory = format_bytes(parse_bytes(cluster.memory_per_worker) * cluster.workers_per_job)
    if memory is None:
        raise UserError(
            "The jobs of SLURM need their memory: give cluster.memory_per_worker, e.g. '4 GiB', "
            "or 'memory' in ~/.config/dask/jobqueue.yaml."
        )
    environment = [f"export {name}='{value}'" for name, value in worker_environment().items()]
    scheduler = {"dashboard_address": cluster.dashboard_address}
    if cluster.host:
        scheduler["host"] = cluster.host
    with quiet_about_ports():
        return SLURMCluster(
            job_cls=Job,
            queue=cluster.queue,
            account=cluster.account,
            cores=cluster.threads_per_worker * cluster.workers_per_job,
            processes=cluster.workers_per_job,
            memory=memory,
            job_script_prologue=[*site("job-script-prologue"), *environment],
            scheduler_options=site("scheduler-options") | scheduler,
            security=security,
            silence_logs=logging.CRITICAL,
            **(_time_limits(cluster.hours, site("worker-extra-args")) if cluster.hours else {}),
        )


@contextmanager
def _certificates(security: "Security") -> "Iterator[Security]":
    """Yield certificates: the user's, or some for the life of the cluster.

    Other users of the network must not reach the scheduler, which runs what it is sent. Workers
    read the files in the working directory, which they share, and nobody else can.
    """
    from distributed import Security

    if security.require_encryption:
        yield security
        return
    with TemporaryDirectory(prefix=".rrl-batch-", dir=Path.cwd()) as folder:
        files = {}
        for name, text in Security.temporary().get_tls_config_for_role("worker").items():
            if text is not None:
                files[name] = Path(folder) / name
                files[name].write_text(text)
        yield Security(
            require_encryption=True,
            tls_ca_file=str(files["ca_file"]),
            **{
                f"tls_{role}_{part}": str(files[part])
                for role in ("client", "scheduler", "worker")
                for part in ("cert", "key")
            },
        )


async def _submitted(jobs: "SpecCluster") -> None:
    """Wait until the jobs are in the queue, and raise what keeps one from it."""
    while jobs.worker_spec.keys() - jobs.workers.keys():
        await asyncio.sleep(0.05)
    for job in jobs.workers.values():
        await job  # those that were refused are tried again


def _time_limits(hours: float, arguments: list[str]) -> dict[str, Any]:
    """Return the limit of a job, and the shorter lives of its workers.

    They end at different times, so that those that go on take over what the others held.
    """
    minutes = 60 * hours
    margin = min(_LONGEST_MARGIN, minutes / 10)
    lifetime = ["--lifetime", f"{minutes - 2 * margin:.2f}m"]
    return {
        "walltime": f"{round(minutes)}",
        "worker_extra_args": [*arguments, *lifetime, "--lifetime-stagger", f"{margin:.2f}m"],
    }
