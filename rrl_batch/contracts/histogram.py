"""Bins of [Fe/H], the same for everything that is counted piece by piece and added up."""

import numpy as np
from numpy.typing import ArrayLike

LOWEST, HIGHEST, WIDTH = -3.5, 1.0, 0.1
"""Ends of the bins and their width, in dex; the first and the last hold what lies beyond."""

N_BINS = round((HIGHEST - LOWEST) / WIDTH)


def feh_histogram(feh: ArrayLike) -> list[int]:
    """Count stars in bins of [Fe/H].

    Parameters
    ----------
    feh : (n_stars,) array
        Metallicities, in dex; NaN where there is none.

    Returns
    -------
    list of int
        `N_BINS` counts of the stars that have one.
    """
    values = np.asarray(feh, np.float64)
    bins = np.floor((values[np.isfinite(values)] - LOWEST) / WIDTH).clip(0, N_BINS - 1)
    counts: list[int] = np.bincount(bins.astype(np.int64), minlength=N_BINS).tolist()
    return counts
