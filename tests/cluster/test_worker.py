"""What a task may count on where it runs, on workers of one thread and of several."""

import os
import time
from pathlib import Path

import pytest

from rrl_batch.cluster.connect import connect
from rrl_batch.cluster.worker import compile_once, require_memory, takes_turns
from rrl_batch.errors import RunError
from rrl_batch.job import ClusterSection


@takes_turns
def turn(_):
    """Return when the task had its turn, and how many threads every library would use."""
    import numba
    import numpy  # noqa: F401 -- brings a BLAS
    import pyarrow as pa
    from threadpoolctl import threadpool_info

    began = time.monotonic()
    time.sleep(0.05)
    pools = {pool["num_threads"] for pool in threadpool_info()}
    limits = {os.environ["TF_NUM_INTRAOP_THREADS"], os.environ["TF_NUM_INTEROP_THREADS"]}
    threads = {numba.get_num_threads(), pa.cpu_count(), *pools, *map(int, limits)}
    return began, time.monotonic(), threads


@pytest.fixture(scope="module", params=[1, 2])
def cluster(request, client):
    """A client of workers of one thread, and of a worker of two."""
    threads = request.param
    if threads == 1:
        yield client, threads
    elif len(os.sched_getaffinity(0)) < threads:
        pytest.skip("this machine has one core only")
    else:
        section = ClusterSection(
            workers=1, threads_per_worker=threads, dashboard_address="127.0.0.1:0"
        )
        with connect(section) as other:
            yield other, threads


def test_a_task_has_just_the_threads_that_its_worker_owns(cluster):
    client, threads = cluster
    results = client.gather(client.map(turn, range(4), pure=False))
    assert [found for *_, found in results] == [{threads}] * 4


def test_a_worker_of_two_threads_runs_one_task_at_a_time(cluster):
    client, _ = cluster
    only = next(iter(client.scheduler_info(n_workers=-1)["workers"]))
    turns = client.gather(client.map(turn, range(6), workers=only, pure=False))
    began, ended = zip(*sorted((b, e) for b, e, _ in turns), strict=True)
    assert all(e <= b for e, b in zip(ended, began[1:], strict=False))


def leave_a_mark(folder: Path) -> None:
    (folder / str(os.getpid())).touch()


def test_one_worker_of_a_host_compiles_for_all(client, tmp_path):
    compile_once(client, leave_a_mark, tmp_path)
    compile_once(client, leave_a_mark, folder=tmp_path)
    marks = [int(mark.name) for mark in tmp_path.iterdir()]
    assert len(marks) == 1
    assert marks[0] in client.run(os.getpid).values()


def die_once(mark: Path) -> None:
    if not mark.exists():
        mark.touch()
        os._exit(1)


def test_a_worker_that_dies_of_compiling_is_replaced(client, tmp_path):
    compile_once(client, die_once, tmp_path / "died")
    assert (tmp_path / "died").exists()
    client.wait_for_workers(2, timeout=60)


def test_what_fails_while_compiling_fails_the_run(client, tmp_path):
    with pytest.raises(FileNotFoundError):
        compile_once(client, leave_a_mark, tmp_path / "missing")


def test_memory_that_a_worker_has_not_is_said_before_it_is_used(client):
    client.submit(require_memory, 2**20, "A small thing").result()
    with pytest.raises(RunError, match=r"A large thing needs about 1\.00 PiB, and the worker alr"):
        client.submit(require_memory, 2**50, "A large thing").result()
