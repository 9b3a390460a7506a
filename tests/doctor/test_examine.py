"""The command as a whole: on a cluster that is well, or not there, and on a poor machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import rrl_batch
from rrl_batch.cli import main
from rrl_batch.doctor import examine
from rrl_batch.doctor.finding import WIDTH, Finding

NAMES = [*examine.HERE, *examine.CLUSTER, *examine.HOSTS, *examine.WORKERS]


@pytest.fixture
def job(run, tmp_path):
    """A job file whose survey and labels are there, and whose output is not."""
    file = tmp_path / "job.toml"
    file.write_text(
        f"survey.path = '{run.survey}'\nlabels.path = '{run.labels}'\nlabels.scale = 'true'\n"
        f"model.path = '{tmp_path}/work/model'\ncatalogue.path = '{tmp_path}/work/catalogue'\n"
    )
    return file


def lines(text):
    """Return state and name of each finding, and the summary."""
    *found, last = [line for line in text.splitlines() if not line.startswith(" ")]
    return [(line[:9].strip(), line[9:21].strip()) for line in found], last


def test_a_job_on_a_cluster_that_is_well(client, job, capsys):
    assert main(["doctor", str(job), "--scheduler", client.scheduler.address]) == 0
    text = capsys.readouterr().out
    found, last = lines(text)
    assert {state for state, _ in found} == {"ok"}
    # nothing is said of certificates where nothing crosses hosts
    shown = [name for name in NAMES if not name.startswith("TLS")]
    assert list(dict.fromkeys(name for _, name in found)) == shown
    assert last.endswith(f"{len(found)} ok, 0 warning, 0 fails")
    # a path stays whole, however long it is
    assert all(len(line) <= WIDTH or " " not in line[21:].strip() for line in text.splitlines())
    assert [file.name for file in job.parent.iterdir()] == ["job.toml"]


def test_a_scheduler_that_does_not_answer_fails_and_the_rest_is_looked_at(monkeypatch, capsys):
    monkeypatch.setattr("rrl_batch.cluster.connect._CONNECT_TIMEOUT", "1 s")
    assert main(["doctor", "--scheduler", "tcp://127.0.0.1:9"]) == 1
    text = capsys.readouterr().out
    found, last = lines(text)
    assert ("fails", "scheduler") in found
    assert ("warning", "cluster") in found
    assert ("ok", "machine") in found
    assert "is 'dask scheduler' running there" in " ".join(text.split())
    assert last.endswith("1 fails")


def test_input_that_is_not_there_fails(client, job, capsys):
    scheduler = ["--scheduler", client.scheduler.address]
    assert main(["doctor", str(job), *scheduler, "--set", "survey.path=nowhere"]) == 1
    text = capsys.readouterr().out
    assert ("fails", "input") in lines(text)[0]
    assert "there is no nowhere, which survey.path names; correct it" in " ".join(text.split())


def test_a_check_that_breaks_is_a_line(monkeypatch, capsys):
    def broken(_):
        yield Finding("ok", "so far")
        raise ZeroDivisionError("no luck")

    monkeypatch.setattr(examine, "HERE", {"luck": broken})
    monkeypatch.setattr(examine, "HOSTS", {})
    assert main(["doctor"]) == 1
    assert lines(capsys.readouterr().out)[0] == [("ok", "luck"), ("fails", "luck")]


def test_settings_without_a_job_are_refused(capsys):
    assert main(["doctor", "--set", "survey.path=x"]) == 2
    assert "--set changes a job; name its file, too" in capsys.readouterr().err


READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'


def test_kernels_that_cannot_be_kept_fail():
    """The package is on a file system that is read-only, and its user has no home."""
    package = Path(rrl_batch.__file__).parent
    command = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", str(package)]
    nowhere = {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere"}
    environment = os.environ | nowhere | {"PYTHONPATH": str(package.parent)}
    try:
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
            raise FileNotFoundError
    except FileNotFoundError:
        pytest.skip("a mount namespace takes root and the program unshare")
    done = subprocess.run(
        [*command, sys.executable, "-m", "rrl_batch", "doctor"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert ("fails", "kernels") in lines(done.stdout)[0]
    assert "set NUMBA_CACHE_DIR to a folder that can be written" in " ".join(done.stdout.split())
