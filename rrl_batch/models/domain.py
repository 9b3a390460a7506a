"""Where the training stars of a model are, and how far from them another star is.

The space is that of the curve's shape: period, amplitude, the harmonics up to the fifth and the
noise, each in units of its standard deviation among the training stars. A star is as far away as
its fifth-nearest training star. Harmonics of higher order are noise to most stars, and would drown
what the others say.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numba import njit, prange
from numpy.typing import ArrayLike, NDArray

from rrl_batch.lightcurve.shape import SHAPE_COLUMNS
from rrl_batch.models.arrays import Arrays, check_numbers, read_arrays, write_arrays

Floats = NDArray[np.float64]

DOMAIN_COLUMNS = (
    "period", "a1", *(f"{part}{k}1" for part in ("re", "im") for k in range(2, 6)), "log_noise",
)  # fmt: skip
"""The shape parameters by which stars are told apart."""

NEIGHBOUR = 5
"""Which of the nearest training stars counts: one alone may be an odd one itself."""

MAX_POINTS = 2_000
"""Training stars that are kept, evenly taken from all; more would hardly lie closer to a star."""

QUANTILE = 0.99
"""Part of the training stars that are inside, each measured without itself."""

MIN_STARS = 2
"""Fewest stars that a distance between them can be measured of."""

_LEAST_LIMIT = 1e-6  # standard deviations
_COLUMNS = [SHAPE_COLUMNS.index(name) for name in DOMAIN_COLUMNS]


@dataclass(frozen=True)
class TrainingDomain:
    """Training stars of a pulsation mode, in the space of their curves' shapes.

    Parameters
    ----------
    centre, scale : (11,) float64
        Means and standard deviations of the training stars.
    points : (11, n_points) float64
        Standardised parameters of some of them.
    limit : float
        The distance that `QUANTILE` of the training stars do not exceed.
    """

    centre: Floats
    scale: Floats
    points: Floats
    limit: float

    @classmethod
    def of(cls, shape: ArrayLike) -> Self:
        """Return the domain of some stars.

        Parameters
        ----------
        shape : (n_stars, 16) array_like
            Their shape parameters, finite; of `MIN_STARS` stars or more.
        """
        stars = np.asarray(shape, np.float64)[:, _COLUMNS]
        scale = stars.std(axis=0)
        scale[scale == 0] = 1.0
        some = stars[np.linspace(0, len(stars) - 1, min(len(stars), MAX_POINTS)).astype(np.int64)]
        centre = stars.mean(axis=0)
        points = np.ascontiguousarray(((some - centre) / scale).T)
        distances = cls(centre, scale, points, 1.0).distance(shape)
        # stars that are all alike have no neighbours, and any other star is outside
        distances = np.where(np.isfinite(distances), distances, 0.0)
        limit = max(float(np.quantile(distances, QUANTILE)), _LEAST_LIMIT)
        return cls(centre, scale, points, limit)

    def distance(self, shape: ArrayLike) -> Floats:
        """Return how far stars are from the training stars; beyond 1, they are outside.

        A training star does not count as its own neighbour.

        Parameters
        ----------
        shape : (n_stars, 16) array_like
            Their shape parameters.

        Returns
        -------
        (n_stars,) float64
            Distance over the limit; NaN where a parameter is NaN. A star's does not depend on the
            stars beside it.
        """
        # of one layout, whatever it was before, for which the kernel is compiled
        own = np.ascontiguousarray(np.asarray(shape, np.float64)[:, _COLUMNS])
        stars = (own - self.centre) / self.scale
        neighbour = min(NEIGHBOUR, self.points.shape[1] - 1)
        squares = np.empty(len(stars))
        _find_neighbours(stars, self.points, neighbour, squares)
        distance: Floats = np.sqrt(squares) / self.limit
        return distance

    def write(self, path: Path) -> str:
        """Write the arrays atomically, as a NumPy archive, and return the file's checksum."""
        return write_arrays(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` has written; nothing in the file is executed.

        Raises
        ------
        UserError
            If the file is damaged, or holds anything else.
        """
        return read_arrays(path, cls._checked, "the training stars of a model")

    @classmethod
    def _checked(cls, arrays: Arrays) -> Self:
        """Return the domain that the arrays of a file are; ValueError if they are none."""
        size, n_points = len(DOMAIN_COLUMNS), arrays["points"].shape[-1]
        check_numbers(
            arrays, {"centre": (size,), "scale": (size,), "points": (size, n_points), "limit": ()}
        )
        if n_points < MIN_STARS or not (arrays["scale"] > 0).all() or not arrays["limit"] > 0:
            raise ValueError("its stars have no distances")
        return cls(limit=float(arrays.pop("limit")), **arrays)


@njit(cache=True, error_model="numpy", parallel=True, nogil=True)
def _find_neighbours(stars: Floats, points: Floats, neighbour: int, squares: Floats) -> None:
    """Fill in the squares of the distances to the n-th nearest points that are other stars."""
    n_columns, n_points = points.shape
    for star in prange(len(stars)):
        sums = np.zeros(n_points)
        for column in range(n_columns):
            own = stars[star, column]
            row = points[column]
            for i in range(n_points):
                sums[i] += (row[i] - own) ** 2
        nearest = np.full(neighbour, np.inf)
        for i in range(n_points):
            if 0.0 < sums[i] < nearest[-1]:
                place = neighbour - 1
                while place > 0 and nearest[place - 1] > sums[i]:
                    nearest[place] = nearest[place - 1]
                    place -= 1
                nearest[place] = sums[i]
        squares[star] = nearest[-1] if np.isfinite(sums[0]) else np.nan
