"""Deal out the transits of bulk files to the partitions of a survey, a task a file."""

from dataclasses import asdict, dataclass

import pandas as pd
import pyarrow.parquet as pq

from rrl_batch.sources.bulk.mirror import BulkFile
from rrl_batch.sources.bulk.read import Reader
from rrl_batch.sources.staging import Staged, Staging
from rrl_batch.sources.transits import Sorter, write_staged
from rrl_batch.storage.commit import fingerprint, write_json


@dataclass(frozen=True)
class StagedFile(Staged):
    """What became of a file of a mirror.

    Parameters
    ----------
    sources : int
        Sources in the file, wanted or not.
    """

    sources: int


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
    found = StagedFile.finished(record, mark)
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
    staged = StagedFile(sorter.result(), tuple(reader.unreadable), mark, reader.sources)
    write_json(record, asdict(staged))
    return staged
