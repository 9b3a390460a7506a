"""A catalogue as a VOTable, in its binary serialization, which knows missing values."""

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path

from rrl_batch.catalogue.export.product import Product
from rrl_batch.catalogue.export.records import records
from rrl_batch.storage.votable import describe, to_text

_BYTES_PER_LINE = 57
_LAST_FIELD = "</FIELD>"


def write_votable(product: Product, path: Path) -> None:
    """Write a catalogue as VOTable, a partition at a time."""
    widths = product.text_widths
    document = to_text(describe(product.contract, product.provenance, widths, product.rows))
    # astropy writes a row at a time: a minute for the whole sky
    head, field, tail = document.rpartition(_LAST_FIELD)
    rows = records(product, masked=True)
    with path.open("wb") as file:
        file.write(f"{head}{field}\n<DATA>\n<BINARY2>\n<STREAM encoding='base64'>\n".encode())
        for lines in _whole_lines(part.tobytes() for part in rows):
            file.write(base64.encodebytes(lines))
        file.write(f"</STREAM>\n</BINARY2>\n</DATA>{tail}".encode())


def _whole_lines(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in parts that end with a line of base64, so that these can be joined."""
    rest = b""
    for part in parts:
        rest += part
        whole = len(rest) - len(rest) % _BYTES_PER_LINE
        yield rest[:whole]
        rest = rest[whole:]
    yield rest
