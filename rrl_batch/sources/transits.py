"""Transits of stars on their way into a survey: which are of use, and each star's light curve.

Two passes, neither of which holds all the transits: the first deals them out to the partitions
of the survey, the second gathers one partition's transits by star.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rrl_batch.contracts import STARS, Column, Contract
from rrl_batch.errors import RunError
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.storage.sky import Partition

F64 = pa.float64()

PHOTOMETRY = Contract(
    "photometry",
    (
        Column("source_id", pa.int64(), None, "meta.id;meta.main",
               "Unique identifier of the star", nullable=False),
        Column("band", pa.string(), None, "meta.id;instr.bandpass",
               "Band: G, BP or RP; all rows are G where the column is absent", required=False),
        Column("time", F64, "d", "time.epoch",
               "Time of the transit, BJD(TCB) - 2455197.5"),
        Column("mag", F64, "mag", "phot.mag;em.opt", "Magnitude"),
        Column("mag_error", F64, "mag", "stat.error;phot.mag;em.opt",
               "Standard error of the magnitude", required=False),
        Column("flux_over_error", F64, None, "stat.snr;phot.flux;em.opt",
               "Flux divided by its error, which gives the error where mag_error does not",
               required=False),
        Column("rejected_by_photometry", pa.bool_(), None, "meta.code.qual",
               "Whether the photometric processing rejected the transit", required=False),
        Column("rejected_by_variability", pa.bool_(), None, "meta.code.qual",
               "Whether the variability processing rejected the transit", required=False),
    ),
)  # fmt: skip

MAG_PER_RELATIVE_FLUX = 2.5 / np.log(10)
"""Magnitude error of a relative flux error of one: 1.0857."""

BAND = "G"
"""The band of the light curves."""

_EXAMPLES = 3
_STAGED = pa.schema(
    [
        ("source_id", pa.int64()),
        ("time", F64),
        ("mag", pa.float32()),
        ("mag_error", pa.float32()),
        ("partition", pa.int32()),
    ]
)
_ROWS_PER_GROUP = 1 << 16


@dataclass(frozen=True)
class TransitCounts:
    """What became of the transits of the photometry, each counted once.

    Parameters
    ----------
    read : int
        Transits in all bands; the sum of the next six.
    kept : int
        Transits that go into the survey.
    other_bands : int
        Transits in other bands than G.
    unknown_star : int
        G transits of stars that are not in the star table.
    rejected_by_photometry : int
        Transits that the photometric processing rejected.
    rejected_by_variability : int
        Transits that the variability processing alone rejected.
    empty : int
        Transits without time and magnitude.
    unknown_stars : int
        Stars in the G photometry that are not in the star table.
    unknown_examples : tuple of int
        Identifiers of the first few of them.
    stars : int
        Stars in the star table.
    stars_without_transits : int
        Those of them that got no transit.
    """

    read: int
    kept: int
    other_bands: int
    unknown_star: int
    rejected_by_photometry: int
    rejected_by_variability: int
    empty: int
    unknown_stars: int
    unknown_examples: tuple[int, ...]
    stars: int
    stars_without_transits: int

    def summary(self, listed: int = 0) -> str:
        """Return the counts as one or two sentences.

        Parameters
        ----------
        listed : int
            How many of the stars without transits the user is told of elsewhere, with the reason.
        """
        left_out = [
            f"{count:,} {reason}"
            for count, reason in [
                (self.other_bands, "in other bands"),
                (self.rejected_by_photometry, "rejected by photometry"),
                (self.rejected_by_variability, "rejected by variability"),
                (self.empty, "without time and magnitude"),
                (self.unknown_star, self._unknown()),
            ]
            if count
        ]
        text = f"{self.kept:,} of {self.read:,} transits kept"
        text += f"; left out: {', '.join(left_out)}." if left_out else "."
        if (others := self.stars_without_transits - listed) > 0:
            among = " other" if listed else ""
            text += (
                f" {others:,}{among} of {self.stars:,} stars have no transits; they stay in the "
                f"survey."
            )
        return text

    @classmethod
    def total(cls, parts: Sequence[Self]) -> Self:
        """Return the sum over files none of which shares a star with another."""
        names = [name for name in cls.__dataclass_fields__ if name != "unknown_examples"]
        examples = chain.from_iterable(part.unknown_examples for part in parts)
        return cls(
            **{name: sum(getattr(part, name) for part in parts) for name in names},
            unknown_examples=tuple(islice(examples, _EXAMPLES)),
        )

    def _unknown(self) -> str:
        first = ", ".join(str(star) for star in self.unknown_examples)
        more = ", …" if self.unknown_stars > len(self.unknown_examples) else ""
        stars = "1 star" if self.unknown_stars == 1 else f"{self.unknown_stars:,} stars"
        return f"whose stars are not in the star table ({stars}: {first}{more})"


def partition_of_star(partitions: Sequence[Partition]) -> NDArray[np.int32]:
    """Return the number of the partition of each star of a plan."""
    sizes = [piece.stop - piece.start for piece in partitions]
    return np.repeat(np.arange(len(partitions), dtype=np.int32), sizes)


def write_staged(
    batches: Iterable[pa.RecordBatch], folder: Path, n_partitions: int, name: str = "part"
) -> None:
    """Put transits, as a `Sorter` gives them, into a folder for each partition of the survey.

    Parameters
    ----------
    batches : iterable of pyarrow.RecordBatch
        The transits.
    folder : pathlib.Path
        Where they go.
    n_partitions : int
        Number of partitions of the survey.
    name : str
        What the files are called; files of other names are left alone.

    Raises
    ------
    RunError
        If the transits cannot be written.
    """
    try:
        ds.write_dataset(
            batches,
            folder,
            schema=_STAGED,
            format="parquet",
            basename_template=f"{name}-{{i}}.parquet",
            existing_data_behavior="overwrite_or_ignore",
            partitioning=ds.partitioning(pa.schema([_STAGED.field("partition")]), flavor="hive"),
            max_partitions=n_partitions,
            min_rows_per_group=_ROWS_PER_GROUP,
            max_rows_per_group=4 * _ROWS_PER_GROUP,
        )
    except OSError as error:
        raise RunError(f"{folder} could not be written: {error}.") from error


@dataclass
class Sorter:
    """Finds the partition of every transit of use, and counts the others.

    Parameters
    ----------
    source_ids : pandas.Index
        Identifiers of the stars.
    partition_of_star : (n_stars,) int32 ndarray
        The partition of the survey that each is in.
    """

    source_ids: pd.Index
    partition_of_star: NDArray[np.int32]
    counts: Counter[str] = field(default_factory=Counter)
    bands: set[str] = field(default_factory=set)
    unknown_stars: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    has_transits: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.has_transits = np.zeros(len(self.source_ids), bool)

    def accept(self, piece: pa.Table, where: str) -> Iterator[pa.RecordBatch]:
        """Yield the transits that go into the survey, as they are staged.

        Parameters
        ----------
        piece : pyarrow.Table
            Some transits, with the columns of `PHOTOMETRY`.
        where : str
            The file that they come from, for messages.
        """
        transits = PHOTOMETRY.conform(piece, where)
        self.counts["read"] += transits.num_rows
        if "band" in piece.column_names:
            bands = transits["band"]
            self.bands.update(str(band) for band in bands.unique().to_pylist())
            transits = self._drop(
                transits, pc.invert(pc.is_in(bands, pa.array([BAND]))), "other_bands"
            )
        transits = self._drop_unknown_stars(transits)
        for flag in ("rejected_by_photometry", "rejected_by_variability"):
            transits = self._drop(transits, transits[flag], flag)
        empty = pc.and_(*(_unknown(transits[name]) for name in ("time", "mag")))
        transits = self._drop(transits, empty, "empty")
        yield from self._staged(transits).to_batches()

    def result(self) -> TransitCounts:
        """Return what was counted."""
        names = ("read", "kept", "other_bands", "unknown_star", "rejected_by_photometry",
                 "rejected_by_variability", "empty")  # fmt: skip
        return TransitCounts(
            **{name: self.counts[name] for name in names},
            unknown_stars=len(self.unknown_stars),
            unknown_examples=tuple(self.unknown_stars[:_EXAMPLES].tolist()),
            stars=len(self.source_ids),
            stars_without_transits=int((~self.has_transits).sum()),
        )

    def _drop(self, transits: pa.Table, rows: pa.ChunkedArray, reason: str) -> pa.Table:
        kept = transits.filter(pc.invert(pc.fill_null(rows, False)))
        self.counts[reason] += transits.num_rows - kept.num_rows
        return kept

    def _drop_unknown_stars(self, transits: pa.Table) -> pa.Table:
        source_id = transits["source_id"].to_numpy()
        unknown = self.source_ids.get_indexer(source_id) < 0
        if unknown.any():
            self.unknown_stars = np.union1d(self.unknown_stars, source_id[unknown])
        return self._drop(transits, pa.array(unknown), "unknown_star")

    def _staged(self, transits: pa.Table) -> pa.Table:
        star = self.source_ids.get_indexer(transits["source_id"].to_numpy())
        self.has_transits[star] = True
        self.counts["kept"] += transits.num_rows
        columns = [
            transits["source_id"],
            _numbers(transits["time"]),
            _numbers(transits["mag"]).astype(np.float32),
            _mag_error(transits),
            self.partition_of_star[star],
        ]
        return pa.table(columns, schema=_STAGED)


def _unknown(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.is_null(values, nan_is_null=True)


def _numbers(values: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return numbers, with NaN for null."""
    return pc.fill_null(values, np.nan).to_numpy()


