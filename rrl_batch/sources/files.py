"""Light curves from local files: long tables of transits, as Gaia's DataLink service gives them."""

import shutil
from pathlib import Path

import pandas as pd

from rrl_batch.errors import UserError
from rrl_batch.sources.tables import SUFFIXES, read_pieces
from rrl_batch.sources.transits import (
    BAND,
    PHOTOMETRY,
    Sorter,
    TransitCounts,
    partition_of_star,
    write_staged,
)
from rrl_batch.storage.sky import Partition


def stage_transits(
    photometry: Path, stars: pd.DataFrame, partitions: list[Partition], folder: Path
) -> TransitCounts:
    """Deal out the accepted G transits to the partitions of the survey.

    Transits are left out if they are in another band, of a star that is not in the star table,
    rejected by Gaia, or without both time and magnitude. One that lacks only one of the two, or
    has an impossible error, stays: cleaning will reject it and flag its star.

    Parameters
    ----------
    photometry : pathlib.Path
        A table in the DataLink layout INDIVIDUAL (the columns of `PHOTOMETRY`), or a folder
        of such tables; other files in the folder are passed over.
    stars : pandas.DataFrame
        Star table, in the order of the survey.
    partitions : list of Partition
        Consecutive rows of it.
    folder : pathlib.Path
        Where the transits are put; what is there is replaced.

    Returns
    -------
    TransitCounts
        What became of the transits.

    Raises
    ------
    UserError
        If a file cannot be read or lacks columns, or no transit is of use.
    RunError
        If the transits cannot be written.
    """
    files = _photometry_files(photometry)
    if folder.exists():
        shutil.rmtree(folder)
    sorter = Sorter(pd.Index(stars["source_id"]), partition_of_star(partitions))
    batches = (
        batch
        for file in files
        for piece in read_pieces(file, PHOTOMETRY)
        for batch in sorter.accept(piece, str(file))
    )
    write_staged(batches, folder, len(partitions))
    counts = sorter.result()
    _refuse_useless(photometry, counts, sorter.bands)
    return counts


def _refuse_useless(photometry: Path, counts: TransitCounts, bands: set[str]) -> None:
    """Refuse photometry of which no transit can be used, most likely the wrong file."""
    if not counts.read:
        raise UserError(f"{photometry} is empty: it has no transits.")
    if counts.read == counts.other_bands:
        raise UserError(
            f"{photometry} has no transit in the band '{BAND}' (column 'band' holds "
            f"{', '.join(sorted(bands))}); give Gaia photometry, or leave the column out "
            f"where all of it is G."
        )
    if counts.read == counts.other_bands + counts.unknown_star:
        raise UserError(
            f"No transit of {photometry} is of a star in the star table (its first: "
            f"{counts.unknown_examples[0]}); give the star table that belongs to it, with the "
            f"identifiers in 'source_id' of the same data release."
        )


def _photometry_files(photometry: Path) -> list[Path]:
    if not photometry.is_dir():
        return [photometry]
    files = sorted(
        path
        for path in photometry.rglob("*")
        if path.name.lower().endswith(SUFFIXES) and not path.name.startswith(("_", "."))
    )
    if not files:
        raise UserError(
            f"The folder {photometry} holds no photometry; the files of it end in one of: "
            f"{', '.join(SUFFIXES)}."
        )
    return files
