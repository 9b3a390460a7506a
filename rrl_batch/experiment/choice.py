"""Choose between predictors within the training folds, for each scored fold anew.

A fold that is scored must not say which predictor it is scored with. So every candidate is also
fitted without each pair of folds: for the scored fold A, the stars of every other fold B have
predictions of a member that has seen neither A nor B, and the candidate with the least error on
those is the one that predicts A (nested cross-validation; a pair serves both its folds).

The same predictions say by how much the chosen one has to be stretched, on either side of the mean,
for its values to vary as the labels do: the least squared error is had at the price of values that
lie too near the mean.

References
----------
Varma, S. & Simon, R. 2006, BMC Bioinformatics 7, 91.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stretch:
    """A map of predictions that gives them the spread of the labels, on either side of the mean.

    [Fe/H] has no symmetric distribution, and predictions are drawn towards its mean by more where
    stars are rare: one factor for both sides would be too small for one and too large for the
    other.

    Parameters
    ----------
    below, above : float
        Ratio of the root mean squares of the deviations below the mean, and of those above.
    predicted, label : float
        Means, in dex.
    """

    below: float
    above: float
    predicted: float
    label: float

    @classmethod
    def of(cls, predicted: Floats, label: Floats) -> "Stretch":
        """Return the map for some predictions and their labels, (n_stars,), in dex."""
        below, above = _spreads(label) / _spreads(predicted)
        return cls(float(below), float(above), float(predicted.mean()), float(label.mean()))

    def __call__(self, predicted: pd.Series) -> pd.Series:
        """Return stretched predictions, in dex."""
        deviation = predicted - self.predicted
        return self.label + deviation * np.where(deviation < 0, self.below, self.above)


def _spreads(values: Floats) -> Floats:
    """Return the root mean squares of the deviations below the mean, and of those above."""
    deviation = values - values.mean()
    sides = np.minimum(deviation, 0), np.maximum(deviation, 0)
    return np.sqrt(np.square(sides).mean(axis=1))


@dataclass(frozen=True)
class Choice:
    """What was chosen for a scored fold.

    Parameters
    ----------
    candidate : str
        The candidate that predicts the fold.
    rmse : dict of str to float or None
        Error of each candidate within the training folds, in dex; None if it has no value for
        some star, since a member diverged.
    stretch : Stretch
        What gives the predictions of the chosen one the spread of the labels.
    """

    candidate: str
    rmse: dict[str, float | None]
    stretch: Stretch


def choose(
    candidates: Mapping[str, Sequence[str]], pairs: pd.DataFrame, feh: pd.Series
) -> dict[int, Choice]:
    """Choose the candidate with the least squared error within the training folds of each fold.

    Parameters
    ----------
    candidates : mapping of str to sequence of str
        Cases whose mean each candidate is.
    pairs : pandas.DataFrame
        Predictions of the members that have not seen a pair of folds: columns `case`, `source_id`,
        `other` (the fold that was left out with the star's own) and `predicted` (dex).
    feh : pandas.Series
        Labels by `source_id`, in dex.

    Returns
    -------
    dict of int to Choice
        By scored fold; one for which no candidate has all values is left out.
    """
    from sklearn.metrics import root_mean_squared_error

    choices = {}
    for scored in np.unique(pairs["other"]).tolist():
        within = pairs[pairs["other"] == scored]
        by_case = within.pivot_table("predicted", "source_id", "case", dropna=False)
        label = feh[by_case.index].to_numpy(np.float64)
        predicted = {
            name: by_case[list(cases)].to_numpy(np.float64).mean(axis=1)
            for name, cases in candidates.items()
        }
        rmse = {
            name: float(root_mean_squared_error(label, values))
            for name, values in predicted.items()
            if np.isfinite(values).all()
        }
        if rmse:
            best = min(rmse, key=lambda name: rmse[name])
            errors = {name: rmse.get(name) for name in candidates}
            choices[scored] = Choice(best, errors, Stretch.of(predicted[best], label))
    return choices
