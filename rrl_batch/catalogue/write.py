"""Write the catalogue, a file a partition of the survey, and what makes it whole."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from rrl_batch import __version__
from rrl_batch.contracts import CATALOGUE, Contract, Flag
from rrl_batch.contracts.histogram import feh_histogram
from rrl_batch.contracts.scales import Scales
from rrl_batch.errors import RunError
from rrl_batch.models.folder import ModelCard
from rrl_batch.storage.commit import fingerprint
from rrl_batch.storage.manifest import Manifest, Receipt, commit, finished
from rrl_batch.storage.sky import (
    INDEX_COLUMN,
    SPATIAL_INDEX,
    Pixel,
    with_positions,
    write_hats_metadata,
)
from rrl_batch.storage.votable import text_widths, voparquet
from rrl_batch.survey.read import Survey, SurveyPartition

FILES = Contract(CATALOGUE.table, (INDEX_COLUMN, *CATALOGUE.columns))
"""The columns of the catalogue's files."""


def write_partition(
    rows: Iterable[pd.DataFrame],
    target: SurveyPartition,
    root: Path,
    model: str,
    mark: str,
    about: Mapping[str, Any],
) -> Receipt:
    """Write the catalogue's rows of one partition of the survey, unless they are there already.

    Parameters
    ----------
    rows : iterable of pandas.DataFrame
        Columns of the catalogue contract, a frame a batch of stars.
    target : SurveyPartition
        The partition that they come from.
    root : pathlib.Path
        Folder of the catalogue.
    model : str
        Fingerprint of the model.
    mark : str
        Fingerprint of everything that the catalogue is made from.
    about : mapping
        What the catalogue is, as of `describe`.

    Returns
    -------
    Receipt
        Its counts are of stars: `predicted`, and one per flag; its summary has `feh_mean`, in
        dex, and `feh_histogram`, where stars have a metallicity.

    Raises
    ------
    RunError
        If a star was lost on the way.
    """
    path, own_mark = target.pixel.file(mark), partition_mark(target, model)
    receipt = finished(root, path, own_mark)
    if receipt:
        return receipt  # the rows are lazy: nothing has been read for them
    table = with_positions(pd.concat(rows, ignore_index=True))
    if len(table) != target.rows:
        raise RunError(
            f"{len(table)} rows came of the {target.rows} stars of {target.pixel.path}; nothing "
            f"was written for them."
        )
    arrow = CATALOGUE.conform(pa.Table.from_pandas(table, preserve_index=False), "catalogue")
    arrow = arrow.add_column(0, INDEX_COLUMN.field, pa.array(table[SPATIAL_INDEX]))
    described = voparquet(FILES, about, text_widths(FILES, [arrow]))
    metadata = {"description": about["description"], **described}
    return commit(root, path, arrow, own_mark, _counts(table), metadata, _summary(table))


def partition_mark(target: SurveyPartition, model: str) -> str:
    """Return the fingerprint of all that the rows of one partition are made from."""
    return fingerprint(target.fingerprint, model, __version__)


def describe(survey: Survey, card: ModelCard) -> dict[str, Any]:
    """Return what a catalogue is: `description` in one line, `synthetic`, its scale."""
    synthetic = survey.synthetic or card.synthetic
    kind = "SYNTHETIC, not a measurement: " if synthetic else ""
    description = (
        f"{kind}[Fe/H] of RR Lyrae stars from their light curves ({' + '.join(card.architecture)} "
        f"ensemble, scale {card.scale}), rrl_batch {__version__}"
    )
    return {
        "description": description,
        "synthetic": synthetic,
        "scale": card.scale,
        "scale_reference": Scales.read().scales.get(card.scale),
    }


def provenance(
    survey: Survey,
    model: Path,
    card: ModelCard,
    engines: dict[str, str],
    made_from: dict[str, Any],
) -> dict[str, Any]:
    """Return where a catalogue comes from, and what evaluated the model, for its manifest."""
    return {
        **describe(survey, card),
        "survey": {"path": str(survey.path), "stars": survey.rows, **survey.provenance},
        "model": {
            "path": str(model),
            "architecture": " + ".join(card.architecture),
            "members": len(card.combined),
            "engines": engines,
            "preprocess": card.preprocess.model_dump(),
            "out_of_fold": card.metrics["network"],
            "baseline_out_of_fold": card.metrics["baseline"],
            "training": card.training,
            "made_from": card.made_from,
            "stars": card.model_dump(mode="json", include={"stars"})["stars"],
        },
        "made_from": made_from,
    }


def finish_catalogue(
    root: Path,
    pixels: list[Pixel],
    receipts: list[Receipt],
    mark: str,
    provenance: dict[str, Any],
) -> Manifest:
    """Write the HATS metadata and the manifest, last."""
    rows = sum(receipt.rows for receipt in receipts)
    write_hats_metadata(root, pixels, mark, rows, provenance["description"])
    manifest = Manifest("catalogue", rows, provenance, receipts)
    manifest.write(root)
    return manifest


def _counts(table: pd.DataFrame) -> dict[str, int]:
    flags = table["flags"].to_numpy(np.int32)
    counts = {str(flag.name): int(np.count_nonzero(flags & np.int32(flag))) for flag in Flag}
    return {"predicted": int(table["feh"].notna().sum())} | counts


def _summary(table: pd.DataFrame) -> dict[str, Any]:
    feh = table["feh"].dropna()
    if feh.empty:
        return {}
    mean = round(float(feh.astype(np.float64).mean()), 4)
    return {"feh_mean": mean, "feh_histogram": feh_histogram(feh)}
