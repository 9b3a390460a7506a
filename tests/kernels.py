"""Compile the kernels, which takes a minute, once for all processes that test."""

import multiprocessing

import numpy as np


def compile_all() -> None:
    """Fill numba's cache, in two processes at once; a kernel that is there is left alone."""
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=part) for part in (_of_curves, _of_populations_and_models)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()  # what fails here fails in the tests, which say it better


def _of_curves() -> None:
    from rrl_batch.lightcurve.batch import LightCurveBatch
    from rrl_batch.lightcurve.prepare import prepare

    prepare(LightCurveBatch.empty())


def _of_populations_and_models() -> None:
    from rrl_batch.inference.fused import FusedEnsemble
    from rrl_batch.inference.recurrent_kernel import RUN
    from rrl_batch.lightcurve.inputs import Inputs
    from rrl_batch.lightcurve.population import FoldedCurves, smooth_by_population
    from rrl_batch.lightcurve.population_prior import PopulationPrior
    from rrl_batch.lightcurve.shape import N_SHAPE
    from rrl_batch.models.domain import TrainingDomain
    from rrl_batch.sources.synthetic import simulate_stars
    from rrl_batch.sources.synthetic.source import SimulatedLightCurves

    nothing = np.empty(0)
    curves = FoldedCurves(nothing, nothing, np.zeros(1, np.int64), nothing)
    smooth_by_population(curves, PopulationPrior.first("RRab"))
    ensemble = FusedEnsemble(2, 0, 0, np.zeros(1, RUN), np.zeros((1, 1), np.float32))
    ensemble.predict(Inputs(np.empty((0, 1, 2), np.float32), np.empty((0, 0), np.float32)))
    TrainingDomain.of(np.zeros((2, N_SHAPE)))
    SimulatedLightCurves(0)(simulate_stars(1, 0), 0)
