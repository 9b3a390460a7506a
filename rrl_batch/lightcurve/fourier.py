"""Fourier parameters of many light curves at once: a penalised harmonic fit, robust to outliers.

The model is a cosine series, the convention of the Gaia archive (Clementini et al. 2023, Sect. 2)::

    m(phase) = A_0 + sum_k A_k cos(2 pi k phase + phi_k)

with the amplitude ratios ``R_k1 = A_k / A_1`` and the epoch-independent phase differences
``phi_k1 = phi_k - k phi_1`` of Simon & Lee (1981). (In the sine convention phi31 is larger by pi
and phi21 smaller by pi / 2.)

Thirty epochs do not determine eight harmonics by least squares, and two or three do not describe
the steep rise of an RRab. So every harmonic is fitted that leaves a degree of freedom, under a
Gaussian prior whose standard deviation halves from one harmonic to the next, as the amplitudes of
RR Lyrae stars roughly do. The scale of the prior is estimated from the star's own epochs (the
evidence approximation of MacKay 1992): a well observed star gets its least-squares fit, a sparse
one a smooth curve, and a gap in phase is bridged smoothly. The noise is Student's t, fitted by
iterated weights (Lange, Little & Taylor 1989).

References
----------
Simon N. R. & Lee A. S. 1981, ApJ 248, 291. Petersen J. O. 1986, A&A 170, 59. Lange K. L., Little
R. J. A. & Taylor J. M. G. 1989, J. Am. Stat. Assoc. 84, 881. MacKay D. J. C. 1992, Neural
Computation 4, 415. Clementini G. et al. 2023, A&A 674, A18.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from rrl_batch.lightcurve.flat import kernel_arrays

FloatArray = npt.NDArray[np.float64]

MAX_HARMONICS = 8
# Of Student's t. Smaller gives up precision where the noise is Gaussian, larger follows outliers.
NOISE_DEGREES_OF_FREEDOM = 8.0
MIN_NOISE = 1e-9  # mag; far below any photometry, it keeps a perfect fit finite
MAX_AMPLITUDE = 10.0  # mag; the widest prior, for epochs that say nothing of the amplitude
MIN_PENALTY, MAX_PENALTY = 1e-12, 1e6
MAX_ITERATIONS = 100
TOLERANCE = 1e-3  # of log(penalty); leaves the parameters within 2 % of their errors

# The Fisher information of Student's t is this much less than that of its EM weights.
_VARIANCE_FACTOR = (NOISE_DEGREES_OF_FREEDOM + 3) / (NOISE_DEGREES_OF_FREEDOM + 1)


class FourierFit(NamedTuple):
    """Fourier parameters in the cosine convention, one row a star.

    All are NaN where nothing could be fitted, and from harmonic ``n_harmonics + 1`` on. Ratios and
    phase differences are NaN, too, where the fundamental does not exceed its own standard error.

    Attributes
    ----------
    n_harmonics : (n_stars,) int32
        Number of harmonics in the fit, 0 where there is none.
    mean_mag : (n_stars,) float64, in mag
        A_0, the mean of the fitted curve over the cycle.
    amplitudes : (n_stars, max_harmonics) float64, in mag
        A_1, A_2, ...: semi-amplitudes.
    phases : (n_stars, max_harmonics) float64, in rad, [0, 2 pi)
        phi_1, phi_2, ...
    r21, r31 : (n_stars,) float64
        Amplitude ratios to the fundamental.
    phi21, phi31 : (n_stars,) float64, in rad, [0, 2 pi)
        Phase differences to the fundamental.
    r21_error, r31_error : (n_stars,) float64
        Standard errors of the ratios.
    phi21_error, phi31_error : (n_stars,) float64, in rad
        Standard errors of the phase differences.
    residual_rms : (n_stars,) float64, in mag
        Root mean square of the unweighted residuals.
    """

    n_harmonics: npt.NDArray[np.int32]
    mean_mag: FloatArray
    amplitudes: FloatArray
    phases: FloatArray
    r21: FloatArray
    r31: FloatArray
    phi21: FloatArray
    phi31: FloatArray
    r21_error: FloatArray
    r31_error: FloatArray
    phi21_error: FloatArray
    phi31_error: FloatArray
    residual_rms: FloatArray


def fit_fourier(
    phase: npt.ArrayLike,
    mag: npt.ArrayLike,
    offsets: npt.ArrayLike,
    max_harmonics: int = MAX_HARMONICS,
) -> FourierFit:
    """Fit a cosine series to every folded light curve and derive its Fourier parameters.

    A star of n epochs gets ``min(max_harmonics, (n - 2) // 2)`` harmonics: phi31 needs 8 epochs,
    phi21 needs 6. The errors come from the posterior covariance of the coefficients, scaled by
    the variance of the residuals and propagated to first order; for many, evenly spread epochs
    they are those of Petersen (1986). Simulated pulls have a scatter of 1.0 to 1.15 from 40
    epochs on; with 25 to 30 the errors are too small by some 10 % and the pulls have wide wings.

    Parameters
    ----------
    phase : (n_epochs,) float64, in cycles
        Phases of all stars, star after star, in any order within a star; finite.
    mag : (n_epochs,) float, in mag
        Magnitudes, finite.
    offsets : (n_stars + 1,) int64
        Star i owns the epochs ``offsets[i]`` to ``offsets[i + 1]``, the end excluded.
    max_harmonics : int
        Largest number of harmonics, at least 3.

    Returns
    -------
    FourierFit

    Raises
    ------
    ValueError
        If the arrays do not fit together or ``max_harmonics`` is below 3.
    """
    phase, mag, offsets = kernel_arrays(phase, mag, offsets)
    n_epochs = np.diff(offsets)
    if max_harmonics < 3:
        raise ValueError(f"max_harmonics must be at least 3, got {max_harmonics}")
    # The mean, two coefficients a harmonic, and one epoch more than that.
    n_harmonics = np.clip((n_epochs - 2) // 2, 0, max_harmonics).astype(np.int32)
    by_star = np.full((10, len(n_epochs)), np.nan)
    by_harmonic = np.full((2, len(n_epochs), max_harmonics), np.nan)
    fit = FourierFit(n_harmonics, by_star[0], *by_harmonic, *by_star[1:])
    _fit_all(phase, mag, offsets, fit)
    return fit


def maximum_of_first_harmonic(fit: FourierFit) -> FloatArray:
    """Return where the first harmonic is brightest.

    The first harmonic is what a sparse or noisy curve determines best, so that curves which are
    aligned by it agree better than by their brightest point.

    Parameters
    ----------
    fit : FourierFit
        Fourier parameters.

    Returns
    -------
    (n_stars,) float64, in cycles, [0, 1)
        NaN where nothing could be fitted.
    """
    # brightest is where the magnitude is least: at 2 pi phase + phi_1 = pi
    phase: FloatArray = (0.5 - fit.phases[:, 0] / (2 * np.pi)) % 1.0
    return phase


@njit(cache=True, error_model="numpy", parallel=True)
def _fit_all(
    phase: FloatArray, mag: FloatArray, offsets: npt.NDArray[np.int64], fit: FourierFit
) -> None:
    for star in prange(offsets.size - 1):
        epochs = slice(offsets[star], offsets[star + 1])
        _fit_star(star, phase[epochs], mag[epochs], fit)


@njit(cache=True, error_model="numpy")
def _fit_star(star: int, phase: FloatArray, mag: FloatArray, fit: FourierFit) -> None:
    if fit.n_harmonics[star] == 0:
        return
    mean = mag.mean()
    basis = _harmonics(phase, fit.n_harmonics[star])
    solution, covariance, rms = _solve_evidence(basis, mag - mean)
    if np.isfinite(rms):
        solution[0] += mean
        fit.residual_rms[star] = rms
        _derive(star, solution, covariance, fit)
    else:
        fit.n_harmonics[star] = 0


@njit(cache=True, error_model="numpy")
def _derive(star: int, solution: FloatArray, covariance: FloatArray, fit: FourierFit) -> None:
    """Turn a_k cos + b_k sin into the parameters of the cosine series."""
    fit.mean_mag[star] = solution[0]
    for k in range(1, solution.size // 2 + 1):
        a, b = solution[2 * k - 1], solution[2 * k]
        fit.amplitudes[star, k - 1] = np.hypot(a, b)
        fit.phases[star, k - 1] = np.arctan2(-b, a) % (2 * np.pi)
    towards = solution[1:3] / fit.amplitudes[star, 0]
    detected = fit.amplitudes[star, 0] > np.sqrt(_quadratic(covariance[1:3, 1:3], towards))
    if detected and solution.size > 4:
        fit.r21[star], fit.r21_error[star], fit.phi21[star], fit.phi21_error[star] = _compare(
            2, solution, covariance
        )
    if detected and solution.size > 6:
        fit.r31[star], fit.r31_error[star], fit.phi31[star], fit.phi31_error[star] = _compare(
            3, solution, covariance
        )


@njit(cache=True, error_model="numpy")
def _compare(
    k: int, solution: FloatArray, covariance: FloatArray
) -> tuple[float, float, float, float]:
    """Return R_k1 and phi_k1, each followed by its standard error."""
    index = np.array([1, 2, 2 * k - 1, 2 * k])
    block = np.empty((4, 4))
    for i in range(4):
        for j in range(4):
            block[i, j] = covariance[index[i], index[j]]
    a_1, b_1, a_k, b_k = solution[index]
    square_1, square_k = a_1**2 + b_1**2, a_k**2 + b_k**2
    ratio = np.sqrt(square_k / square_1)
    phi = (np.arctan2(-b_k, a_k) - k * np.arctan2(-b_1, a_1)) % (2 * np.pi)
    by_ratio = ratio * np.array([-a_1 / square_1, -b_1 / square_1, a_k / square_k, b_k / square_k])
    by_phi = np.array([-k * b_1 / square_1, k * a_1 / square_1, b_k / square_k, -a_k / square_k])
    return (
        ratio,
        np.sqrt(_quadratic(block, by_ratio)),
        phi,
        np.sqrt(_quadratic(block, by_phi)),
    )


@njit(cache=True, error_model="numpy")
def _quadratic(matrix: FloatArray, vector: FloatArray) -> float:
    total = 0.0
    for i in range(vector.size):
        for j in range(vector.size):
            total += vector[i] * matrix[i, j] * vector[j]
    return total


@njit(cache=True, error_model="numpy")
def _harmonics(phase: FloatArray, n_harmonics: int) -> FloatArray:
    """Return the columns 1, cos 2 pi phase, sin 2 pi phase, cos 4 pi phase, ..."""
    basis = np.ones((phase.size, 2 * n_harmonics + 1))
    for i in range(phase.size):
        cos_1, sin_1 = np.cos(2 * np.pi * phase[i]), np.sin(2 * np.pi * phase[i])
        cos_k, sin_k = 1.0, 0.0
        for k in range(1, n_harmonics + 1):
            cos_k, sin_k = cos_k * cos_1 - sin_k * sin_1, sin_k * cos_1 + cos_k * sin_1
            basis[i, 2 * k - 1] = cos_k
            basis[i, 2 * k] = sin_k
    return basis


@njit(cache=True, error_model="numpy")
def _solve_evidence(basis: FloatArray, mag: FloatArray) -> tuple[FloatArray, FloatArray, float]:
    """Return the coefficients, their covariance and the rms residual; NaN where it fails."""
    n_epochs, size = basis.shape
    prior = np.zeros(size)  # inverse variance, relative to the fundamental's
    for j in range(1, size):
        prior[j] = 4.0 ** ((j - 1) // 2)
    weight = np.ones(n_epochs)
    residual = np.empty(n_epochs)
    solution = np.empty(size)
    root = np.empty((size, size))
    variance = np.nan
    penalty = 0.1  # from the smooth side: another fixed point of sparse curves interpolates them
    for _ in range(MAX_ITERATIONS):
        _solve(basis, mag, weight, penalty * prior, root, solution)
        roughness = 0.0
        effective = float(size)
        for j in range(size):
            roughness += prior[j] * solution[j] ** 2
            for k in range(j, size):
                effective -= penalty * prior[j] * root[k, j] ** 2
        squares = 0.0
        for i in range(n_epochs):
            fitted = 0.0
            for j in range(size):
                fitted += basis[i, j] * solution[j]
            residual[i] = mag[i] - fitted
            squares += weight[i] * residual[i] ** 2
        variance = max(squares / (n_epochs - effective), MIN_NOISE**2)
        previous = penalty
        precision = max((effective - 1) / roughness, MAX_AMPLITUDE**-2)
        penalty = min(max(variance * precision, MIN_PENALTY), MAX_PENALTY)
        if not abs(np.log(penalty / previous)) > TOLERANCE:
            break
        for i in range(n_epochs):
            weight[i] = (NOISE_DEGREES_OF_FREEDOM + 1) / (
                NOISE_DEGREES_OF_FREEDOM + residual[i] ** 2 / variance
            )
    covariance = np.empty((size, size))
    for i in range(size):
        for j in range(i + 1):
            product = (root[i:, i] * root[i:, j]).sum()
            covariance[i, j] = covariance[j, i] = _VARIANCE_FACTOR * variance * product
    return solution, covariance, np.sqrt((residual**2).mean())


@njit(cache=True, error_model="numpy")
def _solve(
    basis: FloatArray,
    mag: FloatArray,
    weight: FloatArray,
    ridge: FloatArray,
    root: FloatArray,
    solution: FloatArray,
) -> None:
    """Solve the penalised normal equations; ``root.T @ root`` is the inverse of their matrix."""
    n_epochs, size = basis.shape
    moment = np.zeros(size)
    factor = np.diag(ridge)
    for i in range(n_epochs):
        for j in range(size):
            weighted = weight[i] * basis[i, j]
            moment[j] += weighted * mag[i]
            for k in range(j + 1):
                factor[j, k] += weighted * basis[i, k]
    _invert_root(factor, root)
    solution[:] = 0.0
    for i in range(size):
        projected = 0.0
        for j in range(i + 1):
            projected += root[i, j] * moment[j]
        for j in range(i + 1):
            solution[j] += root[i, j] * projected


@njit(cache=True, error_model="numpy")
def _invert_root(factor: FloatArray, root: FloatArray) -> None:
    """Invert the lower Cholesky factor of a matrix, overwriting the matrix's lower triangle.

    LAPACK's call costs more than the arithmetic at this size, and raises where this gives NaN.
    """
    size = factor.shape[0]
    for i in range(size):
        for j in range(i + 1):
            total = factor[i, j]
            for k in range(j):
                total -= factor[i, k] * factor[j, k]
            factor[i, j] = np.sqrt(total) if i == j else total / factor[j, j]
    for j in range(size):
        root[j, j] = 1.0 / factor[j, j]
        for i in range(j + 1, size):
            total = 0.0
            for k in range(j, i):
                total += factor[i, k] * root[k, j]
            root[i, j] = -total / factor[i, i]
