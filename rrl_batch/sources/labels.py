"""Make a table of labels: from a published table in VizieR, or from a file of the user's."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rrl_batch import __version__
from rrl_batch.contracts import LABELS, Contract
from rrl_batch.contracts.labels import FOLD, RIVAL
from rrl_batch.errors import UserError, hint
from rrl_batch.sources.marks import without_marks
from rrl_batch.sources.tables import read_table
from rrl_batch.sources.vizier.published import Published, PublishedTable
from rrl_batch.sources.vizier.query import vizier_tables
from rrl_batch.storage.commit import checksum, replacing

KNOWN = (*LABELS.names, FOLD.name, RIVAL.name)
"""What a column may be named as."""

_PREFIX = r"^\s*(Gaia\s+E?DR\d\s+)?"

_DEX = ("[Sun]", "[sun]", "[-]", "dex(1)", "dex")
"""Units of a logarithm of abundance."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MadeLabels:
    """A table of labels, and where it comes from.

    Parameters
    ----------
    table : pyarrow.Table
        Columns of the label contract, and `fold` and `rival` if they were named.
    made_from : dict
        Where it comes from.
    """

    table: pa.Table
    made_from: dict[str, Any]

    @property
    def summary(self) -> str:
        """How many stars have labels on which scale, in words."""
        counts = sorted(self.table["scale"].value_counts().to_pylist(), key=lambda c: c["values"])
        scales = " and ".join(f"{c['counts']:,} on the scale '{c['values']}'" for c in counts)
        return f"{self.table.num_rows:,} labels, {scales}"

    def write(self, path: Path) -> None:
        """Write them as Parquet; where they come from is in the metadata of the file.

        Raises
        ------
        RunError
            If the file cannot be written.
        """
        about = {"description": f"[Fe/H] of RR Lyrae stars: {self.summary}",
                 "made_from": json.dumps(self.made_from, ensure_ascii=False)}  # fmt: skip
        with replacing(path) as partial:
            pq.write_table(self.table.replace_schema_metadata(about), partial)


def from_file(path: Path, scale: str | None, columns: Mapping[str, str]) -> MadeLabels:
    """Make labels of a file.

    Parameters
    ----------
    path : pathlib.Path
        Parquet, CSV, VOTable or ECSV file.
    scale : str or None
        Metallicity scale of the labels, if the file does not say; or the one to take, if it does.
    columns : mapping of str to str
        The file's names of columns, by ours; others are called as in the contract.

    Raises
    ------
    UserError
        If the file cannot be read, a column is missing or not what it should be, the scale is not
        known, or a star has two labels on a scale.
    """
    table = _renamed(read_table(path), {name: (name,) for name in LABELS.names}, columns, str(path))
    if "scale" not in table.column_names:
        if scale is None:
            raise UserError(
                f"{path} does not say on which metallicity scale its labels are; name it with "
                f"--scale, or its column with --column scale=NAME."
            )
        table = _with_scale(table, scale)
    elif scale is not None:
        scales = LABELS.select(["scale"]).conform(table, str(path))["scale"]
        if scale not in scales.unique().to_pylist():
            known = ", ".join(sorted(scales.unique().to_pylist()))
            raise UserError(f"{path} has no labels on the scale '{scale}'; it has: {known}.")
        table = table.filter(pc.equal(scales, scale))
    made_from = {"file": path.name, "sha256": checksum(path), "columns": dict(columns)}
    return _made(table, made_from, str(path))


def from_vizier(name: str, published: Published, columns: Mapping[str, str]) -> MadeLabels:
    """Make labels of a published table.

    Parameters
    ----------
    name : str
        Name of the table among those published.
    published : Published
        The tables that are known.
    columns : mapping of str to str
        VizieR's names of columns, by ours, where they are not those of `published`.

    Raises
    ------
    UserError
        If the table is not known, VizieR does not have it, or its columns are others.
    RunError
        If VizieR does not answer.
    """
    about = published.find(name)
    found = vizier_tables(about.table, published.server, published.silence)
    expected = {column: tuple(names) for column, names in about.columns.model_dump().items()}
    where, table = _the_one(found, expected, columns, about)
    made_from = {
        "server": published.server, "table": where, "reference": about.reference,
        "release": about.release, "columns": dict(columns),
    }  # fmt: skip
    return _made(_with_scale(table, about.scale), made_from, f"{where} of {published.server}")


def _the_one(
    found: Mapping[str, pa.Table],
    expected: Mapping[str, Sequence[str]],
    columns: Mapping[str, str],
    about: PublishedTable,
) -> tuple[str, pa.Table]:
    """Return the one table of a catalogue that has labels, with our names of columns."""
    fitting, refusals = {}, []
    for name, table in found.items():
        try:
            fitting[name] = _renamed(table, expected, columns, name)
        except UserError as error:
            refusals.append(str(error))
    if not fitting:
        raise UserError(" ".join(refusals))
    if len(fitting) > 1:
        raise UserError(
            f"{len(fitting)} tables of {about.table} have labels: {', '.join(fitting)}; name the "
            f"right one as 'table' in a file given with --published."
        )
    return fitting.popitem()


def _renamed(
    table: pa.Table,
    expected: Mapping[str, Sequence[str]],
    columns: Mapping[str, str],
    where: str,
) -> pa.Table:
    """Return the columns that labels have, under our names."""
    for name in columns:
        if name not in KNOWN:
            raise UserError(f"--column {name}=…: labels have no column '{name}'; "
                            f"{hint(name, KNOWN)}")  # fmt: skip
    chosen: dict[str, str] = {}
    for name in {**expected, **columns}:
        names = (columns[name],) if name in columns else expected[name]
        there = next((other for other in names if other in table.column_names), None)
        needed = name in columns or name in ("source_id", "feh")
        if there is None and needed:
            raise UserError(
                f"{where} has no column {' or '.join(map(repr, names))} for '{name}'; it has: "
                f"{', '.join(table.column_names)}. Name the right one with --column {name}=NAME."
            )
        if there is None:
            continue
        if (count := table.column_names.count(there)) > 1:
            raise UserError(f"{where} has {count} columns named '{there}'; keep one of them.")
        chosen[name] = there
    fields = [_in_dex(table.schema.field(other)).with_name(name) for name, other in chosen.items()]
    return pa.table([table[other] for other in chosen.values()], schema=pa.schema(fields))


def _in_dex(field: pa.Field) -> pa.Field:
    """Return a column without its unit, if that is one of the CDS' ways to write dex."""
    unit = (field.metadata or {}).get(b"unit", b"").decode()
    return field.remove_metadata() if unit in _DEX else field


def _with_scale(table: pa.Table, scale: str) -> pa.Table:
    return table.append_column("scale", pa.array([scale] * table.num_rows, pa.string()))


def _made(table: pa.Table, made_from: dict[str, Any], where: str) -> MadeLabels:
    """Check labels, and leave out rows without an identifier or a metallicity."""
    place = table.column_names.index("source_id")
    if pa.types.is_string(table["source_id"].type):  # as in "Gaia DR3 4295806720"
        numbers = pc.replace_substring_regex(table["source_id"], _PREFIX, "")
        known = pc.if_else(pc.equal(numbers, ""), None, numbers)
        table = table.set_column(place, "source_id", known)
    if unnamed := table["source_id"].null_count:
        log.warning("%s: %d rows without an identifier are left out.", where, unnamed)
        table = table.filter(pc.is_valid(table["source_id"]))
    extra = [column for column in (FOLD, RIVAL) if column.name in table.column_names]
    labels = Contract("label", (*LABELS.columns, *extra)).conform(table, where)
    labels = without_marks(labels, where)
    if not labels.num_rows:
        raise UserError(f"{where} has no star with both an identifier and a metallicity.")
    _refuse_duplicates(labels, where)
    return MadeLabels(labels, made_from | {"code_version": __version__})


def _refuse_duplicates(labels: pa.Table, where: str) -> None:
    counts = labels.group_by(["source_id", "scale"]).aggregate([([], "count_all")])
    repeated = counts.filter(pc.greater(counts["count_all"], 1))
    if repeated.num_rows:
        raise UserError(
            f"{where}: star {repeated['source_id'][0]} has {repeated['count_all'][0]} labels on "
            f"the scale '{repeated['scale'][0]}' ({repeated.num_rows} such stars in all); keep one "
            f"label a star on each scale."
        )
