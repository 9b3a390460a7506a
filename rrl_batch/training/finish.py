"""Put fitted members together: out-of-fold predictions, baseline, domain, errors, model card."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import circmean

from rrl_batch.models.baseline import LinearBaseline, offset_from
from rrl_batch.models.folder import OUT_OF_FOLD, Domain, Member, ModelCard, Preprocess
from rrl_batch.storage.commit import checksum, replacing
from rrl_batch.training.fit import FittedMember, held_out_file, weights_file
from rrl_batch.training.metrics import scores
from rrl_batch.training.shards import Selection
from rrl_batch.training.weights import density_weights

ONE_SIGMA = 0.6827
"""Part of a normal distribution within one standard deviation."""

DOMAIN_QUANTILES = (0.005, 0.995)
"""Quantiles of the training stars beyond which a star lies outside their domain."""


def finish_model(
    model: Path,
    root: Path,
    stars: pd.DataFrame,
    members: list[FittedMember],
    selection: Selection,
    preprocess: dict[str, Any],
    **about: Any,
) -> ModelCard:
    """Write the out-of-fold predictions and the card of a model whose members are fitted.

    Parameters
    ----------
    model : pathlib.Path
        Folder of the model.
    root : pathlib.Path
        Folder of the training set.
    stars : pandas.DataFrame
        Table of the training set.
    members : list of FittedMember
        One a fold, in order.
    selection : Selection
        Limits of the training selection.
    preprocess : dict
        Settings of the light-curve preparation.
    **about
        What the card says beyond what is found out here: `architecture`, `scale`, `synthetic`,
        `training`, `made_from`.

    Returns
    -------
    ModelCard
        The card, as written.
    """
    held_out = pd.concat(
        [pd.read_parquet(root / held_out_file(m.fold)) for m in members], ignore_index=True
    )
    stars = stars.merge(held_out[["source_id", "fold", "predicted"]], on="source_id")
    baseline, stars["baseline"] = _cross_fitted_baseline(stars, len(members))
    stars["weight"] = density_weights(stars["feh"], stars["feh_error"])
    with replacing(model / OUT_OF_FOLD) as partial:
        stars.sort_values("source_id", ignore_index=True).to_parquet(partial, index=False)

    card = ModelCard(
        **about,
        out_of_fold=checksum(model / OUT_OF_FOLD),
        preprocess=Preprocess(**preprocess),
        modes=selection.modes,
        members=[
            Member(
                file=weights_file(m.fold),
                sha256=m.sha256,
                architecture=about["architecture"][0],
                fold=m.fold,
                epochs=m.epochs,
            )
            for m in members
        ],
        baseline=baseline,
        domain={
            str(mode): _domain(group, selection)
            for mode, group in stars.groupby("best_classification")
        },
        sigma=float(np.quantile((stars["predicted"] - stars["feh"]).abs(), ONE_SIGMA)),
        metrics={
            "network": scores(stars["feh"], stars["predicted"], stars["weight"]),
            "baseline": scores(stars["feh"], stars["baseline"], stars["weight"]),
            "network_on_training_folds": [m.training for m in members],
        },
    )
    card.write(model)
    return card


def _cross_fitted_baseline(
    stars: pd.DataFrame, n_folds: int
) -> tuple[dict[str, list[LinearBaseline]], pd.Series]:
    """Fit the baseline per mode to all stars and to each fold's training stars.

    Returns the relations, and for each star the value of the relation that has not seen it.
    """
    relations: dict[str, list[LinearBaseline]] = {}
    predicted = pd.Series(np.nan, index=stars.index)
    for mode, group in stars.groupby("best_classification"):
        relations[str(mode)] = [_fit_baseline(group)]
        for fold in range(n_folds):
            held_out = group["fold"] == fold
            relation = _fit_baseline(group[~held_out])
            relations[str(mode)].append(relation)
            rows = group.index[held_out]
            predicted[rows] = relation.predict(stars["period"][rows], stars["phi31"][rows])
    return relations, predicted


def _fit_baseline(stars: pd.DataFrame) -> LinearBaseline:
    return LinearBaseline.fit(stars["period"], stars["phi31"], stars["feh"])


def _domain(stars: pd.DataFrame, selection: Selection) -> Domain:
    centre = float(circmean(stars["phi31"]))
    offset = offset_from(centre, stars["phi31"])
    period, phi31, amplitude = (
        tuple(float(edge) for edge in np.quantile(values, DOMAIN_QUANTILES))
        for values in (stars["period"], offset, stars["amplitude"])
    )
    return Domain(
        period=period,
        phi31_offset=phi31,
        phi31_centre=centre,
        amplitude=amplitude,
        selection=vars(selection),
    )
