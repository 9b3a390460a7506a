"""Where transits that come in pieces wait, until a survey can be written of them."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd

from rrl_batch.sources.transits import TransitCounts, partition_of_star
from rrl_batch.storage.commit import replacing
from rrl_batch.storage.sky import Partition


@dataclass(frozen=True)
class Staging:
    """Where transits wait until all of them have been read.

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
        """Folder of what is finished, a record a file of a mirror or a chunk of stars."""
        return self.root / "files"

    @property
    def wanted(self) -> Path:
        """File that says which stars are wanted, and where each goes."""
        return self.root / "wanted.parquet"

    def begin(self, stars: pd.DataFrame, partitions: Sequence[Partition]) -> None:
        """Write which stars are wanted; sweep away what a run that finished nothing has left."""
        if not self.records.exists():
            shutil.rmtree(self.transits, ignore_errors=True)
        place = partition_of_star(partitions)
        wanted = pd.DataFrame({"source_id": stars["source_id"], "partition": place})
        with replacing(self.wanted) as partial:
            wanted.sort_values("source_id").to_parquet(partial, index=False)


@dataclass(frozen=True)
class Staged:
    """What became of a piece of the transits; each source adds what else it tells.

    Parameters
    ----------
    counts : TransitCounts
        Of the wanted stars.
    unreadable : tuple of int
        Wanted stars whose light curves could not be read.
    fingerprint : str
        Fingerprint of everything that the staged transits were made from.
    """

    counts: TransitCounts
    unreadable: tuple[int, ...]
    fingerprint: str

    @classmethod
    def finished(cls, record: Path, fingerprint: str) -> Self | None:
        """Return what a record holds, if it is of a piece that was made from the same things."""
        try:
            content = json.loads(record.read_text())
            counts = TransitCounts(**_with_tuples(content.pop("counts")))
            found = cls(counts=counts, **_with_tuples(content))
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return found if found.fingerprint == fingerprint else None


def _with_tuples(content: dict[str, Any]) -> dict[str, Any]:
    """Return values as they were before they went to JSON, which has lists alone."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in content.items()}
