"""Atomic files: written beside their final name, flushed to disk, then renamed."""

import errno
import hashlib
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rrl_batch.errors import PassingError, RunError, UserError
from rrl_batch.storage.remote import ObjectStoreError, content_of, is_remote, put

_PARTIAL = ".partial"
_LASTING = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG)
"""What does not pass by waiting."""

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
"""What file systems without hard links answer."""


@contextmanager
def replacing(path: Path, *, exclusive: bool = False) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` when the block ends without an error.

    Parameters
    ----------
    path : pathlib.Path
        Final name. Its folder is created; a file of that name is replaced.
    exclusive : bool
        Whether a file of that name is left alone instead, and an error raised.

    Yields
    ------
    pathlib.Path
        Name in the same folder, so that the rename stays within one file system.

    Raises
    ------
    RunError
        If the file cannot be written, for lack of space or permission, or because another
        process has written it meanwhile where it is to be `exclusive`.
    """
    if is_remote(path):
        with _uploading(path, exclusive=exclusive) as partial:
            yield partial
        return
    # readers of a dataset pass over names with a leading underscore; on another host, a process of
    # the same number may write the same, most of all in containers, or if it was believed dead
    writer = f"{socket.gethostname()}-{os.getpid()}"
    partial = path.with_name(f"_{path.name}.{writer}{_PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            flush(partial)
            (_rename_to_new if exclusive else Path.replace)(partial, path)
            flush(path.parent)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        kind = RunError if error.errno in _LASTING or _is_full(error) else PassingError
        raise kind(f"{path} could not be written: {reason_of(error)}.") from error


@contextmanager
def _uploading(path: Path, *, exclusive: bool) -> Iterator[Path]:
    """Yield a local path whose content becomes an object, which a store puts in one step."""
    with TemporaryDirectory() as folder:
        partial = Path(folder) / path.name
        try:
            yield partial
            put(path, partial.read_bytes(), exclusive=exclusive)
        except FileExistsError:
            raise _written_meanwhile(path) from None
        except (OSError, ObjectStoreError) as error:
            raise PassingError(f"{path} could not be written: {error}.") from error


def _written_meanwhile(path: Path) -> RunError:
    return RunError(
        f"{path} was written by another run meanwhile, and is left as it is; see that no two "
        f"runs write to {path.parent}."
    )


def _rename_to_new(partial: Path, path: Path) -> None:
    """Give a file its final name, unless there is another of that name, in one step."""
    try:
        path.hardlink_to(partial)  # a rename would replace; NFS knows links, too
    except FileExistsError:
        raise _written_meanwhile(path) from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():
            raise RunError(f"{path} is there already, and is left as it is.") from None
        partial.replace(path)


def reason_of(error: OSError) -> str:
    """Return why something could not be written, and what to do."""
    if _is_full(error):
        return (
            "the disk is full; free some space and give the same command again, what is "
            "finished stays"
        )
    return str(error)


def is_partial(path: Path) -> bool:
    """Return whether a file is what a process that was killed has left of another one."""
    return path.name.startswith("_") and path.name.endswith(_PARTIAL)


def _is_full(error: OSError) -> bool:
    # Arrow and HDF5 wrap the system's error, HDF5 without its number
    return error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any, *, sort_keys: bool = True, exclusive: bool = False) -> None:
    """Write a JSON file atomically; the same value always gives the same bytes."""
    with replacing(path, exclusive=exclusive) as partial:
        text = json.dumps(value, indent=1, sort_keys=sort_keys, allow_nan=False)
        partial.write_text(text + "\n")


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    if is_remote(path):
        return hashlib.sha256(content_of(path)).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_mark(path: Path) -> str:
    """Return a fingerprint of the content of a file, or of all files in a folder.

    Raises
    ------
    UserError
        If there is nothing of that name.
    """
    if not path.exists():
        raise UserError(f"There is no file {path}.")
    if not path.is_dir():
        return checksum(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return fingerprint([[str(file.relative_to(path)), checksum(file)] for file in files])


def fingerprint(*parts: Any) -> str:
    """Return the SHA-256 of JSON-serialisable values, in hexadecimal."""
    text = json.dumps(parts, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
