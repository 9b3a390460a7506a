"""Light curves drawn anew within their errors, to see how far predictions move.

A fitted curve is a harmonic series whose coefficients have a posterior covariance: under the
population prior, or of the star's own Fourier fit, whose changes are then added to the spline. The
epochs of a raw curve are moved by their scatter instead. The period is drawn as well.

The draws are points of a balanced design: the rows of a Hadamard matrix, times signs of the star's
own, times a square root of the covariance. Over all rows the mean square of a linear function's
changes is its variance, exactly; over the few that are taken it is so on average over the signs.
These are a hash of `source_id`: no partitioning of a survey changes them.

References
----------
Hutchinson M. F. 1990, Commun. Stat. Simul. Comput. 19, 433. Montgomery M. H. & O'Donoghue D. 1999,
Delta Scuti Star Newsletter 13, 28. Steele G. L., Lea D. & Flood C. H. 2014, OOPSLA (SplitMix64).
"""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.linalg import hadamard

from rrl_batch.lightcurve.align import (
    maximum_of_first_harmonic,
    mean_of_rising_branch,
    on_grid,
)
from rrl_batch.lightcurve.inputs import Inputs
from rrl_batch.lightcurve.shape import SHAPE_COLUMNS, shape_parameters

FloatArray = npt.NDArray[np.float64]

N_DRAWS = 8
"""Draws of a star: the error that follows from them scatters by a fifth."""

MIN_CYCLES = 10.0
"""Cycles that epochs have to span to tell of the period: those of a folded curve do not."""

_LEAST_DESIGN = 32  # rows: at least one for the period and each of 24 coefficients
_BITS = 64
# constants of SplitMix64
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True)
class CurveErrors:
    """How well curves are known, one row a star; NaN where there is no curve.

    Parameters
    ----------
    source_id : (n_stars,) int64
        The stars.
    harmonics : (n_stars, n_harmonics) complex128, in mag
        c_1, c_2, ...
    factor : (n_stars, 2 * n_harmonics, n_columns) float64, in mag
        A square root F of the covariance F F' of the coefficients of cos 2 pi phase, sin 2 pi
        phase, cos 4 pi phase, ...
    start : (n_stars,) float64, in cycles
        Where phase 0 of the sequence is in the phases of the harmonics.
    noise : (n_stars,) float64, in mag
        Scatter of the epochs about the curve.
    n_epochs : (n_stars,) int64
        Numbers of usable epochs.
    period, period_error : (n_stars,) float64, in days
        Periods and their standard errors.
    alignment : {"fourier", "maximum", "rising"}
        What phase 0 is; but for maximum light it is found anew in every draw.
    raw : bool
        Whether sequences are the epochs themselves.
    """

    source_id: npt.NDArray[np.int64]
    harmonics: npt.NDArray[np.complex128]
    factor: FloatArray
    start: FloatArray
    noise: FloatArray
    n_epochs: npt.NDArray[np.int64]
    period: FloatArray
    period_error: FloatArray
    alignment: Literal["fourier", "maximum", "rising"]
    raw: bool

    def take(self, rows: npt.NDArray[np.int64]) -> Self:
        """Return the errors of some stars."""
        arrays = {n: v[rows] for n, v in vars(self).items() if isinstance(v, np.ndarray)}
        return type(self)(**vars(self) | arrays)

    def redrawn(self, inputs: Inputs, n_draws: int = N_DRAWS) -> Inputs:
        """Draw the inputs of predictors anew.

        Parameters
        ----------
        inputs : Inputs
            Those of these stars' curves.
        n_draws : int
            How many draws.

        Returns
        -------
        Inputs
            Sequences (n_stars, n_draws, n_points, 2) and shape (n_stars, n_draws, 16).
        """
        n_stars, n_points, _ = inputs.sequences.shape
        sequences = np.repeat(inputs.sequences[:, np.newaxis], n_draws, axis=1)
        shape = np.empty((n_stars, n_draws, len(SHAPE_COLUMNS)), np.float32)
        n_columns = 1 + max(self.factor.shape[2], n_points if self.raw else 0)
        size = max(_LEAST_DESIGN, 1 << (n_columns - 1).bit_length())
        design, signs = hadamard(size)[:, :n_columns], signs_of(self.source_id, n_columns)
        there = np.arange(n_points) < self.n_epochs[:, np.newaxis]
        before = self._curve(self.harmonics, n_points)
        for draw in range(n_draws):
            deviates = design[draw] * signs
            period = self.period + self.period_error * deviates[:, 0]
            own = deviates[:, 1 : 1 + self.factor.shape[2], np.newaxis]
            change = (self.factor @ own)[:, :, 0]
            harmonics = self.harmonics + (change[:, ::2] - 1j * change[:, 1::2])
            stretch = (period / self.period)[:, np.newaxis]
            if self.raw:
                noise = self.noise[:, np.newaxis] * deviates[:, 1 : 1 + n_points]
                moved, stretch = np.where(there, noise, 0.0), np.where(there, stretch, 1.0)
            else:
                moved = self._curve(harmonics, n_points) - before
            sequences[:, draw, :, 0] += moved
            sequences[:, draw, :, 1] *= stretch
            shape[:, draw] = shape_parameters(harmonics, period, self.noise, self.n_epochs)
        return Inputs(sequences, shape)

    def _curve(self, harmonics: npt.NDArray[np.complex128], n_points: int) -> FloatArray:
        """Evaluate curves, less their means, from phase 0 on."""
        start = self.start
        if self.alignment == "fourier":
            start = maximum_of_first_harmonic(harmonics)
        elif self.alignment == "rising":
            start = mean_of_rising_branch(harmonics)
        order = np.arange(1, harmonics.shape[1] + 1)
        return on_grid(harmonics * np.exp(2j * np.pi * start[:, np.newaxis] * order), n_points)


