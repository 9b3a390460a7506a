"""Posterior of harmonic coefficients under a Gaussian prior and Student-t noise, star by star.

A curve is a constant, of which nothing is known beforehand, and 12 harmonics with a Gaussian prior.
Student's t is a mixture of Gaussians, so that an epoch has a weight. A pass takes the weights and
the star's variance as they are, solves for the mean and covariance of the coefficients, and from
the expected squares of the residuals makes new weights and a new variance: coordinate ascent on a
lower bound of the likelihood (variational EM; Neal & Hinton 1998), which never falls.

The variance of a fitted curve is itself a series of twice as many harmonics. Taking it from the
covariance's diagonals costs 625 sums a star instead of 625 products an epoch.

References
----------
Lange K. L., Little R. J. A. & Taylor J. M. G. 1989, J. Am. Stat. Assoc. 84, 881. Neal R. M. &
Hinton G. E. 1998, in Learning in Graphical Models, p. 355.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from rrl_batch.lightcurve.harmonics import FAST_SUMS, eliminate, fill_normal_matrix

FloatArray = npt.NDArray[np.float64]

N_HARMONICS = 12
N_COEFFICIENTS = 2 * N_HARMONICS + 1
PHASE_BINS = 25
STARS_A_CHUNK = 64

NOISE_DEGREES_OF_FREEDOM = 4.0
NOISE_FLOOR = 0.008
"""Towards which the noise of every star is shrunk, in mag."""
FLOOR_EPOCHS = 4.0
"""How many epochs this counts for."""

INFORMATION = (NOISE_DEGREES_OF_FREEDOM + 1) / (NOISE_DEGREES_OF_FREEDOM + 3)
"""The Fisher information of Student's t, relative to that of its weights, which take themselves for
certain."""

_TOLERANCE = 1e-4  # of log(variance)
_N_WAVES = 2 * N_COEFFICIENTS - 1
_LANES = 8  # rows of epochs are filled up to a multiple of it, which vector loops end on


class KernelPrior(NamedTuple):
    """The prior as the kernel takes it; the first row and column, of the constant, are zero.

    Attributes
    ----------
    precision : (25, 25) float64
        Inverse of the coefficients' covariance.
    pull : (4, 25) float64
        Its product with the mean: a row a power of the scaled period.
    relative_variance : (25,) float64
        Variance of the noise in bins of phase, relative to a star's own.
    """

    precision: FloatArray
    pull: FloatArray
    relative_variance: FloatArray


class KernelOutput(NamedTuple):
    """What the kernel fills in; the last two are sums over the stars of a slot.

    Attributes
    ----------
    coefficients : (n_stars, 25) float64, in mag
        Posterior means; NaN where nothing could be fitted.
    covariance : (n_slots, 25, 25) float64, in mag^2
        Posterior covariances.
    noise_sum : (n_slots, 25) float64
        Weighted squares of the residuals, relative to the star's variance, by bin of phase.
    """

    coefficients: FloatArray
    covariance: FloatArray
    noise_sum: FloatArray


class _Workspace(NamedTuple):
    """The arrays of one thread; a row of epochs is contiguous."""

    waves: FloatArray  # a row a basis function, twice as many harmonics as are fitted
    mag: FloatArray  # less the star's mean
    precision: FloatArray  # of the epochs; zero beyond the last
    relative_variance: FloatArray
    residual: FloatArray
    square: FloatArray  # expected square of the residual
    sums: FloatArray  # of precision times wave
    right_side: FloatArray
    system: FloatArray
    coefficients: FloatArray
    covariance: FloatArray
    series: FloatArray  # the fitted curve's variance, as a series


@njit(cache=True, error_model="numpy")
def _allocate(longest: int) -> _Workspace:
    longest = (longest + _LANES - 1) // _LANES * _LANES
    return _Workspace(
        np.ones((_N_WAVES, longest)),
        np.empty(longest),
        np.empty(longest),
        np.empty(longest),
        np.empty(longest),
        np.empty(longest),
        np.empty(_N_WAVES),
        np.empty(N_COEFFICIENTS),
        np.empty((N_COEFFICIENTS, 2 * N_COEFFICIENTS)),
        np.empty(N_COEFFICIENTS),
        np.empty((N_COEFFICIENTS, N_COEFFICIENTS)),
        np.empty(_N_WAVES),
    )


@njit(cache=True, error_model="numpy", parallel=True, nogil=True)
def fit_population(
    phase: FloatArray,
    mag: FloatArray,
    offsets: npt.NDArray[np.int64],
    powers: FloatArray,
    prior: KernelPrior,
    max_passes: int,
    information: float,
    slots: npt.NDArray[np.int64],
    weight: FloatArray,
    variance: FloatArray,
    output: KernelOutput,
) -> None:
    """Pass over every star until its variance stays as it is, or `max_passes` times.

    Parameters
    ----------
    phase, mag : (n_epochs,) float64
        Phases, in cycles, and magnitudes.
    offsets : (n_stars + 1,) int64
        Star i owns the epochs ``offsets[i]`` to ``offsets[i + 1]``, the end excluded.
    powers : (n_stars, 4) float64
        Powers of the scaled period.
    prior : KernelPrior
        The prior.
    max_passes : int
        Most passes.
    information : float
        How much the epochs count in the covariance that is returned: 1 in EM.
    slots : (n_stars,) int64
        Slots of the output: each star has its own, or 64 that follow each other share one.
    weight : (n_epochs,) float64
        Weights of the epochs; updated.
    variance : (n_stars,) float64, in mag^2
        Variances of the noise; updated, NaN where nothing could be fitted.
    output : KernelOutput
        Coefficients are filled in; the others, zero before, are added to.
    """
    n_stars = offsets.size - 1
    longest = 0
    for star in range(n_stars):
        longest = max(longest, offsets[star + 1] - offsets[star])
    for chunk in prange((n_stars + STARS_A_CHUNK - 1) // STARS_A_CHUNK):
        work = _allocate(longest)
        for star in range(chunk * STARS_A_CHUNK, min((chunk + 1) * STARS_A_CHUNK, n_stars)):
            low, high = offsets[star], offsets[star + 1]
            variance[star] = _fit_star(
                phase[low:high], mag[low:high], powers[star], prior, max_passes, information,
                weight[low:high], variance[star], work,
            )  # fmt: skip
            _keep(
                star, slots[star], phase[low:high], weight[low:high], variance[star], work, output
            )


@njit(cache=True, error_model="numpy")
def _keep(
    star: int,
    slot: int,
    phase: FloatArray,
    weight: FloatArray,
    variance: float,
    work: _Workspace,
    output: KernelOutput,
) -> None:
    """Add a star to the output, if something could be fitted."""
    if not math.isfinite(variance):
        output.coefficients[star] = np.nan
        return
    output.coefficients[star] = work.coefficients
    output.covariance[slot] += work.covariance
    for i in range(phase.size):
        output.noise_sum[slot, _bin(phase[i])] += weight[i] * work.square[i] / variance


def bins_of_phase(phase: FloatArray) -> npt.NDArray[np.int64]:
    """Return the bin of phase of every epoch."""
    return np.clip((phase * PHASE_BINS).astype(np.int64), 0, PHASE_BINS - 1)


@njit(cache=True, error_model="numpy")
def _bin(phase: float) -> int:
    return min(max(int(phase * PHASE_BINS), 0), PHASE_BINS - 1)


@njit(cache=True, error_model="numpy")
def _fit_star(
    phase: FloatArray,
    mag: FloatArray,
    powers: FloatArray,
    prior: KernelPrior,
    max_passes: int,
    information: float,
    weight: FloatArray,
    variance: float,
    work: _Workspace,
) -> float:
    """Leave the posterior in the workspace and return the variance of the noise."""
    n_epochs = phase.size
    if n_epochs == 0:
        return math.nan
    mean = mag.mean()
    n_padded = (n_epochs + _LANES - 1) // _LANES * _LANES
    work.mag[:n_epochs] = mag - mean
    work.mag[n_epochs:n_padded] = 0.0
    work.precision[n_epochs:n_padded] = 0.0
    for i in range(n_epochs):
        work.relative_variance[i] = prior.relative_variance[_bin(phase[i])]
    _fill_waves(phase, n_padded, work.waves)
    for _ in range(max_passes):
        for i in range(n_epochs):
            work.precision[i] = weight[i] / (variance * work.relative_variance[i])
        _add_up(n_padded, work)
        _invert(1.0, prior, work)
        _solve(powers, prior, work)
        _expect_squares(n_padded, work)
        previous = variance
        variance = _update_noise(weight, previous, work)
        if not abs(math.log(variance / previous)) > _TOLERANCE:
            break
    if information < 1.0:
        _invert(information, prior, work)
    work.coefficients[0] += mean
    return variance if math.isfinite(work.coefficients.sum()) else math.nan


@njit(cache=True, error_model="numpy")
def _update_noise(weight: FloatArray, variance: float, work: _Workspace) -> float:
    """Fill in the weights for the variance that was, and return the one that follows."""
    n_epochs = weight.size
    squares = FLOOR_EPOCHS * NOISE_FLOOR**2
    for i in range(n_epochs):
        square = work.square[i] / work.relative_variance[i]
        weight[i] = (NOISE_DEGREES_OF_FREEDOM + 1) / (NOISE_DEGREES_OF_FREEDOM + square / variance)
        squares += weight[i] * square
    return squares / (n_epochs + FLOOR_EPOCHS)


@njit(cache=True, error_model="numpy")
def _fill_waves(phase: FloatArray, n_padded: int, waves: FloatArray) -> None:
    """Fill in all rows but the first, which stays 1."""
    n_epochs = phase.size
    for i in range(n_epochs):
        waves[1, i] = math.cos(2 * math.pi * phase[i])
        waves[2, i] = math.sin(2 * math.pi * phase[i])
    waves[1, n_epochs:n_padded] = 1.0
    waves[2, n_epochs:n_padded] = 0.0
    for k in range(1, _N_WAVES - 2, 2):
        for i in range(n_padded):
            waves[k + 2, i] = waves[k, i] * waves[1, i] - waves[k + 1, i] * waves[2, i]
            waves[k + 3, i] = waves[k + 1, i] * waves[1, i] + waves[k, i] * waves[2, i]


@njit(cache=True, error_model="numpy", fastmath=FAST_SUMS)
def _add_up(n_padded: int, work: _Workspace) -> None:
    """Take the sums over the epochs, weighted by their precision."""
    for i in range(n_padded):
        work.residual[i] = work.precision[i] * work.mag[i]
    for k in range(_N_WAVES):
        total = 0.0
        for i in range(n_padded):
            total += work.precision[i] * work.waves[k, i]
        work.sums[k] = total
    for k in range(N_COEFFICIENTS):
        total = 0.0
        for i in range(n_padded):
            total += work.residual[i] * work.waves[k, i]
        work.right_side[k] = total


@njit(cache=True, error_model="numpy", fastmath=FAST_SUMS)
def _invert(information: float, prior: KernelPrior, work: _Workspace) -> None:
    """Fill in the posterior covariance, for epochs that count so much."""
    system, covariance = work.system, work.covariance
    # not the constant: loops of a known length are unrolled, and are six times as slow
    size = work.coefficients.size
    fill_normal_matrix(size, work.sums, system)
    for j in range(size):
        for k in range(j, size):
            system[j, k] = information * system[j, k] + prior.precision[j, k]
    eliminate(size, system)
    for pivot in range(size - 1, -1, -1):  # backwards: from the identity's place, the inverse
        source = covariance[pivot]
        inverse = 1.0 / system[pivot, pivot]
        for k in range(size):
            source[k] = inverse * system[pivot, size + k]
        for i in range(pivot):
            factor = system[i, pivot]
            row = system[i, size:]
            for k in range(size):
                row[k] -= factor * source[k]


@njit(cache=True, error_model="numpy", fastmath=FAST_SUMS)
def _solve(powers: FloatArray, prior: KernelPrior, work: _Workspace) -> None:
    """Fill in the posterior mean of the coefficients."""
    coefficients, right_side = work.coefficients, work.right_side
    size = coefficients.size
    for j in range(powers.size):
        for k in range(size):
            right_side[k] += powers[j] * prior.pull[j, k]
    for j in range(size):
        total = 0.0
        for k in range(size):
            total += work.covariance[j, k] * right_side[k]
        coefficients[j] = total


@njit(cache=True, error_model="numpy")
def _fill_series(covariance: FloatArray, series: FloatArray) -> None:
    """Write b' V b, for the basis functions b at any phase, as a series of these functions.

    The transpose of `fill_normal_matrix`, since b' V b is the scalar product of V and b b'.
    """
    size = N_COEFFICIENTS
    series[:] = 0.0
    series[0] = covariance[0, 0]
    for k in range(1, size):
        series[k] = 2.0 * covariance[0, k]
    for j in range(1, size, 2):
        for k in range(j, size, 2):
            both = 1.0 if k > j else 0.5  # an element off the diagonal counts twice
            cos_cos, sin_sin = both * covariance[j, k], both * covariance[j + 1, k + 1]
            cos_sin, sin_cos = both * covariance[j, k + 1], both * covariance[j + 1, k]
            difference, sum_ = k - j, k + j + 2
            series[sum_ - 1] += cos_cos - sin_sin
            series[sum_] += cos_sin + sin_cos
            if k > j:
                series[difference - 1] += cos_cos + sin_sin
                series[difference] += cos_sin - sin_cos
            else:
                series[0] += cos_cos + sin_sin


@njit(cache=True, error_model="numpy", fastmath=FAST_SUMS)
def _expect_squares(n_padded: int, work: _Workspace) -> None:
    """Fill in the expected squares of the residuals: of their means, plus the curve's variance."""
    _fill_series(work.covariance, work.series)
    for i in range(n_padded):
        work.residual[i] = work.mag[i]
        work.square[i] = 0.0
    for k in range(N_COEFFICIENTS):
        for i in range(n_padded):
            work.residual[i] -= work.coefficients[k] * work.waves[k, i]
    for k in range(_N_WAVES):
        for i in range(n_padded):
            work.square[i] += work.series[k] * work.waves[k, i]
    for i in range(n_padded):
        work.square[i] += work.residual[i] ** 2
