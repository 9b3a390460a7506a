"""Prove the path to the GPUs of this machine, step by step, and print what each step took.

Run as ``python deploy/cuda/check.py``; with ``KERAS_BACKEND=jax`` it checks JAX. Without a GPU that
can be used it says so, and checks what does not need one: one of its workers then declares a GPU
that it does not have. Exit code 1, and a sentence, for what is not as it should be.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from distributed import get_task_stream

from rrl_batch import flow
from rrl_batch.catalogue.verify import read_catalogue
from rrl_batch.cluster.connect import connect
from rrl_batch.cluster.kinds.cuda import visible_gpus
from rrl_batch.cluster.placement import Workers, all_workers, workers_for_keras
from rrl_batch.cluster.worker import GPU, takes_turns
from rrl_batch.errors import RunError, UserError
from rrl_batch.job import ClusterSection, make_job
from rrl_batch.models.device import WITHOUT_GPU
from rrl_batch.sources.tables import read_labels
from rrl_batch.storage.manifest import Manifest
from rrl_batch.survey.read import open_survey

if TYPE_CHECKING:
    from distributed import Client, Worker

SELECT = "num_epochs_used >= 12 and amplitude <= 1.4 and phi31_error <= 1.0"
ARCHITECTURES = ("gru", "fcn")  # of which kernels evaluate the first, and Keras the second
LARGEST_DIFFERENCE = 1e-3  # dex, between catalogues of a GPU and of a CPU
LARGEST_PART = 0.5  # of a card's memory, for networks as small as these


class Failed(Exception):  # noqa: N818
    """Something is not as it should be."""


class Steps:
    """A line for each step: its time, the memory of cards and workers after it, what was found."""

    def __init__(self) -> None:
        self.client: Client | None = None
        print(f"{'step':<24}{'s':>8}{'GPU MB':>10}{'worker MB':>12}  what was found", flush=True)

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Time a step, which says in a list what it has found."""
        found: list[str] = []
        began = time.monotonic()
        yield found
        seconds = time.monotonic() - began
        cards = sum(used for used, _ in cards_memory()) / 1e6
        workers = max(self.client.run(resident).values()) / 1e6 if self.client else 0.0
        line = f"{name:<24}{seconds:>8.1f}{cards:>10.0f}{workers:>12.0f}  {'; '.join(found)}"
        print(line, flush=True)


def cards_memory() -> list[tuple[int, int]]:
    """Return the bytes that are in use on each card that is visible, and those that it has."""
    gpus = visible_gpus()
    if isinstance(gpus, str):
        return []
    import pynvml
    from dask_cuda.utils import get_gpu_handle

    about = [pynvml.nvmlDeviceGetMemoryInfo(get_gpu_handle(gpu)) for gpu in map(number, gpus)]
    return [(memory.used, memory.total) for memory in about]


def number(gpu: str) -> int | str:
    """Return a GPU's number, or its UUID."""
    return int(gpu) if gpu.isdigit() else gpu


def resident() -> int:
    """Return the bytes of memory of a worker."""
    import psutil

    return psutil.Process().memory_info().rss


@takes_turns
def hidden() -> bool:
    """Return, as a task, whether GPUs are hidden from its worker."""
    return all(os.environ.get(name) == value for name, value in WITHOUT_GPU.items())


def device_state() -> tuple[int, bool, int]:
    """Return how many GPUs Keras uses in a worker, whether memory grows, and its peak in bytes."""
    import keras

    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.get_visible_devices("GPU")
        grows = all(tf.config.experimental.get_memory_growth(gpu) for gpu in gpus)
        peaks = [
            tf.config.experimental.get_memory_info(f"GPU:{i}")["peak"] for i in range(len(gpus))
        ]
        return len(gpus), grows, sum(peaks)
    import jax

    cards = [device for device in jax.devices() if device.platform == "gpu"]
    grows = os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    return len(cards), grows, sum(card.memory_stats()["peak_bytes_in_use"] for card in cards)


async def declare_gpu(dask_worker: "Worker") -> None:
    """Let a worker declare a GPU."""
    await dask_worker.set_resources(**{GPU: 1})


