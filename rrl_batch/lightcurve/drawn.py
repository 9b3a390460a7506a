"""Light curves to be looked at: folded epochs, and the smoothed curve with its uncertainty."""

from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.population import smooth_by_population
from rrl_batch.lightcurve.population_prior import PopulationPrior
from rrl_batch.lightcurve.prepare import Measurement, measure

Floats = NDArray[np.float64]

N_POINTS = 200
_RESAMPLES = 50


class DrawnCurve(NamedTuple):
    """A light curve, folded, and the curve through it.

    Attributes
    ----------
    phase, mag, mag_error : (n_epochs,) float64
        The usable epochs, in cycles and mag; errors are NaN where they are unknown.
    grid : (n_points,) float64, in cycles
        Phases of the curve.
    curve, error : (n_points,) float64, in mag
        The curve and its standard error; NaN where there is none.
    """

    phase: Floats
    mag: Floats
    mag_error: Floats
    grid: Floats
    curve: Floats
    error: Floats


def drawn_curves(stars: LightCurveBatch, preparation: dict[str, Any]) -> list[DrawnCurve]:
    """Return the light curves of some stars as they are drawn.

    The error of a curve that was smoothed by the population is that of its posterior; of a spline
    it is the scatter of splines through epochs that were resampled within their errors.

    Parameters
    ----------
    stars : LightCurveBatch
        The stars.
    preparation : dict
        Settings of `prepare`.
    """
    settings = {name: value for name, value in preparation.items() if name != "dataset"}
    settings["points"] = N_POINTS
    measured = measure(stars, **settings)
    folded, curves, _ = measured
    priors = settings["priors"]
    if priors is None:
        error = _of_resampled(stars, measured, settings)
    else:
        error = _of_posterior(measured, priors)
    phase = (folded.phase - np.repeat(curves.start, np.diff(folded.epochs.offsets))) % 1.0
    pieces = [slice(*ends) for ends in pairwise(folded.epochs.offsets)]
    return [
        DrawnCurve(
            phase[own], folded.epochs.mag[own], folded.epochs.mag_error[own],
            curves.phase[i], curves.mag[i], error[i],
        )
        for i, own in enumerate(pieces)
    ]  # fmt: skip


def _of_posterior(measured: Measurement, priors: dict[str, PopulationPrior]) -> Floats:
    folded, curves, _ = measured
    error = np.full_like(curves.mag, np.nan)
    for mode, prior in priors.items():
        rows = folded.of_mode(mode)
        found = smooth_by_population(folded.curves(rows), prior)
        start = curves.start[rows] - folded.brightest[rows] - found.origin
        error[rows] = found.errors_on_grid(N_POINTS, start)
    return error


def _of_resampled(
    stars: LightCurveBatch, measured: Measurement, settings: dict[str, Any]
) -> Floats:
    rng = np.random.default_rng(0)
    copies = stars.take(np.repeat(np.arange(len(stars)), _RESAMPLES))
    counts = np.diff(copies.offsets)
    # where a star has no errors, the epochs' scatter about its curve is what there is
    scatter = np.repeat(np.repeat(measured.curves.noise, _RESAMPLES), counts)
    sigma = np.where(copies.mag_error > 0, copies.mag_error, scatter)
    noise = np.nan_to_num(sigma * rng.standard_normal(len(copies.mag)))
    resampled = replace(copies, mag=(copies.mag + noise).astype(np.float32))
    mag = measure(resampled, **settings).curves.mag
    error: Floats = mag.reshape(len(stars), _RESAMPLES, N_POINTS).std(axis=1, ddof=1)
    return error
