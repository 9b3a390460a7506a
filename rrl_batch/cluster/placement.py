"""Which workers do what: those that own a GPU, or all."""

import logging
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

from rrl_batch.cluster.environment import keras_backend
from rrl_batch.cluster.monitor import gather, workers_with
from rrl_batch.cluster.worker import GPU, takes_turns
from rrl_batch.errors import UserError
from rrl_batch.models.device import claim_gpu

if TYPE_CHECKING:
    from distributed import Client

BACKENDS = ("tensorflow", "jax")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Workers:
    """Workers that some tasks may go to.

    Parameters
    ----------
    addresses : list of str
        Their addresses now; there may be others later.
    resources : dict of str to float
        What a task asks for to go to them alone.
    device : {"CPU", "GPU", "CPU and GPU"}
        What Keras computes on there.
    """

    addresses: list[str]
    resources: dict[str, float] = field(default_factory=dict)
    device: str = "CPU"


def all_workers(client: "Client") -> Workers:
    """Return all workers, for tasks that Keras has no part in."""
    return Workers(list(workers_with(client, {})))


def workers_for_keras(client: "Client") -> Workers:
    """Return the workers for tasks of Keras: those that declare a GPU; if none does, all.

    Each is asked whether Keras finds its GPU; it is said of which that is not so.
    """
    owners = list(workers_with(client, {GPU: 1}))
    if not owners:
        return all_workers(client)
    # another one may answer for one that has gone
    asking = [
        client.submit(
            _finds_gpu, workers=[owner], allow_other_workers=True, resources={GPU: 1}, pure=False
        )
        for owner in owners
    ]
    answers: list[tuple[str, bool]] = gather(
        client, asking, stage="check", unit="GPUs", planned=[1] * len(asking), resources={GPU: 1}
    )
    found = dict(answers)
    without = sorted(address for address, has_gpu in found.items() if not has_gpu)
    if without:
        log.warning(
            "%d of %d workers that declare a GPU have none that %s can use, and compute on the "
            "CPU (%s); install there what it needs for GPUs, or start them without GPU=1.",
            len(without), len(found), keras_backend(), ", ".join(without),
        )  # fmt: skip
    kinds = {"GPU" if has_gpu else "CPU" for has_gpu in found.values()}
    return Workers(owners, {GPU: 1}, " and ".join(sorted(kinds)))


@takes_turns
def _finds_gpu() -> tuple[str, bool]:
    from distributed import get_worker

    return get_worker().address, claim_gpu()


def common_backend(client: "Client") -> str:
    """Return the name of Keras's backend on the workers.

    Raises
    ------
    UserError
        If it is none that we use, is not installed, or is not the same everywhere and here.
    """
    ours = keras_backend()
    if ours not in BACKENDS:
        raise UserError(f"KERAS_BACKEND is '{ours}'; there are: {', '.join(BACKENDS)}.")
    for address, (theirs, installed) in client.run(_backend).items():
        if theirs != ours:
            raise UserError(
                f"Keras's backend is {ours} here and {theirs} on the worker {address}; set "
                f"KERAS_BACKEND where the workers start, and here to the same."
            )
        if not installed:
            raise UserError(f"{theirs} is not installed for the worker {address}; install it.")
    return ours


def _backend() -> tuple[str, bool]:
    backend = keras_backend()
    return backend, find_spec(backend) is not None
