"""What a file claims to hold, checked before a reader believes it.

A kilobyte can claim 2^60 rows, or unpack to a disk full of zeros. Libraries allocate first, and
find out later; a VOTable may send them to other files and hosts.
"""

import gzip
import math
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, cast
from xml.parsers import expat

import pyarrow.parquet as pq

from rrl_batch.storage.footers import column_chunks

_MOST_UNPACKED = 250
"""How often larger a packed table may be; tables of numbers are 2 to 20 times as large."""

_SLACK = 1 << 26
"""Bytes that are never too many."""

Text = Literal["CSV", "VOTable", "ECSV"]

_MEMORY_OF_TEXT: dict[Text, int] = {"CSV": 4, "VOTable": 12, "ECSV": 12}
"""How often a text is in memory while the whole of it is read, about, as numbers and words."""

_BLOCK = 1 << 20
_BYTES_A_VALUE = 8


class ClaimError(ValueError):
    """A file claims what it cannot hold, or what this machine cannot."""


def memory_left() -> int:
    """Return the bytes of memory that this process may still use."""
    import psutil

    left = psutil.virtual_memory().available
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        left = min(left, limit - psutil.Process().memory_info().vms)
    return max(left, 0)


def check_parquet(file: pq.ParquetFile) -> None:
    """Check that a Parquet file fits into memory, as far as its footer tells.

    Raises
    ------
    ClaimError
        If it does not.
    OSError, pyarrow.ArrowException
        If its footer is damaged.
    """
    footer = file.metadata
    chunks = column_chunks(footer)
    values = max(footer.num_rows, 0) + sum(max(chunk.num_values, 0) for chunk in chunks)
    text = sum(max(chunk.total_uncompressed_size, 0) for chunk in chunks)
    needed, left = values * _BYTES_A_VALUE + text, memory_left()
    if needed > max(left, _SLACK):
        raise ClaimError(
            f"it claims so much that about {needed:,} bytes of memory are needed for it, and "
            f"{left:,} are free"
        )


def check_text(path: Path, kind: Text) -> None:
    """Check that a table in the form of text, packed or not, is one that can be read whole.

    Raises
    ------
    ClaimError
        If it is too large, unpacks to something that is, or has a header that makes it so.
    """
    most = min(_MOST_UNPACKED * path.stat().st_size, memory_left() // _MEMORY_OF_TEXT[kind])
    with _unpacked(path) as file:
        if kind == "VOTable":
            _VOTable().check(_blocks(file, most))
        else:
            if kind == "ECSV":
                _check_header(file)
            for _ in _blocks(file, most):
                pass


@contextmanager
def _unpacked(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0, os.SEEK_SET)
        yield cast("IO[bytes]", gzip.GzipFile(fileobj=raw) if packed else raw)


def _blocks(file: IO[bytes], most: int) -> Iterator[bytes]:
    size = 0
    while block := file.read(_BLOCK):
        size += len(block)
        if size > max(most, _SLACK):
            raise ClaimError(
                f"it holds more than {size - len(block):,} bytes, too many for a table of its "
                f"size or for the memory that is free"
            )
        yield block


def _check_header(file: IO[bytes]) -> None:
    """Check that nothing in the header of an ECSV file refers to something else in it."""
    import yaml

    header: list[str] = []
    size = 0
    while (line := file.readline(_BLOCK)).startswith(b"#"):
        size += len(line)
        if size > _BLOCK:
            raise ClaimError("its header has no end")
        if not line.startswith(b"# %ECSV"):
            header.append(line[2:].decode(errors="replace"))
    try:
        refers = any(isinstance(token, yaml.AliasToken) for token in yaml.scan("".join(header)))
    except yaml.YAMLError:
        return  # its reader says so itself
    if refers:
        raise ClaimError("its header refers to itself, by which it may grow without end")


class _VOTable:
    """Looks through a VOTable for what would lead its reader astray."""

    def __init__(self) -> None:
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.EntityDeclHandler = self._entity
        self._width = self._rows = self._claimed_rows = self._claimed = 0

    def check(self, blocks: Iterator[bytes]) -> None:
        """Check a whole document."""
        size = 0
        try:
            for block in blocks:
                size += len(block)
                self._parser.Parse(block, False)
            self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise ClaimError(str(error)) from None
        # a cell may be empty, but not all of them
        if self._claimed > 100 * size + _SLACK:
            raise ClaimError(f"it claims {self._claimed:,} values, and has {size:,} bytes")

    def _entity(self, name: str, *_: object) -> None:
        raise ClaimError(f"it declares the entity '{name}', which no VOTable needs")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        match tag.rpartition(":")[2]:
            case "TABLE":
                self._width = self._rows = 0
                self._claimed_rows = _number(attributes.get("nrows", "0"))
            case "FIELD":
                self._width += _values(attributes.get("arraysize", "1"))
            case "TR":
                self._rows += 1
            case "STREAM" if "href" in attributes:
                raise ClaimError(f"its data are elsewhere, at {attributes['href']}")

    def _end(self, tag: str) -> None:
        if tag.rpartition(":")[2] == "TABLE":
            values = max(self._rows, self._claimed_rows) * max(self._width, 1)
            self._claimed = max(self._claimed, values)


def _values(arraysize: str) -> int:
    """Return how many values a cell has at least."""
    number = math.prod(_number(size) for size in arraysize.split("x") if "*" not in size)
    if not number:
        raise ClaimError(f"a column has arrays of no values ('{arraysize}')")
    return number


def _number(text: str) -> int:
    """Return a number; one of more digits than any table needs is as good as another."""
    text = text.strip()[:20]
    return int(text) if text.isdecimal() else 1
