"""Clusters that are started for a run and end with it: a file for each kind."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from rrl_batch.cluster.kinds.cuda import cuda
from rrl_batch.cluster.kinds.kubernetes import kubernetes
from rrl_batch.cluster.kinds.local import local
from rrl_batch.cluster.kinds.slurm import slurm
from rrl_batch.cluster.kinds.ssh import ssh
from rrl_batch.errors import UserError
from rrl_batch.job import ClusterSection

if TYPE_CHECKING:
    from distributed import Security
    from distributed.deploy import Cluster

KINDS: dict[str, Callable[[ClusterSection, "Security"], "AbstractContextManager[Cluster]"]] = {
    "local": local, "ssh": ssh, "slurm": slurm, "kubernetes": kubernetes, "cuda": cuda,
}  # fmt: skip

_EXTRAS = {"ssh": "asyncssh", "slurm": "dask_jobqueue", "kubernetes": "dask_kubernetes"}


def started(cluster: ClusterSection, security: "Security") -> "AbstractContextManager[Cluster]":
    """Start a cluster, which ends with the block.

    Parameters
    ----------
    cluster : ClusterSection
        Section of the job, of a kind other than 'address'.
    security : distributed.Security
        Certificates of scheduler and workers; no connection is encrypted if it requires none.

    Returns
    -------
    context manager of distributed.deploy.Cluster
        The cluster, whose workers may be still to come.

    Raises
    ------
    UserError
        If a package is not installed, or the options cannot be.
    RunError
        If the cluster does not start.
    """
    package = _EXTRAS.get(cluster.kind)
    if package and find_spec(package) is None:
        raise UserError(
            f"cluster.kind = '{cluster.kind}' needs the package {package.replace('_', '-')}; "
            f"install it: pip install 'rrl-batch[{cluster.kind}]'."
        )
    return KINDS[cluster.kind](cluster, security)
