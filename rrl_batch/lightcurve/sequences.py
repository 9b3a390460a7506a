"""The input of a network: magnitude and phase times period, step by step (Eq. 3).

References
----------
Monti, L., Muraveva, T., Clementini, G. & Garofalo, A. 2024, Sensors 24, 5203.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Sequences = NDArray[np.float32]

PADDING = -1.0
"""Fills both channels beyond the last epoch of a raw curve; networks mask such steps."""


def smoothed_sequences(phase: Floats, mag: Floats, period: Floats, *, centred: bool) -> Sequences:
    """Return the sequences of smoothed curves.

    Parameters
    ----------
    phase, mag : (n_stars, n_points) float64
        Phases, in cycles, and magnitudes of the curves.
    period : (n_stars,) float64
        Periods, in days.
    centred : bool
        Whether each curve's mean magnitude is subtracted: the preprocessed data set of the paper
        with, the smoothed one without.

    Returns
    -------
    (n_stars, n_points, 2) float32
        Magnitude, in mag, and phase times period, in days; NaN where there is no curve.
    """
    sequences = np.empty((*mag.shape, 2), np.float32)
    zero = mag.mean(axis=1, keepdims=True) if centred else 0.0
    np.subtract(mag, zero, out=sequences[:, :, 0])
    np.multiply(phase, period[:, np.newaxis], out=sequences[:, :, 1])
    return sequences


def raw_sequences(
    phase: Floats, mag: NDArray[Any], offsets: NDArray[np.int64], period: Floats, n_points: int
) -> Sequences:
    """Return the epochs themselves in order of phase, padded at the end.

    A star with more epochs than points keeps that many of them, evenly spread.

    Parameters
    ----------
    phase, mag : (n_epochs,) ndarray
        Phases, in cycles, and magnitudes.
    offsets : (n_stars + 1,) int64
        Where each star's epochs begin and end.
    period : (n_stars,) float64
        Periods, in days.
    n_points : int
        Steps of a sequence.

    Returns
    -------
    (n_stars, n_points, 2) float32
        Magnitude, in mag, and phase times period, in days; -1 in both beyond the last epoch.
    """
    counts = np.diff(offsets)
    order = np.lexsort((phase, np.repeat(np.arange(len(counts)), counts)))
    kept = np.minimum(counts, n_points)
    step = np.arange(n_points)
    inside = step < kept[:, None]
    picked = step * counts[:, None] // np.maximum(kept, 1)[:, None]
    epochs = order[(offsets[:-1, None] + picked)[inside]]
    sequences = np.full((len(counts), n_points, 2), PADDING, np.float32)
    sequences[inside, 0] = mag[epochs]
    sequences[inside, 1] = phase[epochs] * np.repeat(period, kept)
    return sequences
