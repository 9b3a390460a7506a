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

The matrix of an iteration is built from weighted sums of 16 harmonics, not from products of every
pair of 8. The inner loops run along contiguous rows, which the compiler turns into vector
instructions.

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
from rrl_batch.lightcurve.harmonics import FAST_SUMS, eliminate, fill_normal_matrix

FloatArray = npt.NDArray[np.float64]

MAX_HARMONICS = 8
MAX_COEFFICIENTS = 2 * MAX_HARMONICS + 1
# Of Student's t. Smaller gives up precision where the noise is Gaussian, larger follows outliers.
NOISE_DEGREES_OF_FREEDOM = 8.0
MIN_NOISE = 1e-9  # mag; far below any photometry, it keeps a perfect fit finite
MAX_AMPLITUDE = 10.0  # mag; the widest prior, for epochs that say nothing of the amplitude
MIN_PENALTY, MAX_PENALTY = 1e-12, 1e6
MAX_ITERATIONS = 100
TOLERANCE = 1e-3  # of log(penalty); leaves the parameters within 2 % of their errors
STARS_A_CHUNK = 64

_COEFFICIENTS_TO_K3 = 7  # the mean and three harmonics, whose covariance is wanted
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
    amplitudes : (n_stars, 8) float64, in mag
        A_1, A_2, ...: semi-amplitudes.
    phases : (n_stars, 8) float64, in rad, [0, 2 pi)
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
    factor : (n_stars, 16, 17) float64, in mag
        A square root F of the posterior covariance F F' of the coefficients of cos 2 pi phase,
        sin 2 pi phase, cos 4 pi phase, ...; 0 for harmonics that were not fitted.
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
    factor: FloatArray

    @property
    def harmonics(self) -> npt.NDArray[np.complex128]:
        """(n_stars, 8) complex128, in mag: A_k exp(i phi_k).

        0 where a harmonic was not fitted, NaN where nothing was.
        """
        angle = np.nan_to_num(self.phases)
        harmonics = np.nan_to_num(self.amplitudes) * (np.cos(angle) + 1j * np.sin(angle))
        harmonics[self.n_harmonics == 0] = np.nan
        return harmonics


