"""How far the noise of a star's photometry, and the error of its period, move its metallicity."""

import numpy as np
from numpy.typing import NDArray

from rrl_batch.inference.ensemble import Ensemble
from rrl_batch.lightcurve.inputs import Inputs
from rrl_batch.lightcurve.prepare import PreparedStars
from rrl_batch.models.calibration import noise_error

Floats = NDArray[np.float64]

_BLOCK = 1024
"""Stars whose redrawn curves are in memory at a time."""


def noise_errors(
    stars: PreparedStars,
    rows: NDArray[np.int64],
    ensemble: Ensemble,
    members: dict[str, Floats],
    fold: Floats,
) -> Floats:
    """Return the noise errors of stars, from curves that were drawn anew.

    One member of each kind sees the redrawn curves: members differ little in how far they are
    moved, and so the whole costs about as much as the prediction itself. For a star that was
    trained on it is the member that has not seen it.

    Parameters
    ----------
    stars : PreparedStars
        Stars whose curves were prepared as the model's training set was.
    rows : (n,) int64
        Those that have a metallicity.
    ensemble : Ensemble
        The model.
    members : dict of str to (n_stars, n_members) float64
        What each member predicts for the curves as they are.
    fold : (n_stars,) float64
        The folds of the first repeat that training stars were held out in; NaN for others.

    Returns
    -------
    (n_stars,) float64
        In dex; NaN for stars without a metallicity.
    """
    error = np.full(len(stars), np.nan)
    for first in range(0, len(rows), _BLOCK):
        some = rows[first : first + _BLOCK]
        redrawn = stars.redrawn(some)
        moved = [
            _moved(redrawn, ensemble, name, members[name][some], fold[some])
            for name in ensemble.card.architecture
        ]
        error[some] = noise_error(np.mean(moved, axis=0))
    return error


def _moved(redrawn: Inputs, ensemble: Ensemble, name: str, before: Floats, fold: Floats) -> Floats:
    """Return the changes of the metallicities of one kind, (n_stars, n_draws)."""
    n_stars, n_draws, _ = redrawn.shape.shape
    moved = np.empty((n_stars, n_draws))
    repeat, held_out = ensemble.places(name).T
    own = (repeat == 0) & (held_out == fold[:, np.newaxis])
    number = np.argmax(own, axis=1)  # the first member where there is none of its own
    for member in np.unique(number):
        rows = number == member
        flat = Inputs(*(array[rows].reshape(-1, *array.shape[2:]) for array in redrawn))
        values = ensemble.engines[name].member(member).predict(flat).astype(np.float64)
        moved[rows] = values.reshape(-1, n_draws) - before[rows, member, np.newaxis]
    return moved
