"""What the footers of Parquet files say of the columns, read without danger."""

import io
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet as pq

_SIZE = 1 << 62


def column_chunks(
    footer: pq.FileMetaData, groups: Iterable[int] | None = None
) -> list[pq.ColumnChunkMetaData]:
    """Return the metadata of all column chunks of some row groups.

    Parameters
    ----------
    footer : pyarrow.parquet.FileMetaData
        The footer.
    groups : iterable of int, optional
        Numbers of the row groups; all of them if not given.

    Raises
    ------
    OSError, pyarrow.ArrowException
        If they are damaged. Asked for one that is, ``RowGroupMetaData.column`` would abort the
        process: pyarrow 26 does not expect an exception there.
    """
    numbers = list(range(footer.num_row_groups) if groups is None else groups)
    _check(footer, numbers)
    rows = map(footer.row_group, numbers)
    return [group.column(i) for group in rows for i in range(group.num_columns)]


def _check(footer: pq.FileMetaData, groups: list[int]) -> None:
    """Let pyarrow find out where all columns lie, which it does with care, and read none."""
    file = pq.ParquetFile(pa.PythonFile(_Data(), "r"), metadata=footer, pre_buffer=True)
    try:
        file.read_row_groups(groups)
    except _ReadError:
        return


class _ReadError(Exception):
    """Data would be read now."""


class _Data(io.RawIOBase):
    """The file that a footer belongs to, as large as it may say, of which nothing can be read."""

    def readable(self) -> bool:
        """Return whether it is a file to read from."""
        return True

    def seekable(self) -> bool:
        """Return whether it has places to go to."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Return the place, which matters for the end only."""
        return _SIZE if whence == io.SEEK_END else offset

    def tell(self) -> int:
        """Return the place."""
        return _SIZE

    def read(self, size: int = -1) -> bytes:  # noqa: ARG002
        """Refuse."""
        raise _ReadError
