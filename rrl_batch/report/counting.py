"""Counts of stars in bins, which add up over the sky, and medians from these counts."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Cells = NDArray[np.int64]


class Bins(NamedTuple):
    """Bins of equal width; the first and the last hold what lies beyond.

    Attributes
    ----------
    low, high : float
        Ends of the bins.
    number : int
        How many they are.
    """

    low: float
    high: float
    number: int

    @property
    def width(self) -> float:
        """Width of a bin."""
        return (self.high - self.low) / self.number

    @property
    def edges(self) -> Floats:
        """(number + 1,) float64: where bins begin and end."""
        return np.linspace(self.low, self.high, self.number + 1)

    @property
    def centres(self) -> Floats:
        """(number,) float64: middles of the bins."""
        return (self.edges[:-1] + self.edges[1:]) / 2

    def cells(self, values: ArrayLike) -> Cells:
        """Return in which bin each value is; -1 where there is no value."""
        values = np.asarray(values, np.float64)
        known = np.isfinite(values)
        place = np.floor((np.where(known, values, self.low) - self.low) / self.width)
        return np.where(known, place.clip(0, self.number - 1), -1).astype(np.int64)


class Counts:
    """Numbers of stars in the cells of a table of several dimensions.

    Parameters
    ----------
    *shape : int
        Number of cells along each dimension.

    Attributes
    ----------
    table : ndarray of int64
        The numbers.
    """

    def __init__(self, *shape: int) -> None:
        self.table = np.zeros(shape, np.int64)

    def add(self, *cells: ArrayLike) -> None:
        """Count stars.

        Parameters
        ----------
        *cells : (n_stars,) int array_like, or int
            Where each star is along each dimension; one that is nowhere, at -1, does not count.
        """
        places = np.broadcast_arrays(*cells)
        counted = np.all([place >= 0 for place in places], axis=0)
        flat = np.ravel_multi_index([place[counted] for place in places], self.table.shape)
        where, numbers = np.unique(flat, return_counts=True)
        self.table.flat[where] += numbers


def median(counts: NDArray[np.int64], bins: Bins) -> Floats:
    """Return the median of values that were counted in bins, along the last dimension.

    Parameters
    ----------
    counts : (..., n_bins) int64
        Numbers of values.
    bins : Bins
        The bins.

    Returns
    -------
    (...) float64
        NaN where there are none; within a bin, values are taken to lie evenly.
    """
    return quantile(counts, bins, 0.5)


def quantile(counts: NDArray[np.int64], bins: Bins, part: float) -> Floats:
    """Return a quantile of values that were counted in bins, along the last dimension.

    Parameters
    ----------
    counts : (..., n_bins) int64
        Numbers of values.
    bins : Bins
        The bins.
    part : float
        Part of the values that lies below.
    """
    total = counts.sum(axis=-1)
    reached = np.cumsum(counts, axis=-1)
    wanted = (part * total)[..., np.newaxis]
    bin_ = (reached < wanted).sum(axis=-1).clip(0, bins.number - 1)[..., np.newaxis]
    inside = np.take_along_axis(counts, bin_, -1)
    before = np.take_along_axis(reached, bin_, -1) - inside
    with np.errstate(divide="ignore", invalid="ignore"):
        place = bin_ + (wanted - before) / inside
    found: Floats = np.where(total > 0, bins.low + bins.width * place[..., 0], np.nan)
    return found
