"""Jobs of a SLURM queue, each with one worker or several."""

import logging
import shutil
from typing import TYPE_CHECKING, Any

from rrl_batch.cluster.environment import worker_environment
from rrl_batch.errors import RunError, UserError
from rrl_batch.job import ClusterSection

if TYPE_CHECKING:
    from distributed import Security
    from distributed.deploy import Cluster
    from distributed.deploy.spec import SpecCluster

_LONGEST_MARGIN = 10.0  # minutes


def slurm(cluster: ClusterSection, security: "Security") -> "Cluster":
    """Start a scheduler in this process, and submit jobs whose workers connect to it.

    What the job does not say is taken from Dask's configuration, most often
    ``~/.config/dask/jobqueue.yaml``. Workers that have ended are replaced.
    """
    import dask
    from dask.utils import format_bytes, parse_bytes
    from dask_jobqueue import SLURMCluster

    if shutil.which("sbatch") is None:
        raise UserError(
            "There is no command sbatch on this machine; give the command on a host of the SLURM "
            "cluster, most often its login node."
        )
    site = dask.config.get("jobqueue.slurm")
    memory = site["memory"]
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
    try:
        jobs = SLURMCluster(
            queue=cluster.queue,
            account=cluster.account,
            cores=cluster.threads_per_worker * cluster.workers_per_job,
            processes=cluster.workers_per_job,
            memory=memory,
            job_script_prologue=[*site["job-script-prologue"], *environment],
            scheduler_options=site["scheduler-options"] | scheduler,
            security=security if security.require_encryption else None,
            silence_logs=logging.CRITICAL,
            **(_time_limits(cluster.hours, site["worker-extra-args"]) if cluster.hours else {}),
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise RunError(f"The scheduler of SLURM's workers does not start: {error}.") from None
    wanted = cluster.min_workers or cluster.workers
    try:
        jobs.scale(wanted)
        jobs.sync(_submitted, jobs)
    except RuntimeError as error:
        jobs.close()
        reason = str(error).strip().splitlines()[-1].removeprefix("sbatch: ")
        raise RunError(f"SLURM refuses a job of workers: {reason}.") from None
    # workers end before their jobs do, and nothing else replaces them
    jobs.adapt(minimum=wanted, maximum=cluster.workers)
    return jobs


async def _submitted(jobs: "SpecCluster") -> None:
    """Wait until the jobs are in the queue."""
    await jobs


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
