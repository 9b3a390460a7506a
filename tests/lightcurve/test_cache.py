"""Numba's compiled kernels: an empty batch compiles them all, a second process none."""

import importlib
import multiprocessing
import pkgutil
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from numba.core.registry import CPUDispatcher

import rrl_batch.lightcurve
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.folded import folded
from rrl_batch.lightcurve.population import Noise, statistics
from rrl_batch.lightcurve.population_prior import PopulationPrior
from rrl_batch.lightcurve.prepare import prepare
from rrl_batch.sources.synthetic import simulate_stars
from rrl_batch.sources.synthetic.source import SimulatedLightCurves

DRIVERS = {"_find_gaps", "_fit_all", "_measure_all", "_smooth_all", "fit_population"}
SMOOTHINGS: dict[str, dict[str, object]] = {
    "robust": {},
    "scipy": {},
    "population": {"priors": {"RRab": PopulationPrior.first("RRab")}},
}
OPTIONS = [
    {"dataset": dataset, "alignment": alignment, "smoothing": smoothing} | SMOOTHINGS[smoothing]
    for dataset, alignment, smoothing in product(
        ("preprocessed", "smoothed", "raw"), ("fourier", "maximum", "rising"), SMOOTHINGS
    )
]


def some_stars() -> LightCurveBatch:
    """Simulate stars, one of them without an epoch of maximum and one without errors."""
    stars = simulate_stars(20, 4)
    stars.loc[0, "epoch_g"] = np.nan
    batch = replace(SimulatedLightCurves(4)(stars, 0), has_error=np.arange(20) > 0)
    return LightCurveBatch.from_arrow(batch.to_arrow())


def prepare_all_ways(batch: LightCurveBatch) -> None:
    for options in OPTIONS:
        assert len(prepare(batch, points=16, **options)) == len(batch)


def iterate(batch: LightCurveBatch) -> None:
    stars = folded(batch, "fourier")
    curves = stars.curves(stars.of_mode("RRab"))
    statistics(curves, Noise.first(curves), PopulationPrior.first("RRab"))


def kernels() -> set[CPUDispatcher]:
    modules = pkgutil.iter_modules(rrl_batch.lightcurve.__path__)
    members = [vars(importlib.import_module(f"rrl_batch.lightcurve.{m.name}")) for m in modules]
    return {k for own in members for k in own.values() if isinstance(k, CPUDispatcher)}


def signatures() -> dict[str, list[object]]:
    return {k.__name__: list(k.signatures) for k in kernels() if k.signatures}


def use_kernels() -> tuple[dict[str, list[object]], dict[str, list[object]], Counter, Counter]:
    """Prepare no star, then some; return the signatures after each, cache hits and misses."""
    prepare_all_ways(LightCurveBatch.empty())
    of_none = signatures()
    prepare_all_ways(some_stars())
    iterate(some_stars())
    hits, misses = Counter(), Counter()
    for kernel in kernels():
        hits[kernel.__name__] += kernel.stats.cache_hits.total()
        misses[kernel.__name__] += kernel.stats.cache_misses.total()
    return of_none, signatures(), +hits, +misses


@pytest.fixture(scope="module")
def second_process():
    """What `use_kernels` returns in a process whose cache another process has filled."""
    prepare_all_ways(LightCurveBatch.empty())
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(use_kernels).result()


def test_a_batch_of_no_stars_runs_the_kernels_of_any_other(second_process):
    of_none, of_some, _, _ = second_process
    assert set(of_none) == DRIVERS
    assert all(len(types) == 1 for types in of_none.values())
    assert of_some == of_none


def test_a_second_process_compiles_nothing(second_process):
    _, _, hits, misses = second_process
    assert hits == dict.fromkeys(DRIVERS, 1)
    assert not misses
