"""Where phase 0 is, read off the harmonics of a light curve.

Harmonics are complex: the curve is ``A_0 + Re sum_k c_k exp(2 pi i k phase)``, in magnitudes.
"""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]

_STEPS = 128  # ten a wave of the twelfth harmonic


def maximum_of_first_harmonic(harmonics: ComplexArray) -> FloatArray:
    """Return where the first harmonic is brightest.

    The first harmonic is what a sparse or noisy curve determines best, so that curves which are
    aligned by it agree better than by their brightest point.

    Parameters
    ----------
    harmonics : (n_stars, n_harmonics) complex128, in mag
        c_1, c_2, ...; NaN where there is no curve.

    Returns
    -------
    (n_stars,) float64, in cycles, [0, 1)
        NaN where there is no curve.
    """
    # brightest is where the magnitude is least: at 2 pi phase + phi_1 = pi
    phase: FloatArray = (0.5 - np.angle(harmonics[:, 0]) / (2 * np.pi)) % 1.0
    return phase


def mean_of_rising_branch(harmonics: ComplexArray) -> FloatArray:
    """Return where a curve last gets brighter than its mean on its way to maximum light.

    All of the curve between that phase and maximum light is brighter than the mean, so that a bump
    on the rising branch, or a second maximum, does not move it.

    Parameters
    ----------
    harmonics : (n_stars, n_harmonics) complex128, in mag
        c_1, c_2, ...; NaN where there is no curve.

    Returns
    -------
    (n_stars,) float64, in cycles, [0, 1)
        NaN where there is no curve.
    """
    curve = on_grid(harmonics, _STEPS)
    rows = np.arange(len(curve))
    back = (np.argmin(curve, axis=1)[:, np.newaxis] - np.arange(_STEPS)) % _STEPS
    fainter = np.argmax(curve[rows[:, np.newaxis], back] >= 0.0, axis=1)
    last = back[rows, fainter]
    low, high = curve[rows, last], curve[rows, (last + 1) % _STEPS]
    with np.errstate(invalid="ignore"):
        part = low / (low - high)
    phase: FloatArray = ((last + part) / _STEPS) % 1.0
    return phase


def on_grid(harmonics: ComplexArray, n_points: int) -> FloatArray:
    """Evaluate curves, less their means, at the phases i / n_points.

    Parameters
    ----------
    harmonics : (n_stars, n_harmonics) complex128, in mag
        c_1, c_2, ...
    n_points : int
        Number of phases.

    Returns
    -------
    (n_stars, n_points) float64, in mag
    """
    # a transform of n points holds n / 2 harmonics: where that is too few, a finer grid is thinned
    every = -(-2 * (harmonics.shape[1] + 1) // n_points)
    size = every * n_points
    spectrum = np.zeros((len(harmonics), size // 2 + 1), np.complex128)
    spectrum[:, 1 : harmonics.shape[1] + 1] = 0.5 * size * harmonics
    curve: FloatArray = np.fft.irfft(spectrum, size)[:, ::every]
    return curve
