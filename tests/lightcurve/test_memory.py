"""The memory that is asked for is the memory that is used."""

import json
import subprocess
import sys

import pytest

MEASURE = """
import json, os, sys
os.environ["NUMBA_NUM_THREADS"] = "1"
import numpy as np, pandas as pd
from rrl_batch.contracts import STARS
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.population_prior import PopulationPrior
from rrl_batch.lightcurve.prepare import prepare

def kilobytes(name):
    return int(next(l for l in open("/proc/self/status") if l.startswith(name)).split()[1])

def batch(n_stars, n_epochs):
    rng = np.random.default_rng(0)
    time = rng.uniform(1700, 2700, (n_stars, n_epochs))
    mag = (15 + 0.4 * np.cos(2 * np.pi * time / 0.55)).astype("f4")
    stars = LightCurveBatch.empty().stars.reindex(range(n_stars)).assign(
        source_id=np.arange(n_stars), best_classification="RRab", period=0.55
    )
    return LightCurveBatch(
        stars, np.arange(n_stars + 1) * n_epochs, time.ravel(), mag.ravel(),
        np.full(time.size, 0.02, "f4"), np.ones(n_stars, bool), np.zeros(n_stars, bool),
    )

def measure(n_stars, n_epochs, points, smoothing):
    options = {"points": points, "smoothing": smoothing}
    if smoothing == "population":
        options["priors"] = {"RRab": PopulationPrior.first("RRab")}
    prepare(batch(10, n_epochs), **options)
    before = kilobytes("VmRSS")
    prepare(batch(n_stars, n_epochs), **options)
    print(1024 * (kilobytes("VmHWM") - before), flush=True)

for case in json.loads(sys.argv[1]):
    # each in a process of its own, since a peak stays; imports are done once for all
    if os.fork() == 0:
        measure(*case)
        os._exit(0)
    os.wait()
"""

CASES = [
    (*size, smoothing)
    for size in ((10_000, 15, 265), (5_000, 200, 32), (500, 2_000, 64))
    for smoothing in ("robust", "population")
]


@pytest.fixture(scope="module")
def peaks():
    """The most memory that each case has taken, in bytes."""
    command = [sys.executable, "-c", MEASURE, json.dumps(CASES)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(zip(CASES, map(int, done.stdout.split()), strict=True))


@pytest.mark.parametrize(("n_stars", "n_epochs", "points", "smoothing"), CASES)
def test_a_batch_takes_about_the_memory_that_is_foreseen(
    n_stars, n_epochs, points, smoothing, peaks
):
    from rrl_batch.lightcurve.memory import memory_needed

    peak = peaks[n_stars, n_epochs, points, smoothing]
    population = smoothing == "population"
    foreseen = memory_needed(n_stars, n_stars * n_epochs, points, population=population)
    assert 0.4 * foreseen < peak < foreseen
