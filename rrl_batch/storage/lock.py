"""One run at a time writes to an output: locks that end with the process that holds them."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from io import TextIOWrapper
from pathlib import Path

from rrl_batch.errors import RunError, UserError
from rrl_batch.storage.commit import reason_of
from rrl_batch.storage.lease import leased
from rrl_batch.storage.remote import is_remote

_COMMAND = "rrl-batch "
_PREDECESSOR_SECONDS = 120.0


def this_command(line: str) -> str:
    """Return who writes, if it is a command without the folder of a job."""
    where = f"process {os.getpid()}, {socket.gethostname()}"
    return f"{_COMMAND}{line.removeprefix(_COMMAND)} ({where})"


@contextmanager
def sole_writer(paths: Sequence[Path], job: str) -> Iterator[None]:
    """Be the only run, on all hosts, that writes to some folders or files within the block.

    Each has a lock beside it, which the system releases if the process dies; in an object store, a
    lease that has to be renewed.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        What will be written.
    job : str
        Who writes, for others to read: the path of the job's folder, or a command.

    Raises
    ------
    UserError
        If another job writes to one of them. The same job's last driver is waited for.
    RunError
        If nothing can be written there.
    """
    with ExitStack() as stack:
        for path in sorted({path.resolve() for path in paths}, key=str):
            lock = lock_of(path)
            if is_remote(path):
                stack.enter_context(leased(lock, job, partial(_taken, path)))
                continue
            try:
                lock.parent.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(lock.open("a+"))
                _lock(file, path, job)
            except OSError as error:
                raise RunError(f"{path} could not be written: {reason_of(error)}.") from None
        yield


def lock_of(path: Path) -> Path:
    """Return the file whose lock is held by whoever writes to a path."""
    return path.with_name(f".{path.name}.lock")


def check_sole_writer(paths: Sequence[Path]) -> None:
    """Check that no job writes to some paths now.

    Raises
    ------
    UserError
        If one does.
    """
    for path in paths:
        if is_remote(path):
            continue  # to see whether a lease is alive takes a minute
        try:
            with lock_of(path.resolve()).open("r") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _taken(path, lock_of(path.resolve()).read_text()) from None
        except OSError:
            continue  # it is not there, or the file system knows no locks


def _lock(file: TextIOWrapper, path: Path, job: str) -> None:
    patience = time.monotonic() + _PREDECESSOR_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            file.seek(0)
            owner = file.read()
            if owner != job or time.monotonic() > patience:
                raise _taken(path, owner) from None
        except OSError:
            return  # the file system knows no locks
        time.sleep(0.5)
    file.seek(0)
    file.truncate()
    file.write(job)
    file.flush()


def _taken(path: Path, owner: str) -> UserError:
    who = f"'{owner}'" if owner.startswith(_COMMAND) else f"The job {Path(owner).name}"
    return UserError(
        f"{who} writes to {path} already; wait until it is done, cancel it, or name another path."
    )
