"""Drivers: one a job, one an output, and none that cannot be stopped."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from rrl_batch.cluster import driving
from rrl_batch.cluster.driving import REPLACED
from rrl_batch.cluster.events import EpochEnded, JobStarted, Piece, TaskDone
from rrl_batch.cluster.jobs import DRIVER_FILE, JobFolder
from rrl_batch.driver import MOST_STARTS, _check_starts
from rrl_batch.errors import RunError
from rrl_batch.job import Job
from rrl_batch.storage.sky import Pixel


@pytest.fixture
def folder(tmp_path):
    return JobFolder.create(tmp_path / "jobs", "sky", Job(), "rrl-batch run sky.toml")


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(driving, "_BEAT_SECONDS", 0.05)


@pytest.mark.usefixtures("quick")
def test_a_driver_gives_signs_of_life_and_leaves_none(folder):
    with driving.driving(folder):
        first = folder.last_sign()
        assert first.alive
        deadline = time.monotonic() + 60
        while folder.last_sign().heard == first.heard and time.monotonic() < deadline:
            time.sleep(0.05)
        assert folder.last_sign().heard > first.heard
    assert folder.last_sign() is None


@pytest.fixture
def interruptible():
    """Let ctrl-C interrupt, whatever other tests have made of it in this process."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("quick", "interruptible")
def test_a_job_that_is_to_stop_interrupts_its_driver(folder):
    folder.ask_to_stop()
    with pytest.raises(KeyboardInterrupt), driving.driving(folder):
        time.sleep(60)


def test_a_driver_that_was_replaced_ends_at_once(folder):
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom rrl_batch.cluster import driving, jobs\n"
        "driving._BEAT_SECONDS = 0.05\n"
        "with driving.driving(jobs.JobFolder(Path(sys.argv[1]))):\n    time.sleep(60)\n"
    )
    old = subprocess.Popen([sys.executable, "-c", code, str(folder.path)])
    while not (folder.path / DRIVER_FILE).exists():
        assert old.poll() is None
        time.sleep(0.05)
    with driving.driving(folder):
        assert old.wait(60) == REPLACED
        assert json.loads((folder.path / DRIVER_FILE).read_text())["pid"] != old.pid


def test_a_driver_is_not_started_for_ever_without_getting_on():
    about = {"time": 0.0, "job": "sky-1", "began": 0.0}
    begin = JobStarted(time=0.0, job="sky-1", title="")
    found = TaskDone(**about, stage="predict", task=0, amount=7.0, fresh=0.0, pieces=[piece(1)])
    trained = EpochEnded(**about, stage="train", member="gru_0_0", epoch=1)
    compiled = TaskDone(**about, stage="compile", task=0, amount=1.0, fresh=1.0)
    fruitless = [begin, compiled, trained, found]
    _check_starts(fruitless * MOST_STARTS)  # the first one got on
    with pytest.raises(RunError, match=rf"started {MOST_STARTS} times .* before anything was fin"):
        _check_starts(fruitless * (MOST_STARTS + 1))
    for new in (replace(found, pieces=[piece(2)]), replace(trained, epoch=2)):
        _check_starts([*fruitless * MOST_STARTS, begin, new, *fruitless])


def piece(pixel: int) -> Piece:
    return Piece(Pixel(1, pixel), 7)
