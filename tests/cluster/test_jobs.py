"""A job's folder: what can be told from its files alone."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rrl_batch.cluster.events import (
    EVENTS_FILE,
    Event,
    JobEnded,
    JobStarted,
    StageStarted,
    TaskDone,
)
from rrl_batch.cluster.jobs import DRIVER_FILE, Follower, JobFolder, all_jobs, find_job
from rrl_batch.errors import RunError, UserError
from rrl_batch.job import Job, make_job, read_job

BEGAN = 1_000.0


def folder(jobs: Path, name: str = "sky") -> JobFolder:
    return JobFolder.create(jobs, name, Job(), "rrl-batch submit sky.toml")


def write(job: JobFolder, *events: Event, end: str = "\n") -> None:
    with (job.path / EVENTS_FILE).open("a") as file:
        file.write("\n".join(event.to_json() for event in events) + end)


def started(time: float = BEGAN) -> JobStarted:
    return JobStarted(time=time, job="sky-1", title="sky-1")


def ended(state: str, time: float = BEGAN + 60) -> JobEnded:
    return JobEnded(time=time, job="sky-1", state=state, message="")


def test_jobs_are_numbered_by_name(tmp_path):
    names = [folder(tmp_path, name).id for name in ("sky", "sky", "two words", "../up")]
    assert names == ["sky-1", "sky-2", "two-words-1", "up-1"]
    assert {job.id for job in all_jobs(tmp_path)} == set(names)
    assert all(job.path.parent == tmp_path for job in all_jobs(tmp_path))


def test_the_job_that_is_kept_is_the_job_that_was_given(tmp_path):
    job = make_job(
        {
            "survey": {"path": "survey"}, "labels": {"path": "/data/labels.csv", "scale": "a"},
            "experiment": {"path": "out", "grid": {"model.dropout": [0.1, 0.2]}},
            "cluster": {"kind": "address", "address": "tcp://head:8786"},
        },
        "test",
    )  # fmt: skip
    absolute = job.absolute(Path("/data"))
    assert absolute.paths() == {
        "survey": Path("/data/survey"),
        "labels": Path("/data/labels.csv"),
        "experiment": Path("/data/out"),
    }
    kept = JobFolder.create(tmp_path, "sky", absolute, "rrl-batch run sky.toml")
    assert kept.job == absolute
    assert {case.model.dropout for case in kept.job.cases().values()} == {0.1, 0.2}


def test_a_schedulers_address_replaces_the_cluster_that_a_job_asks_for(tmp_path):
    file = tmp_path / "job.toml"
    file.write_text("[cluster]\nworkers = 2\nmemory_per_worker = '2 GB'\n")
    cluster = read_job(file, scheduler="tcp://head:8786").cluster
    assert (cluster.kind, cluster.address, cluster.workers) == ("address", "tcp://head:8786", None)


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"No folder of a job can be made in .*file \(.*--jobs"):
        folder(tmp_path / "file")


def test_a_job_that_is_not_there_is_a_sentence_with_the_nearest(tmp_path):
    with pytest.raises(UserError, match=r"no job 'sky-1' in .*; there is none at all: .*--jobs"):
        find_job(tmp_path, "sky-1")
    for name in ("full_sky", "full_sky", "demo"):
        folder(tmp_path, name)
    with pytest.raises(UserError, match=r"did you mean full_sky-[12] or full_sky-[12]\?"):
        find_job(tmp_path, "fullsky-1")
    with pytest.raises(UserError, match=r"no job '\.\./x' .*; the last is demo-1\."):
        find_job(tmp_path, "../x")
    assert find_job(tmp_path, "demo-1").path == tmp_path / "demo-1"


def test_the_state_follows_from_events_and_signs_of_life(tmp_path):
    job = folder(tmp_path)
    assert job.look().state == "waiting"
    driver = {"host": socket.gethostname(), "pid": os.getpid(), "token": ""}
    file = job.path / DRIVER_FILE
    file.write_text(json.dumps(driver))
    assert job.look().state == "running"
    job.ask_to_stop()
    assert job.look().state == "stopping"
    write(job, started(), ended("cancelled"))
    assert job.look().state == "cancelled"


def test_a_driver_that_is_silent_or_has_died_is_lost(tmp_path):
    job = folder(tmp_path)
    write(job, started())
    assert job.look().state == "lost"
    file = job.path / DRIVER_FILE
    file.write_text(json.dumps({"host": "elsewhere", "pid": 1, "token": ""}))
    assert job.look().state == "running"
    os.utime(file, (time.time() - 1_000,) * 2)
    assert job.look().state == "lost"
    # one of this host is known to have died without waiting
    died = subprocess.Popen([sys.executable, "-c", ""])
    died.wait()
    file.write_text(json.dumps({"host": socket.gethostname(), "pid": died.pid, "token": ""}))
    view = job.look()
    assert view.state == "lost"
    assert time.time() - view.sign.heard < 60


def test_a_driver_that_is_started_again_undoes_the_end(tmp_path):
    job = folder(tmp_path)
    write(job, started(), ended("failed"), started(BEGAN + 100))
    assert not job.look().is_over


def test_a_follower_reads_on_and_passes_over_torn_lines(tmp_path):
    job = folder(tmp_path)
    follower = Follower(job)
    assert follower.look().run.started is None
    about = {"job": "sky-1", "stage": "predict", "began": BEGAN}
    done = TaskDone(time=BEGAN + 1, task=0, amount=5.0, fresh=5.0, **about)
    write(job, started(), StageStarted(time=BEGAN, unit="stars", planned=[5.0], **about))
    assert follower.look().run.stages["predict"].so_far == 0.0
    with (job.path / EVENTS_FILE).open("a") as file:
        file.write('{"event":"TaskDo')
    assert follower.look().run.stages["predict"].so_far == 0.0
    write(job, end="\n")
    write(job, done)
    view = follower.look()
    assert view.run.stages["predict"].so_far == 5.0
    assert view.run.stages == job.look().run.stages
