"""Before training: labels where the tasks find them, and a fold for every training star."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from rrl_batch.errors import UserError
from rrl_batch.storage.commit import replacing
from rrl_batch.storage.manifest import Receipt
from rrl_batch.training.fit import FOLDS_FILE
from rrl_batch.training.folds import assign_folds
from rrl_batch.training.shards import LABELS_FILE, read_shards

log = logging.getLogger(__name__)


def store_labels(root: Path, labels: pd.DataFrame) -> None:
    """Put the labels into the folder of the training set."""
    with replacing(root / LABELS_FILE) as partial:
        labels[["source_id", "feh", "feh_error"]].to_parquet(partial, index=False)


def assign_training_folds(
    root: Path, receipts: list[Receipt], n_labels: int, n_folds: int, seed: int
) -> dict[str, int]:
    """Give every star of the training set a fold, in the folder of the training set.

    Parameters
    ----------
    root : pathlib.Path
        Folder of the training set.
    receipts : list of Receipt
        Its shards.
    n_labels : int
        Number of labels that were asked for.
    n_folds : int
        Number of folds.
    seed : int
        Seed of the shuffling.

    Returns
    -------
    dict of str to int
        Stars counted: `labels`, `not_in_survey`, `other_mode`, `poor_curve`, `uncertain_label`
        and, what remains, `trained_on`.

    Raises
    ------
    UserError
        If no label is of a star in the survey, too few stars remain, or all labels are alike.
    """
    found = {key: sum(r.counts[key] for r in receipts) for key in receipts[0].counts}
    labelled = found.pop("labelled")
    stars = read_shards(root, receipts, sequences=False).table
    counts = {"labels": n_labels, "not_in_survey": n_labels - labelled, **found}
    counts["trained_on"] = len(stars)
    if labelled == 0:
        raise UserError(
            f"None of the {n_labels} labels is of a star in the survey; give labels and survey "
            f"with the identifiers ('source_id') of the same data release."
        )
    if counts["not_in_survey"]:
        log.warning("%d labels are of stars that are not in the survey.", counts["not_in_survey"])
    try:
        folds = assign_folds(stars["feh"].to_numpy(np.float64), n_folds, seed)
    except UserError as error:
        left_out = ", ".join(f"{n} {reason.replace('_', ' ')}" for reason, n in counts.items())
        raise UserError(f"{error} Of the labels: {left_out}.") from None
    if np.ptp(stars["feh"]) == 0:
        raise UserError(
            f"All {len(stars)} training stars have the same label, {stars['feh'].iloc[0]} dex; "
            f"there is nothing to learn from them: give labels that differ."
        )
    with replacing(root / FOLDS_FILE) as partial:
        stars[["source_id"]].assign(fold=folds).to_parquet(partial, index=False)
    return counts
