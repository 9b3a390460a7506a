"""Read the tables that users bring: Parquet, CSV, VOTable and ECSV files of stars and labels."""

import difflib
import gzip
import json
import logging
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from rrl_batch.contracts import LABELS, STARS, Contract
from rrl_batch.contracts.labels import FOLD, RIVAL
from rrl_batch.errors import RunError, UserError, first_line
from rrl_batch.sources.claims import check_parquet, check_text
from rrl_batch.sources.marks import without_marks

if TYPE_CHECKING:
    from astropy.table import Table

Format = Literal["Parquet", "CSV", "VOTable", "ECSV"]

_FORMATS: dict[str, Format] = {
    ".parquet": "Parquet",
    ".csv": "CSV",
    ".csv.gz": "CSV",
    ".vot": "VOTable",
    ".vot.gz": "VOTable",
    ".votable": "VOTable",
    ".votable.gz": "VOTable",
    ".xml": "VOTable",
    ".xml.gz": "VOTable",
    ".ecsv": "ECSV",
    ".ecsv.gz": "ECSV",
}
SUFFIXES = tuple(_FORMATS)
"""Endings of the files that can be read."""

_NULLS = ["", "null", "NULL", "NaN", "nan", "--"]
_ROWS_PER_PIECE = 1 << 17
_BYTES_PER_PIECE = 1 << 23

_EXTRA = {"fold": FOLD, "rival": RIVAL}

_PERIODS = Contract(
    "star",
    tuple(
        replace(column, name=name, required=False)
        for column in STARS.select(["period"]).columns
        for name in ("pf", "p1_o")
    ),
)


def read_table(path: Path) -> pa.Table:
    """Read a whole table.

    Parameters
    ----------
    path : pathlib.Path
        Parquet, CSV, VOTable or ECSV file, the last three also compressed with gzip.

    Returns
    -------
    pyarrow.Table
        All its columns; a unit that the file states is in the field's metadata.

    Raises
    ------
    UserError
        If there is no such file, or it is of another kind, damaged or empty.
    """
    kind = _format(path)
    with _explained(path, kind):
        if kind == "Parquet":
            file = pq.ParquetFile(path)
            check_parquet(file)
            table = file.read()
        elif kind == "CSV":
            check_text(path, kind)
            table = pyarrow.csv.read_csv(path, convert_options=_csv_options())
        else:
            table = to_arrow(_read_astropy(path, kind))
        _ = table.column_names  # which need not be text
    if not table.num_rows:
        raise UserError(f"{path} is empty: it has columns but no rows.")
    return table


def read_pieces(path: Path, contract: Contract) -> Iterator[pa.Table]:
    """Read a table piece by piece, so that memory does not grow with its length.

    A VOTable or ECSV file comes as one piece.

    Parameters
    ----------
    path : pathlib.Path
        File, as of `read_table`.
    contract : Contract
        Columns to read.

    Yields
    ------
    pyarrow.Table
        Some rows: those of the contract's columns that the file has.

    Raises
    ------
    UserError
        If the file cannot be read, or its columns do not fulfil the contract.
    """
    kind = _format(path)
    with _explained(path, kind):
        if kind == "Parquet":
            # buffering ahead would end with the whole file in memory
            file = pq.ParquetFile(path, buffer_size=_BYTES_PER_PIECE, pre_buffer=False)
            columns = _available(file.schema_arrow, contract, path)
            batches = file.iter_batches(_ROWS_PER_PIECE, columns=columns)
        elif kind == "CSV":
            read = pyarrow.csv.ReadOptions(block_size=_BYTES_PER_PIECE)
            with pyarrow.csv.open_csv(path, convert_options=_csv_options(contract)) as header:
                columns = _available(header.schema, contract, path)
            # types are told, not guessed: the first block may show nulls only
            options = _csv_options(contract, columns)
            batches = pyarrow.csv.open_csv(path, read_options=read, convert_options=options)
        else:
            table = to_arrow(_read_astropy(path, kind))
            batches = table.select(_available(table.schema, contract, path)).to_batches()
        for batch in batches:
            yield pa.Table.from_batches([batch])


