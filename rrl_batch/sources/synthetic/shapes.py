"""What a light curve looks like: Fourier shapes that follow period, [Fe/H] and amplitude.

A curve is m(theta) = m0 + sum_k A_k cos(k theta + phi_k) with theta = 2 pi phase; its shape are the
amplitude ratios R_k1 = A_k / A_1 and the phase differences phi_k1 = phi_k - k phi_1 (cosine
convention, as in the Gaia archive). For each harmonic, ln R_k1 and phi_k1 are linear in

    1, ln(P / P0), [Fe/H] + 1.5, A_1 - A0, (A_1 - A0)^2, s_0, s_1, s_2

where s_0 .. s_2 are standard normal hidden variables that carry the correlated scatter at fixed
period, metallicity and amplitude. The coefficients for RRab were fitted to G-band light curves of
1,405 stars with photometric metallicities (data of Dekany & Grebel 2022), those for RRc to 798
stars of Gaia DR3, with the dependence on [Fe/H] set such that the inverse relations have the
slopes published for RRc.

References
----------
Jurcsik & Kovacs 1996, A&A 312, 111; Smolec 2005, AcA 55, 59; Nemec et al. 2013, ApJ 773, 181;
Iorio & Belokurov 2021, MNRAS 502, 5686; Dekany et al. 2021, ApJ 920, 33; Mullen et al. 2021,
ApJ 912, 144; Dekany & Grebel 2022, ApJS 261, 33; Clementini et al. 2023, A&A 674, A18;
Li et al. 2023, ApJ 944, 88.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

N_SHAPE = 3
"""Number of the hidden shape variables."""

_GRID = 512
_ROWS_AT_ONCE = 10_000
# Measured ratios fall by at least this factor from one high harmonic to the next.
_SLOWEST_DECLINE = np.log(0.70)


class Shape(NamedTuple):
    """Coefficients of one pulsation mode.

    Attributes
    ----------
    period, amplitude : float
        P0 in days and A0 in mag, about which the expansion is made.
    log_ratio : (n_fitted, 8) float64
        Coefficients of ln R_k1 for k = 2, 3, …
    phase : (n_fitted, 8) float64
        Coefficients of phi_k1 in radians for k = 2, 3, …
    n_harmonics : int
        Harmonics of a curve; those beyond the fitted ones continue the trend of the last two steps.
    """

    period: float
    amplitude: float
    log_ratio: NDArray[np.float64]
    phase: NDArray[np.float64]
    n_harmonics: int


class FourierSeries(NamedTuple):
    """Fourier series of many light curves: `amplitude` in mag, `phase` in rad, (n_stars, n_k)."""

    amplitude: NDArray[np.float64]
    phase: NDArray[np.float64]


# fmt: off
RRAB = Shape(
    period=0.55,
    amplitude=0.26,
    log_ratio=np.array([
        [-0.690,  0.226,  0.113,  1.043, -12.077, -0.025, -0.029, -0.027],
        [-1.080, -0.521, -0.116,  1.284, -20.557, -0.051, -0.030, -0.025],
        [-1.600, -0.997, -0.252,  2.776, -33.205, -0.103, -0.067, -0.017],
        [-2.220, -1.396, -0.360,  4.044, -26.776, -0.108, -0.112,  0.071],
        [-2.870, -1.260, -0.307,  4.786,  -4.551, -0.075, -0.170,  0.157],
    ]),
    phase=np.array([
        [-2.150,  1.171,  0.326, -0.788,   2.079,  0.047, -0.025, -0.010],
        [ 2.240,  2.024,  0.590, -1.941,   3.852,  0.064, -0.051, -0.013],
        [ 0.350,  2.972,  0.797, -3.701,  17.788,  0.101, -0.088,  0.009],
        [-1.530,  3.621,  0.933, -6.095,  39.617,  0.129, -0.089,  0.030],
        [-3.480,  3.899,  1.028, -9.158,  57.318,  0.155, -0.065, -0.077],
    ]),
    n_harmonics=10,
)
RRC = Shape(
    period=0.32,
    amplitude=0.20,
    log_ratio=np.array([
        [-2.05, -2.27, -0.40, 8.35, 0.0, -0.15, 0.03, 0.10],
        [-2.68, -0.03,  0.00, 7.74, 0.0,  0.03, 0.15, 0.10],
        [-3.22, -0.59,  0.00, 9.18, 0.0,  0.03, 0.20, 0.15],
        [-3.65, -1.17,  0.00, 8.77, 0.0,  0.00, 0.20, 0.15],
    ]),
    phase=np.array([
        [-1.49, 1.60, 0.35,  3.25, 0.0, 0.10, 0.06, 0.05],
        [-2.75, 1.66, 0.80,  2.65, 0.0, 0.35, 0.05, 0.10],
        [-4.06, 1.76, 1.00, -0.38, 0.0, 0.40, 0.00, 0.25],
        [-5.85, 1.80, 1.10, -1.50, 0.0, 0.45, 0.00, 0.35],
    ]),
    n_harmonics=6,
)
# fmt: on


def fourier_series(
    shape: Shape,
    period: NDArray[np.float64],
    feh: NDArray[np.float64],
    amplitude: NDArray[np.float64],
    hidden: NDArray[np.float64],
) -> FourierSeries:
    """Compute the Fourier series of stars of one mode, with phi_1 = 0.

    Parameters
    ----------
    shape : Shape
        Coefficients of the mode.
    period : (n_stars,) float64
        In days.
    feh : (n_stars,) float64
        Metallicity that the shape shows, in dex.
    amplitude : (n_stars,) float64
        A_1, in mag.
    hidden : (n_stars, 3) float64
        The shape variables s_0 .. s_2.

    Returns
    -------
    FourierSeries
        With `shape.n_harmonics` columns.
    """
    excess = amplitude - shape.amplitude
    terms = np.column_stack(
        [np.ones_like(period), np.log(period / shape.period), feh + 1.5, excess, excess**2, hidden]
    )
    log_ratio, phase = _combine(terms, shape.log_ratio), _combine(terms, shape.phase)
    beyond = np.arange(1, shape.n_harmonics - len(shape.phase))
    decline = np.minimum((log_ratio[:, -1] - log_ratio[:, -3]) / 2.0, _SLOWEST_DECLINE)
    advance = (phase[:, -1] - phase[:, -3]) / 2.0
    log_ratio = np.hstack([log_ratio, log_ratio[:, -1:] + np.outer(decline, beyond)])
    phase = np.hstack([phase, phase[:, -1:] + np.outer(advance, beyond)])
    first = np.zeros((len(period), 1))
    return FourierSeries(
        amplitude[:, None] * np.exp(np.hstack([first, log_ratio])), np.hstack([first, phase])
    )


def _combine(terms: NDArray[np.float64], coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    # Not a matrix product: the rounding of BLAS depends on the number of rows, and a star's light
    # curve must not depend on the stars beside it.
    total = np.zeros((len(terms), len(coefficients)))
    for term, coefficient in zip(terms.T, coefficients.T, strict=True):
        total += term[:, None] * coefficient
    return total


class Extremes(NamedTuple):
    """Light curves in a few numbers, each (n_stars,) float64.

    Attributes
    ----------
    phase_of_maximum : cycles, [0, 1)
        Phase of maximum light.
    peak_to_peak : mag
        From minimum to maximum light.
    intensity_mean : mag
        Magnitude of the mean flux relative to m0 (negative: the mean flux is brighter).
    """

    phase_of_maximum: NDArray[np.float64]
    peak_to_peak: NDArray[np.float64]
    intensity_mean: NDArray[np.float64]


def extremes(series: FourierSeries) -> Extremes:
    """Find maximum, amplitude and intensity mean of each curve, on a grid of 512 phases.

    Parameters
    ----------
    series : FourierSeries

    Returns
    -------
    Extremes
    """
    chunks = []
    for first in range(0, max(len(series.amplitude), 1), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        coefficient = 0.5 * series.amplitude[rows] * np.exp(1j * series.phase[rows])
        curve = np.fft.irfft(np.pad(coefficient, ((0, 0), (1, 0))), _GRID, axis=1, norm="forward")
        flux = np.exp(-0.4 * np.log(10.0) * curve).mean(axis=1)
        chunks.append((curve.argmin(axis=1) / _GRID, np.ptp(curve, axis=1), -2.5 * np.log10(flux)))
    return Extremes(*(np.concatenate(column) for column in zip(*chunks, strict=True)))
