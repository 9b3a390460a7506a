"""GPUs: what the driver has, what Keras's backend finds of them, what the workers declare."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from rrl_batch.cluster.environment import keras_backend
from rrl_batch.doctor.finding import Finding, ok, warning
from rrl_batch.doctor.subject import Subject

_DRIVER, _DEVICE = Path("/proc/driver/nvidia"), Path("/dev/nvidiactl")
_PATIENCE_SECONDS = 180
_ASK_KERAS = "import keras; print(*keras.distribution.list_devices())"


@dataclass(frozen=True)
class Gpus:
    """The GPUs of a host.

    Parameters
    ----------
    driver : str
        Version of NVIDIA's driver; empty without one.
    models : list of str
        What the driver has.
    backend : str
        Keras's backend.
    found : int
        How many of them the backend finds; it is not loaded where there is no driver.
    reason : str
        Why it finds none.
    bindings : bool
        Whether Python has what reads their memory and load, for dask-cuda and the dashboard.
    """

    driver: str = ""
    models: list[str] = field(default_factory=list)
    backend: str = "tensorflow"
    found: int = 0
    reason: str = ""
    bindings: bool = False


def gpus(subject: Subject) -> Iterator[Finding]:
    """Compare the GPUs of each host with what Keras finds and what its workers declare."""
    for host, there in subject.on_each_host(find_gpus).items():
        yield _judged(host, there)
    declared = sum(w["resources"].get("GPU", 0) >= 1 for w in subject.workers.values())
    if declared:
        yield ok(
            f"{declared} of {len(subject.workers)} workers declare a GPU: networks train there"
        )


def _judged(host: str, there: Gpus) -> Finding:
    if not there.driver:
        return ok(f"{host}: no NVIDIA driver; networks train on the CPU")
    have = f"{host}: {' + '.join(there.models) or 'no GPU'}, driver {there.driver}"
    if not there.found:
        return warning(
            f"{have}, but {there.backend} finds none ({there.reason}); install it with its CUDA "
            f"libraries (pip install '{_WITH_CUDA[there.backend]}'), or networks train on the CPU."
        )
    if not there.bindings:
        return warning(
            f"{have}, {there.found} found by {there.backend}; the bindings of the driver are "
            f"missing, so that there is no cluster of kind 'cuda': pip install 'rrl-batch[cuda]'."
        )
    return ok(f"{have}; {there.found} found by {there.backend}")


_WITH_CUDA = {"tensorflow": "tensorflow[and-cuda]", "jax": "jax[cuda12]"}


def find_gpus() -> Gpus:
    """Return the GPUs of this host that this process may use."""
    backend = keras_backend()
    if not (_DRIVER.exists() or _DEVICE.exists()):
        return Gpus(backend=backend)
    version = _DRIVER / "version"  # which some containers do not show
    driver = _version(version.read_text() if version.exists() else "")
    models = [_model(file.read_text()) for file in sorted(_DRIVER.glob("gpus/*/information"))]
    found, reason = _found_by_keras()
    return Gpus(driver, models, backend, found, reason, find_spec("pynvml") is not None)


def _version(text: str) -> str:
    match = re.search(r"\b(\d+\.\d+(?:\.\d+)?)\b", text)
    return match[1] if match else "of unknown version"


def _model(text: str) -> str:
    match = re.search(r"^Model:\s*(.+?)\s*$", text, re.MULTILINE)
    return match[1] if match else "GPU"


def _found_by_keras() -> tuple[int, str]:
    """Ask Keras in a process of its own, which does not keep the memory of a GPU afterwards."""
    try:
        asked = subprocess.run(  # noqa: S603 -- this interpreter, and a constant
            [sys.executable, "-c", _ASK_KERAS],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 0, f"it does not answer within {_PATIENCE_SECONDS} s"
    if asked.returncode:
        return 0, asked.stderr.strip().splitlines()[-1]
    found = sum(name.startswith("gpu") for name in asked.stdout.split())
    return found, "" if found else "it sees CPUs only"
