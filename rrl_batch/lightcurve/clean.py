"""Keep the usable epochs of every light curve."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


MAX_ABSOLUTE_MAG = 40.0
"""Beyond it a magnitude is a mark for "no value", such as 99.999, or an error; below it, also a
magnitude relative to the star's mean is possible."""


class CleanEpochs(NamedTuple):
    """The usable epochs of a batch of stars, end to end.

    Attributes
    ----------
    time : (n_kept,) float64, in days
        Times, as given.
    mag : (n_kept,) float64, in mag
        Magnitudes, finite.
    mag_error : (n_kept,) float64, in mag
        Standard errors, finite and positive; NaN for every epoch of a star without errors.
    offsets : (n_stars + 1,) int64
        Star i owns the epochs ``offsets[i]`` to ``offsets[i + 1]``, the end excluded.
    num_rejected : (n_stars,) int32
        Number of epochs left out.
    """

    time: FloatArray
    mag: FloatArray
    mag_error: FloatArray
    offsets: npt.NDArray[np.int64]
    num_rejected: npt.NDArray[np.int32]


def clean(
    time: npt.NDArray[np.floating],
    mag: npt.NDArray[np.floating],
    mag_error: npt.NDArray[np.floating],
    offsets: npt.NDArray[np.int64],
    has_error: npt.NDArray[np.bool_],
) -> CleanEpochs:
    """Drop epochs without a finite time, a possible magnitude or a positive, finite error.

    The error is asked for only of stars that have errors at all.

    Parameters
    ----------
    time : (n_epochs,) float, in days
        Times of all stars, star after star.
    mag : (n_epochs,) float, in mag
        Magnitudes, possible if within `MAX_ABSOLUTE_MAG` of zero.
    mag_error : (n_epochs,) float, in mag
        Standard errors of the magnitudes.
    offsets : (n_stars + 1,) int64
        Star i owns the epochs ``offsets[i]`` to ``offsets[i + 1]``, the end excluded.
    has_error : (n_stars,) bool
        Whether the star comes with magnitude errors.

    Returns
    -------
    CleanEpochs
        The epochs kept, in their order. A star may be left with none.
    """
    lengths = np.diff(offsets)
    needs_error = np.repeat(has_error, lengths)
    usable = (
        np.isfinite(time)
        & (np.abs(mag) < MAX_ABSOLUTE_MAG)
        & (~needs_error | (np.isfinite(mag_error) & (mag_error > 0)))
    )
    kept = np.concatenate([[0], np.cumsum(usable, dtype=np.int64)])[offsets]
    return CleanEpochs(
        time=time[usable].astype(np.float64, copy=False),
        mag=mag[usable].astype(np.float64, copy=False),
        mag_error=np.where(needs_error, mag_error, np.nan)[usable].astype(np.float64, copy=False),
        offsets=kept,
        num_rejected=(lengths - np.diff(kept)).astype(np.int32),
    )
