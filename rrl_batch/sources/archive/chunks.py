"""Light curves of the archive's stars, a chunk of stars a task.

A call's answer is kept until its chunk is finished: whatever has arrived is not asked for again.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from rrl_batch.sources.archive.call import Archive, FailedCallError, arriving
from rrl_batch.sources.archive.products import Products, read_products
from rrl_batch.sources.staging import Staged, Staging
from rrl_batch.sources.transits import Sorter, write_staged
from rrl_batch.storage.commit import fingerprint, write_json

ANSWERS = "answers"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StagedChunk(Staged):
    """What became of a chunk of stars.

    Parameters
    ----------
    absent : tuple of int
        Stars of which the archive has not given a light curve.
    """

    absent: tuple[int, ...]


def sizes_of_chunks(n_stars: int, stars_per_call: int) -> list[int]:
    """Return how many stars are in each chunk."""
    return [min(stars_per_call, n_stars - i) for i in range(0, n_stars, stars_per_call)]


def stage_chunk(
    number: int, archive: Archive, staging: Staging, mark: str, report: Callable[[float], None]
) -> StagedChunk:
    """Fetch the light curves of a chunk of stars, and deal out their G transits to the partitions.

    A star that an answer lacks is asked for again; how often, the release says. A chunk that was
    finished before is not asked for again, nor is any star of an answer that has arrived.

    Parameters
    ----------
    number : int
        Which chunk of the wanted stars, in order of identifier.
    archive : Archive
        The archive.
    staging : Staging
        Where the transits are put, and last a record that they are there.
    mark : str
        Fingerprint of everything that the survey is made from.
    report : callable
        Takes how many stars have arrived.

    Returns
    -------
    StagedChunk
        What was found.

    Raises
    ------
    UserError
        If the archive refuses what is asked of it.
    RunError
        If the archive fails for long, or something cannot be written.
    """
    access = archive.release.access
    first = number * access.stars_per_call
    own = pq.read_table(staging.wanted).slice(first, access.stars_per_call)
    name = f"chunk-{number:05d}"
    mark = fingerprint(mark, own["source_id"].to_pylist())
    record = staging.records / f"{name}.json"
    found = StagedChunk.finished(record, mark)
    if found:
        return found
    answers = _Answers(archive, staging.root / ANSWERS, f"{name}-{mark[:8]}")
    left = set(own["source_id"].to_pylist())
    tables, unreadable, lacking = [], set[int](), 0
    while left and lacking < access.ask_again:
        products = answers.next(sorted(left), waits=lacking > 0)
        if products.others:
            log.warning(
                "The archive has sent %d light curves that were not asked for, or twice; they are "
                "left out.", products.others,
            )  # fmt: skip
        tables.append(products.transits)
        left -= products.arrived
        unreadable = (unreadable | products.unreadable) & left
        lacking = 0 if products.arrived else lacking + 1
        report(own.num_rows - len(left))
    sorter = Sorter(pd.Index(own["source_id"].to_numpy()), own["partition"].to_numpy())
    batches = (batch for table in tables for batch in sorter.accept(table, name))
    write_staged(batches, staging.transits, staging.partitions, name)
    absent = tuple(sorted(left - unreadable))
    staged = StagedChunk(sorter.result(), tuple(sorted(unreadable)), mark, absent)
    write_json(record, asdict(staged))
    answers.remove()
    return staged


class _Answers:
    """The answers to the calls of a chunk, those of an earlier run first.

    Parameters
    ----------
    archive : Archive
        The archive.
    folder : pathlib.Path
        Where answers are kept.
    name : str
        What those of this chunk are called.
    """

    def __init__(self, archive: Archive, folder: Path, name: str) -> None:
        self._archive, self._folder, self._name = archive, folder, name
        self._number = 0

    def next(self, ids: list[int], waits: bool) -> Products:
        """Return the next answer, asked for with these stars, after a wait, unless it is there."""
        path = self._folder / f"{self._name}-{self._number}.zip"
        self._number += 1
        if waits and not path.exists():
            self._archive.wait()
        return self._archive.patiently(partial(self._answer, path, ids))

    def remove(self) -> None:
        """Remove the answers, which are not needed any more."""
        for path in self._folder.glob(f"{self._name}-*.zip"):
            path.unlink()

    def _answer(self, path: Path, ids: list[int]) -> Products:
        if not path.exists():
            arriving(path, partial(self._archive.products, ids))
        try:
            return read_products(path, ids, self._archive.release.light_curves)
        except FailedCallError:
            path.unlink()
            raise
