"""Receipts, one a finished partition, and the manifest that makes a dataset complete.

A dataset is a folder with a manifest. The manifest is written last, so a folder without one
is an unfinished run; its receipts say which partitions need not be made again. Names of files hold
a fingerprint of what the dataset is made from, so that a process of another run, however late it
writes, never touches a file of this one.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from rrl_batch.errors import RunError, UserError, first_fault
from rrl_batch.storage.commit import flush, is_partial, replacing, write_json
from rrl_batch.storage.remote import content_of, remove_tree, rename
from rrl_batch.storage.sky import DATASET, SIDE_FILES

MANIFEST = "manifest.json"
RECEIPTS = "receipts"
RUN = "run.json"

ROWS_PER_GROUP = 20_000
"""Stars in a Parquet row group and in a task: about 2 s of work, about 15 MB of light curves."""


log = logging.getLogger(__name__)


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
        if not path.is_file():
            unfinished = (
                "an unfinished run; run its job again" if (root / RECEIPTS).exists() else ""
            )
            raise UserError(f"{root} holds {unfinished or 'no dataset'}: there is no {MANIFEST}.")
        try:
            return TypeAdapter(cls).validate_json(content_of(path))
        except ValidationError as error:
            raise UserError(
                f"{path} is not a manifest ({first_fault(error)}); make the dataset again."
            ) from None

    def write(self, root: Path) -> None:
        """Write the manifest, after what it does not name is removed: the dataset is complete.

        Raises
        ------
        RunError
            If another run has completed a dataset there meanwhile.
        """
        remove_strays(root, self)
        receipts = [receipt.content() for receipt in self.partitions]
        write_json(root / MANIFEST, asdict(self) | {"partitions": receipts}, exclusive=True)


def strays(root: Path, manifest: Manifest) -> list[Path]:
    """Return the files among a dataset's partitions that its manifest does not name.

    A process that was killed, or believed dead while another did its work, has left them.
    """
    named = {root / receipt.path for receipt in manifest.partitions}
    named |= {root / DATASET / name for name in SIDE_FILES}
    return sorted(f for f in (root / DATASET).rglob("*") if f not in named and f.is_file())


def remove_strays(root: Path, manifest: Manifest) -> None:
    """Remove what the manifest of a dataset does not name, and receipts of it."""
    receipts = {_receipt_path(root, receipt.path) for receipt in manifest.partitions}
    left = [f for f in (root / RECEIPTS).glob("*") if f not in receipts]
    for file in strays(root, manifest) + left:
        file.unlink(missing_ok=True)


def _receipt_path(root: Path, path: str) -> Path:
    return root / RECEIPTS / f"{path.replace('/', '_')}.json"


def finished(root: Path, path: str, fingerprint: str) -> Receipt | None:
    """Return the receipt of a partition that was made from the same things before, if any."""
    receipt = _read_receipt(_receipt_path(root, path))
    if not receipt or receipt.fingerprint != fingerprint or not _is_there(root, receipt):
        return None
    return replace(receipt, found=True)


def _read_receipt(path: Path) -> Receipt | None:
    try:
        return Receipt(**json.loads(content_of(path)))
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def _is_there(root: Path, receipt: Receipt) -> bool:
    try:
        return (root / receipt.path).stat().st_size == receipt.size
    except OSError:
        return False


def completed(root: Path) -> Manifest | None:
    """Return the manifest of a finished dataset, if its files are there as they were written.

    If one is not, the manifest is taken back, so that the same run makes the file again.
    """
    manifest = Manifest.read(root)
    if not all(_is_there(root, receipt) for receipt in manifest.partitions):
        (root / MANIFEST).unlink()
        return None
    remove_strays(root, manifest)
    return manifest


def adopt(root: Path, wanted: Mapping[str, str]) -> int:
    """Give files that another run has finished the names of this one, where they are the same.

    Parameters
    ----------
    root : pathlib.Path
        Folder of the dataset, unfinished.
    wanted : mapping of str to str
        By the name of each file, the fingerprint of everything that it is made from.

    Returns
    -------
    int
        How many of the files wanted are finished.
    """
    found = [receipt for receipt in map(_read_receipt, (root / RECEIPTS).glob("*")) if receipt]
    theirs = {receipt.fingerprint: receipt for receipt in found if _is_there(root, receipt)}
    number = 0
    for path, fingerprint in wanted.items():
        if finished(root, path, fingerprint):
            number += 1
        elif receipt := theirs.get(fingerprint):
            rename(root / receipt.path, root / path)
            write_json(_receipt_path(root, path), replace(receipt, path=path).content())
            number += 1
    return number


def commit(
    root: Path,
    path: str,
    table: pa.Table,
    fingerprint: str,
    counts: dict[str, int] | None = None,
    about: Mapping[str, str] | None = None,
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
    about : mapping of str to str, optional
        What the dataset is; goes into the metadata of the file.
    summary : dict, optional
        What else is shown of the partition.

    Raises
    ------
    RunError
        If the file cannot be written, or does not read back as it was written.
    """
    table = table.replace_schema_metadata(dict(about) if about else None)
    with replacing(root / path) as partial:
        pq.write_table(table, partial, **_layout(table.schema))
        flush(partial)
        content = partial.read_bytes()
        if not same_values(pq.read_table(pa.BufferReader(content)), table):
            raise RunError(
                f"{root / path} did not read back as it was written; look after the disk, and "
                f"give the same command again."
            )
        receipt = Receipt(
            path, table.num_rows, len(content), hashlib.sha256(content).hexdigest(), fingerprint,
            counts or {}, summary or {},
        )  # fmt: skip
    write_json(_receipt_path(root, path), receipt.content())
    return receipt