def _mag_error(transits: pa.Table) -> NDArray[np.float32]:
    mag_error = _numbers(transits["mag_error"])
    with np.errstate(divide="ignore"):  # a flux of zero has an infinite error in magnitude
        from_flux = MAG_PER_RELATIVE_FLUX / _numbers(transits["flux_over_error"])
    with np.errstate(over="ignore"):
        return np.where(np.isnan(mag_error), from_flux, mag_error).astype(np.float32)


@dataclass(frozen=True)
class StagedLightCurves:
    """The light curves of transits that were dealt out to partitions.

    Parameters
    ----------
    folder : pathlib.Path
        Where `write_staged` has put the transits.
    """

    folder: Path

    def __call__(self, stars: pd.DataFrame, number: int) -> LightCurveBatch:
        """Return the light curves of a partition, each in order of time.

        Transits at the same time are ordered by magnitude, so that the order of the files does
        not matter. A transit that was given more than once, as overlapping downloads do, is
        kept once. A star none of whose transits has an error counts as one without errors.

        Parameters
        ----------
        stars : pandas.DataFrame
            Stars of the partition, at least with the columns of the star contract.
        number : int
            Number of the partition.
        """
        source_id, time, mag, mag_error = self._transits(number)
        star = pd.Index(stars["source_id"]).get_indexer(source_id)
        order = np.lexsort((mag_error, mag, time, star))
        repeated = np.ones(len(order), bool)
        repeated[:1] = False
        for values in (star, time, mag, mag_error):
            later, earlier = values[order[1:]], values[order[:-1]]
            repeated[1:] &= (later == earlier) | (np.isnan(later) & np.isnan(earlier))
        order = order[~repeated]
        star = star[order]
        epochs = np.bincount(star, minlength=len(stars))
        return LightCurveBatch(
            stars=stars[STARS.names],
            offsets=np.concatenate([[0], np.cumsum(epochs)]).astype(np.int64),
            time=time[order],
            mag=mag[order],
            mag_error=mag_error[order],
            has_error=np.bincount(star[~np.isnan(mag_error[order])], minlength=len(stars)) > 0,
            malformed=np.zeros(len(stars), bool),
        )

    def _transits(self, number: int) -> list[NDArray[Any]]:
        schema = _STAGED.remove(_STAGED.get_field_index("partition"))
        folder = self.folder / f"partition={number}"
        table = (
            pq.read_table(folder, schema=schema, partitioning=None)
            if folder.exists()
            else schema.empty_table()
        )
        return [column.to_numpy() for column in table.columns]
