import os
import signal
import time
from types import SimpleNamespace
from unittest.mock import Mock

import dask
import pytest
from distributed import LocalCluster

from rrl_batch.cluster import monitor
from rrl_batch.cluster.connect import connect
from rrl_batch.cluster.kinds.lifecycle import closed_in_the_end
from rrl_batch.cluster.monitor import gather, report
from rrl_batch.cluster.recorder import Outcome
from rrl_batch.errors import RunError, UserError
from rrl_batch.job import ClusterSection


def test_workers_are_processes(client):
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    assert len(workers) == 2
    assert all(worker["nthreads"] == 1 for worker in workers)
    pids = client.run(os.getpid).values()
    assert len({*pids, os.getpid()}) == 3


def test_everything_listens_on_loopback_only(client):
    addresses = [client.scheduler.address, *client.scheduler_info(n_workers=-1)["workers"]]
    assert all("//127.0.0.1:" in address for address in addresses)
    assert "//127.0.0.1:" in client.dashboard_link


def test_more_threads_than_cores_are_refused():
    section = ClusterSection(workers=3, threads_per_worker=1000)
    with pytest.raises(UserError, match=r"3 workers of 1000 threads are more than the \d+ cores"):
        next(connect(section).gen)


def test_a_running_cluster_with_more_threads_than_cores_is_refused():
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=500, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        pytest.raises(UserError, match=r"have 1000 threads for \d+ cores; .*--nthreads 1"),
    ):
        next(connect(ClusterSection(kind="address", address=cluster.scheduler_address)).gen)


def test_a_scheduler_that_does_not_answer_is_a_sentence(monkeypatch):
    monkeypatch.setattr("rrl_batch.cluster.connect._CONNECT_TIMEOUT", "1 s")
    section = ClusterSection(kind="address", address="tcp://127.0.0.1:9")
    with pytest.raises(RunError, match=r"No scheduler answers at tcp://127\.0\.0\.1:9"):
        next(connect(section).gen)


class Stuck:
    """A cluster whose workers are all in one state."""

    def __init__(self, *states):
        self.states = states

    def scheduler_info(self, n_workers):
        assert n_workers == -1  # all of them
        return {"workers": {f"tcp://{i}": {"status": s} for i, s in enumerate(self.states)}}


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(monitor, "_LOOK_SECONDS", -1.0)
    monkeypatch.setattr(monitor, "_PAUSE_SECONDS", -1.0)


@pytest.mark.usefixtures("impatient")
def test_workers_that_have_all_paused_end_the_run():
    monitor._Watch(Stuck("running", "paused"), "predict").look()
    with pytest.raises(RunError, match=r"predict: all workers have paused for lack of memory; giv"):
        monitor._Watch(Stuck("paused", "paused"), "predict").look()


@pytest.mark.usefixtures("impatient")
def test_a_cluster_without_workers_is_waited_for_and_says_so_once(caplog):
    watch = monitor._Watch(Stuck(), "predict")
    watch.look()
    watch.look()
    assert [r.getMessage() for r in caplog.records] == [
        "predict: the cluster has no workers; waiting for some."
    ]


@pytest.mark.usefixtures("impatient")
def test_a_cluster_that_stays_without_workers_ends_the_run():
    watch = monitor._Watch(Stuck(), "predict")
    with dask.config.set({monitor.PATIENCE: 600}):
        watch.look()
    with (
        dask.config.set({monitor.PATIENCE: 0}),
        pytest.raises(RunError, match=r"predict: the cluster has had no workers for 0 minutes; st"),
    ):
        watch.look()


@pytest.mark.usefixtures("impatient")
def test_workers_that_lack_what_tasks_ask_for_are_not_those_that_are_waited_for(caplog):
    workers = {"tcp://0": {"status": "running", "resources": {}}}
    client = SimpleNamespace(scheduler_info=lambda n_workers: {"workers": workers})  # noqa: ARG005
    watch = monitor._Watch(client, "train", {"GPU": 1})
    watch.look()
    workers["tcp://1"] = {"status": "running", "resources": {"GPU": 1.0}}
    watch.look()
    workers["tcp://1"]["status"] = "paused"
    with pytest.raises(RunError, match="train: all workers have paused"):
        watch.look()
    assert [r.getMessage() for r in caplog.records] == [
        "train: the cluster has no workers that declare GPU; waiting for some."
    ]


def work(n):
    for done in range(n):
        report(done + 1)
        time.sleep(0.02)
    return n


def test_progress_adds_up_and_results_keep_their_order(client, capsys):
    futures = client.map(work, [30, 10, 20], pure=False)
    found = gather(
        client, futures, stage="train", unit="epochs", planned=[40, 40, 40],
        outcome=lambda _, n: Outcome(n),
    )  # fmt: skip
    assert found == [30, 10, 20]
    last = capsys.readouterr().err.split("\r")[-1]
    assert last.startswith("train      60 of 60 epochs  100 %")


def fail(n):
    if n == 1:
        raise UserError("Star 7 is odd; remove it.")
    time.sleep(0.1)


def test_the_first_fault_of_a_task_comes_back_as_it_was(client):
    futures = client.map(fail, range(3), pure=False)
    with pytest.raises(UserError, match="Star 7 is odd"):
        gather(client, futures, stage="predict", unit="stars", planned=[1, 1, 1])


def die(_):
    os._exit(1)


def test_workers_that_die_of_a_task_are_a_sentence(client):
    futures = client.map(die, [0], pure=False, allow_other_workers=False)
    with pytest.raises(RunError, match=r"predict: .* worker"):
        gather(client, futures, stage="predict", unit="stars", planned=[1])
    client.wait_for_workers(2, timeout=300)


@pytest.mark.long
def test_a_worker_that_takes_long_to_come_back_is_waited_for(tmp_path):
    """Dask alone closes its nanny after 15 s, and then there is never a worker again."""
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import pathlib, time\n"
        f"before = pathlib.Path({str(tmp_path / 'before')!r})\n"
        "time.sleep(25 if before.exists() else 0)\n"
        "before.touch()\n"
    )
    section = ClusterSection(workers=1, start_timeout=3, dashboard_address="127.0.0.1:0")
    with (
        dask.config.set({"distributed.worker.preload": [str(slow)]}),
        connect(section) as client,
    ):
        (pid,) = client.run(os.getpid).values()
        os.kill(pid, signal.SIGKILL)
        again = client.submit(os.getpid, pure=False)
        (found,) = gather(client, [again], stage="predict", unit="stars", planned=[1])
        assert found != pid


def test_workers_that_take_long_to_leave_are_no_failure():
    cluster = SimpleNamespace(close=Mock(side_effect=TimeoutError))
    with closed_in_the_end(cluster) as ours:
        assert ours is cluster
    cluster.close.assert_called_once_with()
    with pytest.raises(TimeoutError, match="of the work"), closed_in_the_end(cluster):
        raise TimeoutError("of the work")
