"""Which workers do what in a cluster where some declare a GPU."""

import os
import threading
from collections import Counter
from contextlib import contextmanager

import pytest
from distributed import Client, Event, LocalCluster, get_task_stream, get_worker

from rrl_batch import flow, tasks
from rrl_batch.cluster.placement import all_workers, common_backend, workers_for_keras
from rrl_batch.cluster.worker import takes_turns
from rrl_batch.errors import UserError
from rrl_batch.job import make_job
from rrl_batch.models.device import WITHOUT_GPU
from rrl_batch.sources.tables import read_labels
from rrl_batch.stages.training import divide, fit_members
from rrl_batch.storage.manifest import Manifest
from rrl_batch.survey.read import open_survey
from rrl_batch.training.fit import FittedMember
from rrl_batch.training.problem import FitSettings, History, MemberId, Plan

NINE_NETWORKS = (
    "fcn", "resnet", "inceptiontime", "lstm", "bilstm", "convlstm", "gru", "bigru", "convgru",
)  # fmt: skip


def test_without_a_gpu_all_workers_are_for_keras(client):
    workers = workers_for_keras(client)
    assert sorted(workers.addresses) == sorted(all_workers(client).addresses)
    assert len(workers.addresses) == 2
    assert (workers.resources, workers.device) == ({}, "CPU")


def test_the_workers_that_declare_a_gpu_are_for_keras_and_say_if_they_have_none(
    client, gpu_worker, caplog
):
    workers = workers_for_keras(client)
    assert workers.addresses == [gpu_worker]
    assert workers.resources == {"GPU": 1}
    assert workers.device == "CPU"  # it does not have what it declares
    (said,) = [r.getMessage() for r in caplog.records if r.name == "rrl_batch.cluster.placement"]
    assert said.startswith("1 of 1 workers that declare a GPU have none that tensorflow can use")
    assert gpu_worker in said
    assert len(all_workers(client).addresses) == 2


@takes_turns
def hidden():
    return {name: os.environ.get(name) for name in WITHOUT_GPU}


def test_only_a_worker_that_declares_a_gpu_may_see_one(client, gpu_worker):
    (other,) = set(all_workers(client).addresses) - {gpu_worker}
    seen = {w: client.submit(hidden, workers=[w], pure=False).result() for w in (gpu_worker, other)}
    assert seen == {gpu_worker: dict.fromkeys(WITHOUT_GPU), other: WITHOUT_GPU}


def test_the_workers_backend_is_asked_for_before_keras_is_needed(client, monkeypatch):
    assert common_backend(client) == "tensorflow"
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(UserError, match=r"is jax here and tensorflow on the worker tcp://.*; set"):
        common_backend(client)
    monkeypatch.setenv("KERAS_BACKEND", "nonsense")
    with pytest.raises(UserError, match=r"KERAS_BACKEND is 'nonsense'; there are: tensorflow, jax"):
        common_backend(client)


def wait_for(event):
    event.wait()


@contextmanager
def busy(client, worker):
    """Keep a worker busy with something else."""
    done = Event(client=client)
    task = client.submit(wait_for, done, workers=[worker], pure=False)
    try:
        yield
    finally:
        done.set()
        task.result()


@pytest.fixture
def job(run):
    """A job with a network that needs Keras, and a regressor."""
    training = run.job.training.model_dump() | {"epochs": 2}
    preprocess = run.job.preprocess.model_dump()
    model = {"architecture": ["ridge", "mlp"]}
    return make_job({"preprocess": preprocess, "model": model, "training": training}, "test")


def bytes_of(catalogue):
    return [(receipt.path, receipt.sha256) for receipt in Manifest.read(catalogue).partitions]


def engines_of(catalogue):
    return Manifest.read(catalogue).provenance["model"]["engines"]


def test_a_worker_with_a_gpu_trains_and_evaluates_the_networks(
    client, gpu_worker, run, job, tmp_path
):
    survey, labels = open_survey(run.survey), read_labels(run.labels, "true")
    with get_task_stream(client) as stream:
        flow.train(client, survey, labels, tmp_path / "model", job)
        flow.predict(client, survey, tmp_path / "model", tmp_path / "catalogue")
    placed = {
        name: {task["worker"] for task in stream.data if name in str(task["key"])}
        for name in ("fit", "write_catalogue_partition")
    }
    assert gpu_worker in placed["fit"]
    assert placed["write_catalogue_partition"] == {gpu_worker}
    # what declares a GPU and has none computes on the CPU, and that is what is recorded
    assert engines_of(tmp_path / "catalogue") == {
        "ridge": "NumPy", "mlp": "Keras (tensorflow) on CPU",
    }  # fmt: skip


def test_workers_with_and_without_a_gpu_make_the_same_catalogue_by_kernels(
    client, gpu_worker, run, tmp_path
):
    (other,) = set(all_workers(client).addresses) - {gpu_worker}
    survey = open_survey(run.survey)
    with busy(client, gpu_worker):
        flow.predict(client, survey, run.model, tmp_path / "by_the_other")
    with busy(client, other):
        flow.predict(client, survey, run.model, tmp_path / "by_the_owner")
    assert bytes_of(tmp_path / "by_the_other") == bytes_of(run.catalogue)
    assert bytes_of(tmp_path / "by_the_owner") == bytes_of(run.catalogue)
    assert engines_of(run.catalogue) == {"gru": "fused kernel"}


def kinds_of(folder, names=NINE_NETWORKS):
    """Return ten members of each of some networks, and their plan."""
    plan = Plan(folder, [], FitSettings(masked=False), folder, "m")
    return [([MemberId(name, 0, (fold,)) for fold in range(10)], plan) for name in names]


@pytest.mark.parametrize(("backend", "sizes"), [("tensorflow", [1] * 10), ("jax", [3, 3, 2, 2])])
def test_the_members_of_each_kind_are_divided_evenly(backend, sizes, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    shares = divide(kinds_of(tmp_path), n_workers=4)
    assert [len(members) for members, _ in shares] == sizes * 9
    assert all(len({m.architecture for m in members}) == 1 for members, _ in shares)
    assert len({m for members, _ in shares for m in members}) == 90
    # regressors are fitted one by one on any backend
    assert [len(members) for members, _ in divide(kinds_of(tmp_path, ["gp"]), 4)] == [1] * 10


RUNNING, FIRST_TASKS, DONE = Counter(), threading.Barrier(4), []


def one_at_a_time(share):
    """Stand for the fit of a share, on workers that are threads of this process."""
    worker = get_worker().address
    RUNNING[worker] += 1
    if worker not in DONE:
        FIRST_TASKS.wait(timeout=300)  # for those of the other workers
    DONE.append(worker)
    assert RUNNING[worker] == 1
    RUNNING[worker] -= 1
    members, plan = share
    return [
        FittedMember(m, "", 1, 1, 1, 0.0, {}, History([0.0], []), "", plan.fingerprint)
        for m in members
    ]


def test_four_gpus_share_nine_networks_of_ten_folds_one_task_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "fit_share", one_at_a_time)
    kinds = kinds_of(tmp_path)
    with (
        LocalCluster(
            n_workers=4, threads_per_worker=2, processes=False, resources={"GPU": 1},
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster) as other,
    ):  # fmt: skip
        fitted = fit_members(other, kinds)
    assert [[f.member for f in some] for some in fitted] == [members for members, _ in kinds]
    assert len(set(DONE)) == 4
    assert len(DONE) == 90
