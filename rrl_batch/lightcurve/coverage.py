"""How well the epochs of a light curve cover the pulsation cycle."""

import numpy as np
import numpy.typing as npt
from numba import njit, prange

FloatArray = npt.NDArray[np.float64]


def phase_gap(phase: npt.ArrayLike, offsets: npt.ArrayLike) -> FloatArray:
    """Measure the largest gap in phase between neighbouring epochs, around the cycle.

    Parameters
    ----------
    phase : (n_epochs,) float64, in cycles, [0, 1)
        Phases of all stars, star after star, in any order within a star.
    offsets : (n_stars + 1,) int64
        Star i owns the epochs ``offsets[i]`` to ``offsets[i + 1]``, the end excluded.

    Returns
    -------
    (n_stars,) float64, in cycles
        1 for a star with a single epoch (or all at one phase), NaN for a star with none.
    """
    offsets = np.array(offsets, dtype=np.int64)
    gap = np.full(len(offsets) - 1, np.nan)
    # a copy, which the kernel may sort
    _find_gaps(np.array(phase, dtype=np.float64), offsets, gap)
    return gap


@njit(cache=True, error_model="numpy", parallel=True, nogil=True)
def _find_gaps(phase: FloatArray, offsets: npt.NDArray[np.int64], gap: FloatArray) -> None:
    """Sort the phases of each star and fill in the gaps."""
    for star in prange(gap.size):
        own = phase[offsets[star] : offsets[star + 1]]
        if own.size == 0:
            continue
        own.sort()
        widest = own[0] + 1.0 - own[-1]
        for i in range(1, own.size):
            widest = max(widest, own[i] - own[i - 1])
        gap[star] = widest
