"""How well the epochs of a light curve cover the pulsation cycle."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def phase_gap(phase: FloatArray, offsets: npt.NDArray[np.int64]) -> FloatArray:
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
    lengths = np.diff(offsets)
    star = np.repeat(np.arange(len(lengths)), lengths)
    ordered = phase[np.lexsort((phase, star))]
    observed = lengths > 0
    first, last = offsets[:-1][observed], offsets[1:][observed] - 1
    to_next = np.empty_like(ordered)
    to_next[:-1] = np.diff(ordered)
    to_next[last] = ordered[first] + 1 - ordered[last]
    gap = np.full(len(lengths), np.nan)
    if observed.any():
        gap[observed] = np.maximum.reduceat(to_next, first)
    return gap
