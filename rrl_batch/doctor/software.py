"""Versions: what is installed here, and whether scheduler and workers have the same."""

import platform
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec

from rrl_batch import __version__
from rrl_batch.cluster.environment import keras_backend
from rrl_batch.cluster.versions import check_versions
from rrl_batch.doctor.finding import Finding, ok
from rrl_batch.doctor.subject import Subject

_SHOWN = ("dask", "distributed", "numpy", "pandas", "pyarrow", "numba", "keras")


def installed(_: Subject) -> Iterator[Finding]:
    """Say what is installed here."""
    backend = [keras_backend()] if find_spec(keras_backend()) else []
    packages = ", ".join(f"{name} {version(name)}" for name in (*_SHOWN, *backend))
    yield ok(f"rrl_batch {__version__}, Python {platform.python_version()}, {packages}")


def same_everywhere(subject: Subject) -> Iterator[Finding]:
    """Compare the versions of client, scheduler and workers."""
    if subject.client is None:
        return
    check_versions(subject.client)
    yield ok("the same on this client, the scheduler and all workers")
