"""What is examined: this machine, and the cluster and the job if there are any."""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rrl_batch.job import ClusterSection, Job
from rrl_batch.storage.remote import is_remote
from rrl_batch.survey.read import Survey, open_survey

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")

HERE = "this machine"

_OUTPUTS = ("model", "catalogue", "evaluation", "experiment", "search")


@dataclass(frozen=True)
class Subject:
    """What is examined.

    Parameters
    ----------
    cluster : ClusterSection
        Which cluster.
    job : Job, optional
        The job that is to run there.
    client : distributed.Client, optional
        The cluster's client; not there for checks that come before, or need none.
    """

    cluster: ClusterSection
    job: Job | None = None
    client: "Client | None" = field(default=None, repr=False)

    @property
    def workers(self) -> dict[str, dict[str, Any]]:
        """What the scheduler knows of each worker, by address."""
        if self.client is None:
            return {}
        found: dict[str, dict[str, Any]] = self.client.scheduler_info(n_workers=-1)["workers"]
        return found

    @cached_property
    def survey(self) -> Survey | None:
        """The job's survey, if it is there already."""
        path = self.job and self.job.survey.path
        return open_survey(path) if path and path.is_dir() else None

    @property
    def outputs(self) -> dict[str, Path]:
        """The folders on disks that the job writes, by section."""
        paths = self.job.paths() if self.job else {}
        wanted = (*_OUTPUTS, "survey", "labels") if self.job and self.job.simulate else _OUTPUTS
        return {n: paths[n] for n in wanted if n in paths and not is_remote(paths[n])}

    @property
    def inputs(self) -> dict[str, Path]:
        """What the job reads, by section."""
        paths = self.job.paths() if self.job else {}
        return {
            name: path
            for name, path in paths.items()
            if name not in self.outputs and not is_remote(path)
        }

    def on_each_host(self, function: Callable[[], T]) -> dict[str, T]:
        """Call a function here, and on a worker of each other host.

        Returns
        -------
        dict of str to T
            What it has returned, by host.
        """
        found = {HERE: function()}
        if self.client is not None:
            own = {"127.0.0.1", "::1", "localhost", socket.gethostname()}
            one = {worker["host"]: address for address, worker in self.workers.items()}
            others = {address: host for host, address in one.items() if host not in own}
            results = self.client.run(function, workers=list(others)) if others else {}
            found |= {others[address]: result for address, result in results.items()}
        return found


def existing(path: Path) -> Path:
    """Return a folder that is there: the path itself, or the nearest one that it is to be in."""
    path = path.resolve()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())
