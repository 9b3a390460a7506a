"""How a cluster that is started for a run starts and ends."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed.deploy import Cluster


@contextmanager
def closed_in_the_end(cluster: "Cluster") -> "Iterator[Cluster]":
    """Close a cluster; that a worker takes long to leave, on a busy machine, is no failure."""
    try:
        yield cluster
    finally:
        with suppress(TimeoutError):
            cluster.close()


@contextmanager
def quiet_about_ports() -> Iterator[None]:
    """Let the dashboard take another port without a warning: the address is printed anyway."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*Port .* is already in use", UserWarning)
        yield
