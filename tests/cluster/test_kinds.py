"""Kinds of cluster that need services which are not here: what is said, and what is asked for."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from distributed import Scheduler, Worker
from distributed.utils import LoopRunner
from kubernetes_api import CONFIG, kubernetes

from rrl_batch.cluster.connect import connect
from rrl_batch.cluster.environment import worker_environment
from rrl_batch.cluster.kinds.kubernetes import read_manifest
from rrl_batch.cluster.kinds.slurm import _time_limits
from rrl_batch.errors import RunError, UserError
from rrl_batch.job import make_job

needs_kubernetes = pytest.mark.skipif(
    find_spec("dask_kubernetes") is None, reason="the extra kubernetes is not installed"
)
MANIFEST = Path(__file__).parents[2] / "deploy/kubernetes/cluster.yaml"


def cluster(kind, **options):
    return make_job({"cluster": {"kind": kind, **options}}, "test").cluster


def pods(**options):
    return cluster("kubernetes", **{"workers": 8, "manifest": str(MANIFEST)} | options)


def test_a_manifest_gets_the_workers_of_the_job():
    assert read_manifest(pods())["spec"]["worker"]["replicas"] == 8
    assert read_manifest(pods(min_workers=2))["spec"]["worker"]["replicas"] == 2
    as_it_stands = yaml.safe_load(MANIFEST.read_text())
    assert read_manifest(pods())["metadata"] == as_it_stands["metadata"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, r"The manifest .*cluster\.yaml cannot be read: .*No such file"),
        ("a: [", r"The manifest .*cluster\.yaml cannot be read: while parsing"),
        ("kind: Pod\n---\n- 1\n", r"has no document of the kind DaskCluster\."),
        ("kind: DaskCluster\n", r"has no workers, spec\.worker, in its DaskCluster\."),
    ],
)
def test_a_manifest_that_is_none_is_a_sentence(tmp_path, text, sentence):
    path = tmp_path / "cluster.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=sentence) as refusal:
        read_manifest(pods(manifest=str(path)))
    assert "\n" not in str(refusal.value)


@pytest.fixture
def scheduler():
    """Ports of a scheduler with a worker, as the operator would have started it."""
    runner, servers = LoopRunner(asynchronous=False), []

    async def start():
        where = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
        servers.append(await Scheduler(port=0, **where))
        servers.append(await Worker(servers[0].address, nthreads=1, **where))
        return servers[0].port, servers[0].http_server.port

    async def close():
        for server in reversed(servers):
            await server.close()

    runner.start()
    try:
        yield runner.run_sync(start)
    finally:
        runner.run_sync(close)
        runner.stop()


SCRIPT = """\
import json, sys
from rrl_batch.cluster.connect import connect
from rrl_batch.job import make_job
with connect(make_job({"cluster": json.loads(sys.argv[1])}, "test").cluster) as client:
    print(client.submit(sum, [1, 2]).result())
"""


@needs_kubernetes
def test_pods_start_and_end_with_the_run(scheduler, tmp_path):
    section = pods(min_workers=2).model_dump_json(exclude_defaults=True)
    with kubernetes(*scheduler, tmp_path / "config") as server:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, section], capture_output=True, text=True, timeout=300,
            env=os.environ | {"KUBECONFIG": str(tmp_path / "config")}, check=False,
        )  # fmt: skip
        assert (done.stdout, done.stderr) == ("3\n", "")
        assert server.ever["DaskCluster rrl-batch"]["spec"]["worker"]["replicas"] == 2
        scaling = {"cluster": "rrl-batch", "minimum": 2, "maximum": 8}
        assert server.ever["DaskAutoscaler rrl-batch"]["spec"] == scaling
        assert not [path for path in server.resources if path.endswith("daskclusters/rrl-batch")]


@needs_kubernetes
def test_no_kubernetes_is_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "config").write_text(CONFIG.format(port=9))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(RunError, match=r"has no Dask operator for this user \(.*; see that 'kubec"):
        next(connect(pods()).gen)


def test_certificates_are_not_dropped_in_silence_for_kubernetes(certificates, monkeypatch):
    monkeypatch.setenv("RRL_BATCH_TLS", str(certificates / "scheduler"))
    with pytest.raises(UserError, match=r"dask-kubernetes cannot encrypt"):
        next(connect(pods()).gen)


@pytest.mark.parametrize(
    ("hours", "walltime", "lifetime", "stagger"),
    [(24, "1440", 1420, 10), (1, "60", 48, 6), (0.1, "6", 4.8, 0.6)],
)
def test_workers_end_before_their_jobs(hours, walltime, lifetime, stagger):
    limits = _time_limits(hours, ["--resources", "GPU=1"])
    assert limits["walltime"] == walltime
    ours = ["--lifetime", f"{lifetime:.2f}m", "--lifetime-stagger", f"{stagger:.2f}m"]
    assert limits["worker_extra_args"] == ["--resources", "GPU=1", *ours]


def test_workers_have_the_backend_of_the_command(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert worker_environment()["KERAS_BACKEND"] == "jax"
