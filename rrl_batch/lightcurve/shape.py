"""The shape of a light curve in a few numbers: Fourier parameters as Cartesian ratios.

With harmonics ``c_k = A_k exp(i phi_k)``, the ratio R_k1 = A_k / A_1 and the phase difference
phi_k1 = phi_k - k phi_1 of Simon & Lee (1981) are modulus and argument of one complex number, which
does not depend on where phase 0 is. Its real and imaginary parts have no branch at which an angle
wraps, and go to zero together where a harmonic vanishes.

References
----------
Simon N. R. & Lee A. S. 1981, ApJ 248, 291.
"""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

SHAPE_HARMONICS = 7
_ORDERS = range(2, SHAPE_HARMONICS + 1)

SHAPE_COLUMNS = (
    "period", "a1", *(f"re{k}1" for k in _ORDERS), *(f"im{k}1" for k in _ORDERS),
    "log_noise", "log_epochs",
)  # fmt: skip
"""Period in days; amplitude of the first harmonic in mag; Re and Im of R_k1 exp(i phi_k1); natural
logarithms of the noise in mag and of the number of usable epochs."""

N_SHAPE = len(SHAPE_COLUMNS)

_LEAST_NOISE = 1e-4  # mag; below any photometry, it keeps the logarithm of a perfect fit finite


def intensity_mean(mag: FloatArray) -> FloatArray:
    """Return the magnitudes of the mean intensities of light curves.

    Parameters
    ----------
    mag : (n_stars, n_points) float64, in mag
        Curves at equally spaced phases.

    Returns
    -------
    (n_stars,) float64, in mag
        NaN where there is no curve.
    """
    brightest = mag.min(axis=1)
    relative = 10 ** (-0.4 * (mag - brightest[:, np.newaxis]))
    mean: FloatArray = brightest - 2.5 * np.log10(relative.mean(axis=1))
    return mean


def shape_parameters(
    harmonics: npt.NDArray[np.complex128],
    period: FloatArray,
    noise: FloatArray,
    n_epochs: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    """Return the shape parameters of light curves.

    Parameters
    ----------
    harmonics : (n_stars, at least 7) complex128, in mag
        c_1, c_2, ...; 0 where a harmonic was not fitted, NaN where there is no curve.
    period : (n_stars,) float64, in days
        Periods.
    noise : (n_stars,) float64, in mag
        Scatter of the epochs about the curve.
    n_epochs : (n_stars,) int64
        Numbers of usable epochs.

    Returns
    -------
    (n_stars, 16) float32
        Columns `SHAPE_COLUMNS`; all of them NaN where there is no curve.
    """
    first = harmonics[:, :1]
    amplitude = np.abs(first)
    with np.errstate(divide="ignore", invalid="ignore"):
        turned = (first.conj() / amplitude) ** np.array(_ORDERS)
        ratio = harmonics[:, 1:SHAPE_HARMONICS] * turned / amplitude
    logarithms = np.log([np.maximum(noise, _LEAST_NOISE), np.maximum(n_epochs, 1)])
    shape = np.column_stack([period, amplitude, ratio.real, ratio.imag, *logarithms])
    shape[np.isnan(first[:, 0])] = np.nan
    return shape.astype(np.float32)
