"""The HATS layout: partitions along HEALPix, and the metadata that LSDB and others read.

References
----------
HATS, IVOA Note "Hierarchical Adaptive Tiling Scheme", https://www.ivoa.net/documents/Notes/HATS/
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rrl_batch.contracts import Column
from rrl_batch.storage.commit import replacing
from rrl_batch.storage.remote import readable

SPATIAL_INDEX = "_healpix_29"
"""HEALPix index of order 29 (nested): the column that every HATS table is sorted by."""

INDEX_COLUMN = Column(
    SPATIAL_INDEX, pa.int64(), None, "pos.healpix",
    "HEALPix index of order 29 (nested scheme, ICRS)", nullable=False,
)  # fmt: skip

DATASET = "dataset"
SIDE_FILES = ("_metadata", "_common_metadata")
"""Files beside the partitions, from which other readers know all of them."""

_ORDER = 29
_GAIA_ORDER = 12
_GAIA_SHIFT = 35


class Pixel(NamedTuple):
    """A HEALPix pixel in the nested scheme."""

    order: int
    pixel: int

    @property
    def path(self) -> str:
        """Place of the partition in a dataset's folder, whatever it was made from."""
        directory = self.pixel // 10_000 * 10_000
        return f"{DATASET}/Norder={self.order}/Dir={directory}/Npix={self.pixel}"

    def file(self, mark: str) -> str:
        """Return the file of the partition, relative to the dataset's folder.

        Parameters
        ----------
        mark : str
            Fingerprint of what the dataset is made from; files of another have other names.
        """
        return f"{self.path}{suffix(mark)}"

    @classmethod
    def from_path(cls, path: str) -> "Pixel":
        """Return the pixel of a partition's file."""
        match = re.search(r"Norder=(\d+)/Dir=\d+/Npix=(\d+)\.(\w+\.)?parquet$", path)
        order, pixel = (int(match[1]), int(match[2])) if match else (_ORDER + 1, 0)
        if order > _ORDER or pixel >= 12 << (2 * order):
            raise ValueError(f"{path} is not the file of a HATS partition")
        return cls(order, pixel)

    @property
    def span(self) -> tuple[int, int]:
        """First spatial index within the pixel, and the first beyond it."""
        shift = 2 * (_ORDER - self.order)
        return self.pixel << shift, (self.pixel + 1) << shift

    def holds_identifier(self, source_id: int) -> bool:
        """Tell whether the cell that a Gaia identifier names begins within the pixel."""
        first, beyond = self.span
        return first <= source_id >> _GAIA_SHIFT << 2 * (_ORDER - _GAIA_ORDER) < beyond


def suffix(mark: str) -> str:
    """Return how the names of a dataset's files end, which HATS calls `hats_npix_suffix`."""
    return f".{mark[:12]}.parquet"


class Partition(NamedTuple):
    """Rows ``start`` to ``stop`` of a table sorted by spatial index: those within a pixel."""

    pixel: Pixel
    start: int
    stop: int


def with_positions(stars: pd.DataFrame) -> pd.DataFrame:
    """Return the stars with their spatial index, sorted by it.

    A star without a position gets that of its Gaia identifier, which holds the HEALPix cell of
    order 12 in which the star lies (cells of 51 arcsec). One whose identifier is not Gaia's
    either keeps null coordinates and is filed under spatial index 0.

    Parameters
    ----------
    stars : pandas.DataFrame
        With the columns `source_id`, `ra` and `dec` (degrees).

    Returns
    -------
    pandas.DataFrame
        The same columns and `_healpix_29`, sorted by it and by `source_id`.
    """
    from cdshealpix.nested import healpix_to_lonlat
    from hats.pixel_math import healpix_shim

    stars = stars.copy()
    usable = stars["ra"].between(0, 360) & stars["dec"].between(-90, 90)
    cell = stars["source_id"].to_numpy() >> _GAIA_SHIFT
    in_gaia = ~usable & (cell > 0) & (cell < 12 << (2 * _GAIA_ORDER))
    ra, dec = healpix_to_lonlat(cell[in_gaia].astype(np.uint64), _GAIA_ORDER)
    stars.loc[in_gaia, "ra"], stars.loc[in_gaia, "dec"] = ra.deg, dec.deg
    stars.loc[~usable & ~in_gaia, ["ra", "dec"]] = np.nan
    placed = (usable | in_gaia).to_numpy()
    index = np.zeros(len(stars), np.int64)
    index[placed] = healpix_shim.radec2pix(
        _ORDER, stars["ra"].to_numpy()[placed], stars["dec"].to_numpy()[placed]
    )
    stars.insert(0, SPATIAL_INDEX, index)
    return stars.sort_values([SPATIAL_INDEX, "source_id"], kind="stable", ignore_index=True)


