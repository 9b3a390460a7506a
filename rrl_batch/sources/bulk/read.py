"""Read the light curves of some stars from a bulk file, as a stream.

Arrow's CSV reader finds rows and cells; the arrays within cells are taken apart for the wanted
stars only, one source in forty.
"""

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from rrl_batch.errors import UserError, first_line
from rrl_batch.sources.bulk.mirror import CHECKSUMS, BulkFile
from rrl_batch.sources.transits import PHOTOMETRY

_BYTES_PER_BLOCK = 1 << 22

_ARRAYS = {
    "g_transit_time": "time",
    "g_transit_mag": "mag",
    "g_transit_flux_over_error": "flux_over_error",
    "variability_flag_g_reject": "rejected_by_variability",
}
"""Columns of a bulk file that are read, and what they are called in a table of transits."""


class Reader:
    """Reads the transits of some stars from a file, and counts what it passes over.

    Parameters
    ----------
    file : BulkFile
        The file.
    source_ids : pyarrow.Array
        The stars.

    Attributes
    ----------
    sources : int
        Sources in the file, wanted or not.
    unreadable : list of int
        Wanted stars whose arrays are no arrays of numbers, or differ in length.
    """

    def __init__(self, file: BulkFile, source_ids: pa.Array) -> None:
        self._file, self._source_ids = file, source_ids
        self.sources = 0
        self.unreadable: list[int] = []

    def pieces(self) -> Iterator[pa.Table]:
        """Yield the G transits of the stars, in the layout of `PHOTOMETRY`.

        Raises
        ------
        UserError
            If the file is damaged, differs from its stated checksum, or lacks a column.
        """
        path = self._file.path
        try:
            comments = self._lines_of_comments()
            with path.open("rb") as raw:
                digest = _Digest(raw)
                stream = pa.PythonFile(digest, mode="r")
                if path.suffix == ".gz":
                    stream = pa.CompressedInputStream(stream, "gzip")
                for batch in _rows(stream, comments):
                    self.sources += batch.num_rows
                    rows = batch.filter(pc.is_in(batch["source_id"], self._source_ids))
                    if rows.num_rows:
                        yield self._transits(rows)
                md5 = digest.at_the_end()
        except (pa.ArrowException, OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            reason = first_line(error)
            raise UserError(f"{path} cannot be read ({reason}); get it again.") from None
        if self._file.md5 and md5 != self._file.md5:
            raise UserError(
                f"{path} is damaged: its MD5 is {md5}, and {CHECKSUMS} says {self._file.md5}; get "
                f"it again."
            )

    def _lines_of_comments(self) -> int:
        """Return the number of lines ahead of the names of the columns; check these."""
        path = self._file.path
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as file:
            comments, room = 0, _BYTES_PER_BLOCK
            while (line := file.readline(room)).startswith("#"):
                comments, room = comments + 1, room - len(line)
        names = line.rstrip("\n").split(",")
        for name in ("source_id", *_ARRAYS):
            if name not in names:
                raise UserError(
                    f"{path} has no column '{name}'; give the bulk files of epoch photometry, as "
                    f"the Gaia archive has them."
                )
        return comments

    def _transits(self, rows: pa.RecordBatch) -> pa.Table:
        """Take arrays apart, star by star where one of them cannot be read."""
        try:
            return _transits(rows)
        except pa.ArrowInvalid:
            if rows.num_rows == 1:
                self.unreadable.append(rows["source_id"][0].as_py())
                return _transits(rows[:0])
        return pa.concat_tables(self._transits(rows[i : i + 1]) for i in range(rows.num_rows))


def _rows(stream: pa.NativeFile, comments: int) -> pyarrow.csv.CSVStreamingReader:
    return pyarrow.csv.open_csv(
        stream,
        read_options=pyarrow.csv.ReadOptions(
            skip_rows=comments, block_size=_BYTES_PER_BLOCK, use_threads=False
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=["source_id", *_ARRAYS],
            column_types={"source_id": pa.int64(), **dict.fromkeys(_ARRAYS, pa.string())},
            null_values=["null", ""],
            strings_can_be_null=True,
        ),
    )


class _Digest(io.RawIOBase):
    """A file that knows the MD5 of what was read from it."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        # checks what a mirror has, and protects nothing
        self._md5 = hashlib.md5(usedforsecurity=False)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self._md5.update(content)
        return content

    def at_the_end(self) -> str:
        """Return the MD5 of the whole file, of which a reader may have left the last bytes."""
        while self.read(_BYTES_PER_BLOCK):
            pass
        return self._md5.hexdigest()


def _transits(rows: pa.RecordBatch) -> pa.Table:
    """Return the transits of sources, from cells such as "[1.5,null,2.5]"."""
    arrays = {name: _elements(rows[column]) for column, name in _ARRAYS.items()}
    lengths = [pc.list_value_length(array) for array in arrays.values()]
    if any(not length.equals(lengths[0]) for length in lengths):
        raise pa.ArrowInvalid("arrays of a source differ in length")
    columns = {
        name: arrays[name].flatten().cast(PHOTOMETRY.schema.field(name).type) for name in arrays
    }
    columns["source_id"] = rows["source_id"].take(pc.list_parent_indices(arrays["time"]))
    # where the photometric processing has rejected a transit, the archive has no magnitude
    columns["rejected_by_photometry"] = pc.is_null(columns["mag"])
    return pa.table(columns)


def _elements(cells: pa.Array) -> pa.ListArray:
    """Return the elements of arrays in brackets, as text; null for `null`."""
    if not pc.all(pc.match_substring_regex(cells, r"^\[.*\]$"), min_count=0).as_py():
        raise pa.ArrowInvalid("a cell is no array in brackets")
    # text is in quotes of its own
    inner = pc.replace_substring(pc.utf8_slice_codeunits(cells, 1, -1), '"', "")
    # an empty array would be split into one empty text
    lists = pc.split_pattern(pc.if_else(pc.equal(inner, ""), None, inner), ",")
    values = pc.utf8_trim_whitespace(lists.values)
    known = pc.invert(pc.is_in(values, pa.array(["null", ""])))
    return pa.ListArray.from_arrays(lists.offsets, pc.if_else(known, values, None))
