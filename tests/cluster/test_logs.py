"""The log of a job: what its driver and its tasks say."""

import json
import logging

import pytest

from rrl_batch.cluster.events import JobEnded, JobStarted, Piece, StageStarted, TaskDone, TaskFailed
from rrl_batch.cluster.jobs import JobFolder
from rrl_batch.cluster.logs import LOG_FILE, logged, read_log
from rrl_batch.cluster.monitor import gather
from rrl_batch.cluster.worker import takes_turns
from rrl_batch.job import Job
from rrl_batch.storage.sky import Pixel

STAR = 2**62 + 1


@pytest.fixture
def folder(tmp_path):
    return JobFolder.create(tmp_path, "sky", Job(), "rrl-batch run sky.toml")


def lines_of(folder):
    return [json.loads(line) for line in (folder.path / LOG_FILE).read_text().splitlines()]


def test_events_are_logged_with_what_they_are_about(folder):
    about = {"time": 0.0, "job": folder.id}
    predict = about | {"stage": "predict", "began": 0.0}
    piece = Piece(Pixel(0, 3), 2_000, {"SPARSE": 40, "predicted": 1_900})
    with logged(folder) as log_event:
        log_event(JobStarted(**about, title="", command="rrl-batch run sky.toml", version="0.1.0"))
        log_event(StageStarted(**predict, unit="stars", planned=[2_000.0, 8_000.0]))
        log_event(TaskDone(**predict, task=0, amount=2e3, fresh=2e3, pieces=[piece]))
        log_event(TaskFailed(**predict, task=1, reason="The disk is full."))
        log_event(JobEnded(**about, state="failed", message="The disk is full."))
    partition = "dataset/Norder=0/Dir=0/Npix=3"
    lines = lines_of(folder)
    assert all(line.pop("job") == folder.id and line.pop("time") for line in lines)
    assert lines == [
        {"level": "INFO", "message": "started by rrl_batch 0.1.0: rrl-batch run sky.toml"},
        {"level": "INFO", "stage": "predict", "message": "begins: 10,000 stars in 2 tasks"},
        {
            "level": "INFO", "stage": "predict", "partition": partition,
            "message": "2,000 stars, SPARSE 40, predicted 1,900",
        },
        {"level": "ERROR", "stage": "predict", "message": "The disk is full."},
        {"level": "ERROR", "message": "failed: The disk is full."},
    ]  # fmt: skip
    assert next(read_log(folder)).endswith(
        "INFO    started by rrl_batch 0.1.0: rrl-batch run sky.toml"
    )


@takes_turns
def odd(n):
    about = {"partition": "dataset/Npix=7", "star": STAR + n}
    logging.getLogger("rrl_batch.tasks").info("this is odd", extra=about)


def test_what_a_task_logs_is_in_the_log_of_its_job(client, folder):
    with logged(folder):
        other = client.submit(odd, 5, pure=False)  # of a job that is not this one
        futures = client.map(odd, range(2), pure=False)
        gather(client, futures, stage="predict", unit="stars", planned=[1, 1])
        other.result()
    lines = sorted(lines_of(folder), key=lambda line: line["star"])
    assert [line["star"] for line in lines] == [STAR, STAR + 1]
    assert lines[0]["stage"] == "predict"
    with (folder.path / LOG_FILE).open("a") as file:
        file.write('{"time": "2026-')
    read = sorted(read_log(folder))
    assert read[0].endswith(f"INFO    predict dataset/Npix=7 {STAR}: this is odd")
    assert len(read) == 2
