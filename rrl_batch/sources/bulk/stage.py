"""Deal out the transits of bulk files to the partitions of a survey, a task a file."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import pandas as pd
import pyarrow.parquet as pq

from rrl_batch.sources.bulk.mirror import BulkFile
from rrl_batch.sources.bulk.read import Reader
from rrl_batch.sources.staging import Staging
from rrl_batch.sources.transits import Sorter, TransitCounts, write_staged
from rrl_batch.storage.commit import fingerprint, write_json


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
