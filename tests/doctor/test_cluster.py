"""What is said of clusters that are not as they should be."""

import pytest
from distributed import Client, LocalCluster

from rrl_batch.cluster.connect import connected
from rrl_batch.doctor import cluster
from rrl_batch.doctor.subject import Subject
from rrl_batch.errors import UserError
from rrl_batch.job import ClusterSection, make_job


def started(**options):
    return LocalCluster(processes=False, dashboard_address="127.0.0.1:0", **options)


@pytest.fixture(scope="module")
def poor():
    """A subject whose worker has hardly any memory, and far more threads than there are cores."""
    with (
        started(n_workers=1, threads_per_worker=500, memory_limit="50 MB") as running,
        Client(running) as client,
    ):
        yield Subject(ClusterSection(), None, client)


def test_workers_with_too_little_memory_fail(poor):
    (found,) = cluster.memory(poor)
    assert found.state == "fails"
    assert found.text.startswith("1 of 1 workers have too little left before they pause (inproc")
    assert "needed: a batch of stars 1" in found.text
    assert "give each worker more" in found.text


def test_more_threads_than_cores_fail(poor):
    with pytest.raises(UserError, match=r"have 500 threads for \d+ cores; start fewer"):
        list(cluster.threads(poor))


def test_a_worker_without_a_limit_is_a_warning():
    with (
        started(n_workers=1, threads_per_worker=1, memory_limit=0) as running,
        Client(running) as c,
    ):
        (found,) = cluster.memory(Subject(ClusterSection(), None, c))
    assert found.state == "warning"
    assert "start them with --memory-limit" in found.text


def test_a_scheduler_without_workers_fails():
    with (
        started(n_workers=0) as running,
        connected(ClusterSection(kind="address", address=running.scheduler_address)) as client,
    ):
        (found,) = cluster.scheduler(Subject(ClusterSection(), None, client))
    assert found.state == "fails"
    assert f"'dask worker {running.scheduler_address} --nthreads 1" in found.text


def test_a_cluster_as_it_should_be_is_well(client, run):
    job = make_job({"survey": {"path": str(run.survey)}}, "test")
    subject = Subject(job.cluster, job, client)
    checks = (
        cluster.scheduler, cluster.threads, cluster.memory, cluster.backend, cluster.dashboard,
    )  # fmt: skip
    found = [finding for check in checks for finding in check(subject)]
    assert [finding.state for finding in found] == ["ok"] * 5
    scheduler, threads, memory, backend, dashboard = (finding.text for finding in found)
    assert scheduler.startswith(f"{client.scheduler.address} answers in ")
    assert scheduler.endswith("2 workers on 1 host")
    assert threads == "2 in all, one a worker, on as many cores or more"
    assert "left to each worker before it pauses; needed: a batch of stars" in memory
    assert backend == "tensorflow, here and on all workers"
    assert dashboard == client.dashboard_link


class Behind:
    """A client of a scheduler whose dashboard is not to be reached."""

    dashboard_link = "http://127.0.0.1:9/status"


def test_a_dashboard_that_cannot_be_reached_comes_with_a_tunnel():
    (found,) = cluster.dashboard(Subject(ClusterSection(), None, Behind()))
    assert found.state == "warning"
    assert "'ssh -L 9:localhost:9 127.0.0.1' brings it to http://localhost:9/status" in found.text
