"""Time the catalogue of 271,000 simulated stars, and the straightforward way on a sample of them.

The straightforward way is that of published scripts: one star after the other, scipy's smoothing
spline, Keras' predict. Both use the same two networks' weights and run on the same cluster.
"""

import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from dask import bag
from record import record

from rrl_batch import flow
from rrl_batch.cluster.connect import connect
from rrl_batch.job import ClusterSection, make_job
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.models.folder import ModelCard
from rrl_batch.sources.tables import read_labels
from rrl_batch.storage.manifest import Manifest
from rrl_batch.survey.read import Survey, open_survey

ROOT = Path(__file__).parents[1] / "work/benchmark"
N_STARS = 271_000
SAMPLE = 300
POINTS = 265
"""Steps of the published sequences."""

JOB = make_job(
    {
        "preprocess": {"points": POINTS},
        # the weights make no difference to the time: one pass over few stars is enough
        "training": {"min_epochs": 100, "max_phi31_error": 0.03, "folds": 5, "epochs": 1},
    },
    "benchmark",
)


def models(client, survey: Survey) -> dict[int, Path]:
    """Return a model of five members and one that keeps a single one of them."""
    five, single = ROOT / "five", ROOT / "single"
    card = flow.train(client, survey, read_labels(ROOT / "labels.parquet", None), five, JOB)
    if not single.exists():
        shutil.copytree(five, single)
        stars = pd.read_parquet(single / "out_of_fold.parquet")
        stars.iloc[:0].to_parquet(single / "out_of_fold.parquet")
        card.model_copy(update={"members": card.members[:1]}).write(single)
    return {1: single, 5: five}


def seconds_of_catalogue(client, survey: Survey, model: Path) -> float:
    out = ROOT / "catalogue"
    shutil.rmtree(out, ignore_errors=True)
    start = time.perf_counter()
    flow.predict(client, survey, model, out)
    return time.perf_counter() - start


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


def main() -> None:
    with connect(ClusterSection(dashboard_address="127.0.0.1:0")) as client:
        flow.simulate(client, N_STARS, 1, ROOT / "survey", ROOT / "labels.parquet")
        survey = open_survey(ROOT / "survey")
        paths = models(client, survey)
        small = replace(survey, partitions=survey.partitions[:4])
        rows = []
        for members, model in paths.items():
            seconds_of_catalogue(client, small, model)  # loads the model, and compiled code
            seconds = seconds_of_catalogue(client, survey, model)
            rows.append((f"rrl_batch, members: {members}", survey.rows, seconds))
        slow = seconds_of_straightforward(client, survey, paths[1])
        rows.append(("a star at a time, scipy, Keras predict, 1 member", SAMPLE, slow))
        written = Manifest.read(ROOT / "catalogue").rows
    per_star = slow / SAMPLE
    lines = ["| way | stars | s | stars/s | faster × |", "|---|---:|---:|---:|---:|"]
    lines += [
        f"| {name} | {n:,} | {t:.1f} | {n / t:,.0f} | {per_star / (t / n):,.0f} |"
        for name, n, t in rows
    ]
    table = "\n".join(lines)
    print(table, f"\n{written:,} rows in the catalogue", file=sys.stderr)
    title = f"Survey to catalogue, {POINTS} steps, a local cluster of two processes"
    record(title, table, "python benchmarks/full_sky.py")


if __name__ == "__main__":
    main()
