"""A job outlives the client that submitted it, and the host that drove it."""

import runpy
import sys
import time
from pathlib import Path

import pytest
import tomli_w
from hosts import Hosts

from rrl_batch.cluster.events import JobStarted, read_events
from rrl_batch.cluster.jobs import all_jobs
from rrl_batch.storage.manifest import Manifest

CERTIFICATES = Path(__file__).parents[2] / "deploy/tls/certificates.py"
PYTHON = (sys.executable, "-m")
# after so long a host that has gone is noticed: Dask takes no less than 11 s, and 30 s by itself
NOTICED = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s"}


@pytest.fixture
def hosts(tmp_path):
    """Two hosts of a cluster, and a laptop."""
    with Hosts(["head", "other", "laptop"], tmp_path) as hosts:
        yield hosts


@pytest.fixture
def tls(hosts, tmp_path):
    root = tmp_path / "tls"
    make = runpy.run_path(str(CERTIFICATES))["main"]
    for arguments in (
        ["authority", root], ["scheduler", root, hosts.addresses["head"]], ["worker", root],
        ["client", root],
    ):  # fmt: skip
        assert make([str(argument) for argument in arguments]) == 0
    return root


def files(folder):
    return [
        option
        for name, file in (("ca-file", "ca.crt"), ("cert", "tls.crt"), ("key", "tls.key"))
        for option in (f"--tls-{name}", str(folder / file))
    ]


def receipts(catalogue):
    """Return what the receipts say of the content; that of a model also depends on its path."""
    about = ("path", "rows", "size", "sha256", "counts")
    return [{name: getattr(r, name) for name in about} for r in Manifest.read(catalogue).partitions]


def wait_until(condition, seconds=600):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, condition
        time.sleep(0.1)


@pytest.mark.long
def test_a_job_outlives_its_client_and_the_host_that_drives_it(hosts, tls, run, tmp_path):
    address = f"tls://{hosts.addresses['head']}:8786"
    paths = {name: tmp_path / name for name in ("model", "catalogue", "evaluation")}
    job = run.job.model_dump(mode="json", exclude_unset=True) | {
        "survey": {"path": str(run.survey)},
        "labels": {"path": str(run.labels), "scale": "true"},
        "cluster": {"kind": "address", "address": address, "tls": str(tls / "client")},
    }
    for name, path in paths.items():
        job[name] = {"path": str(path)}
    (tmp_path / "job.toml").write_text(tomli_w.dumps(job))
    listen = ["--dashboard-address", "127.0.0.1:0"]

    def start_worker(host):
        hosts.start(
            host, *PYTHON, "dask", "worker", address, "--nthreads", "1", "--nworkers", "1",
            *files(tls / "worker"), *listen, KERAS_BACKEND="tensorflow", **NOTICED,
        )  # fmt: skip

    hosts.start(
        "head", *PYTHON, "dask", "scheduler", "--protocol", "tls", "--port", "8786",
        "--host", hosts.addresses["head"], *files(tls / "scheduler"), *listen, **NOTICED,
    )  # fmt: skip
    start_worker("other")
    done = hosts.run(
        "laptop", *PYTHON, "rrl_batch", "submit", str(tmp_path / "job.toml"),
        "--jobs", str(tmp_path / "jobs"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (submitted,) = all_jobs(tmp_path / "jobs")
    wait_until(lambda: submitted.look().run.started)
    start_worker("head")
    wait_until(lambda: "train" in submitted.look().run.stages)
    hosts.cut("other")
    wait_until(lambda: submitted.look().is_over)
    assert submitted.look().state == "done", submitted.look().run.ended
    drivers = [event for event in read_events(submitted.path) if isinstance(event, JobStarted)]
    assert len(drivers) == 2

    ours, undisturbed = receipts(paths["catalogue"]), receipts(run.catalogue)
    assert len(ours) > 1
    assert ours == undisturbed
    for receipt in ours:
        name = receipt["path"]
        assert (paths["catalogue"] / name).read_bytes() == (run.catalogue / name).read_bytes()
