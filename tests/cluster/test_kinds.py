"""Kinds of cluster that need services which are not here: what is said, and what is asked for."""

from pathlib import Path

import pytest
import yaml

from rrl_batch.cluster.connect import connect
from rrl_batch.cluster.environment import worker_environment
from rrl_batch.cluster.kinds.kubernetes import read_manifest
from rrl_batch.cluster.kinds.slurm import _time_limits
from rrl_batch.errors import RunError, UserError
from rrl_batch.job import make_job

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


KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{name: a, cluster: {server: "https://127.0.0.1:9"}}]
users: [{name: b, user: {token: c}}]
contexts: [{name: d, context: {cluster: a, user: b}}]
current-context: d
"""


def test_no_kubernetes_is_a_sentence(tmp_path, monkeypatch):
    pytest.importorskip("dask_kubernetes", reason="the extra kubernetes is not installed")
    (tmp_path / "config").write_text(KUBECONFIG)
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
