"""Let a cluster do a job by itself: one of its workers starts the driver, and watches over it.

What runs on the worker is a task that the scheduler wants for itself, so that the client may go.
If its worker dies, the scheduler gives it to another one; the new driver goes on where the receipts
of the old one end.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rrl_batch.cluster.driving import REPLACED
from rrl_batch.cluster.jobs import JOB_FILE, JobFolder
from rrl_batch.cluster.security import TLS_VARIABLE
from rrl_batch.cluster.wanted import is_wanted
from rrl_batch.errors import UserError
from rrl_batch.storage.commit import fingerprint

if TYPE_CHECKING:
    from distributed import Client, Scheduler, Worker

OUTPUT_FILE = "driver.txt"

_POLL_SECONDS = 0.5
_STOP_SECONDS = 150.0
_WANTED_BY = "fire-and-forget"  # the scheduler's name for nobody


def key_of(folder: JobFolder) -> str:
    """Return the key of the task that watches over a job's driver."""
    return f"job-{fingerprint(str(folder.path))[:16]}"


def submit(client: "Client", folder: JobFolder, command: str) -> None:
    """Hand a job to a cluster, which keeps it when the client goes.

    Parameters
    ----------
    client : distributed.Client
        The cluster's client.
    folder : JobFolder
        Folder of the job.
    command : str
        What was asked for, as on the command line.

    Raises
    ------
    UserError
        If a worker does not see the folder.
    """
    found = client.run(_sees, folder.path / JOB_FILE, on_error="ignore")  # of those that stay
    for address, sees in found.items():
        if not sees:
            raise UserError(
                f"The worker {address} does not see {folder.path}; name a folder on a file system "
                f"that all workers share (--jobs)."
            )
    key = key_of(folder)
    workers = client.scheduler_info(n_workers=-1)["workers"]
    without_gpu = [a for a, worker in workers.items() if not worker["resources"].get("GPU")]
    future = client.submit(
        watch_over, folder, command,
        key=key, pure=False, priority=100,
        workers=without_gpu or None, allow_other_workers=bool(without_gpu),
    )  # fmt: skip
    # fire_and_forget would come too early: a graph is unpacked beside the stream of messages
    while not client.run_on_scheduler(_want, key):
        time.sleep(0.05)
    future.release()


def _sees(file: Path) -> bool:
    return file.exists()


def _want(key: str, dask_scheduler: "Scheduler") -> bool:
    """Let the scheduler itself want a task, if it knows it by now."""
    if key not in dask_scheduler.tasks:
        return False
    dask_scheduler.client_desires_keys([key], _WANTED_BY)
    return True


def let_go(client: "Client", folder: JobFolder) -> None:
    """Let nobody want a job's driver any more: it is not started, or ends."""
    client.run_on_scheduler(_let_go, key_of(folder))


def _let_go(key: str, dask_scheduler: "Scheduler") -> None:
    if key in dask_scheduler.tasks:
        dask_scheduler.client_releases_keys([key], _WANTED_BY)


def watch_over(folder: JobFolder, command: str) -> None:
    """Start the driver of a job, as a task, and start it again should it die."""
    from distributed import Status, get_client, get_worker, secede

    ending = (Status.closing, Status.closed, Status.failed)
    worker = get_worker()
    key = worker.get_current_task()
    secede()
    get_client().run_on_scheduler(_pardon, key)
    while not (folder.is_to_stop or folder.look().is_over or worker.status in ending):
        with (
            (folder.path / OUTPUT_FILE).open("ab") as output,
            subprocess.Popen(  # noqa: S603 -- nothing of it comes from outside
                [
                    sys.executable, "-m", "rrl_batch.driver",
                    str(folder.path), worker.scheduler.address, command,
                ],
                stdin=subprocess.PIPE, stdout=output, stderr=output,
                env=_environment(worker),
            ) as driver,
        ):  # fmt: skip
            _wait(driver, worker, key)
        if driver.returncode == REPLACED or not is_wanted(worker, key):
            return
        time.sleep(_POLL_SECONDS)  # a worker that has lost its scheduler notices soon


def _pardon(key: str, dask_scheduler: "Scheduler") -> None:
    """Forget that workers died while they had this task: they died of others."""
    if key in dask_scheduler.tasks:
        dask_scheduler.tasks[key].suspicious = 0


def _wait(driver: "subprocess.Popen[bytes]", worker: "Worker", key: str) -> None:
    """Wait until the driver ends; end it when nobody wants it any more."""
    while driver.poll() is None:
        time.sleep(_POLL_SECONDS)
        if not is_wanted(worker, key):
            driver.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                driver.wait(_STOP_SECONDS)
            driver.kill()


def _environment(worker: "Worker") -> dict[str, str]:
    """Return a driver's environment: it connects as its worker does, and has no use for a GPU."""
    tls: dict[str, Any] = worker.security.get_tls_config_for_role("worker")
    certificates = {
        "CA_FILE": tls["ca_file"], "CLIENT__CERT": tls["cert"], "CLIENT__KEY": tls["key"],
    }  # fmt: skip
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    if tls["ca_file"]:
        environment.pop(TLS_VARIABLE, None)
    return environment | {
        f"DASK_DISTRIBUTED__COMM__TLS__{name}": value
        for name, value in certificates.items()
        if value
    }
