"""A batch of stars as flat arrays: what every kernel works on."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from rrl_batch.contracts import STARS, SURVEY, TRANSITS

TIME, MAG, MAG_ERROR = TRANSITS.names


@dataclass(frozen=True)
class LightCurveBatch:
    """Stars and their light curves, epochs end to end.

    Star ``i`` owns the epochs ``offsets[i]`` to ``offsets[i + 1]``.

    Parameters
    ----------
    stars : pandas.DataFrame
        One row a star: the columns of the star contract.
    offsets : (n_stars + 1,) int64 ndarray
        Where each star's epochs begin and end.
    time : (n_epochs,) float64 ndarray
        Times, BJD(TCB) - 2455197.5, in days.
    mag : (n_epochs,) float32 ndarray
        G magnitudes.
    mag_error : (n_epochs,) float32 ndarray
        Standard errors of the magnitudes; NaN where the star has none.
    has_error : (n_stars,) bool ndarray
        Whether the star comes with magnitude errors at all.
    malformed : (n_stars,) bool ndarray
        Stars whose lists had unequal lengths; they own no epochs.
    """

    stars: pd.DataFrame
    offsets: NDArray[np.int64]
    time: NDArray[np.float64]
    mag: NDArray[np.float32]
    mag_error: NDArray[np.float32]
    has_error: NDArray[np.bool_]
    malformed: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.stars)

    def __repr__(self) -> str:
        return f"<LightCurveBatch: {len(self):,} stars, {len(self.time):,} epochs>"

    @classmethod
    def from_pandas(cls, table: pd.DataFrame) -> Self:
        """Return the stars of a table with the columns of the survey contract.

        Parameters
        ----------
        table : pandas.DataFrame
            One row a star, its light curve in columns of lists or arrays.

        Raises
        ------
        UserError
            If the columns do not fulfil the contract.
        """
        return cls.from_arrow(pa.Table.from_pandas(table, preserve_index=False), "The table")

    @classmethod
    def from_arrow(cls, table: pa.Table | pa.RecordBatch, where: str = "survey") -> Self:
        """Wrap a piece of a survey; epochs are not copied where Arrow's layout allows it.

        Parameters
        ----------
        table : pyarrow.Table or pyarrow.RecordBatch
            Rows with the columns of the survey contract.
        where : str
            What they were read from, for messages.

        Raises
        ------
        UserError
            If the columns do not fulfil the contract.
        """
        if isinstance(table, pa.RecordBatch):
            table = pa.Table.from_batches([table])
        table = SURVEY.conform(table, where).combine_chunks()
        lists = {name: _one_chunk(table[name]) for name in TRANSITS.names}
        lengths = {name: _list_lengths(column) for name, column in lists.items()}
        has_error = lists[MAG_ERROR].is_valid().to_numpy(zero_copy_only=False)
        malformed = (lengths[MAG] != lengths[TIME]) | (
            has_error & (lengths[MAG_ERROR] != lengths[TIME])
        )
        if malformed.any():
            lists = {name: _emptied(column, malformed) for name, column in lists.items()}
            lengths[TIME] = np.where(malformed, 0, lengths[TIME])
        offsets = np.concatenate([[0], np.cumsum(lengths[TIME])]).astype(np.int64)
        errors = _flat(lists[MAG_ERROR])
        if len(errors) != offsets[-1]:  # some stars have no errors: leave NaN in their places
            known = np.repeat(has_error, lengths[TIME])
            errors, some = np.full(offsets[-1], np.nan, np.float32), errors
            errors[known] = some
        return cls(
            stars=table.select(STARS.names).to_pandas(),
            offsets=offsets,
            time=_flat(lists[TIME]),
            mag=_flat(lists[MAG]),
            mag_error=errors,
            has_error=has_error,
            malformed=malformed,
        )

    @classmethod
    def empty(cls) -> Self:
        """Return a batch of no stars."""
        return cls.from_arrow(SURVEY.schema.empty_table())

    def select(self, rows: ArrayLike) -> Self:
        """Return some of the stars, in the same order.

        Parameters
        ----------
        rows : (n_stars,) bool array_like
            Which of them.
        """
        rows = np.asarray(rows, np.bool_)
        counts = np.diff(self.offsets)
        epochs = np.repeat(rows, counts)
        return type(self)(
            stars=self.stars[rows].reset_index(drop=True),
            offsets=np.concatenate([[0], np.cumsum(counts[rows])]).astype(np.int64),
            time=self.time[epochs],
            mag=self.mag[epochs],
            mag_error=self.mag_error[epochs],
            has_error=self.has_error[rows],
            malformed=self.malformed[rows],
        )

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Return stars by their numbers, in any order and as often as each is given."""
        counts = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        epochs = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], counts)
        return type(self)(
            stars=self.stars.iloc[rows].reset_index(drop=True),
            offsets=offsets,
            time=self.time[epochs],
            mag=self.mag[epochs],
            mag_error=self.mag_error[epochs],
            has_error=self.has_error[rows],
            malformed=self.malformed[rows],
        )

    def without_epochs(self, rows: NDArray[np.bool_]) -> Self:
        """Return all stars, some of which have lost their epochs."""
        counts = np.diff(self.offsets)
        kept = np.repeat(~rows, counts)
        return replace(
            self,
            offsets=np.concatenate([[0], np.cumsum(np.where(rows, 0, counts))]).astype(np.int64),
            time=self.time[kept],
            mag=self.mag[kept],
            mag_error=self.mag_error[kept],
        )

    def to_arrow(self) -> pa.Table:
        """Return the batch as rows of the survey contract."""
        offsets = pa.array(self.offsets, pa.int32())
        no_error = pa.array(~self.has_error)
        lists = {
            TIME: pa.ListArray.from_arrays(offsets, pa.array(self.time, pa.float64())),
            MAG: pa.ListArray.from_arrays(offsets, pa.array(self.mag, pa.float32())),
            MAG_ERROR: pa.ListArray.from_arrays(
                offsets, pa.array(self.mag_error, pa.float32()), mask=no_error
            ),
        }
        stars = pa.Table.from_pandas(self.stars, preserve_index=False)
        for name, column in lists.items():
            stars = stars.append_column(name, column)
        return SURVEY.conform(stars, "light-curve batch")


def _one_chunk(column: pa.ChunkedArray) -> pa.ListArray:
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _list_lengths(column: pa.ListArray) -> NDArray[np.int64]:
    return column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)


def _emptied(column: pa.ListArray, rows: NDArray[np.bool_]) -> pa.ListArray:
    """Return the column with null in some rows."""
    return pc.if_else(pa.array(rows), pa.scalar(None, column.type), column)


def _flat(column: pa.ListArray) -> NDArray[Any]:
    """Return the elements of all lists; a null element becomes NaN."""
    # flatten(), unlike values, keeps to the slice and leaves out what null rows point at
    return column.flatten().to_numpy(zero_copy_only=False)
