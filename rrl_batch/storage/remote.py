"""Paths of object stores, such as s3://bucket/catalogue, beside those of file systems.

They are those of `universal_pathlib`, which have the methods of a `pathlib.Path`. Where the store
is, and who may write there, is in the environment (``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID`` …).
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rrl_batch.errors import PassingError, UserError

if TYPE_CHECKING:
    from upath import UPath

try:
    from obstore.exceptions import BaseError as ObjectStoreError
except ImportError:  # the extra `s3`

    class ObjectStoreError(Exception):  # type: ignore[no-redef]
        """What a store that is not there cannot raise."""


PROTOCOL = "s3"

__all__ = [
    "ObjectStoreError", "content_of", "is_remote", "path_of", "put", "readable", "remove_tree",
    "rename",
]  # fmt: skip


def path_of(text: str | Path) -> Path:
    """Return a path, or that of an object store if it is a URL.

    Raises
    ------
    UserError
        If it is a URL of another kind, or the package for object stores is not installed.
    """
    if isinstance(text, Path) or "://" not in str(text):
        return Path(text)
    if not isinstance(text, str):
        return text  # one already
    protocol = str(text).partition("://")[0]
    if protocol != PROTOCOL:
        raise UserError(
            f"{text} is neither a path nor at {PROTOCOL}://BUCKET/…; name one of these."
        )
    try:
        from rrl_batch.storage.object_store import ObjectPath
    except ImportError:
        raise UserError(
            f"{text} is in an object store, for which 'obstore' is needed; install rrl-batch[s3]."
        ) from None
    return cast("Path", ObjectPath(text, protocol="s3"))


def is_remote(path: Path) -> bool:
    """Return whether a path is in an object store."""
    return not isinstance(path, Path)


def readable(path: Path) -> Any:
    """Return a path as Arrow reads it: a file of an object store is opened."""
    return path.open("rb") if is_remote(path) else path


def content_of(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises
    ------
    OSError
        If it is not there, or cannot be read.
    """
    if not is_remote(path):
        return path.read_bytes()
    remote = cast("UPath", path)
    return bytes(remote.fs.cat_file(remote.path))


def rename(path: Path, target: Path) -> None:
    """Give a file another name; in an object store that is a copy under it."""
    if not is_remote(path):
        path.replace(target)
        return
    remote, there = cast("UPath", path), cast("UPath", target)
    remote.fs.cp_file(remote.path, there.path)
    remote.fs.rm_file(remote.path)


def remove_tree(path: Path) -> None:
    """Remove a folder, if there is one, and all that is in it."""
    if not is_remote(path):
        shutil.rmtree(path, ignore_errors=True)
        return
    for file in path.rglob("*") if path.exists() else ():
        if file.is_file():
            file.unlink(missing_ok=True)


def put(path: Path, content: bytes, *, exclusive: bool) -> None:
    """Put a whole object into a store, in one step, and read it back.

    Raises
    ------
    FileExistsError
        If there is one of that name, which is to be `exclusive`; it is left as it is.
    PassingError
        If it does not read back as it was put.
    """
    remote = cast("UPath", path)
    remote.fs.pipe_file(remote.path, content, mode="create" if exclusive else "overwrite")
    if content_of(path) != content:
        raise PassingError(f"{path} did not read back as it was written.")
