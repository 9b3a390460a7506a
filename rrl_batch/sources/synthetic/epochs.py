"""When Gaia looks: transits of the stars over its two fields of view.

A star is seen when it is in one of the two fields of view of the spinning spacecraft. The number of
epochs against ecliptic latitude, their clusters and their pairs follow from the scanning law; only
whether a transit ends as accepted photometry is drawn.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from rrl_batch.sources.synthetic import draws
from rrl_batch.sources.synthetic.scanning import (
    SPIN_PERIOD,
    START,
    ecliptic_direction,
    spin_axis,
)

FIELD_INTERVAL = 106.571 / 1440.0
"""Days from the preceding to the following field of view (basic angle 106.5 deg)."""

HALF_FIELD = np.radians(0.345)
"""Half the across-scan height of a field of view."""

ACCEPTANCE = 0.88
"""Fraction of the geometric transits that end as accepted photometry, as in Gaia DR3."""

# The axis moves by 1.04 deg a spin, and by 0.31 deg between the two fields.
_PRESELECTION = np.sin(HALF_FIELD + np.radians(1.4))
_STARS_AT_ONCE = 4_000


class Transits(NamedTuple):
    """Accepted transits of many stars, flat, ordered by star and time.

    Attributes
    ----------
    offsets : (n_stars + 1,) int64
        Star i owns the elements offsets[i]:offsets[i + 1].
    time : (n_transits,) float64
        BJD(TCB) - 2455197.5, in days.
    number : (n_transits,) int64
        Number of the transit in the scanning law (twice the spin, plus one for the following
        field): the counter under which its random numbers are drawn.
    """

    offsets: NDArray[np.int64]
    time: NDArray[np.float64]
    number: NDArray[np.int64]


def observe(
    ra: NDArray[np.float64], dec: NDArray[np.float64], source_id: NDArray[np.int64], seed: int
) -> Transits:
    """Find the accepted transits of stars over the DR3 observations.

    Parameters
    ----------
    ra, dec : (n_stars,) float64
        ICRS position, in degrees.
    source_id : (n_stars,) int64
        Identifies the star to the random numbers that decide on acceptance.
    seed : int
        Seed of the survey.

    Returns
    -------
    Transits
    """
    number_of_transits, time, number = (
        np.concatenate(column)
        for column in zip(*_observed_chunks(ra, dec, source_id, seed), strict=True)
    )
    return Transits(np.concatenate([[0], np.cumsum(number_of_transits)]), time, number)


def count(
    ra: NDArray[np.float64], dec: NDArray[np.float64], source_id: NDArray[np.int64], seed: int
) -> NDArray[np.int32]:
    """Count the accepted transits of stars, those that `observe` returns, without keeping them.

    Parameters
    ----------
    ra, dec, source_id, seed
        As of `observe`.

    Returns
    -------
    (n_stars,) int32 ndarray
    """
    counts = [number for number, *_ in _observed_chunks(ra, dec, source_id, seed)]
    return np.concatenate(counts).astype(np.int32)


def _observed_chunks(
    ra: NDArray[np.float64], dec: NDArray[np.float64], source_id: NDArray[np.int64], seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]]:
    """Yield counts, times and numbers of the accepted transits of some stars at a time."""
    direction = ecliptic_direction(ra, dec)
    for first in range(0, max(len(direction), 1), _STARS_AT_ONCE):
        rows = slice(first, first + _STARS_AT_ONCE)
        yield _accepted_transits(direction[rows], source_id[rows], seed)


def _accepted_transits(
    direction: NDArray[np.float64], source_id: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Count the accepted transits of each star; their times and numbers by star and time."""
    star, time, number = _geometric_transits(direction)
    order = np.lexsort((time, star))
    star, time, number = star[order], time[order], number[order]
    # At the node of the scan the same crossing may be found at the end of one spin and at the
    # start of the next.
    again = (np.diff(star, prepend=-1) == 0) & (np.diff(time, prepend=0.0) < 0.1 * FIELD_INTERVAL)
    drawn = draws.uniform(seed, draws.Stream.ACCEPTANCE, source_id[star], number)
    accepted = (drawn < ACCEPTANCE) & ~again
    counts = np.bincount(star[accepted], minlength=len(direction))
    return counts, time[accepted], number[accepted]


def _geometric_transits(
    direction: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Star, time and number of each transit that the scanning geometry allows, unordered."""
    axis = spin_axis()
    star, spin = _spins_near(direction, axis[:-2], _PRESELECTION)
    target = direction[star]
    turn = _scan_angle(target, axis[spin]) / (2.0 * np.pi)
    found = []
    for field, delay in enumerate((0.0, FIELD_INTERVAL / SPIN_PERIOD)):
        elapsed = turn + delay
        whole = elapsed.astype(np.int64)
        part = (elapsed - whole)[:, None]
        axis_then = axis[spin + whole] * (1.0 - part) + axis[spin + whole + 1] * part
        seen = np.abs((target * axis_then).sum(axis=1)) < np.sin(HALF_FIELD)
        time = START + SPIN_PERIOD * (spin[seen] + elapsed[seen])
        found.append((star[seen], time, 2 * spin[seen] + field))
    stars, times, numbers = zip(*found, strict=True)
    return np.concatenate(stars), np.concatenate(times), np.concatenate(numbers)


@numba.njit(cache=True, error_model="numpy")
def _spins_near(
    direction: NDArray[np.float64], axis: NDArray[np.float64], limit: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs (star, spin) whose direction and axis are within `limit` (sine) of a right angle."""
    x, y, z = axis[:, 0].copy(), axis[:, 1].copy(), axis[:, 2].copy()
    total = 0
    for u in direction:
        for spin in range(len(axis)):
            total += abs(u[0] * x[spin] + u[1] * y[spin] + u[2] * z[spin]) < limit
    star_of, spin_of = np.empty(total, np.int64), np.empty(total, np.int64)
    pair = 0
    for star in range(len(direction)):
        u = direction[star]
        for spin in range(len(axis)):
            if abs(u[0] * x[spin] + u[1] * y[spin] + u[2] * z[spin]) < limit:
                star_of[pair], spin_of[pair] = star, spin
                pair += 1
    return star_of, spin_of


def _scan_angle(target: NDArray[np.float64], axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angle of a star along the scan, in [0, 2 pi), from the node of the scan on the ecliptic."""
    horizontal = np.hypot(axis[:, 0], axis[:, 1])
    along_node = (axis[:, 0] * target[:, 1] - axis[:, 1] * target[:, 0]) / horizontal
    quadrature = (
        target[:, 2] * horizontal**2
        - axis[:, 2] * (axis[:, 0] * target[:, 0] + axis[:, 1] * target[:, 1])
    ) / horizontal
    return np.arctan2(quadrature, along_node) % (2.0 * np.pi)
