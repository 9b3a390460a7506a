"""Random numbers addressed by seed, stream, star and counter: no order of work changes them."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

# Constants of SplitMix64.
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


class Stream(IntEnum):
    """What a random number is for; the numbers of different streams are independent."""

    ACCEPTANCE = 0
    ERROR = 1
    NOISE = 2
    OUTLYING = 3
    OUTLIER = 4


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


def uniform(
    seed: int, stream: Stream, star: NDArray[np.int64], counter: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Draw uniform numbers in (0, 1), each a pure function of its own address.

    Parameters
    ----------
    seed : int
        Seed of the survey, non-negative.
    stream : Stream
        What the number is for.
    star : (n,) int64
        `source_id` of the star.
    counter : (n,) int64
        Number of the event (here: of the transit) within the star.

    Returns
    -------
    (n,) float64

    References
    ----------
    Steele, Lea & Flood 2014, OOPSLA, "Fast splittable pseudorandom number generators" (SplitMix64).
    """
    # Arrays of one element, because NumPy warns of the intended overflow only for scalars.
    key = _mix(_mix(np.array([seed], np.uint64) + _GAMMA) + np.array([stream], np.uint64) * _GAMMA)
    state = _mix(star.astype(np.uint64) + key)
    bits = _mix(state + (counter.astype(np.uint64) + np.uint64(1)) * _GAMMA)
    return ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def normal(
    seed: int, stream: Stream, star: NDArray[np.int64], counter: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Draw standard normal numbers at the addresses that `uniform` describes."""
    return np.asarray(ndtri(uniform(seed, stream, star, counter)), dtype=np.float64)