def fit_fourier(phase: npt.ArrayLike, mag: npt.ArrayLike, offsets: npt.ArrayLike) -> FourierFit:
    """Fit a cosine series to every folded light curve and derive its Fourier parameters.

    A star of n epochs gets ``min(8, (n - 2) // 2)`` harmonics: phi31 needs 8 epochs,
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

    Returns
    -------
    FourierFit

    Raises
    ------
    ValueError
        If the arrays do not fit together.
    """
    phase, mag, offsets = kernel_arrays(phase, mag, offsets)
    n_epochs = np.diff(offsets)
    # The mean, two coefficients a harmonic, and one epoch more than that.
    n_harmonics = np.clip((n_epochs - 2) // 2, 0, MAX_HARMONICS).astype(np.int32)
    by_star = np.full((10, len(n_epochs)), np.nan)
    by_harmonic = np.full((2, len(n_epochs), MAX_HARMONICS), np.nan)
    factor = np.zeros((len(n_epochs), MAX_COEFFICIENTS - 1, MAX_COEFFICIENTS))
    fit = FourierFit._make([n_harmonics, by_star[0], *by_harmonic, *by_star[1:], factor])
    _fit_all(phase, mag, offsets, int(n_epochs.max(initial=0)), fit)
    return fit


class _Workspace(NamedTuple):
    """The arrays of one thread.

    Coefficients and basis functions are in the order 1, cos 2 pi phase, sin 2 pi phase,
    cos 4 pi phase, ...; there are twice as many harmonics as are fitted.
    """

    waves: FloatArray  # a row an epoch: the basis functions
    mag: FloatArray  # less the star's mean
    weight: FloatArray
    residual: FloatArray
    prior: FloatArray  # inverse variance of the coefficients, relative to the fundamental's
    wave_sums: FloatArray  # of weight times wave
    mag_sums: FloatArray  # of weight times magnitude times wave
    system: FloatArray  # normal matrix beside the identity, then as `eliminate` leaves them
    solution: FloatArray
    variance: FloatArray  # diagonal of the normal matrix's inverse
    covariance: FloatArray  # of the coefficients up to the third harmonic


@njit(cache=True, error_model="numpy")
def _allocate(longest: int) -> _Workspace:
    prior = np.zeros(MAX_COEFFICIENTS)
    for j in range(1, MAX_COEFFICIENTS):
        prior[j] = 4.0 ** ((j - 1) // 2)
    n_waves = 2 * MAX_COEFFICIENTS - 1
    return _Workspace(
        np.ones((longest, n_waves)),
        np.empty(longest),
        np.empty(longest),
        np.empty(longest),
        prior,
        np.empty(n_waves),
        np.empty(n_waves),
        np.empty((MAX_COEFFICIENTS, 2 * MAX_COEFFICIENTS)),
        np.empty(MAX_COEFFICIENTS),
        np.empty(MAX_COEFFICIENTS),
        np.empty((_COEFFICIENTS_TO_K3, _COEFFICIENTS_TO_K3)),
    )


@njit(cache=True, error_model="numpy", parallel=True, nogil=True)
def _fit_all(
    phase: FloatArray,
    mag: FloatArray,
    offsets: npt.NDArray[np.int64],
    longest: int,
    fit: FourierFit,
) -> None:
    n_stars = offsets.size - 1
    for chunk in prange((n_stars + STARS_A_CHUNK - 1) // STARS_A_CHUNK):
        work = _allocate(longest)
        for star in range(chunk * STARS_A_CHUNK, min((chunk + 1) * STARS_A_CHUNK, n_stars)):
            low, high = offsets[star], offsets[star + 1]
            _fit_star(star, phase[low:high], mag[low:high], work, fit)


@njit(cache=True, error_model="numpy")
def _fit_star(
    star: int, phase: FloatArray, mag: FloatArray, work: _Workspace, fit: FourierFit
) -> None:
    n_harmonics = fit.n_harmonics[star]
    if n_harmonics == 0:
        return
    n_epochs, size = phase.size, 2 * n_harmonics + 1
    mean = mag.mean()
    work.mag[:n_epochs] = mag - mean
    _fill_waves(phase, 2 * n_harmonics, work.waves)
    variance = _solve_evidence(n_epochs, size, work)
    rms = np.sqrt((work.residual[:n_epochs] ** 2).mean())
    if np.isfinite(rms):
        fit.mean_mag[star] = mean + work.solution[0]
        fit.residual_rms[star] = rms
        _fill_covariance(size, _VARIANCE_FACTOR * variance, work)
        _fill_factor(size, _VARIANCE_FACTOR * variance, work, fit.factor[star])
        _derive(star, work.solution, work.covariance, fit)
    else:
        fit.n_harmonics[star] = 0


@njit(cache=True, error_model="numpy")
def _fill_factor(size: int, scale: float, work: _Workspace, factor: FloatArray) -> None:
    """Fill in a square root of the covariance of all coefficients but the mean."""
    for k in range(size):
        root = np.sqrt(scale / work.system[k, k])
        for i in range(1, size):
            factor[i - 1, k] = root * work.system[k, size + i]


@njit(cache=True, error_model="numpy")
def _derive(star: int, solution: FloatArray, covariance: FloatArray, fit: FourierFit) -> None:
    """Turn a_k cos + b_k sin into the parameters of the cosine series."""
    n_harmonics = fit.n_harmonics[star]
    for k in range(1, n_harmonics + 1):
        a, b = solution[2 * k - 1], solution[2 * k]
        fit.amplitudes[star, k - 1] = np.hypot(a, b)
        fit.phases[star, k - 1] = np.arctan2(-b, a) % (2 * np.pi)
    amplitude = fit.amplitudes[star, 0]
    towards = (solution[1] / amplitude, solution[2] / amplitude, 0.0, 0.0)
    detected = amplitude > _propagate(covariance, 1, towards)
    if detected and n_harmonics > 1:
        fit.r21[star], fit.r21_error[star], fit.phi21[star], fit.phi21_error[star] = _compare(
            2, solution, covariance
        )
    if detected and n_harmonics > 2:
        fit.r31[star], fit.r31_error[star], fit.phi31[star], fit.phi31_error[star] = _compare(
            3, solution, covariance
        )


@njit(cache=True, error_model="numpy")
def _compare(
    k: int, solution: FloatArray, covariance: FloatArray
) -> tuple[float, float, float, float]:
    """Return R_k1 and phi_k1, each followed by its standard error."""
    a_1, b_1, a_k, b_k = solution[1], solution[2], solution[2 * k - 1], solution[2 * k]
    square_1, square_k = a_1**2 + b_1**2, a_k**2 + b_k**2
    ratio = np.sqrt(square_k / square_1)
    phi = (np.arctan2(-b_k, a_k) - k * np.arctan2(-b_1, a_1)) % (2 * np.pi)
    by_log_ratio = (-a_1 / square_1, -b_1 / square_1, a_k / square_k, b_k / square_k)
    by_phi = (-k * b_1 / square_1, k * a_1 / square_1, b_k / square_k, -a_k / square_k)
    return (
        ratio,
        ratio * _propagate(covariance, k, by_log_ratio),
        phi,
        _propagate(covariance, k, by_phi),
    )


@njit(cache=True, error_model="numpy")
def _propagate(
    covariance: FloatArray, k: int, derivatives: tuple[float, float, float, float]
) -> float:
    """Return the standard error of a function of a_1, b_1, a_k and b_k."""
    index = (1, 2, 2 * k - 1, 2 * k)
    total = 0.0
    for i in range(4):
        for j in range(4):
            total += derivatives[i] * covariance[index[i], index[j]] * derivatives[j]
    return np.sqrt(total)


@njit(cache=True, error_model="numpy")
def _fill_waves(phase: FloatArray, n_harmonics: int, waves: FloatArray) -> None:
    """Fill in all columns but the first, which stays 1."""
    for i in range(phase.size):
        row = waves[i]
        cos_1, sin_1 = np.cos(2 * np.pi * phase[i]), np.sin(2 * np.pi * phase[i])
        cos_k, sin_k = 1.0, 0.0
        for k in range(n_harmonics):
            cos_k, sin_k = cos_k * cos_1 - sin_k * sin_1, sin_k * cos_1 + cos_k * sin_1
            row[2 * k + 1] = cos_k
            row[2 * k + 2] = sin_k


@njit(cache=True, error_model="numpy")
def _solve_evidence(n_epochs: int, size: int, work: _Workspace) -> float:
    """Solve for the coefficients; return the variance of the noise. NaN where it fails."""
    weight, residual = work.weight, work.residual
    weight[:n_epochs] = 1.0
    variance = np.nan
    penalty = 0.1  # from the smooth side: another fixed point of sparse curves interpolates them
    for _ in range(MAX_ITERATIONS):
        _add_up(n_epochs, 2 * size - 1, work)
        fill_normal_matrix(size, work.wave_sums, work.system)
        for j in range(size):
            work.system[j, j] += penalty * work.prior[j]
        eliminate(size, work.system)
        _substitute(size, work)
        roughness = 0.0
        effective = float(size)
        for j in range(size):
            roughness += work.prior[j] * work.solution[j] ** 2
            effective -= penalty * work.prior[j] * work.variance[j]
        squares = _subtract_fit(n_epochs, size, work)
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
    return variance


@njit(cache=True, error_model="numpy", fastmath=FAST_SUMS)
def _add_up(n_epochs: int, n_waves: int, work: _Workspace) -> None:
    """Take the weighted sums over the epochs."""
    wave_sums, mag_sums = work.wave_sums, work.mag_sums
    wave_sums[:] = 0.0
    mag_sums[:] = 0.0
    for i in range(n_epochs):
        row = work.waves[i]
        weight = work.weight[i]
        weighted_mag = weight * work.mag[i]
        for k in range(n_waves):
            wave_sums[k] += weight * row[k]
            mag_sums[k] += weighted_mag * row[k]


@njit(cache=True, error_model="numpy", fastmath=FAST_SUMS)
def _substitute(size: int, work: _Workspace) -> None:
    """Fill in the solution and the diagonal of the inverse."""
    solution, variance, mag_sums = work.solution, work.variance, work.mag_sums
    solution[:] = 0.0
    variance[:] = 0.0
    for i in range(size):
        row = work.system[i, size : 2 * size]
        inverse = 1.0 / work.system[i, i]
        projected = 0.0
        for k in range(size):
            projected += row[k] * mag_sums[k]
        projected *= inverse
        for k in range(size):
            solution[k] += projected * row[k]
            variance[k] += inverse * row[k] ** 2


@njit(cache=True, error_model="numpy", fastmath=FAST_SUMS)
def _subtract_fit(n_epochs: int, size: int, work: _Workspace) -> float:
    """Fill in the residuals; return the weighted sum of their squares."""
    solution = work.solution
    squares = 0.0
    for i in range(n_epochs):
        row = work.waves[i]
        fitted = 0.0
        for k in range(size):
            fitted += row[k] * solution[k]
        work.residual[i] = work.mag[i] - fitted
        squares += work.weight[i] * work.residual[i] ** 2
    return squares


@njit(cache=True, error_model="numpy")
def _fill_covariance(size: int, scale: float, work: _Workspace) -> None:
    """Fill in the covariance, ``scale`` times the inverse of the normal matrix."""
    system = work.system
    for i in range(min(size, _COEFFICIENTS_TO_K3)):
        for j in range(i + 1):
            total = 0.0
            for k in range(i, size):
                total += system[k, size + i] * system[k, size + j] / system[k, k]
            work.covariance[i, j] = work.covariance[j, i] = scale * total
