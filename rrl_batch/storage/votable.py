"""The VOTable that describes a table: the head of a VOTable file, and the metadata of VOParquet.

References
----------
IVOA VOTable 1.4 (https://www.ivoa.net/documents/VOTable/); VOUnits 1.1, Sect. 2.3, by which a unit
that the standard does not name is quoted; IVOA Note "Parquet in the VO" (VOParquet) 1.0
(https://www.ivoa.net/documents/Notes/VOParquet/).
"""

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rrl_batch.contracts import Column, Contract

if TYPE_CHECKING:
    from astropy.io.votable.tree import VOTableFile

_DATATYPES = {
    pa.int16(): "short",
    pa.int32(): "int",
    pa.int64(): "long",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.string(): "char",
}


def describe(
    contract: Contract,
    provenance: Mapping[str, Any],
    widths: Mapping[str, int],
    rows: int | None = None,
) -> "VOTableFile":
    """Return a VOTable without rows that has every column's type, unit, UCD and description.

    Parameters
    ----------
    contract : Contract
        The columns.
    provenance : mapping
        Where the table comes from: `description`, and what else becomes an INFO each.
    widths : mapping of str to int
        Characters of each text column, as of `text_widths`.
    rows : int, optional
        Rows of the table.
    """
    from astropy.io.votable.tree import Field, Info, Resource, TableElement, VOTableFile

    document = VOTableFile(version="1.4")
    table = TableElement(document, name=contract.table, nrows=rows)
    table.description = printable(provenance["description"])
    for column in contract.columns:
        size = widths.get(column.name)
        field = Field(
            document, name=column.name, datatype=_DATATYPES[column.type], ucd=column.ucd,
            unit=_vounit(column), arraysize=str(size) if size else None,
        )  # fmt: skip
        field.description = column.description
        table.fields.append(field)
    infos = dict(flattened(provenance))
    table.infos.extend(Info(name=name, value=value) for name, value in infos.items())
    resource = Resource()
    resource.tables.append(table)
    document.resources.append(resource)
    return document


def to_text(document: "VOTableFile") -> str:
    """Return a VOTable as XML."""
    buffer = io.BytesIO()
    document.to_xml(buffer)
    return buffer.getvalue().decode()


def voparquet(
    contract: Contract, provenance: Mapping[str, Any], widths: Mapping[str, int]
) -> dict[str, str]:
    """Return the metadata of a Parquet file by which readers know units, UCDs and descriptions.

    Parameters
    ----------
    contract : Contract
        All columns of the file, in its order.
    provenance, widths : mapping
        Where the table comes from, and characters of its text columns, as of `describe`.
    """
    return {
        "IVOA.VOTable-Parquet.version": "1.0",
        "IVOA.VOTable-Parquet.content": to_text(describe(contract, provenance, widths)),
    }


def text_widths(contract: Contract, tables: Iterable[pa.Table]) -> dict[str, int]:
    """Return how many characters the longest text in each text column has, at least 1."""
    names = [column.name for column in contract.columns if pa.types.is_string(column.type)]
    widths = dict.fromkeys(names, 1)
    for table in tables:
        for name in names:
            words = table[name].unique().to_pylist()
            widths[name] = max(widths[name], *(len(to_ascii(word or "")) for word in words))
    return widths


def to_ascii(word: str) -> bytes:
    """Return text as FITS and VOTable's "char" have it: whatever is not ASCII is escaped."""
    return word.encode("ascii", "backslashreplace")


def flattened(provenance: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the provenance's dotted names and their values as printable text."""
    for name, value in provenance.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", printable(value)


def printable(value: Any) -> str:
    """Return a value as text that FITS and XML can hold: printable ASCII, whatever it contains."""
    text = json.dumps(value)
    return text[1:-1] if isinstance(value, str) else text


def _vounit(column: Column) -> Any:
    from astropy.units import Unit

    if column.unit is None:
        return None
    try:
        return Unit(column.unit, format="vounit")
    except ValueError:
        return Unit(f"'{column.unit}'", format="vounit")
