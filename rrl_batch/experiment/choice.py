"""Choose between predictors within the training folds, for each scored fold anew.

A fold that is scored must not say which predictor it is scored with. So every candidate is also
fitted without each pair of folds: for the scored fold A, the stars of every other fold B have
predictions of a member that has seen neither A nor B, and the candidate with the least error on
those is the one that predicts A (nested cross-validation; a pair serves both its folds).

References
----------
Varma, S. & Simon, R. 2006, BMC Bioinformatics 7, 91.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Parameters
    ----------
    by_fold : dict of int to str
        For each scored fold, the candidate that predicts it.
    inner_rmse : dict of str to list of float
        For each candidate, its error within the training folds of each scored fold, in dex.
    """

    by_fold: dict[int, str]
    inner_rmse: dict[str, list[float]]


def choose(candidates: Mapping[str, Sequence[str]], pairs: pd.DataFrame, feh: pd.Series) -> Choice:
    """Choose the candidate with the least squared error within the training folds of each fold.

    Parameters
    ----------
    candidates : mapping of str to sequence of str
        Cases whose mean each candidate is.
    pairs : pandas.DataFrame
        Predictions of the members that have not seen a pair of folds: columns `case`, `source_id`,
        `fold` (the star's), `other` (the fold that was left out with it) and `predicted` (dex).
    feh : pandas.Series
        Labels by `source_id`, in dex.

    Returns
    -------
    Choice
        A candidate without a prediction for some star, since a member diverged, is never chosen.
    """
    errors = {}
    for scored in np.unique(pairs["other"]).tolist():
        within = pairs[pairs["other"] == scored]
        predicted = within.pivot_table("predicted", "source_id", "case", dropna=False)
        label = feh[predicted.index].to_numpy()
        errors[scored] = {
            name: _rmse(predicted[list(cases)].to_numpy().mean(axis=1) - label)
            for name, cases in candidates.items()
        }
    return Choice(
        {fold: min(rmse, key=lambda name: rmse[name]) for fold, rmse in errors.items()},
        {name: [rmse[name] for rmse in errors.values()] for name in candidates},
    )


def _rmse(error: np.ndarray) -> float:
    rmse = float(np.sqrt(np.mean(error**2)))
    return rmse if np.isfinite(rmse) else float("inf")
