"""Verify a catalogue: every file is what the manifest says, every star is there exactly once."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rrl_batch.contracts import CATALOGUE
from rrl_batch.contracts.flags import NO_METALLICITY
from rrl_batch.errors import UserError, first_line
from rrl_batch.storage.commit import checksum
from rrl_batch.storage.manifest import MANIFEST, Manifest, Receipt, strays
from rrl_batch.storage.remote import path_of, readable
from rrl_batch.storage.sky import DATASET, SIDE_FILES


@dataclass(frozen=True)
class Verification:
    """The outcome of a verification.

    Parameters
    ----------
    rows : int
        Rows found.
    partitions : int
        Partitions found.
    faults : list of str
        What is wrong, one sentence each; empty if nothing is.
    """

    rows: int
    partitions: int
    faults: list[str]


def read_manifest(root: Path) -> Manifest:
    """Read the manifest of a catalogue.

    Raises
    ------
    UserError
        If the folder holds no finished catalogue.
    """
    manifest = Manifest.read(root)
    if manifest.kind != "catalogue":
        raise UserError(f"{root} holds a {manifest.kind}, not a catalogue.")
    try:
        _ = manifest.provenance["survey"]["stars"]
    except (LookupError, TypeError):
        raise UserError(
            f"{root / MANIFEST} does not say of how many stars it is; make the catalogue again."
        ) from None
    return manifest


def read_catalogue(root: Path | str) -> pd.DataFrame:
    """Read all rows of a catalogue that its manifest names.

    Parameters
    ----------
    root : pathlib.Path or str
        Folder of the catalogue.

    Raises
    ------
    UserError
        If there is no finished catalogue, or a file of it cannot be read.
    """
    root = path_of(root)
    partitions = read_manifest(root).partitions
    tables = [read_partition(root, receipt, CATALOGUE.names) for receipt in partitions]
    return pa.concat_tables(tables).to_pandas()


def read_partition(root: Path, receipt: Receipt, columns: list[str]) -> pa.Table:
    """Read some columns of one partition of a catalogue.

    Raises
    ------
    UserError
        If its file cannot be read.
    """
    try:
        return pq.read_table(readable(root / receipt.path), columns=columns)
    except (pa.ArrowException, OSError) as error:
        reason = first_line(error)
        raise UserError(f"{root} is damaged ({reason}); run 'rrl-batch verify {root}'.") from None


def verify(root: Path) -> Verification:
    """Check rows, identifiers, checksums, schema and flags of a catalogue.

    Parameters
    ----------
    root : pathlib.Path
        Folder of the catalogue.

    Raises
    ------
    UserError
        If the folder holds no finished catalogue.
    """
    manifest = read_manifest(root)
    faults: list[str] = []
    seen = []
    for receipt in manifest.partitions:
        fault = _file_fault(root, receipt)
        if fault:
            faults.append(fault)
            continue
        table = pq.read_table(readable(root / receipt.path), columns=["source_id", "feh", "flags"])
        faults += _row_faults(table, receipt)
        seen.append(table["source_id"].to_numpy())
    ids = np.concatenate(seen) if seen else np.empty(0, np.int64)
    unique, times = np.unique(ids, return_counts=True)
    if len(unique) != len(ids):
        faults.append(f"{np.sum(times > 1)} stars have several rows, e.g. {unique[times > 1][0]}.")
    if not faults and len(ids) != manifest.rows:
        faults.append(f"There are {len(ids)} rows where the manifest says {manifest.rows}.")
    faults += _layout_faults(root, manifest)
    asked_for = manifest.provenance["survey"]["stars"]
    if not faults and len(ids) != asked_for:
        faults.append(f"There are {len(ids)} rows of the {asked_for} stars of the survey.")
    return Verification(len(ids), len(manifest.partitions), faults)


def _layout_faults(root: Path, manifest: Manifest) -> list[str]:
    """Return what readers that do not know the manifest would stumble over."""
    from hats.io.validation import is_valid_catalog

    faults = [
        f"{file.relative_to(root)} does not belong to the catalogue; the command that made it "
        f"removes the file when it is given again."
        for file in strays(root, manifest)
    ]
    side = [root / DATASET / name for name in SIDE_FILES]
    lost = [str(file.relative_to(root)) for file in side if not file.exists()]
    faults += [f"{name} is missing." for name in lost]
    if not faults and not is_valid_catalog(root):
        faults.append("The files that describe the HATS layout are missing or damaged.")
    return faults


def _file_fault(root: Path, receipt: Receipt) -> str | None:
    path = root / receipt.path
    if not path.exists():
        return f"{receipt.path} is missing."
    if checksum(path) != receipt.sha256:
        return f"{receipt.path} has changed since it was written: its checksum differs."
    schema = pq.read_schema(readable(path))
    for column in CATALOGUE.columns:
        if column.name not in schema.names or schema.field(column.name).type != column.type:
            return f"{receipt.path} has no column '{column.name}' of type {column.type}."
    return None


def _row_faults(table: pa.Table, receipt: Receipt) -> list[str]:
    faults = []
    if table.num_rows != receipt.rows:
        faults.append(f"{receipt.path} has {table.num_rows} rows, not {receipt.rows}.")
    without = table["feh"].is_null().to_numpy()
    said_why = (table["flags"].to_numpy() & np.int32(NO_METALLICITY)) != 0
    unexplained = table["source_id"].to_numpy()[without != said_why]
    if len(unexplained):
        faults.append(
            f"{receipt.path}: flags and 'feh' of {len(unexplained)} stars contradict each other, "
            f"e.g. of star {unexplained[0]}."
        )
    return faults
