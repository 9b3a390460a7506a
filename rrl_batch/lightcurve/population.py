"""Smoothing that borrows strength: harmonics whose coefficients have a prior over the population.

A light curve is a constant and 12 harmonics. The coefficients of a star are drawn from a Gaussian
whose mean is a cubic in the period and whose covariance is full; the noise is Student's t about
the curve, with a variance a star, shrunk towards 0.008 mag, and a profile in phase, common to all
stars (the steep rise scatters more). Prior and profile are found from the curves alone, without
any label: an E-step a star and a sum over the stars, then an M-step, again and again (empirical
Bayes by EM; Dempster, Laird & Rubin 1977, James et al. 2000). What the epochs of a star leave
open, the population fills in.

Every step ascends a lower bound of the likelihood, penalised by weak priors: on a star's variance,
on the profile (50 epochs of even noise in each bin), on the covariance (one star with a scatter of
1 mmag) and on the mean (a ridge of 0.001 stars). The constant of a curve is unknown beforehand, so
that an apparent magnitude says nothing of the shape.

References
----------
Dempster A. P., Laird N. M. & Rubin D. B. 1977, J. R. Stat. Soc. B 39, 1. James G. M., Hastie T. J.
& Sugar C. A. 2000, Biometrika 87, 587.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve

from rrl_batch.errors import UserError
from rrl_batch.lightcurve.align import maximum_of_first_harmonic, on_grid
from rrl_batch.lightcurve.flat import kernel_arrays
from rrl_batch.lightcurve.population_kernel import (
    INFORMATION,
    N_COEFFICIENTS,
    N_HARMONICS,
    PHASE_BINS,
    STARS_A_CHUNK,
    KernelOutput,
    KernelPrior,
    bins_of_phase,
    fit_population,
)
from rrl_batch.lightcurve.population_prior import N_POWERS, N_VARIED, PopulationPrior

FloatArray = npt.NDArray[np.float64]

ITERATIONS = 25
"""Of EM. Curves go on moving by half their errors, but [Fe/H] from them becomes no better."""

MIN_STARS = 100
"""Fewest stars of a mode from which 24 coefficients' covariance is worth having."""

_FIRST_NOISE = 0.03  # mag
_LEAST_SCATTER = 1e-3  # mag; of one further star, which keeps the covariance invertible
_PRIOR_EPOCHS = 50.0
_RIDGE = 1e-3  # keeps the cubic finite where all periods are equal
_MAX_PASSES = 100


class FoldedCurves(NamedTuple):
    """Folded light curves of a pulsation mode, epochs end to end.

    Attributes
    ----------
    phase : (n_epochs,) float64, in cycles, [0, 1)
        Phases, with the first harmonic's maximum near 0.
    mag : (n_epochs,) float, in mag
        Magnitudes, with any constant added to a star's.
    offsets : (n_stars + 1,) int64
        Star i owns the epochs ``offsets[i]`` to ``offsets[i + 1]``, the end excluded.
    period : (n_stars,) float64, in days
        Periods.
    """

    phase: npt.NDArray[np.floating]
    mag: npt.NDArray[np.floating]
    offsets: npt.NDArray[np.int64]
    period: FloatArray

    @classmethod
    def joined(cls, pieces: Sequence[Self]) -> Self:
        """Return the light curves of several pieces, at least one, star after star."""
        counts = np.concatenate([np.diff(piece.offsets) for piece in pieces])
        return cls(
            np.concatenate([piece.phase for piece in pieces]),
            np.concatenate([piece.mag for piece in pieces]),
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            np.concatenate([piece.period for piece in pieces]),
        )


class Noise(NamedTuple):
    """What EM knows of the noise of the stars, from one iteration to the next.

    Attributes
    ----------
    weight : (n_epochs,) float64
        Weights of the epochs: small for outliers.
    variance : (n_stars,) float64, in mag^2
        Variances; NaN for a star that cannot be fitted.
    """

    weight: FloatArray
    variance: FloatArray

    @classmethod
    def first(cls, curves: FoldedCurves) -> Self:
        """Return what every star begins with."""
        return cls(np.ones(len(curves.mag)), np.full(len(curves.period), _FIRST_NOISE**2))


@dataclass(frozen=True)
class SufficientStatistics:
    """All that the M-step needs of a set of stars; those of two sets add up.

    Parameters
    ----------
    n_stars : float
        Number of stars that were fitted.
    powers : (4, 4) float64 ndarray
        Products of the powers of the scaled periods.
    cross : (4, 24) float64 ndarray
        Products of powers and expected coefficients.
    products : (24, 24) float64 ndarray
        Expected products of the coefficients.
    noise_sum, n_epochs : (25,) float64 ndarray
        By bin of phase: squares of the scaled residuals, and number of epochs.
    """

    n_stars: float
    powers: FloatArray
    cross: FloatArray
    products: FloatArray
    noise_sum: FloatArray
    n_epochs: FloatArray

    def __add__(self, other: Self) -> Self:
        names = [field.name for field in fields(self)]
        return type(self)(**{name: getattr(self, name) + getattr(other, name) for name in names})


