"""Read tables of values that a catalogue is compared with, from spectra or of clusters."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa

from rrl_batch.contracts import LABELS, Column, Contract
from rrl_batch.errors import UserError, hint
from rrl_batch.sources.marks import without_marks
from rrl_batch.sources.tables import chosen_scale, read_table

_F64 = pa.float64()

_POSITION = (
    Column("ra", _F64, "deg", "pos.eq.ra", "Right ascension (ICRS)", required=False),
    Column("dec", _F64, "deg", "pos.eq.dec", "Declination (ICRS)", required=False),
)
_MOTION = (
    Column("pmra", _F64, "mas/yr", "pos.pm;pos.eq.ra",
           "Proper motion in right ascension, with cos(dec)", required=False),
    Column("pmdec", _F64, "mas/yr", "pos.pm;pos.eq.dec",
           "Proper motion in declination", required=False),
)  # fmt: skip

REFERENCE = Contract(
    "reference",
    (
        Column("source_id", pa.int64(), None, "meta.id", "Identifier of the star", required=False),
        *_POSITION,
        *_MOTION,
        Column("ref_epoch", _F64, "yr", "time.epoch", "Epoch of the position", required=False),
        *LABELS.select(["feh", "feh_error"]).columns,
        Column("scale", pa.string(), None, "meta.code", "Metallicity scale", required=False),
    ),
)  # fmt: skip

CLUSTERS = Contract(
    "cluster",
    (
        Column("name", pa.string(), None, "meta.id;meta.main", "Name", nullable=False),
        *(replace(column, required=True, nullable=False) for column in (*_POSITION, *_MOTION)),
        Column("radius", _F64, "deg", "phys.angSize", "Radius within which stars are members",
               nullable=False),
        Column("pm_radius", _F64, "mas/yr", "pos.pm",
               "Largest difference of a member from the proper motion", nullable=False),
        replace(LABELS.select(["feh"]).columns[0], nullable=False),
        Column("scale", pa.string(), None, "meta.code", "Metallicity scale", nullable=False),
    ),
)  # fmt: skip

MOTIONS = Contract(
    "proper motion",
    (
        Column("source_id", pa.int64(), None, "meta.id;meta.main", "Identifier", nullable=False),
        *(replace(column, required=True) for column in _MOTION),
        Column("pmra_error", _F64, "mas/yr", "stat.error;pos.pm;pos.eq.ra",
               "Standard error of pmra", required=False),
        Column("pmdec_error", _F64, "mas/yr", "stat.error;pos.pm;pos.eq.dec",
               "Standard error of pmdec", required=False),
    ),
)  # fmt: skip


def read_reference(path: Path, scale: str | None, columns: Mapping[str, str]) -> pd.DataFrame:
    """Read values to compare a catalogue with.

    Parameters
    ----------
    path : pathlib.Path
        Parquet, CSV, VOTable or ECSV file.
    scale : str or None
        Metallicity scale of the values, where the file does not say; or the one to take.
    columns : mapping of str to str
        The file's names of columns, by those of `REFERENCE`; others are called as there.

    Returns
    -------
    pandas.DataFrame
        Columns of `REFERENCE`; rows without a metallicity are left out.

    Raises
    ------
    UserError
        If the file cannot be read, has neither identifiers nor positions, or its scale is not
        known.
    """
    table = renamed(read_table(path), REFERENCE, columns, path)
    if "scale" not in table.column_names:
        if scale is None:
            raise UserError(
                f"{path} does not say on which metallicity scale its values are; name it with "
                f"--scale, or its column with --column scale=NAME."
            )
        table = table.append_column("scale", pa.array([scale] * table.num_rows, pa.string()))
    if "source_id" not in table.column_names and not {"ra", "dec"} <= set(table.column_names):
        raise UserError(
            f"{path} has neither a column 'source_id' nor 'ra' and 'dec'; name them with "
            f"--column source_id=NAME, or ra=NAME and dec=NAME. It has: "
            f"{', '.join(table.column_names)}."
        )
    known: pd.DataFrame = without_marks(REFERENCE.conform(table, str(path)), str(path)).to_pandas()
    if known.empty:
        raise UserError(f"{path}: no row has a metallicity in the column 'feh'.")
    known = known[known["scale"] == chosen_scale(known["scale"].dropna(), scale, path)]
    return known.reset_index(drop=True)


def refuse_impossible_positions(known: pd.DataFrame, path: Path) -> None:
    """Refuse marks for "no value" and other units, where stars are found by position.

    Parameters
    ----------
    known : pandas.DataFrame
        With `ra` and `dec`, in degrees; NaN where they are not known.
    path : pathlib.Path
        The file that they are from, for messages.

    Raises
    ------
    UserError
        If a position is none on the sky.
    """
    for name, lowest, highest in (("ra", -180, 360), ("dec", -90, 90)):
        impossible = known[name].notna() & ~known[name].between(lowest, highest)
        if impossible.any():
            raise UserError(
                f"{path}: column '{name}' has the value {known.loc[impossible, name].iloc[0]:g} "
                f"(and {impossible.sum()} in all that are not {lowest} to {highest} degrees); "
                f"correct it, or leave it empty."
            )


def renamed(
    table: pa.Table, contract: Contract, columns: Mapping[str, str], path: Path
) -> pa.Table:
    """Return a table with a contract's names of columns.

    Parameters
    ----------
    table : pyarrow.Table
        The table as it was read.
    contract : Contract
        Columns that it may have.
    columns : mapping of str to str
        The file's names, by those of the contract.
    path : pathlib.Path
        The file, for messages.

    Raises
    ------
    UserError
        If a name is not one of the contract's, or not in the file.
    """
    for ours, theirs in columns.items():
        if ours not in contract.names:
            raise UserError(
                f"--column {ours}=…: a {contract.table} table has no column '{ours}'; "
                f"{hint(ours, contract.names)}"
            )
        if theirs not in table.column_names:
            raise UserError(
                f"{path} has no column '{theirs}' for '{ours}'; it has: "
                f"{', '.join(table.column_names)}."
            )
    ours_of = {theirs: ours for ours, theirs in columns.items()}
    # a column that is called as one of ours, but is not it, has to give way
    names = table.column_names
    kept = [place for place, n in enumerate(names) if n in ours_of or n not in columns]
    return table.select(kept).rename_columns([ours_of.get(names[n], names[n]) for n in kept])


def read_clusters(path: Path) -> pd.DataFrame:
    """Read a list of globular clusters.

    Parameters
    ----------
    path : pathlib.Path
        Parquet, CSV, VOTable or ECSV file.

    Returns
    -------
    pandas.DataFrame
        Columns of `CLUSTERS`.

    Raises
    ------
    UserError
        If it cannot be read, or its columns do not fulfil the contract, or are on several scales.
    """
    known: pd.DataFrame = CLUSTERS.conform(read_table(path), str(path)).to_pandas()
    chosen_scale(known["scale"], None, path)
    return known


def read_motions(path: Path) -> pd.DataFrame:
    """Read proper motions of stars.

    Parameters
    ----------
    path : pathlib.Path
        Parquet, CSV, VOTable or ECSV file.

    Returns
    -------
    pandas.DataFrame
        Columns of `MOTIONS`, one row a star.

    Raises
    ------
    UserError
        If it cannot be read, its columns do not fulfil the contract, or a star occurs twice.
    """
    known: pd.DataFrame = MOTIONS.conform(read_table(path), str(path)).to_pandas()
    repeated = known.loc[known["source_id"].duplicated(), "source_id"]
    if not repeated.empty:
        raise UserError(f"{path}: star {repeated.iloc[0]} occurs in several rows; keep one.")
    return known
