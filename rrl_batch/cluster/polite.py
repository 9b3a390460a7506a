"""How many tasks of a cluster use a service of others at the same time."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from rrl_batch.cluster.wanted import end_unwanted_task

if TYPE_CHECKING:
    from distributed import Client, Semaphore

_LOOK_SECONDS = 2


def limit(client: "Client", service: str, at_once: int) -> "Semaphore":
    """Return the semaphore that all runs on a cluster share which ask so much of a service.

    Parameters
    ----------
    client : distributed.Client
        The cluster's client.
    service : str
        Address of the service.
    at_once : int
        How many tasks may use it at the same time.
    """
    from distributed import Semaphore

    semaphore: Semaphore = Semaphore(
        max_leases=at_once, name=f"rrl-batch {service} x{at_once}", scheduler_rpc=client.scheduler,
        loop=client.loop,
    )  # fmt: skip
    return semaphore


def leases(semaphore: "Semaphore") -> Callable[[], AbstractContextManager[None]]:
    """Return what gives a task a context with a lease, for as long as it is wanted.

    The lease of a worker that has died is given back by the scheduler, since nobody renews it
    (Dask's `distributed.scheduler.locks.lease-timeout`, 30 s).
    """

    @contextmanager
    def lease() -> Iterator[None]:
        while not semaphore.acquire(timeout=_LOOK_SECONDS):
            end_unwanted_task()
        try:
            yield
        finally:
            semaphore.release()

    return lease
