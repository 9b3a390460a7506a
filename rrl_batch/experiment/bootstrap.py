"""Bootstrap intervals of figures of merit, from the same resampled stars for all that is compared.

Every figure of merit is a function of sums over stars. A resample is then a count a star, and the
sums of all predictors in all resamples are one matrix product.
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
"""Part of the resamples that an interval holds."""

RESAMPLES = 2000
"""Resamples that an interval comes from."""

_DRAWS_PER_BATCH = 1_000_000
_SEED = 0


class Estimates(NamedTuple):
    """Values and their bootstrap intervals, arrays of one shape.

    Parameters
    ----------
    value : ndarray of float64
        Values of the stars as they are; NaN where too few stars are there for one.
    low, high : ndarray of float64
        Ends of the percentile interval; NaN where some resample has no value.
    """

    value: Floats
    low: Floats
    high: Floats


def estimate(terms: Floats, statistic: Callable[[Floats], Floats]) -> Estimates:
    """Return statistics of sums over stars, with their bootstrap intervals.

    The same number of stars always gives the same resamples, so that estimates of several calls
    can be compared.

    Parameters
    ----------
    terms : (..., n_stars) float64
        What is summed over the stars.
    statistic : callable
        From sums, (..., n_draws), to statistics, (..., n_draws), of any leading shape.

    Returns
    -------
    Estimates
        Of the leading shape of the statistics.
    """
    from scipy.stats import DegenerateDataWarning, bootstrap

    n_stars = terms.shape[-1]
    flat = terms.reshape(-1, n_stars)

    def resampled(rows: NDArray[np.int64], axis: int) -> Floats:  # noqa: ARG001 -- scipy gives it
        return statistic((flat @ _counts(rows).T).reshape(*terms.shape[:-1], len(rows)))

    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        value = statistic(terms.sum(axis=-1, keepdims=True))[..., 0]
        if n_stars < 2:
            unknown = np.full_like(value, np.nan)
            return Estimates(value, unknown, unknown)
        # a statistic that some resample has no value of gets NaN as its interval, which is right
        warnings.simplefilter("ignore", DegenerateDataWarning)
        found: Any = bootstrap(
            (np.arange(n_stars),), resampled, vectorized=True, method="percentile",
            n_resamples=RESAMPLES, confidence_level=CONFIDENCE,
            batch=max(1, _DRAWS_PER_BATCH // n_stars), rng=np.random.default_rng(_SEED),
        )  # fmt: skip
    return Estimates(value, found.confidence_interval.low, found.confidence_interval.high)


def rmse_difference(errors: Floats, others: Floats) -> Estimates:
    """Return the RMSE of predictors less that of others, on the stars that both have a value for.

    Parameters
    ----------
    errors, others : (..., n_stars) float64
        Predicted − label, in dex; NaN where there is no prediction.

    Returns
    -------
    Estimates
        Differences, in dex; two equal predictors differ by exactly 0.
    """
    both = np.isfinite(errors) & np.isfinite(others)
    square, other = (np.where(both, values**2, 0.0) for values in (errors, others))
    return estimate(np.stack([both.astype(np.float64), square, square - other]), _rmse_difference)


def rmse(errors: Floats) -> Estimates:
    """Return the RMSE of predictors, each on the stars that it has a value for.

    Parameters
    ----------
    errors : (..., n_stars) float64
        Predicted − label, in dex; NaN where there is no prediction.
    """
    known = np.isfinite(errors)
    terms = np.stack([known.astype(np.float64), np.where(known, errors**2, 0.0)])
    return estimate(terms, lambda sums: np.sqrt(sums[1] / sums[0]))


def _counts(rows: NDArray[np.int64]) -> Floats:
    """Return how often each star is in each resample, (n_draws, n_stars)."""
    n_draws, n_stars = rows.shape
    cells = rows + n_stars * np.arange(n_draws)[:, None]
    counts = np.bincount(cells.ravel(), minlength=n_draws * n_stars)
    return counts.reshape(n_draws, n_stars).astype(np.float64)


def _rmse_difference(sums: Floats) -> Floats:
    """Return a − b as (a² − b²) / (a + b), which is exactly 0 for equal errors."""
    n, square, difference = sums
    mean = difference / n
    total = np.sqrt(square / n) + np.sqrt(np.maximum(square - difference, 0) / n)
    found: Floats = np.where(mean == 0, mean, mean / total)
    return found