def partition(spatial_index: NDArray[np.int64], max_rows: int) -> list[Partition]:
    """Return the largest HEALPix pixels that hold at most `max_rows` rows each.

    Parameters
    ----------
    spatial_index : (n_rows,) int64 ndarray
        HEALPix indices of order 29, sorted.
    max_rows : int
        Most rows in a pixel; only rows that share one index may exceed it.

    Returns
    -------
    list of Partition
        Pixels that are not empty, in order of spatial index; together they hold every row.
    """
    partitions = []
    waiting = [Pixel(0, base) for base in reversed(range(12))]
    while waiting:
        pixel = waiting.pop()
        start, stop = np.searchsorted(spatial_index, pixel.span)
        if stop == start:
            continue
        if stop - start <= max_rows or pixel.order == _ORDER:
            partitions.append(Partition(pixel, int(start), int(stop)))
        else:
            children = range(4 * pixel.pixel, 4 * pixel.pixel + 4)
            waiting.extend(Pixel(pixel.order + 1, child) for child in reversed(children))
    return partitions


def neighbours(stars: Sequence[int], stars_per_task: int) -> list[slice]:
    """Return which consecutive pieces of the sky share a task, so that none is too small.

    Parameters
    ----------
    stars : sequence of int
        Stars in each piece.
    stars_per_task : int
        Fewest stars in a task; what is left over goes to the last one.
    """
    bounds, gathered = [0], 0
    for end, n_stars in enumerate(stars, start=1):
        gathered += n_stars
        if gathered >= stars_per_task:
            bounds.append(end)
            gathered = 0
    bounds[max(1, len(bounds) - 1) :] = [len(stars)]
    return [slice(first, end) for first, end in pairwise(bounds)]


def write_hats_metadata(
    root: Path, pixels: Sequence[Pixel], mark: str, rows: int, description: str
) -> None:
    """Write what makes a folder of partitions a HATS catalogue, of the files named alone.

    Parameters
    ----------
    root : pathlib.Path
        Folder of the dataset; its name becomes the catalogue's.
    pixels : sequence of Pixel
        Its partitions, in order of spatial index.
    mark : str
        Fingerprint of what it is made from, which is part of the files' names.
    rows : int
        Rows in all of them.
    description : str
        What the catalogue is, in one line.
    """
    from hats.catalog import PartitionInfo, TableProperties
    from hats.io.paths import PARTITION_INFO_FILENAME
    from hats.pixel_math import HealpixPixel

    with replacing(root / PARTITION_INFO_FILENAME) as partial:
        PartitionInfo.from_healpix([HealpixPixel(*p) for p in pixels]).write_to_file(partial)
    # hats' own writer would take every file that lies in the folder
    footers = []
    for file in (pixel.file(mark) for pixel in pixels):
        footer = pq.read_metadata(readable(root / file))
        footer.set_file_path(file.removeprefix(f"{DATASET}/"))
        footers.append(footer)
    schema = footers[0].schema.to_arrow_schema()
    for name, collected in zip(SIDE_FILES, (footers, None), strict=True):
        with replacing(root / DATASET / name) as partial:
            pq.write_metadata(schema, partial, metadata_collector=collected)
    about = TableProperties(
        catalog_name=root.name,
        catalog_type="object",
        total_rows=rows,
        ra_column="ra",
        dec_column="dec",
        healpix_column=SPATIAL_INDEX,
        healpix_order=_ORDER,
        npix_suffix=suffix(mark),
        obs_description=description,
    )
    with TemporaryDirectory() as folder:
        about.to_properties_file(folder)
        for written in Path(folder).iterdir():
            with replacing(root / written.name) as partial:
                partial.write_bytes(written.read_bytes())
