"""Which files of a mirror of Gaia's epoch photometry hold the stars of a star table."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rrl_batch.errors import UserError

CHECKSUMS = "_MD5SUM.txt"

_NAME = re.compile(r"EpochPhotometry_(\d{6})-(\d{6})\.csv(?:\.gz)?")
_LEVEL = 8
_SHIFT = 59 - 2 * _LEVEL
"""A Gaia identifier holds its HEALPix index of level 8 above this many bits."""

_SHOWN = 5


@dataclass(frozen=True)
class BulkFile:
    """A file of a mirror.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    first, last : int
        The HEALPix indices of level 8 (nested) between which its sources lie.
    md5 : str or None
        Its checksum as the mirror states it.
    """

    path: Path
    first: int
    last: int
    md5: str | None

    @property
    def span(self) -> tuple[int, int]:
        """Lowest identifier that a source of it can have, and the lowest beyond."""
        return self.first << _SHIFT, (self.last + 1) << _SHIFT


def files_for(folder: Path, source_ids: NDArray[np.int64]) -> list[BulkFile]:
    """Return the files of a mirror that hold the sources of a star table.

    Parameters
    ----------
    folder : pathlib.Path
        The mirror, with files named as in the Gaia archive and, if it has one, `_MD5SUM.txt`.
    source_ids : (n_stars,) int64 ndarray
        Identifiers of the stars.

    Returns
    -------
    list of BulkFile
        Along the sky.

    Raises
    ------
    UserError
        If there are no such files, two hold the same part of the sky, or some are missing.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}.")
    md5 = _checksums(folder)
    found = [
        BulkFile(path, int(match[1]), int(match[2]), md5.get(path.name))
        for path in folder.iterdir()
        if (match := _NAME.fullmatch(path.name)) and path.is_file()
    ]
    if not found:
        raise UserError(
            f"{folder} holds no files EpochPhotometry_NNNNNN-NNNNNN.csv.gz; give the folder of "
            f"the archive's epoch_photometry."
        )
    files = sorted(found, key=lambda file: (file.first, file.last))
    for one, other in pairwise(files):
        if other.first <= one.last:
            raise UserError(
                f"{one.path} and {other.path.name} hold the same part of the sky; remove one."
            )
    cells = np.unique(source_ids >> _SHIFT)
    number = np.searchsorted([file.first for file in files], cells, side="right") - 1
    last = np.array([file.last for file in files])
    missing = cells[(number < 0) | (cells > last[number])]
    if len(missing):
        raise UserError(_missing(folder, files, missing, md5))
    return [files[i] for i in np.unique(number)]


def contents(files: Sequence[BulkFile]) -> list[list[str | None]]:
    """Return what files of a mirror hold, as far as it says so: their names and checksums."""
    return [[file.path.name, file.md5] for file in files]


def _checksums(folder: Path) -> dict[str, str]:
    """Return the MD5 of a mirror's files by name, where it states them."""
    path = folder / CHECKSUMS
    if not path.exists():
        return {}
    lines = [line.split() for line in path.read_text(errors="replace").splitlines()]
    # md5sum marks binary files with an asterisk
    md5 = {line[1].lstrip("*"): line[0].lower() for line in lines if len(line) == 2}
    if not any(map(_NAME.fullmatch, md5)):
        raise UserError(f"{path} lists no bulk files; get it again, or remove it.")
    return md5


def _missing(
    folder: Path, files: Sequence[BulkFile], cells: NDArray[np.int64], md5: dict[str, str]
) -> str:
    """Return the sentence that says which files a mirror lacks."""
    there = {file.path.name for file in files}
    listed = {
        name: (int(match[1]), int(match[2]))
        for name in md5
        if name not in there and (match := _NAME.fullmatch(name))
    }
    lacking = [
        name
        for name, (first, last) in sorted(listed.items())
        if ((cells >= first) & (cells <= last)).any()
    ]
    if not lacking:
        # the ranges between files that are there, as far as stars lie in them
        edges = [
            (-1, -1),
            *((file.first, file.last) for file in files),
            (12 << 2 * _LEVEL, 12 << 2 * _LEVEL),
        ]
        gaps = [(before[1] + 1, after[0] - 1) for before, after in pairwise(edges)]
        lacking = [
            f"{first:06d}-{last:06d}"
            for first, last in gaps
            if ((cells >= first) & (cells <= last)).any()
        ]
    shown = ", ".join(lacking[:_SHOWN]) + (", …" if len(lacking) > _SHOWN else "")
    what = "file" if listed else "range of HEALPix level 8"
    return (
        f"{folder} lacks the light curves of stars in {len(cells):,} HEALPix cells of level 8, in "
        f"{len(lacking)} {what}{'s' * (len(lacking) != 1)}: {shown}; get what is missing, or take "
        f"these stars out of the star table."
    )
