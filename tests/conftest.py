"""Fixtures of all tests."""

import fcntl
import os
import runpy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import kernels
import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from distributed import Client, Worker

    from rrl_batch.job import Job

# kernels compile on their first call, and no test depends on the time that it takes
settings.register_profile("rrl_batch", deadline=None)
settings.load_profile("rrl_batch")

# with Dask's own intervals, a cluster that waits for its next test takes a fifth of a core
os.environ |= {
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "5s",
    "DASK_DISTRIBUTED__WORKER__MEMORY__MONITOR_INTERVAL": "500ms",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
}

LONGEST = "test_members_are_fitted_on_jax_as_on_tensorflow"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest test, which would else be waited for at the end."""
    items.sort(key=lambda item: item.name != LONGEST)


def pytest_configure(config: pytest.Config) -> None:
    """Compile the kernels before several processes start, each of which would."""
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        kernels.compile_all()


@pytest.fixture(scope="session", autouse=True)
def coarse_figures() -> Iterator[None]:
    """Draw figures with few pixels, which most of the time would go into."""
    from rrl_batch.report import drawing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "_DPI", 40)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real light curves, which lies beside the checkout and not in it."""
    folder = Path(__file__).parents[1] / "../shared/data"
    if not folder.is_dir():
        pytest.skip("the real light curves (../shared/data beside the checkout) are not here")
    return folder.resolve()


@pytest.fixture
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build every network with all kinds of its layers, but with fewer and smaller ones."""
    from rrl_batch.models import convolutional, hybrid, recurrent, transformer

    sizes: dict[ModuleType, dict[str, object]] = {
        convolutional: {
            "KERNELS": (4, 3), "FILTERS": (6, 4), "FILTERS_OF_BLOCKS": (3, 4),
            "INCEPTION_DEPTH": 3, "INCEPTION_KERNELS": (8, 4, 3), "INCEPTION_FILTERS": 3,
        },
        recurrent: {"UNITS": (5, 4), "UNITS_BOTH_WAYS": (4, 3), "DROPOUT": (0.2, 0.1)},
        hybrid: {"UNITS": (4, 3)},
        transformer: {"WIDTH": 8, "HEADS": 2, "HIDDEN": 6, "BLOCKS": 1},
    }  # fmt: skip
    for module, values in sizes.items():
        for name, value in values.items():
            monkeypatch.setattr(module, name, value)


@pytest.fixture(scope="session")
def client() -> "Iterator[Client]":
    """Client of a cluster of two worker processes."""
    from rrl_batch.cluster.connect import connect
    from rrl_batch.job import ClusterSection

    with connect(ClusterSection(workers=2, dashboard_address="127.0.0.1:0")) as client:
        yield client


@pytest.fixture
def gpu_worker(client: "Client") -> Iterator[str]:
    """Address of the one of the two workers that declares a GPU for the time of the test."""
    owner = next(iter(client.scheduler_info(n_workers=-1)["workers"]))
    client.run(_declare_gpus, 1, workers=[owner])
    yield owner
    client.run(_declare_gpus, 0, workers=[owner])


async def _declare_gpus(number: int, dask_worker: "Worker") -> None:
    from rrl_batch.models.device import WITHOUT_GPU

    await dask_worker.set_resources(GPU=number)
    for name in WITHOUT_GPU:  # its tasks so far were kept from GPUs
        os.environ.pop(name, None)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the certificates of a cluster on 127.0.0.1."""
    script = runpy.run_path(str(Path(__file__).parents[1] / "deploy/tls/certificates.py"))
    root = tmp_path_factory.mktemp("tls")
    for arguments in (["authority"], ["scheduler", "127.0.0.1"], ["worker"], ["client"]):
        command, *names = arguments
        assert script["main"]([command, str(root), *names]) == 0
    return root


@dataclass(frozen=True)
class Run:
    """What a small run on simulated stars has left behind, and the folder of its events."""

    survey: Path
    labels: Path
    model: Path
    catalogue: Path
    events: Path
    job: "Job"


@pytest.fixture(scope="session")
def run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Run:
    """Run the pipeline once, for all processes that test: a survey, a model, a catalogue."""
    from rrl_batch.job import make_job
    from rrl_batch.storage.manifest import MANIFEST

    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent
    root = shared / "run"
    root.mkdir(exist_ok=True)
    select = "num_epochs_used >= 12 and amplitude <= 1.4 and phi31_error <= 1.0"
    training = {"select": select, "folds": 2, "epochs": 3}
    run = Run(
        root / "survey", root / "labels.parquet", root / "model", root / "catalogue",
        root / "events",
        make_job({"preprocess": {"points": 16}, "training": training}, "test"),
    )  # fmt: skip
    with (shared / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (run.catalogue / MANIFEST).exists():
            _make(run, request.getfixturevalue("client"))
    return run


def _make(run: Run, client: "Client") -> None:
    """Simulate a survey, train a model of two members, and predict a catalogue."""
    from rrl_batch import flow
    from rrl_batch.cluster.recorder import recording
    from rrl_batch.sources.tables import read_labels
    from rrl_batch.survey.read import open_survey

    with recording(client, "run", run.events, title="A small sky"):
        flow.simulate(client, 300, 7, run.survey, run.labels)
        survey = open_survey(run.survey)
        flow.train(client, survey, read_labels(run.labels, "true"), run.model, run.job)
        flow.predict(client, survey, run.model, run.catalogue)
