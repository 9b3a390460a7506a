"""Time the catalogue of 271,000 simulated stars, and the straightforward way on a sample of them.

The straightforward way is that of published scripts: one star after the other, scipy's smoothing
spline, Keras' predict. Both use the same networks' weights and run on the same cluster.
"""

import os
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import pandas as pd
from dask import bag
from machine import N_CORES, disk_speed, forget, gru_operations, matrix_product_rate, peak_memory
from probe import Tasks, recorded_tasks, seconds_in_kernels, time_kernels
from record import parser, record

from rrl_batch import flow
from rrl_batch.cluster.connect import connect
from rrl_batch.job import ClusterSection, make_job
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.redrawn import N_DRAWS
from rrl_batch.models.folder import CARD, ModelCard
from rrl_batch.sources.tables import read_labels
from rrl_batch.storage.commit import checksum
from rrl_batch.storage.manifest import Manifest
from rrl_batch.survey.read import Survey, open_survey

ROOT = Path(__file__).parents[1] / "work/benchmark"
N_STARS = 271_000
MEMBERS = {1: "1 member", 5: "5 members"}
SAMPLE = 300
POINTS = 265
"""Steps of the published sequences."""

SPLINE_OPERATIONS = 41 * 110
"""For an epoch: 33 steps and some 8 more trials of lambda, each of some 110 additions, products and
quotients, counted in the source of the kernel."""

LOCAL = ClusterSection(dashboard_address="127.0.0.1:0")
SELECT = "num_epochs_used >= 100 and amplitude <= 1.4 and phi31_error <= 0.03"
JOB = make_job(
    {
        "preprocess": {"points": POINTS},
        # the weights make no difference to the time: one pass over few stars is enough
        "training": {"select": SELECT, "folds": 5, "epochs": 1},
    },
    "benchmark",
)


class Run(NamedTuple):
    """A catalogue: its time, its tasks, and how much of the workers' time is in kernels.

    `passes` are curves that go through a network for a star: one a member, and those that are
    drawn anew for its error.
    """

    passes: int
    seconds: float
    tasks: Tasks
    kernels: float


def models(client) -> dict[int, Path]:
    """Return a model of five members and one that keeps a single one of them, made only once."""
    flow.simulate(client, N_STARS, 1, ROOT / "survey", ROOT / "labels.parquet")
    five, single = ROOT / "five", ROOT / "single"
    labels = read_labels(ROOT / "labels.parquet", "true")
    card = flow.train(client, open_survey(ROOT / "survey"), labels, five, JOB)
    if not single.exists():
        shutil.copytree(five, single)
        stars = pd.read_parquet(single / "out_of_fold.parquet")
        stars.iloc[:0].to_parquet(single / "out_of_fold.parquet")
        mark = checksum(single / "out_of_fold.parquet")
        (single / CARD).unlink()  # one that is there is never replaced
        card.model_copy(update={"members": card.members[:1], "out_of_fold": mark}).write(single)
    return {1: single, 5: five}


def seconds_of_catalogue(client, survey: Survey, model: Path) -> float:
    """Return the time that a catalogue takes; the survey is read from the disk."""
    out = ROOT / "catalogue"
    shutil.rmtree(out, ignore_errors=True)
    for partition in survey.partitions:
        for path, _ in partition.files:
            with path.open("rb") as file:
                forget(file.fileno())
    start = time.perf_counter()
    flow.predict(client, survey, model, out)
    return time.perf_counter() - start


def leave_out_errors() -> None:
    """Have a worker take the noise of every star for none, instead of drawing its curve anew."""
    from rrl_batch.inference import predict

    predict.noise_errors = lambda stars, *_: np.zeros(len(stars))


def measure(client, survey: Survey, model: Path, passes: int) -> Run:
    """Time a catalogue on workers that have the model and compiled code in memory."""
    seconds_of_catalogue(client, replace(survey, partitions=survey.partitions[:8]), model)
    client.run(time_kernels)
    with recorded_tasks(client) as tasks:
        seconds = seconds_of_catalogue(client, survey, model)
    kernels = client.run(seconds_in_kernels).values()
    return Run(passes, seconds, tasks, sum(kernels) / len(kernels) / seconds)


def seconds_of_first_catalogue(survey: Survey, model: Path, compiled: Path | None) -> float:
    """Return the time that a new cluster takes for a small catalogue, model and code not loaded."""
    few = replace(survey, partitions=survey.partitions[:2])
    folder = {"NUMBA_CACHE_DIR": str(compiled)} if compiled else {}
    with patch.dict(os.environ, folder), connect(LOCAL) as client:
        return seconds_of_catalogue(client, few, model)


def network_of(model: Path):
    """Return the model's first member, which this worker may have loaded before."""
    from distributed import get_worker

    from rrl_batch.models.folder import load_member

    worker = get_worker()
    if not hasattr(worker, "network"):
        card = ModelCard.read(model)
        worker.network = load_member(model, card, card.members[0])
    return worker.network


def one_star(star: dict, model: Path) -> float:
    """Smooth and predict a star as a script does."""
    from scipy.interpolate import make_smoothing_spline

    phase = ((star["time"] - star["epoch"]) / star["period"]) % 1.0
    phase, first = np.unique(phase, return_index=True)
    grid = np.linspace(phase[0], phase[-1], POINTS)
    curve = make_smoothing_spline(phase, star["mag"][first].astype(float))(grid)
    sequence = np.stack([curve - curve.mean(), grid * star["period"]], axis=1)
    predicted = network_of(model).predict(sequence[None].astype(np.float32), verbose=0)
    return float(predicted[0, 0])


