"""Hyperparameters of a Gaussian process with a length scale an input, by marginal likelihood.

The gradient needs no array of pairs times inputs: it comes from products of matrices. Noise
may differ from star to star, by a weight.

References
----------
Rasmussen, C. E. & Williams, C. K. I. 2006, Gaussian Processes for Machine Learning, Sect. 5.4.1.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.lapack import dpotri

from rrl_batch.models.kernel_expansion import rbf

Floats = NDArray[np.float64]

LENGTH = (0.1, 4.0, 1e3)
AMPLITUDE = (0.05, 1.0, 20.0)
NOISE = (0.02, 0.4, 3.0)
"""Lower bound, first guess and upper bound, in units of the standard deviations of inputs and of
target; an input whose length scale is at the upper bound has no influence."""

_ITERATIONS = 80
_TOLERANCE = 1e-6
"""Relative change of the logarithm of the likelihood at which the search ends: some 1e-3."""


class GaussianProcess(NamedTuple):
    """A Gaussian process of mean zero: a squared exponential kernel, and noise.

    Parameters
    ----------
    length : (n_inputs,) float64
        Length scale of each input.
    amplitude, noise : float
        Standard deviations of the signal, and of the noise of a star of weight 1.
    """

    length: Floats
    amplitude: float
    noise: float

    @classmethod
    def fit(cls, inputs: Floats, target: Floats, weights: Floats) -> "GaussianProcess":
        """Return the one under which targets are the most likely.

        Parameters
        ----------
        inputs : (n_stars, n_inputs) float64
            Standardised inputs.
        target : (n_stars,) float64
            Standardised targets.
        weights : (n_stars,) float64
            A star's noise has the variance noise² / weight.
        """
        from scipy.optimize import Bounds, minimize

        def surprise(theta: Floats) -> tuple[float, Floats]:
            return cls._of(theta).surprise(inputs, target, weights)

        ranges = [LENGTH] * inputs.shape[1] + [AMPLITUDE, NOISE]
        low, guess, high = np.log(np.array(ranges)).T
        found = minimize(
            surprise,
            guess,
            jac=True,
            method="L-BFGS-B",
            bounds=Bounds(low, high),
            options={"maxiter": _ITERATIONS, "ftol": _TOLERANCE},
        )
        return cls._of(found.x)

    @classmethod
    def _of(cls, theta: Floats) -> "GaussianProcess":
        *length, amplitude, noise = np.exp(theta)
        return cls(np.array(length), float(amplitude), float(noise))

    def surprise(self, inputs: Floats, target: Floats, weights: Floats) -> tuple[float, Floats]:
        """Return minus the logarithm of the marginal likelihood, less its constant.

        Parameters
        ----------
        inputs, target, weights : ndarray
            As `fit` takes them.

        Returns
        -------
        value : float
            The value.
        gradient : (n_inputs + 2,) float64 ndarray
            Its derivatives by the logarithms of length scales, amplitude and noise.
        """
        scaled, signal, noise = self._covariance(inputs, weights)
        factor = cho_factor(signal + np.diag(noise), lower=True)
        alpha = cho_solve(factor, target)
        value = 0.5 * target @ alpha + np.log(np.diag(factor[0])).sum()

        # half the trace of `slope` times the derivative of the covariance
        inverse, _ = dpotri(*factor)
        slope = np.tril(inverse) + np.tril(inverse, -1).T - np.outer(alpha, alpha)
        by_noise = np.diag(slope) @ noise
        slope *= signal
        by_length = slope.sum(axis=1) @ scaled**2 - (scaled * (slope @ scaled)).sum(axis=0)
        return float(value), np.array([*by_length, slope.sum(), by_noise])

    def coefficients(self, inputs: Floats, target: Floats, weights: Floats) -> Floats:
        """Return the weights of the posterior mean's kernels, which lie at the stars.

        Parameters
        ----------
        inputs, target, weights : ndarray
            As `fit` takes them.
        """
        _, signal, noise = self._covariance(inputs, weights)
        solution: Floats = cho_solve(cho_factor(signal + np.diag(noise), lower=True), target)
        return self.amplitude**2 * solution

    def _covariance(self, inputs: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the inputs in length scales, the signal's covariance, and the noise variances."""
        scaled = inputs / self.length
        return scaled, self.amplitude**2 * rbf(scaled, scaled), self.noise**2 / weights
