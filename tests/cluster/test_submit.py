"""Jobs that a cluster drives by itself, whatever becomes of clients and workers."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import chain
from pathlib import Path

import pytest
import tomli_w

from rrl_batch.catalogue.verify import verify
from rrl_batch.cli import main
from rrl_batch.cluster.events import JobStarted, TaskDone, read_events
from rrl_batch.cluster.jobs import JobFolder, find_job
from rrl_batch.cluster.submit import key_of
from rrl_batch.storage.manifest import Manifest

PATIENCE = 300.0

NEW_SURVEY = """
[simulate]
stars = 60_000
[survey]
path = "survey"
[labels]
path = "labels.parquet"
scale = "true"
[model]
path = "model"
architecture = "ridge"
[catalogue]
path = "catalogue"
[evaluation]
path = "evaluation"
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in a folder of one's own, as a user does."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def wait_until(what, *arguments):
    deadline = time.monotonic() + PATIENCE
    while not (found := what(*arguments)):
        assert time.monotonic() < deadline, f"waited for {what.__name__} in vain"
        time.sleep(0.1)
    return found


def is_over(job: JobFolder):
    view = job.look()
    return view if view.is_over else None


def starts(job: JobFolder) -> int:
    return sum(isinstance(event, JobStarted) for event in read_events(job.path))


def new_pieces(job: JobFolder) -> int:
    done = [event for event in read_events(job.path) if isinstance(event, TaskDone)]
    return sum(len(event.pieces) for event in done if event.fresh)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def keys(dask_scheduler):
    return {str(key): task.state for key, task in dask_scheduler.tasks.items()}


def computing(dask_worker):
    return [str(key) for key in dask_worker.state.tasks]


def nothing_is_left(client, before):
    """Tell whether there are no tasks but those of other tests."""
    there = {*client.run_on_scheduler(keys), *chain(*client.run(computing).values())}
    return there <= before


def test_a_job_outlives_its_client_and_the_worker_that_drives_it(client, run, here, capsys):
    """The client is killed when it has printed the id, the worker when the driver has begun."""
    others = set(client.run_on_scheduler(keys))
    shutil.copytree(run.model, here / "model")
    job = run.job.model_dump(mode="json", exclude_none=True, exclude={"cluster"})
    job["survey"], job["labels"] = {"path": str(run.survey)}, {"path": str(run.labels)}
    job["labels"]["scale"] = "true"
    for section in ("model", "catalogue", "evaluation"):
        job[section]["path"] = section
    (here / "sky.toml").write_text(tomli_w.dumps(job))
    command = ["submit", "sky.toml", "--scheduler", client.scheduler.address]
    submitting = subprocess.Popen(
        [sys.executable, "-u", "-m", "rrl_batch", *command], stdout=subprocess.PIPE, text=True
    )
    name = submitting.stdout.readline().strip()
    submitting.kill()
    submitting.wait()
    submitting.stdout.close()
    assert name == "sky-1"
    job = find_job(Path("rrl-jobs"), name)

    wait_until(starts, job)
    driver = job.driver()["pid"]
    assert parent_of(driver) in client.run(os.getpid).values()
    os.kill(parent_of(driver), signal.SIGKILL)
    view = wait_until(is_over, job)
    assert (view.state, view.run.ended.message) == ("done", "")
    assert starts(job) == 2
    with pytest.raises(ProcessLookupError):
        os.kill(driver, 0)
    wait_until(nothing_is_left, client, others)
    client.wait_for_workers(2, timeout=PATIENCE)

    # what `rrl-batch run` would have given
    assert verify(here / "catalogue").faults == []
    ours, theirs = Manifest.read(here / "catalogue"), Manifest.read(run.catalogue)
    assert ours.partitions == theirs.partitions
    assert (here / "evaluation/index.html").exists()

    # from its files alone
    assert main(["status"]) == 0
    assert "sky-1  done" in capsys.readouterr().out
    assert main(["logs", name]) == 0
    assert "300 rows in" in capsys.readouterr().out
    assert main(["watch", name]) == 0
    assert "300 of 300 stars" in capsys.readouterr().out
    assert main(["cancel", name]) == 0
    assert "sky-1 has ended already: done." in capsys.readouterr().out


def test_a_cancelled_job_frees_everything_and_goes_on_when_it_is_submitted_again(
    client, here, capsys
):
    others = set(client.run_on_scheduler(keys))
    (here / "sky.toml").write_text(NEW_SURVEY)
    command = ["submit", "sky.toml", "--scheduler", client.scheduler.address]
    finished = 0
    for number in (1, 2):
        assert main(command) == 0
        assert capsys.readouterr().out == f"sky-{number}\n"
        job = find_job(Path("rrl-jobs"), f"sky-{number}")
        wait_until(new_pieces, job)
        if number == 1:
            assert main(command) == 2
            assert "The job sky-1 writes to" in capsys.readouterr().err
        assert main(["cancel", job.id]) == 0
        assert f"{job.id} is cancelled" in capsys.readouterr().out
        assert job.look().state == "cancelled"
        assert job.last_sign() is None
        wait_until(nothing_is_left, client, others)
        before, finished = finished, len(list((here / "survey/receipts").iterdir()))
        assert finished > before
    stage = job.look().run.stages["survey"]
    first = Counter(task.fresh == 0 for task in stage.done.values())
    assert first[True] >= 1  # found as the first driver has left it


def test_a_job_that_no_worker_drives_yet_is_cancelled_at_once(client, here):
    from rrl_batch.job import make_job

    cluster = {"kind": "address", "address": client.scheduler.address}
    job = JobFolder.create(here / "rrl-jobs", "sky", make_job({"cluster": cluster}, "test"), "")
    client.run_on_scheduler(keys)
    assert main(["cancel", job.id]) == 0
    assert job.look().state == "cancelled"
    assert key_of(job) not in client.run_on_scheduler(keys)


def test_what_a_job_does_wrong_is_told_by_its_status(client, run, here, capsys):
    """The labels are found to be on two scales by the client; a foreign folder by the driver."""
    text = NEW_SURVEY.replace("[simulate]\nstars = 60_000\n", "").replace(
        '"survey"', f'"{run.survey}"'
    )
    text = text.replace('"labels.parquet"', f'"{run.labels}"')
    (here / "sky.toml").write_text(text.replace('scale = "true"\n', ""))
    command = ["submit", "sky.toml", "--scheduler", client.scheduler.address]
    assert main(command) == 2
    assert "scale" in capsys.readouterr().err
    assert not (here / "rrl-jobs").exists()

    (here / "sky.toml").write_text(text)
    (here / "model").mkdir()
    (here / "model/other").touch()
    assert main(command) == 0
    view = wait_until(is_over, find_job(Path("rrl-jobs"), "sky-1"))
    assert view.state == "failed"
    assert f"{here / 'model'} already holds something else" in view.run.ended.message
    assert main(["watch", "sky-1"]) == 1
    assert "already holds something" in capsys.readouterr().out
