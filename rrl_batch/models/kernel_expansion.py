"""Regressors that are a sum of kernels: ridge, support vectors and Gaussian processes alike."""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rrl_batch.models.arrays import Arrays, check_numbers, read_arrays, write_arrays

Floats = NDArray[np.float64]

_BLOCK = 256
"""Stars whose kernels are in memory at a time."""


@dataclass(frozen=True)
class KernelExpansion:
    """[Fe/H] = intercept + Σ_j coefficients_j k(u, points_j), where u = (x - centre) / scale.

    Parameters
    ----------
    kernel : {"linear", "rbf"}
        k(u, v): the product u · v, or exp(-|u - v|² / 2).
    intercept : float
        In dex.
    centre, scale : (n_shape,) float64
        What shape parameters are standardised by; length scales are part of `scale`.
    points : (n_points, n_shape) float64
        Where kernels lie, standardised.
    coefficients : (n_points,) float64
        Their weights, in dex.
    """

    kernel: str
    intercept: float
    centre: Floats
    scale: Floats
    points: Floats
    coefficients: Floats

    def predict(self, shape: ArrayLike) -> Floats:
        """Return metallicities.

        All blocks have one size, the last one filled up: the products then have one shape, and a
        star's value does not depend on the stars beside it.

        Parameters
        ----------
        shape : (n_stars, n_shape) array_like
            Shape parameters.

        Returns
        -------
        (n_stars,) float64 ndarray
            In dex; NaN where a parameter is NaN.
        """
        shape = np.asarray(shape)
        predicted = np.empty(len(shape))
        block = np.zeros((_BLOCK, len(self.centre)))
        for first in range(0, len(shape), _BLOCK):
            stars = shape[first : first + _BLOCK]
            block[: len(stars)] = (stars - self.centre) / self.scale
            sums = self._kernels(block) @ self.coefficients
            predicted[first : first + len(stars)] = self.intercept + sums[: len(stars)]
        return predicted

    def _kernels(self, stars: Floats) -> Floats:
        return stars @ self.points.T if self.kernel == "linear" else rbf(stars, self.points)

    def write(self, path: Path) -> str:
        """Write the arrays atomically, as a NumPy archive, and return the file's checksum."""
        return write_arrays(path, asdict(self))

    @classmethod
    def read(cls, path: Path, n_shape: int) -> Self:
        """Read what `write` has written; nothing in the file is executed.

        Parameters
        ----------
        path : pathlib.Path
            The file.
        n_shape : int
            Number of shape parameters that there are.

        Raises
        ------
        UserError
            If the file is damaged, or holds anything else.
        """
        what = f"a regressor on {n_shape} shape parameters"
        return read_arrays(path, partial(cls._checked, n_shape=n_shape), what)

    @classmethod
    def _checked(cls, arrays: Arrays, n_shape: int) -> Self:
        """Return the regressor that the arrays of a file are; ValueError if they are none."""
        kernel = str(arrays.pop("kernel"))
        if kernel not in ("linear", "rbf"):
            raise ValueError(f"it has the kernel '{kernel}'")
        n_points = len(arrays["points"])
        shapes = {
            "intercept": (),
            "centre": (n_shape,),
            "scale": (n_shape,),
            "points": (n_points, n_shape),
            "coefficients": (n_points,),
        }
        check_numbers(arrays, shapes)
        return cls(kernel, float(arrays.pop("intercept")), **arrays)


def rbf(first: Floats, second: Floats) -> Floats:
    """Return exp(-|u - v|² / 2) of all pairs of points.

    Parameters
    ----------
    first, second : (n, n_shape) and (m, n_shape) float64
        Points.

    Returns
    -------
    (n, m) float64 ndarray
        The kernel.
    """
    exponent: Floats = first @ second.T
    exponent -= 0.5 * (first**2).sum(axis=1)[:, None]
    exponent -= 0.5 * (second**2).sum(axis=1)
    np.minimum(exponent, 0.0, out=exponent)  # rounding may leave a point at a distance from itself
    return np.exp(exponent, out=exponent)