class PopulationCurves(NamedTuple):
    """Light curves with their errors, one row a star; NaN where there is none.

    Phase 0 is the maximum of the first harmonic of the curve.

    Attributes
    ----------
    coefficients : (n_stars, 25) float64, in mag
        Posterior means, in the order 1, cos 2 pi phase, sin 2 pi phase, cos 4 pi phase, ...
    covariance : (n_stars, 25, 25) float64, in mag^2
        Their posterior covariances, for the phase 0 that was found and as if the noise were known.
        Pulls of simulated curves with 25 epochs scatter by 1.1 to 1.2.
    noise : (n_stars,) float64, in mag
        Scale of the Student-t noise.
    origin : (n_stars,) float64, in cycles, [0, 1)
        Where phase 0 is in the phases that were given.
    """

    coefficients: FloatArray
    covariance: FloatArray
    noise: FloatArray
    origin: FloatArray

    @property
    def harmonics(self) -> npt.NDArray[np.complex128]:
        """(n_stars, 12) complex128, in mag: c_k, of A_0 + Re sum_k c_k exp(2 pi i k phase)."""
        return _harmonics(self.coefficients)

    def on_grid(self, n_points: int, start: npt.ArrayLike = 0.0) -> FloatArray:
        """Evaluate the curves at equally spaced phases.

        Parameters
        ----------
        n_points : int
            Number of phases start + i / n_points.
        start : (n_stars,) array_like, in cycles
            The first of them.

        Returns
        -------
        (n_stars, n_points) float64, in mag
        """
        coefficients = _rotated(self.coefficients, np.asarray(start, np.float64))
        return coefficients[:, :1] + on_grid(_harmonics(coefficients), n_points)

    def phi31(self) -> tuple[FloatArray, FloatArray]:
        """Return the phase difference phi_3 - 3 phi_1 of the cosine series, and its error.

        Returns
        -------
        phi31 : (n_stars,) float64, in rad, [0, 2 pi)
            That of the posterior mean.
        error : (n_stars,) float64, in rad
            Standard error, propagated to first order from the posterior covariance.
        """
        first, third = self.harmonics[:, [0, 2]].T
        phi31: FloatArray = (np.angle(third) - 3 * np.angle(first)) % (2 * np.pi)
        with np.errstate(divide="ignore", invalid="ignore"):
            by_first, by_third = 3j / first, -1j / third
        # by a_1, b_1, a_3 and b_3, with c_k = a_k - i b_k
        gradient = np.stack([by_first.real, by_first.imag, by_third.real, by_third.imag], axis=1)
        index = np.array([1, 2, 5, 6])
        covariance = self.covariance[:, index[:, np.newaxis], index]
        variance = (gradient[:, :, np.newaxis] * covariance * gradient[:, np.newaxis]).sum((1, 2))
        return phi31, np.sqrt(variance)

    def factor(self) -> FloatArray:
        """Return the Cholesky factors of the covariances of all coefficients but the constant.

        Returns
        -------
        (n_stars, 24, 24) float64, in mag
        """
        known = np.isfinite(self.coefficients[:, 0])
        factor = np.full((len(known), N_VARIED, N_VARIED), np.nan)
        factor[known] = np.linalg.cholesky(self.covariance[known, 1:, 1:])
        return factor


def statistics(
    curves: FoldedCurves, noise: Noise, prior: PopulationPrior
) -> tuple[SufficientStatistics, Noise]:
    """Take the E-step: what the stars say of the population, given a prior.

    Parameters
    ----------
    curves : FoldedCurves
        Light curves, of any part of the stars.
    noise : Noise
        Their noise from the iteration before.
    prior : PopulationPrior
        The prior from the iteration before.

    Returns
    -------
    SufficientStatistics
        For `update`; stars that cannot be fitted are left out.
    Noise
        For the next iteration.
    """
    slots = np.arange(len(curves.period)) // STARS_A_CHUNK
    output, noise = _fit(curves, noise, prior, slots, 1, 1.0)
    fitted = np.isfinite(noise.variance)
    shape = output.coefficients[fitted, 1:]
    powers = prior.powers(curves.period[fitted])
    epochs = np.repeat(fitted, np.diff(curves.offsets))
    found = SufficientStatistics(
        n_stars=float(len(shape)),
        powers=powers.T @ powers,
        cross=powers.T @ shape,
        products=shape.T @ shape + output.covariance[:, 1:, 1:].sum(axis=0),
        noise_sum=output.noise_sum.sum(axis=0),
        n_epochs=np.bincount(bins_of_phase(curves.phase[epochs]), minlength=PHASE_BINS).astype(
            np.float64
        ),
    )
    return found, noise


