"""Sample weights: against the unbalanced distribution of [Fe/H], and for what a star is worth.

References
----------
Dékány, I. & Grebel, E. K. 2022, ApJS 261, 33; Monti, L. et al. 2024, Sensors 24, 5203; Steininger,
M. et al. 2021, Machine Learning 110, 2187 (DenseWeight).
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

MIN_RELATIVE_DENSITY = 0.1
"""Density, relative to its peak, below which stars gain no more weight: a lone star at the end of
the distribution must not weigh more than ten at its peak."""

MIN_DENSE_WEIGHT = 1e-6
"""Least weight of DenseWeight before scaling, as in its paper."""

_POINTS_PER_BANDWIDTH = 10


def density_weights(
    feh: ArrayLike,
    feh_error: ArrayLike,
    kind: Literal["density", "denseweight"] = "density",
    strength: float = 1.0,
) -> NDArray[np.float64]:
    """Return weights that fall with the density of [Fe/H], and with the errors' squares.

    Parameters
    ----------
    feh : (n_stars,) array_like
        Metallicities of the training stars, in dex.
    feh_error : (n_stars,) array_like
        Their standard errors, in dex; used only if every star has a positive one.
    kind : {"density", "denseweight"}
        ``p ** -strength``, where p is the density relative to its peak, at least 0.1 of it; or
        DenseWeight's ``1 - strength * p'``, where p' is the density scaled to [0, 1].
    strength : float
        0 weighs all [Fe/H] alike; 1 is the published inverse density.

    Returns
    -------
    (n_stars,) float64
        Weights with a mean of 1.
    """
    feh, error = np.asarray(feh, np.float64), np.asarray(feh_error, np.float64)
    weights = np.ones_like(feh)
    if len(feh) == 0:
        return weights
    if np.ptp(feh) > 0:
        density = _density(feh)
        if kind == "density":
            weights = np.maximum(density / density.max(), MIN_RELATIVE_DENSITY) ** -strength
        else:
            scaled = (density - density.min()) / np.ptp(density)
            weights = np.maximum(1 - strength * scaled, MIN_DENSE_WEIGHT)
    if np.all(error > 0):  # False where an error is unknown, that is NaN
        weights = weights / error**2
    normalised: NDArray[np.float64] = weights / weights.mean()
    return normalised


def noise_weights(noise: ArrayLike, strength: float) -> NDArray[np.float64]:
    """Return weights that fall with the noise of the light curves.

    A label is missed by a scatter that all stars have and, in squares, by one that grows with the
    noise of the curve; the weights are inverse to the variance that they add up to.

    Parameters
    ----------
    noise : (n_stars,) array_like, in mag
        Scatter of the epochs about the curves.
    strength : float, in 1/mag
        By how much the second scatter grows, in units of the first; 0 weighs all stars alike.

    Returns
    -------
    (n_stars,) float64
        Weights, at most 1.
    """
    grown = strength * np.asarray(noise, np.float64)
    weights: NDArray[np.float64] = 1 / (1 + grown**2)
    return weights


def _density(feh: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Gaussian kernel density estimate at each star.

    It is interpolated, to better than 0.2 % of its peak: at every star of a whole survey it would
    take minutes.
    """
    from scipy.stats import gaussian_kde

    kernel = gaussian_kde(feh)
    step = np.sqrt(kernel.covariance[0, 0]) / _POINTS_PER_BANDWIDTH
    n_points = 2 + int(np.ptp(feh) / step)
    grid = np.linspace(feh.min(), feh.max(), n_points)
    density: NDArray[np.float64] = np.interp(feh, grid, kernel(grid))
    return density
