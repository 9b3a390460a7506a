"""Pods of a Kubernetes cluster on which the Dask operator runs."""

from typing import TYPE_CHECKING, Any

from rrl_batch.errors import RunError, UserError
from rrl_batch.job import ClusterSection

if TYPE_CHECKING:
    from distributed import Security
    from distributed.deploy import Cluster


def kubernetes(cluster: ClusterSection, security: "Security") -> "Cluster":
    """Start the pods of a manifest, with as many workers as the job asks for.

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
            f"Kubernetes does not start the cluster of {cluster.manifest} ({reason}); see that "
            f"'kubectl get daskclusters' works here."
        ) from None
    if cluster.min_workers:
        pods.adapt(minimum=cluster.min_workers, maximum=cluster.workers)
    return pods


def read_manifest(cluster: ClusterSection) -> dict[str, Any]:
    """Return the DaskCluster of a manifest, with the number of workers of the job.

    Raises
    ------
    UserError
        If the file cannot be read, or holds no DaskCluster.
    """
    import yaml

    if cluster.manifest is None:
        raise UserError("The job names no cluster.manifest.")
    try:
        documents = [d for d in yaml.safe_load_all(cluster.manifest.read_text()) if d]
    except (OSError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"The manifest {cluster.manifest} cannot be read: {reason}.") from None
    for document in documents:
        if isinstance(document, dict) and document.get("kind") == "DaskCluster":
            document["spec"]["worker"]["replicas"] = cluster.min_workers or cluster.workers
            return document
    raise UserError(f"The manifest {cluster.manifest} has no document of the kind DaskCluster.")