def signs_of(source_id: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.float64]:
    """Return n signs a star, which nothing but its identifier decides about.

    Parameters
    ----------
    source_id : (n_stars,) int64
        The stars.
    n : int
        How many signs.

    Returns
    -------
    (n_stars, n) float64
        1 or -1.
    """
    words = np.arange(1, -(-n // _BITS) + 1, dtype=np.uint64)
    mixed = source_id.astype(np.uint64)[:, np.newaxis] + words * _GAMMA
    for _ in range(2):  # neighbours on the sky have neighbouring identifiers
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
        mixed ^= mixed >> np.uint64(31)
    bits = (mixed[:, :, np.newaxis] >> np.arange(_BITS, dtype=np.uint64)) & np.uint64(1)
    return 1.0 - 2.0 * bits.reshape(len(source_id), len(words) * _BITS)[:, :n].astype(np.float64)


def period_errors(
    time: FloatArray,
    offsets: npt.NDArray[np.int64],
    period: FloatArray,
    harmonics: npt.NDArray[np.complex128],
    noise: FloatArray,
) -> FloatArray:
    """Return the standard errors of periods that were found from the epochs themselves.

    The Cramér-Rao bound of a harmonic series of any shape; that of a sinusoid is in Montgomery &
    O'Donoghue (1999).

    Parameters
    ----------
    time : (n_epochs,) float64, in days
        Times of all stars, star after star.
    offsets : (n_stars + 1,) int64
        Star i owns the epochs ``offsets[i]`` to ``offsets[i + 1]``, the end excluded.
    period : (n_stars,) float64, in days
        Periods.
    harmonics : (n_stars, n_harmonics) complex128, in mag
        c_1, c_2, ...
    noise : (n_stars,) float64, in mag
        Scatter of the epochs about the curve.

    Returns
    -------
    (n_stars,) float64, in days
        0 where the epochs span less than 10 cycles: the period comes from elsewhere. NaN where
        there is no curve.
    """
    counts = np.diff(offsets)
    star = np.repeat(np.arange(len(counts)), counts)
    n = np.maximum(counts, 1)
    time = time - (np.bincount(star, time, len(counts)) / n)[star]
    with np.errstate(over="ignore"):  # of times that cannot be
        squares = np.bincount(star, time**2, len(counts))
    order = np.arange(1, harmonics.shape[1] + 1)
    slope = 0.5 * (np.abs(order * harmonics) ** 2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = period**2 * noise / (2 * np.pi * np.sqrt(squares * slope))
    # epochs spread evenly over a span have a twelfth of its square as their variance
    known = np.sqrt(12 * squares / n) >= MIN_CYCLES * period
    result: FloatArray = np.where(np.isnan(slope) | known, error, 0.0)
    return result