def same_values(some: pa.Table, others: pa.Table) -> bool:
    """Return whether two tables have the same columns and values, to the bit."""
    return some.schema.equals(others.schema) and all(
        _bits(a).equals(_bits(b)) and _lengths(a).equals(_lengths(b))
        for a, b in zip(some.columns, others.columns, strict=True)
    )


def _bits(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column's values, floats as integers: NaN is not equal to itself."""
    if pa.types.is_nested(column.type):
        column = pc.list_flatten(column)
    if not pa.types.is_floating(column.type):
        return column
    integer = pa.int32() if column.type == pa.float32() else pa.int64()
    return pa.chunked_array([chunk.view(integer) for chunk in column.chunks], integer)


def _lengths(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the lengths of a column's lists, null where there is none."""
    return pc.list_value_length(column) if pa.types.is_nested(column.type) else column.is_null()


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


@dataclass(frozen=True)
class Claim:
    """What a run has found in the folder of its output.

    Parameters
    ----------
    is_finished : bool
        Whether it holds the complete output of just this run already.
    changed : tuple of str
        In what another run, which has not finished, was made from something else.
    """

    is_finished: bool
    changed: tuple[str, ...] = ()

    def tell(self, root: Path, redone: str) -> None:
        """Tell the user why, and what, of an unfinished run is done anew."""
        log.warning(
            "%s: an earlier run there, which has not finished, differs in %s; %s.",
            root, ", ".join(self.changed), redone,
        )  # fmt: skip


def claim(root: Path, kind: str, made_from: dict[str, Any], last_file: str = MANIFEST) -> Claim:
    """Mark a folder as the output of one run.

    The folder of another run which has not finished is taken over. What it has finished serves as
    far as it is made from the same things.

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

    Raises
    ------
    UserError
        If the folder holds anything else.
    """
    mine = {"kind": kind, "made_from": made_from}
    if not (root / RUN).exists():
        # a run that was killed right here has left the beginning of a file
        if root.exists() and (not root.is_dir() or not all(map(is_partial, root.iterdir()))):
            raise UserError(
                f"{root} already holds something else; name another folder, or delete it."
            )
        write_json(root / RUN, mine)
        return Claim(is_finished=False)
    differing = _differing(root, mine)
    finished = (root / last_file).exists()
    if not differing:
        return Claim(finished)
    if finished:
        raise UserError(
            f"{root} already holds a finished {kind} of another job (they differ in: "
            f"{', '.join(differing)}); name another folder, or delete it."
        )
    write_json(root / RUN, mine)
    return Claim(finished, tuple(differing))


@contextmanager
def withdrawn_if_refused(roots: Iterable[Path]) -> Iterator[None]:
    """Take back the claims of a command that the user has to give otherwise.

    A folder that it has claimed within the block, and put nothing else into, is gone after a
    UserError; whatever was there before stays, and so does what has been made.
    """
    unclaimed = [root for root in roots if not (root / RUN).exists()]
    try:
        yield
    except UserError:
        for root in unclaimed:
            if [path for path in root.rglob("*") if not path.is_dir()] == [root / RUN]:
                remove_tree(root)
        raise


def _differing(root: Path, mine: dict[str, Any]) -> list[str]:
    """Return in what the run that a folder belongs to differs from this one."""
    try:
        found = json.loads(content_of(root / RUN))
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
    wanted, theirs = (dict(_dotted(made_from)) for made_from in (wanted, theirs))
    return [name for name in wanted | theirs if wanted.get(name) != theirs.get(name)]


def _dotted(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested dictionaries by their dotted names."""
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield from _dotted(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", inner