def stars_of(batch: LightCurveBatch) -> list[dict]:
    bounds = list(zip(batch.offsets[:-1], batch.offsets[1:], strict=True))
    return [
        {"time": batch.time[a:b], "mag": batch.mag[a:b], "period": period, "epoch": epoch}
        for (a, b), period, epoch in zip(
            bounds, batch.stars["period"], batch.stars["epoch_g"], strict=True
        )
    ]


def seconds_of_straightforward(client, survey: Survey, model: Path) -> float:
    """Return the time that the sample takes, a star an element of a bag."""
    stars = stars_of(next(iter(survey.partitions[0].batches())))[: SAMPLE + 20]
    warm_up = bag.from_sequence(stars[SAMPLE:], npartitions=20).map(one_star, model)
    client.gather(client.compute(warm_up.to_delayed()))
    start = time.perf_counter()
    sample = bag.from_sequence(stars[:SAMPLE], npartitions=4).map(one_star, model)
    client.gather(client.compute(sample.to_delayed()))
    return time.perf_counter() - start


def ways(runs: dict[str, Run], n_stars: int, slow: float) -> tuple[str, dict[str, float]]:
    """Return the table of times, and how many times faster the runs are than a star at a time."""
    rows = [(f"rrl_batch, {name}", n_stars, run.seconds) for name, run in runs.items()]
    rows.append(("a star at a time, scipy, Keras predict, 1 member", SAMPLE, slow))
    faster = [slow / SAMPLE / (seconds / n) for _, n, seconds in rows]
    table = ["| way | stars | s | stars/s | faster × |", "|---|---:|---:|---:|---:|"]
    table += [
        f"| {name} | {n:,} | {seconds:.1f} | {n / seconds:,.0f} | {times:,.0f} |"
        for (name, n, seconds), times in zip(rows, faster, strict=True)
    ]
    ratios = {f"{n}/straightforward": f for n, f in zip(runs, faster, strict=False)}
    for name in MEMBERS.values():
        plain = runs[f"{name}, without errors"]
        ratios[f"{name}, errors: without/with"] = plain.seconds / runs[name].seconds
    return "\n".join(table), ratios


def limits(runs: dict[str, Run], survey: Survey) -> tuple[str, dict[str, float]]:
    """Return how near the runs are to what the machine can do, and the kernels' shares."""
    receipts = Manifest.read(ROOT / "survey").partitions
    read = sum(receipt.size for receipt in receipts)
    written = sum(receipt.size for receipt in Manifest.read(ROOT / "catalogue").partitions)
    epochs = sum(receipt.counts["epochs"] for receipt in receipts)
    disk = disk_speed(ROOT, read)
    transfer = read / disk.read + written / disk.write
    products = N_CORES * matrix_product_rate()
    table = [
        "| way | kernels, of the workers' time | disk alone, of the time | GFLOP/s "
        "| of all cores' matrix product | tasks | that make the catalogue "
        "| shortest, median and longest of these (s) |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, run in runs.items():
        gates = run.passes * survey.rows * gru_operations(POINTS)
        operations = gates + epochs * SPLINE_OPERATIONS
        rate = 1e-9 * operations / run.seconds
        work = run.tasks.seconds[run.tasks.working]
        durations = " / ".join(f"{q:.2f}" for q in np.quantile(work, (0, 0.5, 1)))
        table.append(
            f"| {name} | {run.kernels:.0%} | {transfer / run.seconds:.0%} | {rate:.0f} "
            f"| {rate / products:.0%} | {len(run.tasks.start)} | {len(work)} | {durations} |"
        )
    note = (
        f"Read {read / 1e6:.0f} MB, written {written / 1e6:.0f} MB; a plain file of the survey's "
        f"size is read at {disk.read / 1e6:,.0f} MB/s, written and flushed at "
        f"{disk.write / 1e6:,.0f} MB/s. float32 matrix product: {products:.0f} GFLOP/s. Counted "
        f"are the gates' sums of the GRU and the trials of the smoothing spline."
    )
    ratios = {f"{name}: kernels/time": run.kernels for name, run in runs.items()}
    return "\n".join([*table, "", note]), ratios


def main() -> None:
    options = parser(__doc__).parse_args()
    with connect(LOCAL) as client:
        paths = models(client)
    survey = open_survey(ROOT / "survey")
    with connect(LOCAL) as client:
        runs = {
            name: measure(client, survey, paths[members], members + N_DRAWS)
            for members, name in MEMBERS.items()
        }
        largest = max(client.run(peak_memory).values())
        client.run(leave_out_errors)
        runs |= {
            f"{name}, without errors": measure(client, survey, paths[members], members)
            for members, name in MEMBERS.items()
        }
        slow = seconds_of_straightforward(client, survey, paths[1])
    times, faster = ways(runs, survey.rows, slow)
    use, shares = limits(runs, survey)
    loaded = seconds_of_first_catalogue(survey, paths[1], None)
    with tempfile.TemporaryDirectory() as empty:
        compiled = seconds_of_first_catalogue(survey, paths[1], Path(empty))
    more = (
        f"Largest worker: {largest / 1e6:,.0f} MB. The first catalogue of a new cluster, of two "
        f"partitions: {loaded:.1f} s; with nothing compiled yet: {compiled:.1f} s."
    )
    record(
        f"Survey to catalogue, {survey.rows:,} stars, {POINTS} steps, a local cluster",
        "\n\n".join([times, use, more]),
        "python benchmarks/full_sky.py",
        faster | shares,
        check=options.check,
    )


if __name__ == "__main__":
    main()