def read_stars(path: Path) -> pd.DataFrame:
    """Read a star table.

    A table of the Gaia archive, which has `pf` and `p1_o` instead of `period`, gets the
    first-overtone period for RRc and RRd and the fundamental one for the others.

    Parameters
    ----------
    path : pathlib.Path
        File, as of `read_table`. Stars may lack a position or a usable period.

    Returns
    -------
    pandas.DataFrame
        The columns of the star contract, one row a star.

    Raises
    ------
    UserError
        If the file cannot be read, its columns do not fulfil the contract, or a star occurs
        more than once.
    """
    table = read_table(path)
    if "period" not in table.column_names and {"pf", "p1_o"} & set(table.column_names):
        mode = STARS.select(["best_classification"]).conform(table, str(path))[0]
        overtone = pc.is_in(mode, pa.array(["RRc", "RRd"]))
        pf, p1_o = _PERIODS.conform(table, str(path)).columns
        table = table.append_column("period", pc.if_else(overtone, p1_o, pf))
    stars: pd.DataFrame = STARS.conform(table, str(path)).to_pandas()
    _refuse_duplicates(stars, path, "a star table has one row a star; remove the others.")
    impossible = ~(stars["ra"].between(0, 360) & stars["dec"].between(-90, 90))
    if impossible.any():
        logging.getLogger(__name__).warning(
            "%s: %d stars have no position, or an impossible one (the first: %d); the centre of "
            "the HEALPix cell that a Gaia identifier names is taken instead.",
            path, impossible.sum(), stars.loc[impossible, "source_id"].iloc[0],
        )  # fmt: skip
    return stars


def read_labels(
    path: Path | str, scale: str | None, *, fold: str | None = None, rival: str | None = None
) -> pd.DataFrame:
    """Read the metallicities of one scale.

    Parameters
    ----------
    path : pathlib.Path or str
        File, as of `read_table`. Rows without a metallicity are left out, as of
        `without_marks`.
    scale : str or None
        Metallicity scale to keep. Only a file that holds a single scale needs none; a file
        without the column `scale` is taken as being on this one.
    fold, rival : str, optional
        Columns to read as well: the fold of each star, and another work's predictions for it.

    Returns
    -------
    pandas.DataFrame
        `source_id`, `feh` and `feh_error` (dex, float64; NaN where unknown) and `scale`, one
        row a star; `fold` and `rival` (dex) if asked for. Its `attrs` have, as `calibrated`, the
        relations by which some labels came to the scale.

    Raises
    ------
    UserError
        If the file cannot be read, its columns do not fulfil the contract, the scale is not
        in it or not decided, a star is labelled twice, or no label is left.
    """
    path = Path(path)
    table = read_table(path)
    if "scale" not in table.column_names:
        if scale is None:
            raise UserError(
                f"{path} does not say on which metallicity scale its labels are: add a column "
                f"'scale', or name the scale in the option labels.scale or --scale."
            )
        table = table.append_column("scale", pa.array([scale] * table.num_rows, pa.string()))
    contract = LABELS
    for name, column in (("fold", fold), ("rival", rival)):
        if column is not None:
            contract = Contract("label", (*contract.columns, replace(_EXTRA[name], name=column)))
    labels: pd.DataFrame = without_marks(contract.conform(table, str(path)), str(path)).to_pandas()
    labels = labels.rename(columns={fold: "fold", rival: "rival"})
    if labels.empty:
        raise UserError(f"{path}: no label has a metallicity in the column 'feh'.")
    labels = labels[labels["scale"] == chosen_scale(labels["scale"], scale, path)]
    labels = labels.reset_index(drop=True)
    _refuse_duplicates(labels, path, "keep one label a star on each scale.")
    labels.attrs["calibrated"] = _calibrations(table, str(labels["scale"].iloc[0]))
    return labels


def _calibrations(table: pa.Table, scale: str) -> list[dict[str, Any]]:
    """Return by which relations labels came to a scale, as `rrl-batch ingest labels` notes it."""
    try:
        made_from = json.loads((table.schema.metadata or {})[b"made_from"])
        return [relation for relation in made_from["calibrated"] if relation["to"] == scale]
    except (LookupError, TypeError, ValueError):  # a file of somebody else's
        return []


def chosen_scale(scales: pd.Series, scale: str | None, path: Path) -> str:
    """Return the metallicity scale to take of a file.

    Parameters
    ----------
    scales : pandas.Series of str
        The scale of each row.
    scale : str or None
        The one that is asked for; the only one if none is.
    path : pathlib.Path
        The file, for messages.

    Raises
    ------
    UserError
        If the file does not have it, or has several and none was asked for.
    """
    counts = scales.value_counts()
    if counts.empty:
        raise UserError(f"{path}: no row names a metallicity scale in the column 'scale'.")
    listed = ", ".join(f"{name} ({count} stars)" for name, count in counts.items())
    if scale is None:
        if len(counts) > 1:
            raise UserError(
                f"{path} has labels on {len(counts)} metallicity scales, which must not be "
                f"mixed: {listed}; name one in the option labels.scale or --scale."
            )
        return str(counts.index[0])
    if scale not in counts.index:
        near = difflib.get_close_matches(scale, list(counts.index), n=1, cutoff=0)[0]
        raise UserError(
            f"{path} has no labels on the scale '{scale}'; did you mean '{near}'? It has: {listed}."
        )
    return scale


