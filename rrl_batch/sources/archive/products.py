"""Read the light curves of a DataLink answer: a zip of VOTables, in either structure."""

import io
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import iterparse

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rrl_batch.sources.archive.call import FailedCallError, plainly
from rrl_batch.sources.archive.release import LightCurves, Names
from rrl_batch.sources.tables import to_arrow
from rrl_batch.sources.transits import BAND, PHOTOMETRY

_VOTABLES = (".xml", ".vot", ".xml.gz", ".vot.gz")
_NEEDED = ("source_id", "time", "mag")
_SHOWN = 2_000


@dataclass(frozen=True)
class Products:
    """What an answer holds of the stars that it was to hold.

    Parameters
    ----------
    transits : pyarrow.Table
        Their transits, in the layout of `PHOTOMETRY`.
    arrived : set of int
        Stars that are in it and can be read, with or without transits.
    unreadable : set of int
        Stars whose arrays differ in length, or hold no numbers.
    others : int
        Light curves that were not asked for, or came twice.
    """

    transits: pa.Table
    arrived: set[int]
    unreadable: set[int]
    others: int


def read_products(path: Path, wanted: Sequence[int], curves: LightCurves) -> Products:
    """Read the answer to a call.

    Parameters
    ----------
    path : pathlib.Path
        The zip.
    wanted : sequence of int
        Stars that were asked for.
    curves : LightCurves
        What the release calls its columns.

    Raises
    ------
    FailedCallError
        If it is no zip, is damaged, or lacks a column.
    """
    left, unreadable, tables, others = set(wanted), set[int](), [], 0
    for piece, stars, broken in _pieces(path, curves):
        own = left & stars
        others += len(stars) - len(own)
        left -= own
        unreadable |= own & broken
        keep = pa.array(sorted(own - broken), pa.int64())
        tables.append(piece.filter(pc.is_in(piece["source_id"], keep)))
    arrived = set(wanted) - left - unreadable
    return Products(_concatenated(tables), arrived, unreadable, others)


def _concatenated(tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables([PHOTOMETRY.schema.empty_table(), *tables])


Piece = tuple[pa.Table, set[int], set[int]]
"""Transits, the stars whose light curves these are, and those of them that cannot be read."""


def _pieces(path: Path, curves: LightCurves) -> Iterator[Piece]:
    with _explained(path), zipfile.ZipFile(path) as archive:
        members = [name for name in archive.namelist() if not name.endswith("/")]
        tables = [name for name in members if name.lower().endswith(_VOTABLES)]
        if members and not tables:
            raise FailedCallError(f"its zip holds no VOTable, but {', '.join(members[:3])}")
        for name in tables:
            yield _piece(archive.read(name), name, curves)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except zipfile.BadZipFile:
        start = path.read_bytes()[:_SHOWN]
        if start.startswith(b"PK"):
            raise FailedCallError("its zip is cut short or damaged") from None
        said = plainly(start.decode(errors="replace"))
        raise FailedCallError(f"no zip, but: {said or 'nothing'}") from None
    except FailedCallError:
        raise
    except Exception as error:  # whatever zlib, expat and astropy make of damaged content
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FailedCallError(f"its light curves cannot be read: {reason}") from None


def _piece(content: bytes, name: str, curves: LightCurves) -> Piece:
    """Return the transits of a VOTable, whichever structure it has."""
    fields = _field_names(content)
    arrays = _present(curves.arrays, fields)
    transits = _present(curves.transits, fields)
    by_star = "time" in arrays or ("time" not in transits and len(arrays) > len(transits))
    names, known = (curves.arrays, arrays) if by_star else (curves.transits, transits)
    for ours in _NEEDED:
        if ours not in known:
            raise FailedCallError(
                f"{name} has no column '{names[ours]}'; it has: {', '.join(fields)}. If the "
                f"archive has changed its names, give a file of the release with the new ones "
                f"(--release)"
            )
    table = _read(content, list(known.values()))
    return _by_star(table, known) if by_star else _by_transit(table, known)


def _field_names(content: bytes) -> list[str]:
    """Return the names of the columns of a VOTable, without reading its rows."""
    names = []
    # expat itself refuses entities that grow
    for _, element in iterparse(io.BytesIO(content), events=["start"]):  # noqa: S314
        tag = element.tag.rsplit("}", 1)[-1]
        if tag == "FIELD":
            names.append(element.get("name") or element.get("ID") or "")
        elif tag == "DATA":
            break
    return names


def _present(names: Names, fields: Sequence[str]) -> Names:
    """Return those of our columns that are there, by the names they have there, whatever case."""
    there = {field.lower(): field for field in fields}
    return {
        ours: there[theirs.lower()] for ours, theirs in names.items() if theirs.lower() in there
    }


def _read(content: bytes, columns: list[str]) -> Any:
    from astropy.io import votable
    from astropy.utils.exceptions import AstropyWarning

    with warnings.catch_warnings():
        # deviations from the standard that do not touch the values
        warnings.simplefilter("ignore", AstropyWarning)
        file = votable.parse(io.BytesIO(content), columns=columns)
        return file.get_first_table().to_table(use_names_over_ids=True)


def _by_transit(table: Any, known: Names) -> Piece:
    found = to_arrow(table)
    transits = PHOTOMETRY.conform(
        pa.table({ours: found[theirs] for ours, theirs in known.items()}), "the answer"
    )
    return transits, set(transits["source_id"].unique().to_pylist()), set()


def _by_star(table: Any, known: Names) -> Piece:
    """Take the arrays of each star apart."""
    source_id = np.asarray(table[known["source_id"]], np.int64)
    _, first = np.unique(source_id, return_index=True)
    arrays = {
        ours: [np.ma.atleast_1d(cell) for cell in table[theirs][first]]
        for ours, theirs in known.items()
        if ours != "source_id"
    }
    lengths = np.array([[len(cell) for cell in cells] for cells in arrays.values()])
    sound = (lengths == lengths[0]).all(axis=0)
    stars = source_id[first]
    columns: dict[str, Any] = {
        ours: _flat([cell for cell, is_sound in zip(cells, sound, strict=True) if is_sound])
        for ours, cells in arrays.items()
    }
    columns["source_id"] = np.repeat(stars[sound], lengths[0][sound])
    columns["band"] = pa.array([BAND] * len(columns["source_id"]), pa.string())
    # where the photometric processing has rejected a transit, the archive has no magnitude
    columns["rejected_by_photometry"] = pc.is_null(columns["mag"], nan_is_null=True)
    transits = PHOTOMETRY.conform(pa.table(columns), "the answer")
    return transits, set(source_id.tolist()), set(stars[~sound].tolist())


def _flat(cells: Sequence[NDArray[Any]]) -> pa.Array:
    if not cells:
        return pa.array([], pa.float64())
    values: Any = np.ma.concatenate(cells)  # type: ignore[no-untyped-call]
    return pa.array(np.ma.getdata(values), mask=np.ma.getmaskarray(values))
