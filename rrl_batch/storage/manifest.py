"""Receipts, one a finished partition, and the manifest that makes a dataset complete.

A dataset is a folder with a manifest. The manifest is written last, so a folder without one
is an unfinished run; its receipts say which partitions need not be made again.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from rrl_batch.errors import RunError, UserError
from rrl_batch.storage.commit import checksum, replacing, write_json

MANIFEST = "manifest.json"
RECEIPTS = "receipts"
RUN = "run.json"

ROWS_PER_GROUP = 20_000
"""Stars in a Parquet row group and in a task: about 2 s of work, about 15 MB of light curves."""


@dataclass(frozen=True)
class Receipt:
    """A partition that is on disk, complete.

    Parameters
    ----------
    path : str
        File, relative to the dataset's folder.
    rows : int
        Rows in the file.
    size : int
        Bytes of the file.
    sha256 : str
        Checksum of the file's content.
    fingerprint : str
        Fingerprint of everything that the content was made from.
    counts : dict of str to int
        What was counted on the way, e.g. stars per flag.
    summary : dict
        What else is shown of it before the dataset is read, e.g. its mean metallicity.
    found : bool
        Whether an earlier run has left it; not on disk.
    """

    path: str
    rows: int
    size: int
    sha256: str
    fingerprint: str
    counts: dict[str, int] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    found: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        path = PurePosixPath(self.path)
        if path.is_absolute() or ".." in path.parts or "\0" in self.path:
            raise ValueError(f"{self.path} is not in the dataset's folder")

    def content(self) -> dict[str, Any]:
        """Return what is on disk of it."""
        content = asdict(self)
        del content["found"]
        return content


@dataclass(frozen=True)
class Manifest:
    """What a finished dataset consists of and where it comes from.

    Parameters
    ----------
    kind : str
        "survey" or "catalogue".
    rows : int
        Rows in all partitions.
    provenance : dict
        Where the data come from: sources, settings, fingerprints, code version.
    partitions : list of Receipt
        One a file, in order of position on the sky.
    """

    kind: str
    rows: int
    provenance: dict[str, Any]
    partitions: list[Receipt]

    def __repr__(self) -> str:
        about = self.provenance.get("description", "no description")
        size = f"{self.rows:,} rows in {len(self.partitions):,} files"
        return f"<Manifest of a {self.kind}: {size}; {about}>"

    @classmethod
    def read(cls, root: Path) -> Self:
        """Read the manifest of a dataset.

        Raises
        ------
        UserError
            If the folder holds no finished dataset, or its manifest cannot be read.
        """
        path = root / MANIFEST
        if not path.exists():
            unfinished = (
                "an unfinished run; run its job again" if (root / RECEIPTS).exists() else ""
            )
            raise UserError(f"{root} holds {unfinished or 'no dataset'}: there is no {MANIFEST}.")
        try:
            return TypeAdapter(cls).validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "the whole file"
            raise UserError(
                f"{path} is not a manifest ({where}: {first['msg']}); make the dataset again."
            ) from None

    def write(self, root: Path) -> None:
        """Write the manifest: from here on the dataset is complete."""
        receipts = [receipt.content() for receipt in self.partitions]
        write_json(root / MANIFEST, asdict(self) | {"partitions": receipts})


def _receipt_path(root: Path, path: str) -> Path:
    return root / RECEIPTS / f"{path.replace('/', '_')}.json"


def finished(root: Path, path: str, fingerprint: str) -> Receipt | None:
    """Return the receipt of a partition that was made from the same things before, if any."""
    try:
        receipt = Receipt(**json.loads(_receipt_path(root, path).read_text()))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    if receipt.fingerprint != fingerprint or not _is_there(root, receipt):
        return None
    return replace(receipt, found=True)


def _is_there(root: Path, receipt: Receipt) -> bool:
    file = root / receipt.path
    return file.exists() and file.stat().st_size == receipt.size


def is_whole(root: Path) -> bool:
    """Return whether the files of a finished dataset are there, as long as they were written."""
    return all(_is_there(root, receipt) for receipt in Manifest.read(root).partitions)


def commit(
    root: Path,
    path: str,
    table: pa.Table,
    fingerprint: str,
    counts: dict[str, int] | None = None,
    description: str | None = None,
    summary: dict[str, Any] | None = None,
) -> Receipt:
    """Write a partition and its receipt, each atomically, the receipt last.

    Parameters
    ----------
    root : pathlib.Path
        Folder of the dataset.
    path : str
        File, relative to `root`.
    table : pyarrow.Table
        Rows of the partition.
    fingerprint : str
        Fingerprint of everything that the content was made from.
    counts : dict of str to int, optional
        What was counted on the way.
    description : str, optional
        What the dataset is; goes into the metadata of the file.
    summary : dict, optional
        What else is shown of the partition.

    Raises
    ------
    RunError
        If the file cannot be written, or does not read back as it was written.
    """
    table = table.replace_schema_metadata({"description": description} if description else None)
    with replacing(root / path) as partial:
        pq.write_table(table, partial, **_layout(table.schema))
        written = pq.read_metadata(partial)
        if written.num_rows != table.num_rows or not written.schema.to_arrow_schema().equals(
            table.schema
        ):
            raise RunError(f"{root / path} did not read back as it was written.")
        size = partial.stat().st_size
        receipt = Receipt(
            path, table.num_rows, size, checksum(partial), fingerprint, counts or {}, summary or {}
        )
    write_json(_receipt_path(root, path), receipt.content())
    return receipt


def _layout(schema: pa.Schema) -> dict[str, Any]:
    """Return how Parquet lays out a table: floats by byte streams, which zstd packs best."""
    floats = [
        f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name
        for field in schema
        if pa.types.is_floating(
            field.type.value_type if pa.types.is_list(field.type) else field.type
        )
    ]
    dictionary = [field.name for field in schema if pa.types.is_string(field.type)]
    return {
        "row_group_size": ROWS_PER_GROUP,
        "compression": "zstd",
        "use_dictionary": dictionary,
        "column_encoding": dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
    }


def claim(
    root: Path,
    kind: str,
    made_from: dict[str, Any],
    last_file: str = MANIFEST,
    work: str = f"{RECEIPTS}/*",
) -> bool:
    """Mark a folder as the output of one run, and tell whether that run has ended.

    A folder in which a run of another job has finished nothing, since it was stopped by a
    mistake in its input for example, is claimed anew.

    Parameters
    ----------
    root : pathlib.Path
        Folder of the output.
    kind : str
        "survey", "model" or "catalogue".
    made_from : dict
        Everything that the output is made from, by name: fingerprints and settings.
    last_file : str
        The file that the run writes last.
    work : str
        Pattern of the files that hold finished work.

    Returns
    -------
    bool
        Whether the folder holds the complete output of just this run already.

    Raises
    ------
    UserError
        If the folder holds anything else.
    """
    mine = {"kind": kind, "made_from": made_from}
    if not (root / RUN).exists():
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise UserError(
                f"{root} already holds something else; name another folder, or delete it."
            )
        write_json(root / RUN, mine)
        return False
    differing = _differing(root, mine)
    finished = (root / last_file).exists()
    if not differing:
        return finished
    if finished or any(root.glob(work)):
        state = "a finished" if finished else "an unfinished"
        raise UserError(
            f"{root} already holds {state} {kind} of another job (they differ in: "
            f"{', '.join(differing)}); name another folder, or delete it."
        )
    write_json(root / RUN, mine)
    return False


def _differing(root: Path, mine: dict[str, Any]) -> list[str]:
    """Return in what the run that a folder belongs to differs from this one."""
    try:
        found = json.loads((root / RUN).read_text())
        kind, theirs = found["kind"], dict(found["made_from"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{root / RUN} is damaged; delete {root} and run again.") from None
    if kind != mine["kind"]:
        raise UserError(
            f"{root} already holds a {kind}, not a {mine['kind']}; name another folder, or "
            f"delete it."
        )
    # as JSON gives it back, so that tuples compare as lists
    wanted = json.loads(json.dumps(mine["made_from"]))
    return [name for name in wanted | theirs if wanted.get(name) != theirs.get(name)]
