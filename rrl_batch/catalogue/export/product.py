"""What is exported: the rows of a catalogue, partition by partition, and what they mean."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from rrl_batch.catalogue.verify import read_manifest, read_partition
from rrl_batch.contracts import CATALOGUE, Column, Contract
from rrl_batch.storage.manifest import Manifest
from rrl_batch.storage.sky import SPATIAL_INDEX, Pixel
from rrl_batch.storage.votable import text_widths


class Addition(Protocol):
    """Columns that are computed for an export, from those of the catalogue."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns."""

    @property
    def about(self) -> dict[str, Any]:
        """What they are made from, by name."""

    def compute(self, table: pa.Table) -> list[pa.Array]:
        """Return the values of the columns for some rows of the catalogue."""


class Piece(NamedTuple):
    """The rows of one partition.

    Parameters
    ----------
    pixel : Pixel
        Its place on the sky.
    index : pyarrow.ChunkedArray
        Spatial index of each row.
    table : pyarrow.Table
        The columns of the product.
    """

    pixel: Pixel
    index: pa.ChunkedArray
    table: pa.Table


@dataclass(frozen=True)
class Product:
    """A catalogue as it is exported.

    Parameters
    ----------
    root : pathlib.Path
        Folder of the catalogue.
    manifest : Manifest
        Its manifest.
    additions : tuple of Addition
        What is computed besides, by the name under which the provenance has it.
    """

    root: Path
    manifest: Manifest
    additions: dict[str, Addition]

    @classmethod
    def open(cls, root: Path, **additions: Addition | None) -> "Product":
        """Return a catalogue, with columns that are computed for the export.

        Raises
        ------
        UserError
            If there is no finished catalogue.
        """
        wanted = {name: addition for name, addition in additions.items() if addition}
        return cls(root, read_manifest(root), wanted)

    @property
    def contract(self) -> Contract:
        """All columns."""
        more = (column for addition in self.additions.values() for column in addition.columns)
        return Contract("catalogue", (*CATALOGUE.columns, *more))

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.manifest.rows

    @property
    def provenance(self) -> dict[str, Any]:
        """Where the catalogue comes from, and the columns that were added."""
        more = {name: addition.about for name, addition in self.additions.items()}
        return self.manifest.provenance | more

    @cached_property
    def text_widths(self) -> dict[str, int]:
        """Bytes of the longest text in each text column."""
        return text_widths(self.contract, (piece.table for piece in self.pieces()))

    def pieces(self) -> Iterator[Piece]:
        """Yield the partitions, in order of position on the sky.

        Raises
        ------
        UserError
            If a file of the catalogue cannot be read.
        """
        for receipt in self.manifest.partitions:
            rows = read_partition(self.root, receipt, [SPATIAL_INDEX, *CATALOGUE.names])
            table = CATALOGUE.conform(rows, str(self.root / receipt.path))
            for addition in self.additions.values():
                for column, values in zip(addition.columns, addition.compute(table), strict=True):
                    table = table.append_column(column.field, values)
            yield Piece(Pixel.from_path(receipt.path), rows[SPATIAL_INDEX], table)