def main() -> int:
    """Check everything; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=1000, help="stars of the simulated survey")
    parser.add_argument("--epochs", type=int, default=5, help="passes of the training")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            has_gpus = check(Path(folder), options.stars, options.epochs)
    except (Failed, UserError, RunError) as error:
        print(f"check.py: {error}", file=sys.stderr)
        return 1
    print(
        "All of it works on this machine's GPUs."
        if has_gpus
        else "All that can be checked without a GPU works; nothing is known of GPUs."
    )
    return 0


def check(folder: Path, n_stars: int, epochs: int) -> bool:
    """Go through all steps; return whether there are GPUs."""
    steps = Steps()
    with steps.step("devices") as found:
        gpus = visible_gpus()
        has_gpus = not isinstance(gpus, str)
        if has_gpus:
            sizes = ", ".join(f"{total / 1e9:.0f} GB" for _, total in cards_memory())
            found.append(f"{len(gpus)} GPUs of {sizes}")
        else:
            found.append(f"NO GPU: {gpus}")
    before = cards_memory()
    listens = {"dashboard_address": "127.0.0.1:0"}
    section = ClusterSection(
        **({"kind": "cuda", "cpu_workers": 1} if has_gpus else {"workers": 2}), **listens
    )
    job = make_job(
        {
            "preprocess": {"points": 32},
            "model": {"architecture": list(ARCHITECTURES)},
            "training": {"select": SELECT, "folds": 2, "epochs": epochs},
        },
        "check.py",
    )
    with connect(section) as client:
        steps.client = client
        owners, others = check_workers(steps, client, has_gpus)
        with steps.step("simulated survey") as found:
            flow.simulate(client, n_stars, 1, folder / "survey", folder / "labels.parquet")
            found.append(f"{n_stars} stars")
        survey, labels = (
            open_survey(folder / "survey"),
            read_labels(folder / "labels.parquet", "true"),
        )
        with steps.step("training") as found:
            with get_task_stream(client) as stream:
                flow.train(client, survey, labels, folder / "model", job)
            found.append(placed(stream.data, "fit", owners))
        if has_gpus:
            check_memory(steps, client, owners, before)
        with steps.step("prediction") as found:
            with get_task_stream(client) as stream:
                flow.predict(client, survey, folder / "model", folder / "catalogue")
            found.append(placed(stream.data, "write_catalogue_partition", owners))
            found.append(check_engines(folder / "catalogue", "GPU" if has_gpus else "CPU"))
        with steps.step("GPUs that are hidden") as found:
            seeing = [
                worker
                for worker in others
                if not client.submit(hidden, workers=[worker], pure=False).result()
            ]
            if seeing:
                raise Failed(
                    f"The worker {seeing[0]} declares no GPU, and may see one all the same."
                )
            found.append(f"from {len(others)} workers that declare none")
    steps.client = None
    with connect(ClusterSection(workers=1, **listens)) as client:
        steps.client = client
        with steps.step("the same on a CPU") as found:
            flow.predict(client, survey, folder / "model", folder / "on_cpu")
            found.append(check_engines(folder / "on_cpu", "CPU"))
    steps.client = None
    with steps.step("comparison") as found:
        found.append(compare(folder / "catalogue", folder / "on_cpu"))
    return has_gpus


def check_workers(steps: Steps, client: "Client", has_gpus: bool) -> tuple[list[str], list[str]]:
    """Check what workers there are; return those that declare a GPU, and the others."""
    with steps.step("workers") as found:
        if not has_gpus:
            client.run(declare_gpu, workers=all_workers(client).addresses[:1])
        workers: Workers = workers_for_keras(client)
        if has_gpus and workers.device != "GPU":
            raise Failed(
                f"Keras computes on {workers.device} on the workers that own a GPU; install its "
                f"framework with CUDA: pip install 'rrl-batch[cuda]', for JAX 'jax[cuda12]'."
            )
        others = sorted(set(all_workers(client).addresses) - set(workers.addresses))
        found.append(f"{len(workers.addresses)} declare a GPU, {len(others)} do not")
    return workers.addresses, others


def placed(tasks: list[dict[str, Any]], name: str, owners: list[str]) -> str:
    """Check that tasks ran on workers that declare a GPU, and on no others."""
    where = [task["worker"] for task in tasks if name in str(task["key"])]
    if not where or not set(where) <= set(owners):
        raise Failed(
            f"Tasks '{name}' ran on {', '.join(sorted(set(where))) or 'no worker'}, and not on "
            f"those that declare a GPU alone ({', '.join(owners)})."
        )
    return f"{len(where)} tasks on {len(set(where))} workers that declare a GPU"


def check_memory(
    steps: Steps, client: "Client", owners: list[str], before: list[tuple[int, int]]
) -> None:
    """Check that each worker uses one GPU, and no more of its memory than is needed."""
    with steps.step("memory of the GPUs") as found:
        for worker, (n_gpus, grows, peak) in client.run(device_state, workers=owners).items():
            if n_gpus != 1:
                raise Failed(f"The worker {worker} uses {n_gpus} GPUs instead of one.")
            if not grows:
                raise Failed(f"On the worker {worker} memory does not grow, but is taken at once.")
            found.append(f"peak {peak / 1e6:.0f} MB in {worker}")
        for gpu, ((was, total), (now, _)) in enumerate(zip(before, cards_memory(), strict=True)):
            if now - was > LARGEST_PART * total:
                raise Failed(f"{(now - was) / total:.0%} of the memory of GPU {gpu} is taken.")


def check_engines(catalogue: Path, device: str) -> str:
    """Check what a catalogue says of what evaluated its networks."""
    engines = Manifest.read(catalogue).provenance["model"]["engines"]
    if engines["gru"] != "fused kernel" or not engines["fcn"].endswith(f"on {device}"):
        raise Failed(f"The networks were evaluated by {engines}, where fcn belongs on {device}.")
    return ", ".join(f"{name}: {engine}" for name, engine in engines.items())


def compare(first: Path, second: Path) -> str:
    """Check that two catalogues have the same stars, flags and, nearly, metallicities."""
    one, other = (
        read_catalogue(path).set_index("source_id").sort_index() for path in (first, second)
    )
    if not one["flags"].equals(other["flags"]):
        raise Failed("The two catalogues have other stars or other flags.")
    difference = np.abs(one["feh"] - other["feh"])
    if difference.isna().ne(one["feh"].isna()).any() or difference.max() > LARGEST_DIFFERENCE:
        raise Failed(f"[Fe/H] differs by up to {difference.max():.1e} dex from a CPU's.")
    return f"{difference.count()} metallicities differ by at most {difference.max():.1e} dex"


if __name__ == "__main__":
    sys.exit(main())
