"""Read a survey: any folder of Parquet files with the contract's columns, HATS or not."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rrl_batch.contracts import STARS, SURVEY
from rrl_batch.errors import RunError, UserError, first_line
from rrl_batch.lightcurve.batch import TIME, LightCurveBatch
from rrl_batch.storage.commit import checksum
from rrl_batch.storage.commit import fingerprint as fingerprint_of
from rrl_batch.storage.footers import column_chunks
from rrl_batch.storage.manifest import MANIFEST, ROWS_PER_GROUP, RUN, Manifest
from rrl_batch.storage.remote import path_of, readable
from rrl_batch.storage.sky import SPATIAL_INDEX, Pixel, partition, with_positions

_POSITION = ["source_id", "ra", "dec"]
_READ_BUFFER = 2**20
_STARS_PER_READ = 2_000

STARS_PER_BATCH = 5_000
EPOCHS_PER_BATCH = 1_000_000
"""Most stars and epochs that are worked on at once: about 150 MB of memory."""


@dataclass(frozen=True)
class SurveyPartition:
    """The stars of a survey that lie within one HEALPix pixel.

    Parameters
    ----------
    pixel : Pixel
        The pixel.
    rows : int
        Number of stars.
    files : tuple of (pathlib.Path, tuple of int)
        Parquet files and the row groups of them that hold the stars.
    sorted : bool
        Whether these row groups hold just these stars, in order of spatial index.
    fingerprint : str
        Fingerprint of the content.
    """

    pixel: Pixel
    rows: int
    files: tuple[tuple[Path, tuple[int, ...]], ...]
    sorted: bool
    fingerprint: str

    def __repr__(self) -> str:
        where = f"{self.pixel.path}: {self.rows:,} stars in {_counted(len(self.files), 'file')}"
        return f"<SurveyPartition {where}>"

    def batches(self) -> Iterator[LightCurveBatch]:
        """Yield the stars, at most 5,000 at a time, or fewer if they have many epochs.

        Raises
        ------
        UserError
            If a file cannot be read, or its columns do not fulfil the contract.
        """
        waiting: list[pa.Table] = []
        stars = epochs = 0
        for table in self._tables():
            n_epochs = pc.sum(pc.list_value_length(table[TIME])).as_py() or 0
            if stars + len(table) > STARS_PER_BATCH or epochs + n_epochs > EPOCHS_PER_BATCH:
                yield from _batch_of(waiting)
                waiting, stars, epochs = [], 0, 0
            waiting.append(table)
            stars, epochs = stars + len(table), epochs + n_epochs
        yield from _batch_of(waiting)

    def largest_batch(self) -> tuple[int, int]:
        """Return the most stars, and the most epochs, that a batch can have."""
        epochs = 0
        for path, groups in self.files:
            with _explained(path):
                footer = pq.read_metadata(readable(path))
                columns = column_chunks(footer, groups)
                # a column's values are the elements of its lists
                epochs += sum(c.num_values for c in columns if _is_part_of(c, TIME))
        return min(self.rows, STARS_PER_BATCH), min(epochs, EPOCHS_PER_BATCH)

    def _tables(self) -> Iterator[pa.Table]:
        """Yield the stars as they come from the files, in pieces that a batch can hold."""
        for path, groups in self.files:
            with _explained(path):
                names = pq.read_schema(readable(path)).names
                columns = [name for name in SURVEY.names if name in names]
                # as a stream, so that row groups of any size are never held whole
                source = readable(path)
                file = pq.ParquetFile(source, pre_buffer=False, buffer_size=_READ_BUFFER)
                for piece in file.iter_batches(_STARS_PER_READ, list(groups), columns):
                    table = pa.Table.from_batches([piece])
                    if not self.sorted:
                        table = self._rows_within(table, path)
                    if table.num_rows:
                        yield from _cut(SURVEY.conform(table, str(path)))

    def _rows_within(self, table: pa.Table, path: Path) -> pa.Table:
        """Return the rows of a table that lie within the pixel, sorted, with positions."""
        stars = STARS.select(_POSITION).conform(table, str(path)).to_pandas()
        stars = with_positions(stars.assign(row=np.arange(len(stars))))
        first, beyond = np.searchsorted(stars[SPATIAL_INDEX], self.pixel.span)
        stars = stars.iloc[first:beyond]
        table = table.take(pa.array(stars["row"]))
        for name in ("ra", "dec"):
            column = table.column_names.index(name)
            table = table.set_column(column, name, pa.array(stars[name], from_pandas=True))
        return table


@dataclass(frozen=True)
class Survey:
    """A survey that is ready to be read.

    Parameters
    ----------
    path : pathlib.Path
        Its folder.
    partitions : list of SurveyPartition
        Its stars, along the sky.
    provenance : dict
        Where it comes from; empty for a folder that this program did not write.
    """

    path: Path
    partitions: list[SurveyPartition]
    provenance: dict[str, Any]

    def __repr__(self) -> str:
        kind = "SYNTHETIC stars" if self.synthetic else "stars"
        pieces = _counted(len(self.partitions), "partition")
        return f"<Survey {self.path}: {self.rows:,} {kind} in {pieces}>"

    @property
    def rows(self) -> int:
        """Number of stars."""
        return sum(piece.rows for piece in self.partitions)

    @property
    def largest(self) -> SurveyPartition:
        """The partition with the most stars."""
        return max(self.partitions, key=lambda piece: piece.rows)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the content of every partition."""
        return fingerprint_of([piece.fingerprint for piece in self.partitions])

    @property
    def synthetic(self) -> bool:
        """Whether the stars were simulated."""
        return bool(self.provenance.get("synthetic"))