def _refuse_duplicates(rows: pd.DataFrame, path: Path, remedy: str) -> None:
    repeated = rows.loc[rows["source_id"].duplicated(keep=False), "source_id"]
    if not repeated.empty:
        star = repeated.iloc[0]
        raise UserError(
            f"{path}: star {star} occurs in {(repeated == star).sum()} rows of the column "
            f"'source_id' ({repeated.nunique()} such stars in all); {remedy}"
        )


def _format(path: Path) -> Format:
    if path.is_dir():
        raise UserError(f"{path} is a folder; give one file.")
    if not path.is_file():  # nor a device, which has no end
        raise UserError(f"There is no file {path}.")
    ending = next((s for s in SUFFIXES if path.name.lower().endswith(s)), None)
    if ending is None:
        raise UserError(
            f"{path} has the ending '{path.suffix}', which says nothing about its format; "
            f"tables end in one of: {', '.join(SUFFIXES)}."
        )
    kind = _FORMATS[ending]
    return "ECSV" if kind == "CSV" and _has_ecsv_header(path) else kind


def _has_ecsv_header(path: Path) -> bool:
    """Tell whether a .csv file is one of Gaia's bulk files, which are ECSV for all their name."""
    with (gzip.open if path.name.lower().endswith(".gz") else open)(path, "rb") as file:
        try:
            return file.read(7) == b"# %ECSV"
        except (OSError, EOFError, zlib.error):
            return False


@contextmanager
def _explained(path: Path, kind: Format) -> Iterator[None]:
    """Turn what a reader raises on a damaged file into a sentence for the user."""
    try:
        yield
    except (UserError, RunError):
        raise
    except Exception as error:  # what libraries raise of a damaged file has no bounds
        reason = first_line(error)
        if kind == "CSV":
            reason = re.sub(r"column #(\d+)", lambda number: _csv_column(path, number), reason)
        raise UserError(
            f"{path} cannot be read as {kind} ({reason}); it may be cut short or of another "
            f"format: get it again or correct it."
        ) from None


def _csv_column(path: Path, number: re.Match[str]) -> str:
    """Return the name of the column of which the reader gives the number."""
    try:
        header = pd.read_csv(path, nrows=0, encoding_errors="replace")
        return f"column '{header.columns[int(number[1])]}'"
    except (ValueError, IndexError):
        return number[0]


def _available(schema: pa.Schema, contract: Contract, path: Path) -> list[str]:
    """Return which of the contract's columns a file has; refuse one that lacks a required one."""
    contract.conform(schema.empty_table(), str(path))
    return [name for name in contract.names if name in schema.names]


def _csv_options(
    contract: Contract | None = None, columns: list[str] | None = None
) -> pyarrow.csv.ConvertOptions:
    return pyarrow.csv.ConvertOptions(
        null_values=_NULLS,
        strings_can_be_null=True,
        true_values=["true", "True", "TRUE", "T", "t", "1"],
        false_values=["false", "False", "FALSE", "F", "f", "0"],
        column_types=contract.schema if contract else None,
        include_columns=columns,
    )


def _read_astropy(path: Path, kind: Literal["VOTable", "ECSV"]) -> "Table":
    from astropy.table import Table
    from astropy.utils.exceptions import AstropyWarning

    check_text(path, kind)
    with warnings.catch_warnings():
        # deviations from the standards that do not touch the values, frequent in real files
        warnings.simplefilter("ignore", AstropyWarning)
        if kind == "VOTable":
            return Table.read(path, format="votable")
        return Table.read(path, format="ascii.ecsv", fill_values=[(null, "0") for null in _NULLS])


def to_arrow(table: "Table") -> pa.Table:
    """Return the columns of one value a row; masked values become null, bytes become text.

    Parameters
    ----------
    table : astropy.table.Table
        The table.

    Returns
    -------
    pyarrow.Table
        Its columns; the unit of each is in the field's metadata.
    """
    table.convert_bytestring_to_unicode()
    arrays, fields = [], []
    for column in table.itercols():
        if column.ndim > 1:
            continue
        array = pa.array(np.asarray(column), mask=getattr(column, "mask", None))
        metadata = {"unit": str(column.unit)} if column.unit else None
        arrays.append(array)
        fields.append(pa.field(column.name, array.type, metadata=metadata))
    return pa.table(arrays, schema=pa.schema(fields))
