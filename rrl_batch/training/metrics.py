"""How far predictions are from the labels: overall, weighted, and in bins of [Fe/H]."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FEH_EDGES = (-2.0, -1.5, -1.0, -0.5)
"""Edges of the bins of [Fe/H], in dex; the first and last bins are open."""


def scores(feh: ArrayLike, predicted: ArrayLike, weights: ArrayLike) -> dict[str, Any]:
    """Return the figures of merit of some predictions.

    Parameters
    ----------
    feh : (n_stars,) array_like
        Labels, in dex.
    predicted : (n_stars,) array_like
        Predictions, in dex; stars without one (NaN) are left out and counted.
    weights : (n_stars,) array_like
        Density weights of the stars, for `wrmse` and `wmae`.

    Returns
    -------
    dict
        `n`, `n_without_prediction`, `rmse`, `mae`, `r2`, `wrmse`, `wmae`, the mean error `bias`
        (all in dex but the counts and `r2`) and `bins`: a list with `feh_min`, `feh_max`, `n`,
        `bias`, `bias_error` and `rmse` per bin of [Fe/H]. A figure that too few stars are there
        for is None.
    """
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    known = np.isfinite(np.asarray(predicted, np.float64))
    true, value, weight = (np.asarray(a, np.float64)[known] for a in (feh, predicted, weights))
    result: dict[str, Any] = {"n": len(true), "n_without_prediction": int(np.sum(~known))}
    if len(true) == 0:
        return result | dict.fromkeys(("rmse", "mae", "r2", "wrmse", "wmae", "bias")) | {"bins": []}
    error = value - true
    result |= {
        "rmse": float(root_mean_squared_error(true, value)),
        "mae": float(mean_absolute_error(true, value)),
        "r2": float(r2_score(true, value)) if np.ptp(true) > 0 else None,
        "wrmse": float(root_mean_squared_error(true, value, sample_weight=weight)),
        "wmae": float(mean_absolute_error(true, value, sample_weight=weight)),
        "bias": float(error.mean()),
    }
    which = np.digitize(true, FEH_EDGES)
    lower, upper = (None, *FEH_EDGES), (*FEH_EDGES, None)
    result["bins"] = [
        {"feh_min": lower[i], "feh_max": upper[i], **_bin(error[which == i])}
        for i in range(len(lower))
    ]
    return result


def _bin(error: NDArray[np.float64]) -> dict[str, Any]:
    n = len(error)
    return {
        "n": n,
        "bias": float(error.mean()) if n else None,
        "bias_error": float(error.std(ddof=1) / np.sqrt(n)) if n > 1 else None,
        "rmse": float(np.sqrt(np.mean(error**2))) if n else None,
    }
