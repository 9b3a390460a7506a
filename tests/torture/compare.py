"""Compare what a disturbed run has left with what an undisturbed one has."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

Content = dict[str, Any]
"""By file, the SHA-256 of its content; of a catalogue also its rows."""


@dataclass(frozen=True)
class Found:
    """What was found of a survey, model or catalogue.

    Parameters
    ----------
    expected, stars : int
        Stars that there should be, and are.
    duplicates : int
        Rows of stars that have another one.
    rows : int
        Rows that differ, or are missing.
    files : int
        Files whose content differs, are missing, or do not belong there.
    """

    expected: int = 0
    stars: int = 0
    duplicates: int = 0
    rows: int = 0
    files: int = 0

    def __add__(self, other: Self) -> Self:
        names = [field.name for field in fields(self)]
        return type(self)(**{name: getattr(self, name) + getattr(other, name) for name in names})

    @property
    def is_clean(self) -> bool:
        """Whether all is there, once, as it should be."""
        return self.stars == self.expected and not (self.duplicates or self.rows or self.files)


def content(stage: str, root: str) -> Content:
    """Return the content of what a command has made, after it was verified.

    Only what holds data counts: a manifest also names the folder, in which they differ.
    """
    import pyarrow.parquet as pq

    from rrl_batch.storage.commit import checksum

    folder = Path(root) / stage
    if stage == "model":
        from rrl_batch.models.folder import read_whole

        read_whole(folder)
        kept = [folder / "model.json", *folder.glob("*.npz"), folder / "out_of_fold.parquet"]
        return {"files": {path.name: checksum(path) for path in kept}, "rows": {}}
    if stage == "catalogue":
        from rrl_batch.catalogue.verify import verify

        assert verify(folder).faults == [], verify(folder).faults
    # whatever is there, as a reader sees it who does not know the manifest
    parts = sorted(p for p in (folder / "dataset").rglob("*.parquet"))
    files = {str(path.relative_to(folder)): checksum(path) for path in parts}
    if stage == "survey":
        files["labels.parquet"] = checksum(Path(root) / "labels.parquet")
    rows: dict[str, list[str]] = {}
    for path in parts:
        for row in pq.read_table(path).to_pylist():
            rows.setdefault(str(row["source_id"]), []).append(repr(row))
    return {"files": files, "rows": rows}


def compared(stage: str, root: str, expected: Content) -> dict[str, int]:
    """Return what was found, as the fields of `Found`."""
    found = content(stage, root)
    rows, wanted = found["rows"], expected["rows"]
    files = found["files"]
    found = Found(
        expected=len(wanted),
        stars=len(rows.keys() & wanted.keys()),
        duplicates=sum(len(some) - 1 for some in rows.values()),
        rows=sum(rows.get(star) != wanted.get(star) for star in rows.keys() | wanted.keys()),
        files=sum(files.get(n) != expected["files"].get(n) for n in files | expected["files"]),
    )
    return asdict(found)
