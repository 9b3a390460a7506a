"""Regressors of [Fe/H] on the shape parameters of light curves."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rrl_batch.lightcurve.shape import SHAPE_COLUMNS
from rrl_batch.models.baseline import LinearBaseline
from rrl_batch.models.gaussian_process import GaussianProcess
from rrl_batch.models.kernel_expansion import KernelExpansion

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingRegressor

Floats = NDArray[np.float64]

ALPHAS = np.logspace(-3, 3, 13)
SVR_C, SVR_GAMMA, SVR_EPSILON = 1.0, 0.015, 0.05
MAX_STARS_OF_SEARCH = 1000
MAX_STARS = 5000
"""Stars of a Gaussian process: the cube of their number is what it costs."""


class Regressor(Protocol):
    """What predicts metallicities from shape parameters."""

    def predict(self, shape: ArrayLike) -> Floats:
        """Return metallicities, in dex, (n_stars,); NaN where a parameter is NaN."""


@dataclass(frozen=True)
class PeriodAndPhase:
    """The linear baseline, to compare with; it is in memory only.

    Parameters
    ----------
    relation : LinearBaseline
        Fitted.
    """

    relation: LinearBaseline

    def predict(self, shape: ArrayLike) -> Floats:
        """Return metallicities, in dex, (n_stars,); NaN where a parameter is NaN."""
        return self.relation.predict(*_period_and_phi31(np.asarray(shape, np.float64)))


def linear(shape: Floats, feh: Floats, weights: Floats, seed: int) -> PeriodAndPhase:  # noqa: ARG001
    """Fit a linear relation in period and phi31; parameters as `ridge` has them, no weights."""
    return PeriodAndPhase(LinearBaseline.fit(*_period_and_phi31(shape), feh))


def _period_and_phi31(shape: Floats) -> tuple[Floats, Floats]:
    real, imaginary = (shape[:, SHAPE_COLUMNS.index(name)] for name in ("re31", "im31"))
    return shape[:, SHAPE_COLUMNS.index("period")], np.arctan2(imaginary, real)


def ridge(shape: Floats, feh: Floats, weights: Floats, seed: int) -> KernelExpansion:  # noqa: ARG001
    """Fit a linear relation whose penalty is chosen by leaving one star out.

    Parameters
    ----------
    shape : (n_stars, n_shape) float64
        Shape parameters, finite.
    feh, weights : (n_stars,) float64
        Metallicities, in dex, and sample weights, positive.
    seed : int
        Seed of whatever is drawn.
    """
    from sklearn.linear_model import RidgeCV

    centre, scale, inputs = _standardised(shape)
    fitted = RidgeCV(ALPHAS).fit(inputs, feh, weights)
    return KernelExpansion(
        "linear", float(fitted.intercept_), centre, scale, fitted.coef_[None], np.ones(1)
    )


def svr(shape: Floats, feh: Floats, weights: Floats, seed: int) -> KernelExpansion:  # noqa: ARG001
    """Fit a support vector regression; parameters as `ridge` has them."""
    from sklearn.svm import SVR

    centre, scale, inputs = _standardised(shape)
    fitted = SVR(C=SVR_C, gamma=SVR_GAMMA, epsilon=SVR_EPSILON).fit(inputs, feh, weights)
    length = 1 / np.sqrt(2 * SVR_GAMMA)
    return KernelExpansion(
        "rbf",
        float(fitted.intercept_[0]),
        centre,
        scale * length,
        fitted.support_vectors_ / length,
        fitted.dual_coef_[0],
    )


def gp(shape: Floats, feh: Floats, weights: Floats, seed: int) -> KernelExpansion:
    """Fit a Gaussian process; parameters as `ridge` has them.

    Its hyperparameters come from a thousand of the stars, its posterior from all of them, up to
    five thousand.
    """
    rng = np.random.default_rng(seed)
    centre, scale, inputs = _standardised(shape)
    mean, spread = float(np.average(feh, weights=weights)), float(feh.std()) or 1.0
    stars = inputs, (feh - mean) / spread, weights / weights.mean()

    def some(largest: int) -> tuple[Floats, ...]:
        rows = _spread_over(feh, largest, rng)
        return tuple(array[rows] for array in stars)

    process = GaussianProcess.fit(*some(MAX_STARS_OF_SEARCH))
    known = some(MAX_STARS)
    return KernelExpansion(
        "rbf",
        mean,
        centre,
        scale * process.length,
        known[0] / process.length,
        spread * process.coefficients(*known),
    )


@dataclass(frozen=True)
class BoostedTrees:
    """Gradient boosting, to compare with; it is in memory only.

    Parameters
    ----------
    trees : sklearn.ensemble.HistGradientBoostingRegressor
        Fitted.
    """

    trees: "HistGradientBoostingRegressor"

    def predict(self, shape: ArrayLike) -> Floats:
        """Return metallicities, in dex, (n_stars,); NaN where a parameter is NaN."""
        shape = np.asarray(shape, np.float64)
        known = np.isfinite(shape).all(axis=1)
        predicted = np.full(len(shape), np.nan)
        if known.any():
            predicted[known] = self.trees.predict(shape[known])
        return predicted


def boosting(shape: Floats, feh: Floats, weights: Floats, seed: int) -> BoostedTrees:
    """Fit gradient boosting; parameters as `ridge` has them."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return BoostedTrees(HistGradientBoostingRegressor(random_state=seed).fit(shape, feh, weights))


def _standardised(shape: Floats) -> tuple[Floats, Floats, Floats]:
    """Return means, standard deviations (1 for a constant), and the standardised parameters."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(shape)
    return scaler.mean_, scaler.scale_, scaler.transform(shape)


def _spread_over(feh: Floats, largest: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the rows of so many stars at most, drawn evenly over the ranks of [Fe/H]."""
    if len(feh) <= largest:
        return np.arange(len(feh))
    ranks = (np.arange(largest) + rng.random(largest)) * len(feh) / largest
    return np.argsort(feh, kind="stable")[ranks.astype(np.int64)]
