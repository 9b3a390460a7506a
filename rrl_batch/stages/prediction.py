"""What evaluates a model in a run, and on which workers: decided once, for all of the sky."""

from typing import TYPE_CHECKING

from rrl_batch.cluster.placement import Workers, all_workers, common_backend, workers_for_keras
from rrl_batch.inference.ensemble import engine_of
from rrl_batch.models.folder import ModelCard

if TYPE_CHECKING:
    from distributed import Client

_KERNELS = {"fused": "fused kernel", "kernel": "NumPy"}


def engines_for(client: "Client", card: ModelCard) -> tuple[dict[str, str], Workers]:
    """Return what evaluates each architecture of a model, and the workers that share the sky.

    Parameters
    ----------
    client : distributed.Client
        The cluster's client.
    card : ModelCard
        The model's card.

    Returns
    -------
    engines : dict of str to str
        By architecture, e.g. "fused kernel" or "Keras (tensorflow) on GPU".
    workers : Workers
        All, if kernels evaluate the model; else those with a GPU, if there are any.

    Raises
    ------
    UserError
        If Keras is needed, and its backend is not the same everywhere.
    """
    engines = {name: engine_of(card, name) for name in card.architecture}
    if "keras" not in engines.values():
        return {name: _KERNELS[engine] for name, engine in engines.items()}, all_workers(client)
    backend, workers = common_backend(client), workers_for_keras(client)
    names = _KERNELS | {"keras": f"Keras ({backend}) on {workers.device}"}
    return {name: names[engine] for name, engine in engines.items()}, workers
