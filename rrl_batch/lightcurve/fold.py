"""Fold times with the period, so that phase 0 is maximum light."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrl_batch.lightcurve.spline import smooth

Floats = NDArray[np.float64]

_FINE_GRID = 512
"""Points on which maximum light is looked for: a step of 0.002 cycles, below a visit's spacing."""


def fold(time: Floats, offsets: NDArray[np.int64], period: Floats, epoch: Floats) -> Floats:
    """Return phases, frac((T - epoch) / period).

    Parameters
    ----------
    time : (n_epochs,) float64
        Times, in days.
    offsets : (n_stars + 1,) int64
        Where each star's epochs begin and end.
    period : (n_stars,) float64
        Periods, in days, positive.
    epoch : (n_stars,) float64
        Times of phase 0, in days.

    Returns
    -------
    (n_epochs,) float64
        Phases, in cycles, [0, 1).

    Notes
    -----
    Eq. 1 of Monti et al. (2024) as printed subtracts the fraction; the fraction is what is meant.
    """
    counts = np.diff(offsets)
    periods = np.repeat(period, counts)
    # what is left of a division is exact, as a quotient and its fraction are not: a time that is
    # later by whole periods, to the last bit, has the same phase to the last bit
    return _below_one(np.remainder(time - np.repeat(epoch, counts), periods) / periods)


def shift(phase: Floats, offsets: NDArray[np.int64], origin: Floats) -> Floats:
    """Return phases counted from another origin.

    Parameters
    ----------
    phase : (n_epochs,) float64
        Phases, in cycles.
    offsets : (n_stars + 1,) int64
        Where each star's epochs begin and end.
    origin : (n_stars,) float64
        What is to be phase 0, in cycles; phases stay as they are where it is NaN.

    Returns
    -------
    (n_epochs,) float64
        Phases, in cycles, [0, 1).
    """
    cycles = phase - np.repeat(np.nan_to_num(origin), np.diff(offsets))
    return _below_one(cycles - np.floor(cycles))


def _below_one(phase: Floats) -> Floats:
    phase[phase >= 1.0] = 0.0  # a tiny negative number of cycles rounds up to 1
    return phase


def maximum_light(
    time: Floats, mag: NDArray[Any], offsets: NDArray[np.int64], period: Floats
) -> Floats:
    """Return times of maximum light, read off the smoothed curve.

    Parameters
    ----------
    time, mag : (n_epochs,) ndarray
        Times, in days, and magnitudes.
    offsets : (n_stars + 1,) int64
        Where each star's epochs begin and end.
    period : (n_stars,) float64
        Periods, in days, positive.

    Returns
    -------
    (n_stars,) float64
        The first maximum at or after time 0; NaN where no curve could be fitted.
    """
    phase = fold(time, offsets, period, np.zeros_like(period))
    curve = smooth(phase, mag, offsets, _FINE_GRID)
    fitted = np.isfinite(curve.smoothing)
    brightest = np.argmin(np.where(fitted[:, np.newaxis], curve.mag, 0.0), axis=1)
    return np.where(fitted, period * brightest / _FINE_GRID, np.nan)
