"""Before training: labels where the tasks find them, and folds for every training star."""

import logging
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path

import numpy as np
import pandas as pd

from rrl_batch.contracts.training import CutCounts, StarCounts, total
from rrl_batch.errors import UserError
from rrl_batch.storage.commit import replacing
from rrl_batch.storage.manifest import Receipt
from rrl_batch.storage.remote import readable
from rrl_batch.training.fit import FOLDS_FILE, fold_column
from rrl_batch.training.folds import assign_folds
from rrl_batch.training.metrics import FEH_EDGES
from rrl_batch.training.shards import LABELS_FILE, read_table

log = logging.getLogger(__name__)


def store_labels(root: Path, labels: pd.DataFrame) -> None:
    """Put the labels into the folder of a training set."""
    with replacing(root / LABELS_FILE) as partial:
        labels[["source_id", "feh", "feh_error"]].to_parquet(partial, index=False)


def count_stars(receipts: list[Receipt], n_labels: int) -> StarCounts:
    """Count what has become of the labels in a training set.

    Parameters
    ----------
    receipts : list of Receipt
        Its shards.
    n_labels : int
        Number of labels that were asked for.

    Raises
    ------
    UserError
        If no label is of a star in the survey.
    """
    labelled = sum(receipt.counts["labelled"] for receipt in receipts)
    if labelled == 0:
        raise UserError(
            f"None of the {n_labels} labels is of a star in the survey; give labels and survey "
            f"with the identifiers ('source_id') of the same data release."
        )
    cuts = total([[CutCounts(**cut) for cut in receipt.summary["cuts"]] for receipt in receipts])
    trained_on = sum(receipt.rows for receipt in receipts)
    return StarCounts(n_labels, n_labels - labelled, cuts, trained_on)


def assign_training_folds(
    sets: Mapping[Path, list[Receipt]], labels: pd.DataFrame, n_folds: int, repeats: int, seed: int
) -> int:
    """Divide the stars that are in all of some training sets into folds, the same in each.

    Parameters
    ----------
    sets : mapping of pathlib.Path to list of Receipt
        Folders of the training sets, and their shards.
    labels : pandas.DataFrame
        The labels. With a column `fold` the folds are given, else they are drawn, stratified on
        [Fe/H].
    n_folds : int
        Number of folds to draw.
    repeats : int
        How often to divide; divisions that are given are the same each time.
    seed : int
        Seed of the shuffling.

    Returns
    -------
    int
        Number of folds.

    Raises
    ------
    UserError
        If no label is of a star in the survey, too few stars remain, all labels are alike, or
        folds that are given do not divide the stars.
    """
    counts = [count_stars(receipts, len(labels)) for receipts in sets.values()]
    if counts[0].not_in_survey:
        log.warning("%d labels are of stars that are not in the survey.", counts[0].not_in_survey)
    tables = (read_table(root, receipts)[["source_id", "feh"]] for root, receipts in sets.items())
    stars = reduce(lambda some, others: some.merge(others[["source_id"]], on="source_id"), tables)
    feh = stars["feh"].to_numpy(np.float64)
    try:
        if "fold" in labels:
            folds = [_given_folds(stars, labels)] * repeats
        else:
            folds = [assign_folds(feh, n_folds, seed + repeat) for repeat in range(repeats)]
    except UserError as error:
        raise UserError(f"{error} {counts[0].sentence()}") from None
    if np.ptp(feh) == 0:
        raise UserError(
            f"All {len(stars)} training stars have the same label, {feh[0]} dex; there is nothing "
            f"to learn from them: give labels that differ."
        )
    for division in folds[: 1 if "fold" in labels else None]:
        _warn_of_missing_tails(feh, division)
    table = stars[["source_id"]].assign(**{fold_column(i): f for i, f in enumerate(folds)})
    for root in sets:
        with replacing(root / FOLDS_FILE) as partial:
            table.to_parquet(partial, index=False)
    return int(folds[0].max()) + 1


def require_each_mode(root: Path, receipts: list[Receipt], modes: Sequence[str]) -> None:
    """Check that each pulsation mode has stars enough to train members of its own.

    Parameters
    ----------
    root : pathlib.Path
        Folder of a training set, with its folds.
    receipts : list of Receipt
        Its shards.
    modes : sequence of str
        The modes.

    Raises
    ------
    UserError
        If without some fold a mode has no more than a star.
    """
    stars = read_table(root, receipts).merge(
        pd.read_parquet(readable(root / FOLDS_FILE)), on="source_id"
    )
    for mode in modes:
        own = stars[stars["best_classification"] == mode]
        for column in own.columns[own.columns.str.startswith("fold_")]:
            most = own[column].value_counts().max() if len(own) else 0
            if len(own) - most < 2:
                raise UserError(
                    f"Of the training stars only {len(own)} are {mode}, too few for members of "
                    f"their own (model.by_mode): take {mode} out of training.modes, or let all "
                    f"modes share their members."
                )


def _given_folds(stars: pd.DataFrame, labels: pd.DataFrame) -> np.ndarray:
    """Return the folds that labels come with, numbered from 0."""
    given = stars[["source_id"]].merge(labels[["source_id", "fold"]], "left", "source_id")["fold"]
    if given.isna().any():
        star = stars["source_id"][given.isna().to_numpy()].iloc[0]
        raise UserError(f"Star {star} has a label but no fold; give each labelled star a fold.")
    folds = np.unique(given, return_inverse=True)[1].astype(np.int32)
    if folds.max(initial=0) == 0 or np.bincount(folds).min() < 2:
        raise UserError("Folds that are given must be two or more, of two stars or more each.")
    return folds


def _warn_of_missing_tails(feh: np.ndarray, folds: np.ndarray) -> None:
    """Say which folds have no star in a bin of [Fe/H] in which the others have."""
    counts = pd.crosstab(folds, np.digitize(feh, FEH_EDGES))
    for side, edge in ((0, FEH_EDGES[0]), (len(FEH_EDGES), FEH_EDGES[-1])):
        if side in counts and (counts[side] == 0).any():
            log.warning(
                "Folds %s have no star with [Fe/H] %s %g: what they say of that tail is nothing; "
                "use fewer folds, or draw them.",
                ", ".join(map(str, counts.index[counts[side] == 0])),
                ">" if side else "<",
                edge,
            )
