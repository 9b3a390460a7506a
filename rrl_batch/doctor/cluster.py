"""The cluster as a whole: scheduler, workers, their threads, memory and backend, the dashboard."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from dask.utils import format_bytes

from rrl_batch.cluster.connect import check_threads, training_backend
from rrl_batch.cluster.monitor import MORE_MEMORY
from rrl_batch.cluster.worker import memory_of
from rrl_batch.doctor.finding import Finding, fails, listed, ok, warning
from rrl_batch.doctor.subject import Subject
from rrl_batch.lightcurve.memory import memory_needed
from rrl_batch.survey.read import EPOCHS_PER_BATCH, STARS_PER_BATCH

if TYPE_CHECKING:
    from distributed import Worker

_PATIENCE_SECONDS = 10.0


def scheduler(subject: Subject) -> Iterator[Finding]:
    """Say which scheduler answers, how fast, and with what workers."""
    client = subject.client
    if client is None:
        return
    before = time.perf_counter()
    client.run_on_scheduler(_nothing)
    milliseconds = 1e3 * (time.perf_counter() - before)
    workers = subject.workers.values()
    address = client.scheduler.address
    if not workers:
        yield fails(
            f"{address} answers, but has no workers; start some: 'dask worker {address} --nthreads "
            f"1 --nworkers N' on a machine of N cores."
        )
        return
    n_workers, n_hosts = len(workers), len({worker["host"] for worker in workers})
    yield ok(
        f"{address} answers in {milliseconds:.0f} ms; {n_workers} worker{'s' * (n_workers > 1)} "
        f"on {n_hosts} host{'s' * (n_hosts > 1)}"
    )


def threads(subject: Subject) -> Iterator[Finding]:
    """Compare the threads of each host's workers with its cores."""
    if subject.client is None:
        return
    check_threads(subject.client)
    each = sorted({worker["nthreads"] for worker in subject.workers.values()})
    total = sum(worker["nthreads"] for worker in subject.workers.values())
    if each[-1] > 1:
        yield warning(
            f"{total} in all, up to {each[-1]} a worker; workers of one thread each are faster "
            f"(--nthreads 1)."
        )
    else:
        yield ok(f"{total} in all, one a worker, on as many cores or more")


def backend(subject: Subject) -> Iterator[Finding]:
    """Compare Keras's backend here with that of the workers."""
    if subject.client is not None:
        yield ok(f"{training_backend(subject.client)}, here and on all workers")


def memory(subject: Subject) -> Iterator[Finding]:
    """Compare what each worker may still use with what a batch of stars and training need."""
    if subject.client is None:
        return
    # loads the kernels, which raises an error where they cannot be kept
    from rrl_batch.tasks import TRAINING_MEMORY

    needs = {"a batch of stars": _memory_of_a_batch(subject), "training": TRAINING_MEMORY}
    found: dict[str, tuple[int, int]] = subject.client.run(_memory_of)
    limited = {a: max(0, limit - used) for a, (limit, used) in found.items() if limit}
    if not limited:
        yield warning(
            "the workers have no memory limit: a host that runs short kills them without a word; "
            "start them with --memory-limit."
        )
        return
    least = min(limited.values())
    wanted = ", ".join(f"{name} {format_bytes(size)}" for name, size in needs.items())
    if least >= max(needs.values()):
        yield ok(
            f"{format_bytes(least)} or more left to each worker before it pauses; needed: {wanted}"
        )
    else:
        small = sorted(a for a, left in limited.items() if left < max(needs.values()))
        yield fails(
            f"{len(small)} of {len(found)} workers have too little left before they pause "
            f"({listed([f'{a}: {format_bytes(limited[a])}' for a in small])}); needed: {wanted}; "
            f"{MORE_MEMORY}"
        )


def dashboard(subject: Subject) -> Iterator[Finding]:
    """Find out whether the dashboard can be looked at from here."""
    if subject.client is None:
        return
    link = subject.client.dashboard_link
    if not link:
        yield warning("the scheduler has none; install bokeh where it runs, and start it anew.")
        return
    where = urlsplit(link)
    try:
        # not through a proxy, which does not see the hosts of a cluster
        direct = build_opener(ProxyHandler({}))
        direct.open(where._replace(path="/health").geturl(), timeout=_PATIENCE_SECONDS).close()
    except OSError as error:
        yield warning(
            f"{link} does not answer here ({getattr(error, 'reason', error)}); 'ssh -L "
            f"{where.port}:localhost:{where.port} {where.hostname}' brings it to "
            f"http://localhost:{where.port}/status."
        )
    else:
        yield ok(link)


def _memory_of_a_batch(subject: Subject) -> int:
    job, survey = subject.job, subject.survey
    largest = survey.largest.largest_batch() if survey else (STARS_PER_BATCH, EPOCHS_PER_BATCH)
    if job is None:
        return memory_needed(*largest, points=64)
    population = job.preprocess.smoothing == "population"
    return memory_needed(*largest, job.preprocess.points, population=population)


def _memory_of(dask_worker: "Worker") -> tuple[int, int]:
    return memory_of(dask_worker)


def _nothing() -> None:
    pass
