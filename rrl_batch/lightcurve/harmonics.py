"""Normal equations of a harmonic series, which every fit of one solves.

The basis functions are in the order 1, cos 2 pi phase, sin 2 pi phase, cos 4 pi phase, ...
"""

import numpy as np
import numpy.typing as npt
from numba import njit

FloatArray = npt.NDArray[np.float64]

FAST_SUMS = {"reassoc", "contract"}
"""Sums may be taken in any order and products fused with them: a matter of the last bit."""


@njit(cache=True, error_model="numpy")
def fill_normal_matrix(size: int, sums: FloatArray, system: FloatArray) -> None:
    """Fill the upper triangle of the normal matrix, and the identity beside it.

    A product of two harmonics is half the sum of two others, so that the matrix comes from the
    weighted sums of twice as many harmonics and not from products of every pair.

    Parameters
    ----------
    size : int
        Number of basis functions, odd.
    sums : (2 * size - 1,) float64
        Weighted sums of the basis functions over the epochs.
    system : (size, 2 * size) float64
        Filled in.
    """
    system[0, :size] = sums[:size]
    for j in range(1, size, 2):
        of_cos, of_sin = system[j], system[j + 1]
        for k in range(j, size, 2):
            # cos j cos k = (cos(k - j) + cos(k + j)) / 2, and so on
            difference, sum_ = k - j, k + j + 2  # columns of the sines
            cos_difference = sums[difference - 1] if k > j else sums[0]
            sin_difference = sums[difference] if k > j else 0.0
            cos_sum, sin_sum = sums[sum_ - 1], sums[sum_]
            of_cos[k] = 0.5 * (cos_difference + cos_sum)
            of_cos[k + 1] = 0.5 * (sin_sum + sin_difference)
            of_sin[k] = 0.5 * (sin_sum - sin_difference)
            of_sin[k + 1] = 0.5 * (cos_difference - cos_sum)
    system[:size, size : 2 * size] = 0.0
    for j in range(size):
        system[j, size + j] = 1.0


@njit(cache=True, error_model="numpy", fastmath=FAST_SUMS)
def eliminate(size: int, system: FloatArray) -> None:
    """Leave D on the diagonal and the inverse of L in place of the identity, for L D L'.

    LAPACK's calls cost more than the arithmetic at this size, and raise where this gives NaN.

    Parameters
    ----------
    size : int
        Number of unknowns.
    system : (size, 2 * size) float64
        Upper triangle of a symmetric matrix beside the identity; overwritten.
    """
    for pivot in range(size):
        # where the two parts are not yet, or not any more, zero
        columns = slice(pivot + 1, pivot + 1 + size)
        source = system[pivot, columns]
        if not system[pivot, pivot] > 0.0:
            system[pivot, pivot] = np.nan
        inverse = 1.0 / system[pivot, pivot]
        for i in range(pivot + 1, size):
            factor = system[pivot, i] * inverse
            row = system[i, columns]
            for k in range(size):
                row[k] -= factor * source[k]
