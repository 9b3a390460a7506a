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
from scipy.optimize import minimize

from rrl_batch.models.kernel_expansion import rbf

Floats = NDArray[np.float64]

START = {"length": 4.0, "amplitude": 1.0, "noise": 0.4}
BOUNDS = {"length": (0.1, 1e3), "amplitude": (0.05, 20.0), "noise": (0.02, 3.0)}
"""In units of the standard deviations of inputs and of target; an input whose length scale is at
the upper bound has no influence."""

_ITERATIONS = 80
_TOLERANCE = 1e-7
"""Relative change of the likelihood at which the search ends: some 1e-4 in the logarithm."""


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
        n_inputs = inputs.shape[1]
        names = ["length"] * n_inputs + ["amplitude", "noise"]
        found = minimize(
            lambda theta: cls._of(theta).surprise(inputs, target, weights),
            np.log([START[name] for name in names]),
            jac=True,
            method="L-BFGS-B",
            bounds=np.log([BOUNDS[name] for name in names]),
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
        scaled = inputs / self.length
        signal = self.amplitude**2 * rbf(scaled, scaled)
        noise = self.noise**2 / weights
        factor = cho_factor(signal + np.diag(noise), lower=True)
        alpha = cho_solve(factor, target)
        value = 0.5 * target @ alpha + np.log(np.diag(factor[0])).sum()

        # half the trace of `slope` times the derivative of the covariance
        slope = cho_solve(factor, np.eye(len(target))) - np.outer(alpha, alpha)
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
        scaled = inputs / self.length
        covariance = self.amplitude**2 * rbf(scaled, scaled)
        covariance[np.diag_indices_from(covariance)] += self.noise**2 / weights
        solution: Floats = cho_solve(cho_factor(covariance, lower=True), target)
        return self.amplitude**2 * solution
