"""Deal out the transits of bulk files to the partitions of a survey, a task a file."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import pandas as pd
import pyarrow.parquet as pq

from rrl_batch.sources.bulk.mirror import BulkFile
from rrl_batch.sources.bulk.read import Reader
from rrl_batch.sources.transits import Sorter, TransitCounts, partition_of_star, write_staged
from rrl_batch.storage.commit import fingerprint, replacing, write_json
from rrl_batch.storage.sky import Partition


@dataclass(frozen=True)
class StagedFile:
    """What became of a file of a mirror.

    Parameters
    ----------
    counts : TransitCounts
        Of the wanted stars.
    sources : int
        Sources in the file, wanted or not.
    unreadable : tuple of int
        Wanted stars whose light curves could not be read.
    fingerprint : str
        Fingerprint of everything that the staged transits were made from.
    """

    counts: TransitCounts
    sources: int
    unreadable: tuple[int, ...]
    fingerprint: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `stage_file` has written."""
        content = json.loads(path.read_text())
        counts = content.pop("counts")
        counts["unknown_examples"] = tuple(counts["unknown_examples"])
        unreadable = tuple(content.pop("unreadable"))
        return cls(counts=TransitCounts(**counts), unreadable=unreadable, **content)


@dataclass(frozen=True)
class Staging:
    """Where transits wait until all files of a mirror have been read.

    Parameters
    ----------
    root : pathlib.Path
        Folder of it.
    partitions : int
        Number of partitions of the survey.
    """

    root: Path
    partitions: int

    @property
    def transits(self) -> Path:
        """Folder of the transits, by partition."""
        return self.root / "transits"

    @property
    def records(self) -> Path:
        """Folder of the files that are finished, a record each."""
        return self.root / "files"

    @property
    def wanted(self) -> Path:
        """File that says which stars are wanted, and where each goes."""
        return self.root / "wanted.parquet"

    def begin(self, stars: pd.DataFrame, partitions: Sequence[Partition]) -> None:
        """Write which stars are wanted; sweep away what a run that finished no file has left."""
        if not self.records.exists():
            shutil.rmtree(self.transits, ignore_errors=True)
        place = partition_of_star(partitions)
        wanted = pd.DataFrame({"source_id": stars["source_id"], "partition": place})
        with replacing(self.wanted) as partial:
            wanted.sort_values("source_id").to_parquet(partial, index=False)


def stage_file(file: BulkFile, staging: Staging, mark: str) -> StagedFile:
    """Deal out the G transits of the wanted stars of a file to the partitions of the survey.

    A file that was dealt out before, and has not changed since, is not read again.

    Parameters
    ----------
    file : BulkFile
        Which file.
    staging : Staging
        Where the transits are put, and last a record that they are there.
    mark : str
        Fingerprint of everything that the survey is made from.

    Returns
    -------
    StagedFile
        What was found.

    Raises
    ------
    UserError
        If the file is damaged, or is no table of epoch photometry.
    RunError
        If the transits cannot be written.
    """
    stat = file.path.stat()
    mark = fingerprint(mark, file.path.name, file.md5, stat.st_size, stat.st_mtime_ns)
    record = staging.records / f"{file.path.name}.json"
    found = _finished(record, mark)
    if found:
        return found
    low, high = file.span
    own = pq.read_table(
        staging.wanted, filters=[("source_id", ">=", low), ("source_id", "<", high)]
    )
    sorter = Sorter(pd.Index(own["source_id"].to_numpy()), own["partition"].to_numpy())
    reader = Reader(file, own["source_id"].combine_chunks())
    batches = (batch for piece in reader.pieces() for batch in sorter.accept(piece, str(file.path)))
    write_staged(batches, staging.transits, staging.partitions, file.path.name.split(".")[0])
    staged = StagedFile(sorter.result(), reader.sources, tuple(reader.unreadable), mark)
    write_json(record, asdict(staged))
    return staged


def _finished(record: Path, mark: str) -> StagedFile | None:
    try:
        found = StagedFile.read(record)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found if found.fingerprint == mark else None
