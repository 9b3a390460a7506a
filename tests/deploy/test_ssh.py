"""The kind `ssh` and `deploy/ssh`, with an sshd that is started for the tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sandbox

from rrl_batch import flow
from rrl_batch.cluster.connect import connect
from rrl_batch.errors import RunError
from rrl_batch.job import make_job
from rrl_batch.storage.commit import checksum
from rrl_batch.survey.read import open_survey

pytest.importorskip("asyncssh", reason="the extra ssh is not installed")


def section(**options):
    """Return a cluster of two hosts with a worker each, whose scheduler listens on loopback."""
    where = {"dashboard_address": "127.0.0.1:0", "host": "127.0.0.1", "memory_per_worker": "2 GiB"}
    two = {"kind": "ssh", "hosts": ["one", "two"], "workers": 1}
    return make_job({"cluster": two | where | options}, "test").cluster


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    lacking = sandbox.missing("sshd", "ssh-keygen")
    if lacking:
        pytest.skip(f"an sshd of its own needs {', '.join(lacking)}")
    home = tmp_path_factory.mktemp("home")
    with sandbox.sshd(home), pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        yield


def files(catalogue):
    return [checksum(path) for path in sorted((catalogue / "dataset").rglob("Npix=*.parquet"))]


@pytest.mark.usefixtures("hosts")
def test_hosts_give_the_catalogue_of_this_machine(run, tmp_path):
    with connect(section()) as client:
        client.wait_for_workers(2, timeout=sandbox.SECONDS)
        address = client.scheduler.address
        assert address.startswith("tcp://127.0.0.1:")
        assert len(set(client.run(os.getenv, "SSH_CONNECTION").values())) == 2
        assert set(client.run(os.getenv, "KERAS_BACKEND").values()) == {"tensorflow"}
        assert set(client.nthreads().values()) == {1}
        flow.predict(client, open_survey(run.survey), run.model, tmp_path / "catalogue")
    assert files(tmp_path / "catalogue") == files(run.catalogue)
    sandbox.until(lambda: not sandbox.answers(int(address.rpartition(":")[2])), "the end")


@pytest.mark.usefixtures("hosts")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"hosts": ["nowhere.invalid"]}, r"on nowhere\.invalid does not start \(.*\); see"),
        (
            {"python": "/no/python"},
            r"on one, two does not start \(.*'ssh HOST /no/python -m",
        ),
    ],
)
def test_a_host_that_cannot_be_used_is_a_sentence(options, reason):
    with pytest.raises(RunError, match=reason) as refusal:
        next(connect(section(**options)).gen)
    assert "\n" not in str(refusal.value)


UNITS = Path(__file__).parents[2] / "deploy/ssh"


@pytest.mark.parametrize("unit", sorted(UNITS.glob("*.service")), ids=lambda path: path.name)
def test_the_units_are_valid(unit, tmp_path):
    if sandbox.missing("systemd-analyze"):
        pytest.skip("systemd-analyze is not here")
    installed = tmp_path / unit.name
    installed.write_text(unit.read_text().replace("/opt/rrl_batch/.venv", sys.prefix))
    command = ["systemd-analyze", "verify", installed]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=sandbox.SECONDS, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
