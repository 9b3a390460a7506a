"""Write a survey: the star table is cut along HEALPix, then each piece gets its light curves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.storage.commit import replacing
from rrl_batch.storage.manifest import ROWS_PER_GROUP, Manifest, Receipt, commit, finished
from rrl_batch.storage.remote import readable, remove_tree
from rrl_batch.storage.sky import (
    INDEX_COLUMN,
    SPATIAL_INDEX,
    Partition,
    Pixel,
    partition,
    with_positions,
    write_hats_metadata,
)

LightCurveSource = Callable[[pd.DataFrame, int], LightCurveBatch]
"""Gives the light curves of some stars; the number is that of their partition."""

STAGING = "staging"


def plan_partitions(
    stars: pd.DataFrame, max_rows: int = ROWS_PER_GROUP
) -> tuple[pd.DataFrame, list[Partition]]:
    """Sort a star table along the sky and cut it into partitions.

    Parameters
    ----------
    stars : pandas.DataFrame
        Star table; columns beyond the contract are kept for the source of the light curves.
    max_rows : int
        Most stars in a partition.

    Returns
    -------
    stars : pandas.DataFrame
        The table with its spatial index, sorted.
    partitions : list of Partition
        Consecutive rows of it.
    """
    stars = with_positions(stars)
    return stars, partition(stars[SPATIAL_INDEX].to_numpy(), max_rows)


def stage_stars(root: Path, stars: pd.DataFrame, partitions: list[Partition]) -> None:
    """Put each partition's stars where the task that writes it will read them.

    Raises
    ------
    RunError
        If they cannot be written.
    """
    folder = root / STAGING / "stars"
    for number, piece in enumerate(partitions):
        with replacing(folder / f"{number}.parquet") as partial:
            stars.iloc[piece.start : piece.stop].to_parquet(partial, index=False)


def write_partition(
    target: tuple[int, Pixel],
    root: Path,
    light_curves: LightCurveSource,
    fingerprint: str,
    description: str,
) -> Receipt:
    """Write one partition of a survey, unless it is there already.

    Parameters
    ----------
    target : tuple of int and Pixel
        Number of the partition in the plan, and its pixel.
    root : pathlib.Path
        Folder of the survey.
    light_curves : callable
        Source of the light curves.
    fingerprint : str
        Fingerprint of everything that the survey is made from.
    description : str
        What the survey is, in one line.
    """
    number, pixel = target
    path = pixel.file(fingerprint)
    receipt = finished(root, path, fingerprint)
    if receipt:
        return receipt
    stars = pd.read_parquet(readable(root / STAGING / "stars" / f"{number}.parquet"))
    batch = light_curves(stars, number)
    table = batch.to_arrow().add_column(0, INDEX_COLUMN.field, pa.array(stars[SPATIAL_INDEX]))
    counts = {"epochs": len(batch.time)}
    return commit(root, path, table, fingerprint, counts, {"description": description})


def finish_survey(
    root: Path,
    pixels: list[Pixel],
    receipts: list[Receipt],
    fingerprint: str,
    provenance: dict[str, Any],
) -> Manifest:
    """Write the HATS metadata and, last, the manifest; then remove what was staged."""
    rows = sum(receipt.rows for receipt in receipts)
    write_hats_metadata(root, pixels, fingerprint, rows, provenance["description"])
    manifest = Manifest("survey", rows, provenance, receipts)
    manifest.write(root)
    remove_tree(root / STAGING)
    return manifest