def update(found: SufficientStatistics, mode: str) -> PopulationPrior:
    """Take the M-step: the prior under which the stars are most probable.

    Parameters
    ----------
    found : SufficientStatistics
        The sum over all stars.
    mode : str
        Their pulsation mode.

    Raises
    ------
    UserError
        If there are too few stars to know how they differ.
    """
    if found.n_stars < MIN_STARS:
        raise UserError(
            f"Only {found.n_stars:.0f} light curves of {mode} stars can be fitted; a population "
            f"prior needs {MIN_STARS}: take a larger survey or another smoothing."
        )
    powers = found.powers + _RIDGE * np.eye(N_POWERS)
    mean: FloatArray = solve(powers, found.cross, assume_a="pos")
    scatter = found.products - mean.T @ found.cross + _LEAST_SCATTER**2 * np.eye(N_VARIED)
    counts = found.n_epochs + _PRIOR_EPOCHS
    profile: FloatArray = (found.noise_sum + _PRIOR_EPOCHS) / counts
    # a factor common to all bins is the stars' own: it is fixed where the bound is highest
    profile /= np.exp(np.average(np.log(profile), weights=counts))
    covariance = (scatter + scatter.T) / (2 * (found.n_stars + 1))
    return PopulationPrior(mode, mean, covariance, profile)


def smooth_by_population(curves: FoldedCurves, prior: PopulationPrior) -> PopulationCurves:
    """Smooth light curves, each by its own epochs and the prior.

    Parameters
    ----------
    curves : FoldedCurves
        Light curves of the prior's mode.
    prior : PopulationPrior
        What `update` has found.

    Returns
    -------
    PopulationCurves
        A star's does not depend on the others in the batch.
    """
    slots = np.arange(len(curves.period))
    output, noise = _fit(curves, Noise.first(curves), prior, slots, _MAX_PASSES, INFORMATION)
    origin = maximum_of_first_harmonic(_harmonics(output.coefficients))
    coefficients = _rotated(output.coefficients, origin)
    output.covariance[~np.isfinite(noise.variance)] = np.nan
    covariance = _rotated(_rotated(output.covariance, origin).swapaxes(1, 2), origin)
    return PopulationCurves(coefficients, covariance, np.sqrt(noise.variance), origin)


def _fit(
    curves: FoldedCurves,
    noise: Noise,
    prior: PopulationPrior,
    slots: npt.NDArray[np.int64],
    max_passes: int,
    information: float,
) -> tuple[KernelOutput, Noise]:
    phase, mag, offsets = kernel_arrays(curves.phase, curves.mag, curves.offsets)
    n_slots = slots.max(initial=-1) + 1
    precision = np.zeros((N_COEFFICIENTS, N_COEFFICIENTS))
    precision[1:, 1:] = np.linalg.inv(prior.covariance)
    pull = np.zeros((N_POWERS, N_COEFFICIENTS))
    pull[:, 1:] = prior.mean @ precision[1:, 1:]
    output = KernelOutput(
        np.empty((len(slots), N_COEFFICIENTS)),
        np.zeros((n_slots, N_COEFFICIENTS, N_COEFFICIENTS)),
        np.zeros((n_slots, PHASE_BINS)),
    )
    noise = Noise(*(np.array(array) for array in noise))
    fit_population(
        phase, mag, offsets, prior.powers(curves.period),
        KernelPrior(precision, pull, np.array(prior.relative_variance)),
        max_passes, information, slots, *noise, output,
    )  # fmt: skip
    return output, noise


def _harmonics(coefficients: FloatArray) -> npt.NDArray[np.complex128]:
    return coefficients[:, 1::2] - 1j * coefficients[:, 2::2]


def _rotated(coefficients: FloatArray, origin: FloatArray) -> FloatArray:
    """Return coefficients, along the second axis, for phases counted from another origin."""
    angle = 2 * np.pi * np.outer(origin, np.arange(1, N_HARMONICS + 1))
    angle = angle.reshape(angle.shape + (1,) * (coefficients.ndim - 2))
    cos, sin = np.cos(angle), np.sin(angle)
    a, b = coefficients[:, 1::2], coefficients[:, 2::2]
    rotated = coefficients.copy()
    rotated[:, 1::2] = cos * a + sin * b
    rotated[:, 2::2] = cos * b - sin * a
    return rotated
