"""The rows of the catalogue: a metallicity with its error, or flags that say why there is none."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.contracts import CATALOGUE, Flag
from rrl_batch.contracts.flags import NO_METALLICITY
from rrl_batch.inference.ensemble import Ensemble, cached_ensemble
from rrl_batch.inference.noise import noise_errors
from rrl_batch.lightcurve.inputs import Inputs
from rrl_batch.lightcurve.prepare import PreparedStars
from rrl_batch.models.baseline import offset_from
from rrl_batch.models.calibration import Calibration
from rrl_batch.models.folder import Domain
from rrl_batch.training.selection import Selection

Floats = NDArray[np.float64]


def predict(stars: PreparedStars, model: Path, fingerprint: str) -> pd.DataFrame:
    """Return the catalogue's rows of some stars.

    A star that the model was trained on gets the value of the member that has never seen it, so
    that no label ever comes back as a prediction.

    Parameters
    ----------
    stars : PreparedStars
        Stars whose curves were prepared as the model's training set was.
    model : pathlib.Path
        Folder of the model.
    fingerprint : str
        Checksum of the model's card.

    Returns
    -------
    pandas.DataFrame
        Columns of the catalogue contract, one row a star, in the stars' order.
    """
    ensemble = cached_ensemble(model, fingerprint)
    table = stars.table
    flags = table["flags"].to_numpy(np.int32)
    other_mode = ~table["best_classification"].isin(ensemble.card.modes).to_numpy()
    flags = flags | np.where(other_mode, np.int32(Flag.OTHER_MODE), np.int32(0))
    predictable = (flags & np.int32(NO_METALLICITY)) == 0
    outside = predictable & ~_in_domain(table, ensemble.card.domain)
    flags = flags | np.where(outside, np.int32(Flag.OUTSIDE_TRAINING_DOMAIN), np.int32(0))

    inputs = Inputs(*(array[predictable] for array in stars.inputs))
    members = {
        name: _in_place(values, predictable)
        for name, values in ensemble.predict_members(inputs).items()
    }
    # NaN for a star that the model was not trained on
    folds = ensemble.held_out_by.reindex(table["source_id"]).to_numpy(np.float64)
    combined = ensemble.card.architecture
    # kinds of predictor count alike, however many members each has
    feh = np.mean(
        [_unseen(members[name], ensemble.places(name), folds) for name in combined], axis=0
    )
    spread = _spread(np.hstack([members[name] for name in combined]))
    noise = noise_errors(stars, np.flatnonzero(predictable), ensemble, members, folds[:, 0])
    known = table.assign(feh=feh, spread=spread, noise_error=noise)
    error, error_95 = _calibrated(known, ensemble.card.calibration, folds[:, 0])
    gru = members["gru"].mean(axis=1) if "gru" in members else np.nan
    rows = table.assign(
        feh=feh,
        feh_error=error,
        feh_model_error=spread,
        feh_noise_error=noise,
        feh_gru=gru,
        feh_lo=feh - error,
        feh_hi=feh + error,
        feh_lo95=feh - error_95,
        feh_hi95=feh + error_95,
        feh_baseline=np.where(predictable, _baseline(table, ensemble, folds[:, 0]), np.nan),
        int_average_g=table["mean_mag"],
        amplitude_g=table["amplitude"],
        phi31_g=table["phi31"],
        phi31_g_error=table["phi31_error"],
        phase_gap=table["max_phase_gap"],
        flags=flags,
    )
    return rows[CATALOGUE.names]


def _in_place(values: Floats, rows: NDArray[np.bool_]) -> Floats:
    """Return values in the rows that they belong to, and NaN in the others."""
    result = np.full((len(rows), values.shape[1]), np.nan)
    result[rows] = values
    return result


def _unseen(members: Floats, places: NDArray[np.int64], folds: Floats) -> Floats:
    """Return the mean of the members, or for a training star of those that have not seen it.

    Parameters
    ----------
    members : (n_stars, n_members) float64
        What each member predicts.
    places : (n_members, 2) int64
        The repeat and fold of each.
    folds : (n_stars, n_repeats) float64
        The folds that training stars were held out in; NaN for others.
    """
    repeat, fold = places.T
    mine = (folds[:, repeat] == fold) | np.isnan(folds[:, :1])
    feh: Floats = np.where(mine, members, 0.0).sum(axis=1) / mine.sum(axis=1)
    return feh


def _spread(members: Floats) -> Floats:
    """Return the standard deviation of the members; NaN if there is only one."""
    if members.shape[1] == 1:
        return np.full(len(members), np.nan)
    spread: Floats = members.std(axis=1, ddof=1)
    return spread


def _calibrated(
    known: pd.DataFrame, calibrations: Sequence[Calibration], fold: Floats
) -> tuple[Floats, Floats]:
    """Return half the widths of the 68 and 95 % intervals, cross-fitted for training stars."""
    errors = np.full((2, len(known)), np.nan)
    numbers = _cross_fitted(fold)
    for number in np.unique(numbers):
        rows = numbers == number
        errors[:, rows] = calibrations[number].half_widths(known[rows])
    return errors[0], errors[1]


def _cross_fitted(fold: Floats) -> NDArray[np.int64]:
    """Return which of the fits a star gets: the first is to all stars, then one without a fold."""
    return np.where(np.isfinite(fold), fold + 1, 0).astype(np.int64)


def _baseline(table: pd.DataFrame, ensemble: Ensemble, fold: Floats) -> Floats:
    """Return the linear relation's values, cross-fitted for training stars as the network's are."""
    values = np.full(len(table), np.nan)
    mode = table["best_classification"].to_numpy()
    relation_number = _cross_fitted(fold)
    for name, relations in ensemble.card.baseline.items():
        for number, relation in enumerate(relations):
            rows = (mode == name) & (relation_number == number)
            values[rows] = relation.predict(table["period"][rows], table["phi31"][rows])
    return values


def _in_domain(table: pd.DataFrame, domains: dict[str, Domain]) -> NDArray[np.bool_]:
    """Return which stars are like those that the model was trained on."""
    inside = pd.Series(False, index=table.index)
    for mode, domain in domains.items():
        offset = pd.Series(offset_from(domain.phi31_centre, table["phi31"]), table.index)
        inside |= (
            table["period"].between(*domain.period)
            & offset.between(*domain.phi31_offset)
            & table["amplitude"].between(*domain.amplitude)
            & Selection((mode,), domain.select).is_selected(table)
        )
    return inside.to_numpy()
