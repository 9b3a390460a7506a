"""Measure what the page /rrl costs a scheduler: ``python benchmarks/dashboard.py``.

A scheduler in a process of its own, without workers, is told the events of a job of 12,288
partitions, a task each: the first 6,000 at once, then 100 a second, as many as a few hundred cores
finish. What is compared is the processor time of that process without and with our plugin, and with
a viewer, a client of Bokeh that receives what a browser would.
"""

import pickle
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from distributed import Client
from record import parser, record

from rrl_batch.cluster.dashboard.page import JobsPage
from rrl_batch.cluster.dashboard.plugin import PAGE, JobsPlugin
from rrl_batch.cluster.events import TaskDone
from rrl_batch.cluster.recorder import TOPIC
from rrl_batch.report.projection import polygons

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from cluster.dashboard.simulated_job import job_events, whole_sky

ORDER, FIRST, A_SECOND, SECONDS = 5, 6_000, 100, 40
BEATS = 10
"""How often a second the events of that time are told, as `monitor.gather` does."""

TITLE = "The page /rrl: processor time of a scheduler, 12,288 partitions, 100 of them a second"

VIEWER = """
import sys, time
from bokeh.client import pull_session
session = pull_session(url=sys.argv[1])
print("ready", flush=True)
while True:
    session.force_roundtrip()  # takes in what has come
    time.sleep(1)
"""


@contextmanager
def scheduler(*options: str) -> Iterator[tuple[psutil.Process, Client]]:
    """Yield the process of a scheduler, and a client of it."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "scheduler.json"
        process = subprocess.Popen(
            [
                sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", "0",
                "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(file), *options,
            ],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            while not file.exists():
                time.sleep(0.2)
            with Client(scheduler_file=str(file), timeout="120 s") as client:
                yield psutil.Process(process.pid), client
        finally:
            process.terminate()
            process.wait()


@contextmanager
def viewer(client: Client) -> Iterator[None]:
    """Look at the page: receive its document, and all that changes in it."""
    address = client.dashboard_link.replace("/status", f"/{PAGE}")
    with subprocess.Popen(
        [sys.executable, "-c", VIEWER, address], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None  # noqa: S101
            process.stdout.readline()
            yield
        finally:
            process.terminate()


def processor_time(process: psutil.Process) -> float:
    """Return how long a process has computed, in s."""
    times = process.cpu_times()
    return float(times.user + times.system)


def load(process: psutil.Process, client: Client, lines: Sequence[str]) -> float:
    """Return the part of a core that a process uses while it is told of partitions."""
    start, before = time.monotonic(), processor_time(process)
    some = A_SECOND // BEATS
    for beat in range(SECONDS * BEATS):
        client.log_event(TOPIC, list(lines[beat * some : (beat + 1) * some]))
        time.sleep(max(0.0, start + (beat + 1) / BEATS - time.monotonic()))
    return (processor_time(process) - before) / (time.monotonic() - start)


def main() -> None:
    check = parser(__doc__).parse_args().check
    sky = whole_sky(ORDER)
    events = job_events(sky, 1, now=time.time())
    lines = [event.to_json() for event in events]
    predict = [i for i, e in enumerate(events) if isinstance(e, TaskDone) and e.pieces]
    split = predict[FIRST]

    plugin = JobsPlugin()
    start = time.process_time()
    plugin.log_event(TOPIC, lines)
    event = (time.process_time() - start) / len(lines)
    start = time.process_time()
    polygons(tuple(sky))
    geometry = time.process_time() - start
    start = time.process_time()
    page = JobsPage(plugin.jobs)
    first_look = time.process_time() - start
    state = len(pickle.dumps(plugin.jobs))
    del page

    loads = {}
    for name, options, looks in (
        ("without the page", (), False),
        ("with the page, nobody looks", ("--preload", "rrl_batch.cluster.dashboard"), False),
        ("with the page, a viewer", ("--preload", "rrl_batch.cluster.dashboard"), True),
    ):
        with scheduler(*options) as (process, client):
            client.log_event(TOPIC, lines[:split])
            with viewer(client) if looks else nullcontext():
                loads[name] = load(process, client, lines[split:])
    base, quiet, looked_at = loads.values()
    rows = ["| scheduler | % of a core | more |", "|---|---:|---:|"] + [
        f"| {name} | {100 * part:.2f} | {100 * (part - base):.2f} |" for name, part in loads.items()
    ]
    table = "\n".join(rows) + (
        f"\n\nAn event takes the plugin {1e6 * event:.0f} µs; the state of the job, pickled, is "
        f"{state / 1e6:.1f} MB. The polygons of the sky, computed once, take {geometry:.2f} s, a "
        f"viewer's first look {first_look:.2f} s of processor time."
    )
    ratios = {"without/with the page": base / quiet, "without/with a viewer": base / looked_at}
    record(TITLE, table, "python benchmarks/dashboard.py", ratios, check=check)


if __name__ == "__main__":
    main()
