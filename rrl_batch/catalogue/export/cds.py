"""A catalogue as the CDS takes it: a file of fixed columns, and a ReadMe that describes each byte.

References
----------
Standard Description for Astronomical Catalogues, Version 2.0,
https://cds.unistra.fr/doc/catstd.htx
"""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from rrl_batch.catalogue.export.product import Product
from rrl_batch.contracts import Column, Flag
from rrl_batch.contracts.flags import DESCRIPTIONS
from rrl_batch.storage.votable import flattened, printable, to_ascii

DATA = "catalog.dat"
README = "ReadMe"

_LINE = 80
_RULE = "-" * _LINE
_DOUBLE_RULE = "=" * _LINE
_UNITS = {None: "---", "dex": "[-]"}
"""How the CDS writes what it calls otherwise; a logarithm's unit is in brackets."""

_HARD_SPACE = "\xa0"
_WRITTEN_WITHOUT_POINT = r"^-?\d+$"


class _Field(NamedTuple):
    """Where a column is in a line.

    Parameters
    ----------
    column : Column
        The column.
    start, width : int
        First byte, counted from 1, and number of bytes.
    code : str
        Its Fortran format.
    has_null : bool
        Whether a value is missing somewhere.
    """

    column: Column
    start: int
    width: int
    code: str
    has_null: bool


def write_cds(product: Product, root: Path) -> None:
    """Write a catalogue as `catalog.dat` and `ReadMe`, a partition at a time."""
    fields = _fields(product)
    with (root / DATA).open("w", encoding="ascii", newline="\n") as file:
        for piece in product.pieces():
            padded = [_padded(_text(piece.table[f.column.name]), f.width, f.column) for f in fields]
            lines = pc.binary_join_element_wise(*padded, " ")
            file.writelines(f"{line}\n" for line in lines.to_pylist())
    readme = "\n".join(_readme(product, fields)) + "\n"
    (root / README).write_text(readme, encoding="ascii")


def _fields(product: Product) -> list[_Field]:
    """Return where columns are in a line, which depends on the longest value of each."""
    columns = product.contract.columns
    widths, decimals = dict.fromkeys(columns, 1), dict.fromkeys(columns, 1)
    exponents, nulls = set(), set()
    for piece in product.pieces():
        for column in columns:
            values = piece.table[column.name]
            words = _text(values)
            widths[column] = max(widths[column], pc.max(pc.utf8_length(words)).as_py() or 1)
            if values.null_count:
                nulls.add(column)
            if pa.types.is_floating(column.type):
                if pc.any(pc.match_substring(words, "e")).as_py():
                    exponents.add(column)
                after = pc.utf8_length(pc.replace_substring_regex(words, r"^[^.]*\.?|e.*$", ""))
                decimals[column] = max(decimals[column], pc.max(after).as_py() or 1)
    fields, start = [], 1
    for column in columns:
        code = f"{_letter(column, exponents)}{widths[column]}"
        if pa.types.is_floating(column.type):
            code += f".{decimals[column]}"
        fields.append(_Field(column, start, widths[column], code, column in nulls))
        start += widths[column] + 1
    return fields


def _letter(column: Column, exponents: set[Column]) -> str:
    if pa.types.is_string(column.type):
        return "A"
    if pa.types.is_integer(column.type):
        return "I"
    return "E" if column in exponents else "F"


def _text(array: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return values with all digits that it takes to read them again, as ASCII."""
    if pa.types.is_string(array.type):
        words = [to_ascii(word or "").decode() for word in array.to_pylist()]
        return pa.chunked_array([pa.array(words, pa.string())])
    words = array.cast(pa.string())
    if pa.types.is_floating(array.type):
        # Fortran would put the decimal point where the format has it
        whole = pc.match_substring_regex(words, _WRITTEN_WITHOUT_POINT)
        words = pc.if_else(whole, pc.binary_join_element_wise(words, "0", "."), words)
    return pc.fill_null(words, "")


def _padded(words: pa.ChunkedArray, width: int, column: Column) -> pa.ChunkedArray:
    pad = pc.utf8_rpad if pa.types.is_string(column.type) else pc.utf8_lpad
    return pad(words, width)


def _readme(product: Product, fields: list[_Field]) -> Iterator[str]:
    about = dict(flattened(product.provenance))
    width = fields[-1].start + fields[-1].width - 1
    yield f"{'[designation]':<40}{'[Fe/H] of RR Lyrae stars':>40}"
    yield _DOUBLE_RULE
    yield "Metallicities of RR Lyrae stars from their light curves"
    yield "    [authors]"
    yield "    [reference]"
    yield _DOUBLE_RULE
    yield "ADC_Keywords: Stars, variable ; Abundances, [Fe/H]"
    yield "Keywords: stars: variables: RR Lyrae - stars: abundances"
    yield "\nDescription:"
    yield from _paragraph(
        f"{about['description']}. The metallicities are on the scale '{about['scale']}'. Every "
        f"star of the survey has its line; a value that is missing is blank. What is in brackets "
        f"above is for the authors and the CDS to fill in."
    )
    yield "\nFile Summary:"
    yield _RULE
    yield f" {'FileName':<12} {'Lrecl':>6} {'Records':>8}   Explanations"
    yield _RULE
    yield f" {README:<12} {_LINE:>6} {'.':>8}   This file"
    yield f" {DATA:<12} {width:>6} {product.rows:>8}   The catalogue"
    yield _RULE
    yield f"\nByte-by-byte Description of file: {DATA}"
    yield _RULE
    labels = max(len(f.column.name) for f in fields)
    yield f"   Bytes Format Units  {'Label':<{labels}}  Explanations"
    yield _RULE
    for field in fields:
        yield from _described(field, labels)
    yield _RULE
    yield from _note("Note (1): sum of the values of the flags that are set:", (
        f"{flag.value:>5} = {flag.name}: {DESCRIPTIONS[flag]}" for flag in Flag
    ))  # fmt: skip
    yield _RULE
    yield "\nHistory:"
    for name, value in about.items():
        yield from _paragraph(f"{name} = {value}")
    yield _DOUBLE_RULE


def _described(field: _Field, labels: int) -> Iterator[str]:
    column = field.column
    last = field.start + field.width - 1
    place = f"{last:>8}" if field.width == 1 else f"{field.start:>4}-{last:>3}"
    unit = _UNITS.get(column.unit, column.unit)
    head = f"{place} {field.code:<6} {unit:<6} {column.name:<{labels}}  "
    null = "? " if field.has_null else ""
    note = " (1)" if column.name == "flags" else ""
    meaning = f"{null}{printable(column.description)} (ucd={column.ucd}){note}"
    # a line that begins with a number could be taken for the next column's
    glued = re.sub(r" (?=\d)", _HARD_SPACE, meaning)
    lines = textwrap.wrap(
        glued, _LINE, initial_indent=head, subsequent_indent=" " * (len(head) + 2),
        break_on_hyphens=False,
    )  # fmt: skip
    yield from (line.replace(_HARD_SPACE, " ") for line in lines)


def _note(head: str, lines: Iterator[str]) -> Iterator[str]:
    yield head
    for line in lines:
        yield from textwrap.wrap(line, _LINE, subsequent_indent=" " * 8, drop_whitespace=True)


def _paragraph(text: str) -> Iterator[str]:
    yield from textwrap.wrap(
        text, _LINE, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )
