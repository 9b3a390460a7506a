"""The kind `ssh` and `deploy/ssh`, with an sshd that is started for the tests."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path
from string import Template

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
def test_hosts_give_the_catalogue_of_this_machine(run, certificates, tmp_path):
    with connect(section(tls=str(certificates / "scheduler"))) as client:
        client.wait_for_workers(2, timeout=sandbox.SECONDS)
        address = client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
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


FOLDER = Path(__file__).parents[2] / "deploy/ssh"
UNITS = [FOLDER / f"rrl-batch-{name}@.service" for name in ("scheduler", "worker")]


def installed(unit, **changed):
    """Return a unit's text as it would be on this machine."""
    text = unit.read_text().replace("/opt/rrl_batch/.venv", sys.prefix)
    for old, new in changed.items():
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_the_units_are_valid(unit, tmp_path):
    if sandbox.missing("systemd-analyze"):
        pytest.skip("systemd-analyze is not here")
    (tmp_path / unit.name).write_text(installed(unit))
    command = ["systemd-analyze", "verify", tmp_path / unit.name]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=sandbox.SECONDS, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def words(unit, environment):
    """Return the command of a unit, with its variables, as systemd would start it."""
    command = re.search(r"^ExecStart=((?:.*\\\n)*.*)$", unit, re.MULTILINE)[1]
    return Template(command.replace("\\\n", " ")).substitute(environment).split()


def test_the_units_start_workers_that_encrypt(certificates):
    port = sandbox.free_port()
    address = f"tls://127.0.0.1:{port}"
    lines = (FOLDER / "environment").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    settings |= {"SCHEDULER": address, "WORKERS": "1"}
    local = {"--port 8786": f"--port {port} --host 127.0.0.1", "127.0.0.1:8787": "127.0.0.1:0"}
    with contextlib.ExitStack() as running:
        for unit, role in zip(UNITS, ("scheduler", "worker"), strict=True):
            own = settings | {"CREDENTIALS_DIRECTORY": str(certificates / role)}
            command = words(installed(unit, **local), own)
            running.enter_context(sandbox.process(*command, env=os.environ | own))
        sandbox.until(lambda: sandbox.answers(port), "the scheduler's start")
        section = {"kind": "address", "address": address, "tls": str(certificates / "client")}
        with connect(make_job({"cluster": section}, "test").cluster) as client:
            assert set(client.nthreads().values()) == {1}
            assert set(client.run(os.getenv, "KERAS_BACKEND").values()) == {"tensorflow"}
