"""What a terminal shows of jobs."""

import os
import time

import pytest
from rich.console import Console

from rrl_batch.cluster.events import (
    EpochEnded,
    Event,
    JobEnded,
    JobStarted,
    Piece,
    StageEnded,
    StageStarted,
    TaskDone,
    TaskFailed,
    TrainingSetKnown,
    Warned,
)
from rrl_batch.cluster.jobs import DRIVER_FILE, EVENTS_FILE, JobFolder
from rrl_batch.cluster.screen import bars, clock, duration, job_screen, jobs_table
from rrl_batch.contracts.histogram import N_BINS
from rrl_batch.job import Job
from rrl_batch.storage.sky import Pixel

NOW = time.time()
REST = [0] * (N_BINS - 3)


def events(job: str) -> list[Event]:
    """A job that trains two members, and has predicted one of two partitions."""
    train = {"job": job, "stage": "train", "began": NOW - 300}
    predict = {"job": job, "stage": "predict", "began": NOW - 100}
    pixels = [[Pixel(0, 3)], [Pixel(1, 7), Pixel(1, 8)]]
    piece = Piece(
        Pixel(0, 3), 2_000, {"SPARSE": 40, "predicted": 1_900}, -1.3, [0, 500, 1_400, *REST]
    )
    return [
        JobStarted(time=NOW - 310, job=job, title=job),
        StageStarted(time=NOW - 300, unit="epochs", planned=[10.0], **train),
        EpochEnded(time=NOW - 250, member="gru_0_0", epoch=1, loss=2.0, stopping_loss=3.0, **train),
        EpochEnded(time=NOW - 240, member="gru_0_0", epoch=2, loss=1.0, stopping_loss=1.5, **train),
        TaskDone(time=NOW - 120, task=0, amount=2.0, fresh=2.0, **train),
        StageEnded(time=NOW - 110, **train),
        TrainingSetKnown(time=NOW - 105, job=job, histogram=[1, 4, 2, *REST]),
        StageStarted(
            time=NOW - 100, unit="stars", planned=[2_000.0, 8_000.0], pixels=pixels, **predict
        ),
        Warned(time=NOW - 99, job=job, message="Of 7 labels 2 are of no star."),
        TaskDone(time=NOW - 50, task=0, amount=2_000.0, fresh=2_000.0, pieces=[piece], **predict),
    ]


@pytest.fixture
def folder(tmp_path):
    folder = JobFolder.create(tmp_path, "sky", Job(), "rrl-batch submit sky.toml")
    append(folder, *events(folder.id))
    (folder.path / DRIVER_FILE).write_text(f'{{"host": "elsewhere", "pid": {os.getpid()}}}')
    return folder


def append(folder, *new):
    with (folder.path / EVENTS_FILE).open("a") as file:
        file.writelines(event.to_json() + "\n" for event in new)


def shown(what, width=80):
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    console.print(what)
    console.file.close()
    return console.export_text()


def test_all_jobs_have_a_line_each(folder, tmp_path):
    other = JobFolder.create(tmp_path, "sky", Job(), "")
    text = shown(jobs_table([folder.look(), other.look()], NOW))
    head, first, second, *note = text.splitlines()
    assert head.split() == ["job", "state", "stage", "partitions", "rate", "left", "warnings"]
    assert first.split()[:7] == ["sky-1", "running", "predict", "20%", "1/3", "20", "stars/s"]
    assert first.split()[-1] == "1"
    assert second.split() == ["sky-2", "waiting"]
    assert note[0].startswith("sky-2: no worker has started its driver yet.")


def test_a_job_is_shown_with_all_that_is_known_of_it(folder):
    text = shown(job_screen(folder.look(), NOW))
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for part in (
        "sky-1  running  since", "2 of 2 epochs", "2,000 of 10,000 stars", "20/s",
        "1/3 in 'predict'", "2,000: SPARSE 40, predicted 1,900", "pass 2", "loss 1.5",
        "Of 7 labels 2 are of no star.", "▃█", "learnt from",
    ):  # fmt: skip
        assert part in text, part


def test_a_job_that_has_failed_says_why(folder):
    about = {"job": folder.id, "stage": "predict", "began": NOW - 100}
    append(
        folder,
        TaskFailed(time=NOW - 20, task=1, reason="The disk is full; free some.", **about),
        JobEnded(time=NOW - 20, job=folder.id, state="failed", message="The disk is full."),
    )
    view = folder.look()
    assert "sky-1: The disk is full." in shown(jobs_table([view], NOW))
    text = shown(job_screen(view, NOW))
    assert "predict: The disk is full; free some." in text
    assert "4 min 50 s" in text  # no longer counting
    assert " left" not in text
    assert "1:20" in text


def test_a_silent_driver_is_said_to_be_one(folder):
    os.utime(folder.path / DRIVER_FILE, (NOW - 600,) * 2)
    text = shown(jobs_table([folder.look()], NOW), width=300)
    assert "sky-1  lost" in text
    assert "has not been heard of for 10 min 00 s" in text
    assert "submit the job again, which goes on" in text


def test_values_are_bars_and_times_have_units():
    assert bars([0, 1, 4, 8]) == " ▁▄█"
    assert bars([2.0, 2.0], low=2.0) == "  "
    assert bars([]) == ""
    assert [duration(s) for s in (0.4, 59.6, 61, 3_660, 200_000)] == [
        "0 s", "1 min 00 s", "1 min 01 s", "1 h 01 min", "2 d 7 h",
    ]  # fmt: skip
    assert [clock(s) for s in (0.4, 59.6, 3_661)] == ["0:00", "1:00", "1:01:01"]
