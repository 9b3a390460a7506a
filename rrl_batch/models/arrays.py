"""Plain arrays in a file of a model: written atomically, read without executing anything."""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rrl_batch.errors import UserError, first_line
from rrl_batch.storage.commit import checksum, replacing

T = TypeVar("T")

Arrays = dict[str, NDArray[Any]]


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> str:
    """Write arrays atomically, as a NumPy archive, and return the file's checksum."""
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)
    return checksum(path)


def read_arrays(path: Path, make: Callable[[Arrays], T], what: str) -> T:
    """Read what `write_arrays` has written; nothing in the file is executed.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    make : callable
        Makes something of the arrays by name; whatever it raises means that they do not serve.
    what : str
        What the file should hold, for messages.

    Raises
    ------
    UserError
        If the file is damaged, or holds anything else.
    """
    try:
        with zipfile.ZipFile(path) as file:
            _require_unpacked(file)
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return make(arrays)
    except Exception as error:  # what libraries raise of a damaged file has no bounds
        raise UserError(
            f"{path} does not hold {what} ({first_line(error)}); train again."
        ) from None


def check_numbers(arrays: Arrays, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Check that arrays are finite numbers in double precision, of the shapes that are wanted.

    Raises
    ------
    ValueError
        If they are not.
    """
    found = {name: array.shape for name, array in arrays.items()}
    if found != shapes:
        raise ValueError(f"it has arrays of the shapes {found}")
    for name, array in arrays.items():
        if array.dtype != np.float64 or not np.isfinite(array).all():
            raise ValueError(f"{name} are no finite numbers in double precision")


def _require_unpacked(file: zipfile.ZipFile) -> None:
    """Refuse an archive that is packed, as is never written: it could unpack to anything."""
    for member in file.infolist():
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{member.filename} is packed")