def open_survey(path: Path | str) -> Survey:
    """Find the partitions of a survey; no light curve is read.

    Parameters
    ----------
    path : pathlib.Path or str
        Folder that ``simulate`` or ``ingest`` has written, or any folder of Parquet files with
        the columns of the survey contract.

    Raises
    ------
    UserError
        If there is no such folder, a file in it is damaged or lacks columns, or a star occurs
        twice.
    """
    path = path_of(path)
    if not path.is_dir():
        raise UserError(f"There is no survey at {path}; make one with 'rrl-batch ingest'.")
    if (path / MANIFEST).exists() or (path / RUN).exists():
        return _open_own(path)
    return _open_folder(path)


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def _open_own(path: Path) -> Survey:
    manifest = Manifest.read(path)
    if manifest.kind != "survey":
        raise UserError(f"{path} holds a {manifest.kind}, not a survey.")
    partitions = []
    for receipt in manifest.partitions:
        try:
            pixel = Pixel.from_path(receipt.path)
        except ValueError as error:
            raise UserError(f"{path / MANIFEST}: {error}; make the survey again.") from None
        file = (path / receipt.path).resolve()  # as the workers, wherever they run, see it
        with _explained(file):
            metadata = pq.read_metadata(readable(file))
        if metadata.num_rows != receipt.rows:
            raise UserError(
                f"{file} has {metadata.num_rows} rows where the manifest says {receipt.rows}; "
                f"make the survey again."
            )
        groups = tuple(range(metadata.num_row_groups))
        partitions.append(
            SurveyPartition(pixel, receipt.rows, ((file, groups),), True, receipt.sha256)
        )
    return Survey(path, partitions, manifest.provenance)


def _open_folder(path: Path) -> Survey:
    """Plan how the files of a folder that is not in our layout are read pixel by pixel."""
    files = sorted(
        f.resolve()
        for f in path.rglob("*.parquet")
        if f.is_file() and not f.name.startswith(("_", "."))
    )
    if not files:
        raise UserError(f"{path} holds no Parquet files; a survey is a folder of them.")
    stars = pd.concat(
        [_positions(file, number) for number, file in enumerate(files)], ignore_index=True
    )
    if stars.empty:
        raise UserError(f"{path} holds no stars: its Parquet files have columns but no rows.")
    twice = stars["source_id"].duplicated()
    if twice.any():
        star = stars["source_id"][twice].iloc[0]
        raise UserError(
            f"{path}: star {star} occurs more than once ({twice.sum()} rows too many); a survey "
            f"has one row a star."
        )
    stars = with_positions(stars)
    checksums = [checksum(file) for file in files]
    partitions = []
    for pixel, start, stop in partition(stars[SPATIAL_INDEX].to_numpy(), ROWS_PER_GROUP):
        groups = stars.iloc[start:stop].groupby("file")["group"].unique()
        numbers = groups.index.to_list()
        where = tuple(
            (files[n], tuple(sorted(map(int, g)))) for n, g in zip(numbers, groups, strict=True)
        )
        content = fingerprint_of(pixel, [checksums[n] for n in numbers])
        partitions.append(SurveyPartition(pixel, stop - start, where, False, content))
    return Survey(path, partitions, {})


def _positions(file: Path, number: int) -> pd.DataFrame:
    """Read identifiers and positions of a file, with the row group in which each star is."""
    with _explained(file):
        metadata = pq.read_metadata(readable(file))
        SURVEY.conform(metadata.schema.to_arrow_schema().empty_table(), str(file))
        stars = pq.read_table(readable(file), columns=_POSITION)
        rows = [metadata.row_group(g).num_rows for g in range(metadata.num_row_groups)]
        return (
            STARS.select(_POSITION)
            .conform(stars, str(file))
            .to_pandas()
            .assign(file=number, group=np.repeat(np.arange(len(rows)), rows))
        )


def _batch_of(tables: list[pa.Table]) -> Iterator[LightCurveBatch]:
    if tables:
        yield LightCurveBatch.from_arrow(pa.concat_tables(tables))


def _cut(table: pa.Table) -> Iterator[pa.Table]:
    """Cut a table where its epochs are too many for a batch; a single star may have more."""
    lengths = pc.list_value_length(table[TIME]).fill_null(0).to_numpy()
    total, first = np.cumsum(lengths), 0
    while first < len(table):
        before = total[first - 1] if first else 0
        end = np.searchsorted(total, before + EPOCHS_PER_BATCH, side="right")
        end = max(int(end), first + 1)
        yield table.slice(first, end - first)
        first = end


def _is_part_of(column: pq.ColumnChunkMetaData, name: str) -> bool:
    return str(column.path_in_schema).split(".")[0] == name


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Turn what a reader raises on a damaged file, which has no bounds, into a sentence."""
    try:
        yield
    except (UserError, RunError):
        raise
    except Exception as error:
        raise UserError(
            f"{file} cannot be read as Parquet ({first_line(error)}); restore or remove it."
        ) from None
