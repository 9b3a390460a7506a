"""Find a star in a catalogue without reading the others."""

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from rrl_batch.catalogue.verify import read_manifest, read_partition
from rrl_batch.contracts import CATALOGUE
from rrl_batch.errors import UserError
from rrl_batch.storage.manifest import Manifest, Receipt
from rrl_batch.storage.sky import Pixel


class FoundStar(NamedTuple):
    """A star of a catalogue.

    Attributes
    ----------
    source_id : int
        Its identifier.
    pixel : Pixel
        The partition that it is in.
    partition : pyarrow.Table
        All rows of that partition.
    """

    source_id: int
    pixel: Pixel
    partition: pa.Table

    @property
    def row(self) -> dict[str, object]:
        """Its values, by column."""
        place = pc.index(self.partition["source_id"], self.source_id).as_py()
        values: dict[str, object] = self.partition.slice(place, 1).to_pylist()[0]
        return values


def find_star(root: Path, source_id: int) -> FoundStar:
    """Find a star; of partitions without it no more than the identifiers are read.

    Parameters
    ----------
    root : pathlib.Path
        Folder of the catalogue.
    source_id : int
        Identifier of the star.

    Raises
    ------
    UserError
        If there is no finished catalogue, a file of it cannot be read, or the star is not in it.
    """
    manifest = read_manifest(root)
    for receipt in _most_likely_first(manifest, source_id):
        identifiers = read_partition(root, receipt, ["source_id"])["source_id"]
        if pc.index(identifiers, source_id).as_py() >= 0:
            rows = read_partition(root, receipt, CATALOGUE.names)
            return FoundStar(source_id, Pixel.from_path(receipt.path), rows)
    raise UserError(
        f"Star {source_id} is none of the {manifest.rows:,} stars of {root}; give the source_id of "
        f"a star of its survey."
    )


def _most_likely_first(manifest: Manifest, source_id: int) -> list[Receipt]:
    """Return the partitions, first the one whose pixel a Gaia identifier names."""

    def is_elsewhere(receipt: Receipt) -> bool:
        return not Pixel.from_path(receipt.path).holds_identifier(source_id)

    return sorted(manifest.partitions, key=is_elsewhere)
