"""Fixtures of all tests."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from distributed import Client

    from rrl_batch.job import Job

# kernels compile on their first call, and no test depends on the time that it takes
settings.register_profile("rrl_batch", deadline=None)
settings.load_profile("rrl_batch")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real light curves, which lies beside the checkout and not in it."""
    folder = Path(__file__).parents[1] / "../shared/data"
    if not folder.is_dir():
        pytest.skip("the real light curves (../shared/data beside the checkout) are not here")
    return folder.resolve()


@pytest.fixture(scope="session")
def client() -> "Iterator[Client]":
    """Client of a cluster of two worker processes."""
    from rrl_batch.cluster.connect import connect
    from rrl_batch.job import ClusterSection

    with connect(ClusterSection(workers=2, dashboard_address="127.0.0.1:0")) as client:
        yield client


@dataclass(frozen=True)
class Run:
    """What a small run on simulated stars has left behind."""

    survey: Path
    labels: Path
    model: Path
    catalogue: Path
    job: "Job"


@pytest.fixture(scope="session")
def run(client: "Client", tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the pipeline once: a simulated survey, a model of two members, a catalogue."""
    from rrl_batch import flow
    from rrl_batch.job import make_job
    from rrl_batch.sources.tables import read_labels
    from rrl_batch.survey.read import open_survey

    root = tmp_path_factory.mktemp("run")
    training = {"min_epochs": 12, "max_phi31_error": 1.0, "folds": 2, "epochs": 3}
    done = Run(
        root / "survey", root / "labels.parquet", root / "model", root / "catalogue",
        make_job({"preprocess": {"points": 16}, "training": training}, "test"),
    )  # fmt: skip
    flow.simulate(client, 300, 7, done.survey, done.labels)
    survey = open_survey(done.survey)
    flow.train(client, survey, read_labels(done.labels, "true"), done.model, done.job)
    flow.predict(client, survey, done.model, done.catalogue)
    return done
