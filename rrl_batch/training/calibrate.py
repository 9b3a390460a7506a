"""Find how wide the intervals of a model must be, by its out-of-fold predictions.

The scale of the errors is fitted by maximum likelihood: Student's t about the label, so that
outliers do not decide, and a prior that keeps the factor near 1 unless many stars speak for more.
The multiples of the scale are quantiles of what is left, with the rank that makes the coverage of a
new star at least the wanted one whatever the distribution (Lei et al. 2018).
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.models.calibration import LEVELS, TYPICAL, Calibration, predictors_of, sources_of

Floats = NDArray[np.float64]

DEGREES_OF_FREEDOM = 4.0
PRIOR_SCATTER = 0.2
"""Of a weight of the factor about 0, and of the power about 1: a predictor changes the error by a
fifth or so per unit."""

_CENTRAL = (0.005, 0.995)
"""Quantiles of a predictor beyond which the factor does not go on."""

_FIRST = [*np.log([0.1, 1.0, 1.0]), 1.0]  # floor (dex), of_noise, of_spread, and the power
_BOUNDS = [(-12.0, 3.0)] * 3 + [(0.0, 2.0)]


def calibrate(known: pd.DataFrame, error: Floats) -> Calibration:
    """Return the calibration that stars with known errors speak for.

    Parameters
    ----------
    known : pandas.DataFrame
        Columns as `Calibration.scale` takes them; finite but for `spread`.
    error : (n_stars,) float64
        Predicted less label, in dex, where the label was not seen.
    """
    from scipy.optimize import minimize

    values = predictors_of(known)
    lowest, highest = np.quantile(values, _CENTRAL, axis=0)
    inside = values.clip(lowest, highest)
    centre, unit = inside.mean(axis=0), inside.std(axis=0)
    unit = np.where(unit > 0, unit, 1.0)
    u = (inside - centre) / unit
    terms = np.hstack([u, u**2])
    squares = np.square([np.ones(len(error)), *sources_of(known)]).T
    first = np.concatenate([_FIRST, np.zeros(terms.shape[1])])
    bounds = _BOUNDS + [(None, None)] * terms.shape[1]
    found = minimize(
        _penalised, first, (error, squares, terms), "L-BFGS-B", jac=True, bounds=bounds
    ).x
    floor, of_noise, of_spread = np.exp(found[:3])
    slope, curvature = np.split(found[4:], 2)
    fitted = Calibration(
        power=found[3],
        floor=floor,
        of_noise=of_noise,
        of_spread=of_spread,
        lowest=tuple(lowest),
        highest=tuple(highest),
        centre=tuple(centre),
        unit=tuple(unit),
        slope=tuple(slope),
        curvature=tuple(curvature),
        multiples=(1.0, 1.0),
    )
    pulls = np.sort(np.abs(error) / fitted.scale(known))
    multiples = tuple(float(pulls[_rank(level, len(pulls)) - 1]) for level in LEVELS)
    return fitted.model_copy(update={"multiples": multiples})


def cross_calibrate(
    known: pd.DataFrame, error: Floats, fold: NDArray[np.int64]
) -> list[Calibration]:
    """Return the calibration of all stars, then those of the stars outside each fold."""
    without = (fold != held_out for held_out in range(fold.max() + 1))
    return [calibrate(known, error), *(calibrate(known[rows], error[rows]) for rows in without)]


def cross_fitted_half_widths(
    calibrations: Sequence[Calibration], known: pd.DataFrame, fold: NDArray[np.int64]
) -> Floats:
    """Return half the widths of the intervals of stars by calibrations that have not seen them.

    Returns
    -------
    (2, n_stars) float64
        In dex, for the levels of `LEVELS`.
    """
    found = np.empty((len(LEVELS), len(known)))
    for held_out, calibration in enumerate(calibrations[1:]):
        rows = fold == held_out
        found[:, rows] = calibration.half_widths(known[rows])
    return found


def _rank(level: float, n_stars: int) -> int:
    """Return which of the sorted pulls is the conformal quantile; the largest for few stars."""
    return min(math.ceil(level * (n_stars + 1)), n_stars)


def _penalised(
    parameters: Floats, error: Floats, squares: Floats, terms: Floats
) -> tuple[float, Floats]:
    """Return minus the mean logarithm of the posterior, up to a constant, and its gradient."""
    parts = np.exp(2 * parameters[:3]) * squares
    variance = parts.sum(axis=1)
    power, weights = parameters[3], parameters[4:]
    log_parts = 0.5 * np.log(variance) - np.log(TYPICAL)
    log_scale = np.log(TYPICAL) + power * log_parts + terms @ weights
    pull = (error / np.exp(log_scale)) ** 2 / DEGREES_OF_FREEDOM
    freedom = DEGREES_OF_FREEDOM + 1
    value = log_scale + 0.5 * freedom * np.log1p(pull)
    by_scale = 1 - freedom * pull / (1 + pull)
    by_parts = power * (by_scale[:, np.newaxis] * parts / variance[:, np.newaxis]).mean(axis=0)
    n_stars = len(error)
    away = np.concatenate([[power - 1], weights]) / PRIOR_SCATTER
    by_others = np.concatenate([[log_parts @ by_scale], terms.T @ by_scale]) + away / PRIOR_SCATTER
    return (
        value.mean() + 0.5 * (away @ away) / n_stars,
        np.concatenate([by_parts, by_others / n_stars]),
    )
