"""What is set for every worker, whatever starts it."""

import os


def keras_backend() -> str:
    """Return the name of Keras's backend in this process: the user's choice, else TensorFlow."""
    return os.environ.get("KERAS_BACKEND", "tensorflow")


def worker_environment() -> dict[str, str]:
    """Return the environment variables that a worker starts with."""
    return {
        "KERAS_BACKEND": keras_backend(),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # each member is a network of its own, which TensorFlow warns of as "retracing"
        "DASK_LOGGING__TENSORFLOW": "error",
        # kernels and training hold the interpreter for longer than Dask's default patience
        "DASK_DISTRIBUTED__ADMIN__TICK__LIMIT": "30s",
    }


def settings(kind: str = "local") -> dict[str, str | int]:
    """Return Dask's settings for a scheduler and workers that are started from this process.

    Parameters
    ----------
    kind : str
        Kind of the cluster.
    """
    environment = {
        f"distributed.nanny.pre-spawn-environ.{name}": value
        for name, value in worker_environment().items()
    }
    # nobody but its nanny starts a worker of this machine anew: on a busy machine that takes longer
    # than the 15 s after which Dask would close the nanny
    patient = {"distributed.deploy.lost-worker-timeout": "10 minutes"}
    return {
        **environment,
        **(patient if kind in ("local", "cuda") else {}),
        "distributed.admin.tick.limit": "30s",
        # blame is not final: see `rrl_batch.cluster.chances`
        "distributed.scheduler.allowed-failures": 2,
        "distributed.worker.multiprocessing-method": "spawn",
    }
