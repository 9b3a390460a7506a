"""Pods of a Kubernetes cluster on which the Dask operator runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rrl_batch.cluster.kinds.lifecycle import closed_in_the_end
from rrl_batch.errors import RunError, UserError
from rrl_batch.job import ClusterSection

if TYPE_CHECKING:
    from distributed import Security
    from distributed.deploy import Cluster


@contextmanager
def kubernetes(cluster: ClusterSection, security: "Security") -> "Iterator[Cluster]":
    """Yield the pods of a manifest, with as many workers as the job asks for.

    Image, memory, threads and environment of the pods are those of the manifest.
    """
    from dask_kubernetes.operator import KubeCluster
    from dask_kubernetes.operator.kubecluster.kubecluster import CreateMode

    if security.require_encryption:
        raise UserError(
            "dask-kubernetes cannot encrypt; start the manifest with kubectl, and give the job "
            "cluster.kind = 'address' with the scheduler's address."
        )
    manifest = read_manifest(cluster)
    _require_operator(cluster)
    try:
        pods = KubeCluster(
            custom_cluster_spec=manifest,
            namespace=cluster.namespace,
            create_mode=CreateMode.CREATE_ONLY,
            shutdown_on_close=True,
            quiet=True,
        )
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        raise RunError(
            f"Kubernetes does not start the cluster of {cluster.manifest}: {reason}."
        ) from None
    with closed_in_the_end(pods):
        if cluster.min_workers:
            pods.adapt(minimum=cluster.min_workers, maximum=cluster.workers)
        yield pods


def _require_operator(cluster: ClusterSection) -> None:
    """Check that Kubernetes answers, and knows what a DaskCluster is."""
    import kr8s

    try:
        list(kr8s.get("daskclusters.kubernetes.dask.org", namespace=cluster.namespace))
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        raise RunError(
            f"Kubernetes has no Dask operator for this user ({reason}); see that 'kubectl get "
            f"daskclusters' works here."
        ) from None


def read_manifest(cluster: ClusterSection) -> dict[str, Any]:
    """Return the DaskCluster of a manifest, with the number of workers of the job.

    Raises
    ------
    UserError
        If the file cannot be read, or holds no DaskCluster with workers.
    """
    import yaml

    if cluster.manifest is None:
        raise UserError("The job names no cluster.manifest.")
    try:
        documents = list(yaml.safe_load_all(cluster.manifest.read_text()))
    except (OSError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"The manifest {cluster.manifest} cannot be read: {reason}.") from None
    resources = (document for document in documents if isinstance(document, dict))
    manifest = next((r for r in resources if r.get("kind") == "DaskCluster"), None)
    if manifest is None:
        raise UserError(f"The manifest {cluster.manifest} has no document of the kind DaskCluster.")
    try:
        manifest["spec"]["worker"]["replicas"] = cluster.min_workers or cluster.workers
    except (KeyError, TypeError):
        raise UserError(
            f"The manifest {cluster.manifest} has no workers, spec.worker, in its DaskCluster."
        ) from None
    return manifest
