"""Export a catalogue as one file: FITS, VOTable, CSV or Parquet.

References
----------
FITS Standard 4.0, Sect. 7.3; IVOA VOTable 1.4 (https://www.ivoa.net/documents/VOTable/) and
VOUnits 1.1, Sect. 2.3, by which a unit that the standard does not name is quoted.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rrl_batch.catalogue.verify import read_catalogue, read_manifest
from rrl_batch.contracts import CATALOGUE, Column
from rrl_batch.errors import UserError
from rrl_batch.storage.commit import replacing

if TYPE_CHECKING:
    from astropy.table import MaskedColumn, Table

Provenance = dict[str, Any]


def export(catalogue: Path, target: Path) -> int:
    """Write all rows of a catalogue to one file, in place of what it held.

    Every value is kept bit for bit, with its unit, UCD and description where the format has a
    place for them. A missing number stays a null (NaN in FITS); a missing text is an empty one in
    FITS and VOTable.

    Parameters
    ----------
    catalogue : pathlib.Path
        Folder of the catalogue.
    target : pathlib.Path
        File to write; its ending says the format: .fits, .vot, .csv or .parquet. All but CSV
        hold the catalogue's provenance, too.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    UserError
        If the ending is another one, or there is no finished catalogue.
    RunError
        If the file cannot be written.
    """
    write = _WRITERS.get(target.suffix.lower())
    if write is None:
        raise UserError(
            f"{target} has the ending '{target.suffix}'; a catalogue is exported as one of: "
            f"{', '.join(_WRITERS)}."
        )
    provenance = read_manifest(catalogue).provenance
    rows = pa.Table.from_pandas(read_catalogue(catalogue), preserve_index=False)
    table = CATALOGUE.conform(rows, str(catalogue))
    with replacing(target) as partial:
        write(table, provenance, partial)
    return int(table.num_rows)


def _write_fits(table: pa.Table, provenance: Provenance, path: Path) -> None:
    from astropy.io import fits

    hdu = fits.table_to_hdu(_to_astropy(table))
    hdu.name = "CATALOGUE"
    for number, column in enumerate(CATALOGUE.columns, start=1):
        if column.unit:
            hdu.header[f"TUNIT{number}"] = column.unit
        hdu.header[f"TUCD{number}"] = column.ucd
        hdu.header[f"TCOMM{number}"] = column.description
    hdu.header["SYNTHET"] = (provenance["synthetic"], "simulated stars, not a measurement")
    for name, value in _flattened(provenance):
        hdu.header.add_comment(f"{name} = {value}")
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)


def _write_votable(table: pa.Table, provenance: Provenance, path: Path) -> None:
    from astropy.io.votable import from_table
    from astropy.io.votable.tree import Info

    rows = _to_astropy(table)
    for column in CATALOGUE.columns:
        rows[column.name].unit = _vounit(column)
        rows[column.name].description = column.description
        rows[column.name].meta["ucd"] = column.ucd
    document = from_table(rows)
    content = document.get_first_table()
    content.description = _text(provenance["description"])
    content.infos.extend(Info(name=name, value=value) for name, value in _flattened(provenance))
    document.to_xml(str(path), tabledata_format="binary2")


def _write_csv(table: pa.Table, _: Provenance, path: Path) -> None:
    table.to_pandas().to_csv(path, index=False)


def _write_parquet(table: pa.Table, provenance: Provenance, path: Path) -> None:
    about = {"provenance": json.dumps(provenance)}
    pq.write_table(table.replace_schema_metadata(about), path, compression="zstd")


_WRITERS: dict[str, Callable[[pa.Table, Provenance, Path], None]] = {
    ".fits": _write_fits,
    ".vot": _write_votable,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}


def _to_astropy(table: pa.Table) -> "Table":
    from astropy.table import Table

    return Table({name: _masked(table[name]) for name in table.column_names})


def _masked(array: pa.ChunkedArray) -> "MaskedColumn":
    from astropy.table import MaskedColumn

    mask = array.is_null().to_numpy()
    if pa.types.is_string(array.type):
        text = np.asarray(pc.fill_null(array, "").to_pylist(), np.str_)
        # character columns of FITS, and "char" of VOTable, are ASCII
        return MaskedColumn(np.char.encode(text, "ascii", "backslashreplace"), mask=mask)
    return MaskedColumn(array.to_numpy(), mask=mask)


def _vounit(column: Column) -> Any:
    from astropy.units import Unit

    if column.unit is None:
        return None
    try:
        return Unit(column.unit, format="vounit")
    except ValueError:
        return Unit(f"'{column.unit}'", format="vounit")


def _flattened(provenance: Provenance, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the provenance's dotted names and their values as text."""
    for name, value in provenance.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _text(value)


def _text(value: Any) -> str:
    """Return a value as text that FITS and XML can hold: printable ASCII, whatever it contains."""
    text = json.dumps(value)
    return text[1:-1] if isinstance(value, str) else text
