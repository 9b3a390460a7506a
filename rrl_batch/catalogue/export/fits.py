"""A catalogue as a FITS binary table.

References
----------
FITS Standard 4.0, Sect. 7.3. TUCDn and TCOMMn, for UCDs and descriptions, are the convention of
TOPCAT and STILTS.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from rrl_batch.catalogue.export.product import Product
from rrl_batch.catalogue.export.records import null_of, records
from rrl_batch.contracts import Column
from rrl_batch.storage.votable import flattened

if TYPE_CHECKING:
    from astropy.io.fits import Header

_CODES = {pa.int16(): "I", pa.int32(): "J", pa.int64(): "K", pa.float32(): "E", pa.float64(): "D"}


def write_fits(product: Product, path: Path) -> None:
    """Write a catalogue as FITS, a partition at a time."""
    from astropy.io.fits import StreamingHDU

    stream = StreamingHDU(path, _header(product))
    try:
        for rows in records(product, masked=False):
            stream.write(rows.view(np.uint8))
    finally:
        stream.close()


def _header(product: Product) -> "Header":
    from astropy.io.fits import BinTableHDU, ColDefs
    from astropy.io.fits import Column as FitsColumn

    columns = [
        FitsColumn(c.name, _code(c, product), null=null_of(c.type) if _needs_null(c) else None)
        for c in product.contract.columns
    ]
    header = BinTableHDU.from_columns(ColDefs(columns), nrows=0, name="CATALOGUE").header
    header["NAXIS2"] = product.rows
    for number, column in enumerate(product.contract.columns, start=1):
        if column.unit:
            header[f"TUNIT{number}"] = column.unit
        header[f"TUCD{number}"] = column.ucd
        header[f"TCOMM{number}"] = column.description
    about = product.provenance
    header["FEHSCALE"] = (dict(flattened(about))["scale"], "metallicity scale of feh")
    header["SYNTHET"] = (about["synthetic"], "simulated stars, not a measurement")
    for name, value in flattened(about):
        header.add_comment(f"{name} = {value}")
    return header


def _code(column: Column, product: Product) -> str:
    return _CODES.get(column.type) or f"{product.text_widths[column.name]}A"


def _needs_null(column: Column) -> bool:
    """Return whether a missing value needs a number that stands for it."""
    return column.nullable and pa.types.is_integer(column.type)
