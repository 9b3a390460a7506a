"""Being the driver of a job: the only one, heard of every other second, and told to stop."""

import fcntl
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path

from rrl_batch.cluster.jobs import DRIVER_FILE, JobFolder
from rrl_batch.errors import UserError
from rrl_batch.storage.commit import write_json

REPLACED = 75
"""Exit code of a driver that another one has taken the place of."""

_BEAT_SECONDS = 2.0
_STOP_SECONDS = 120.0
_PREDECESSOR_SECONDS = 120.0


@contextmanager
def driving(folder: JobFolder) -> Iterator[None]:
    """Be the driver of a job within the block, in the main thread of the process.

    A driver that another one has replaced ends at once: its worker was believed dead. One that is
    to stop gets a KeyboardInterrupt, as from the keyboard.
    """
    file = folder.path / DRIVER_FILE
    mine = {"host": socket.gethostname(), "pid": os.getpid(), "token": uuid.uuid4().hex}
    write_json(file, mine)
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(folder, file, mine, ended), daemon=True)
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join()
        with suppress(OSError, ValueError):
            if folder.driver() == mine:
                file.unlink()


def _beat(folder: JobFolder, file: Path, mine: dict[str, object], ended: threading.Event) -> None:
    stop_at = None
    while not ended.wait(_BEAT_SECONDS):
        try:
            if folder.driver() != mine:
                os._exit(REPLACED)
            os.utime(file)
        except (OSError, ValueError):
            continue  # a file system that several hosts share has its moments
        if stop_at is None and folder.is_to_stop:
            stop_at = time.monotonic() + _STOP_SECONDS
            main = threading.main_thread().ident
            if main is not None:
                signal.pthread_kill(main, signal.SIGINT)
        elif stop_at is not None and time.monotonic() > stop_at:
            folder.end("cancelled", "The driver did not stop by itself, and was ended.")
            os._exit(1)


@contextmanager
def sole_writer(paths: Sequence[Path], job: str) -> Iterator[None]:
    """Be the only job, on all hosts, that writes to some folders or files within the block.

    Each has a lock beside it, which the system releases if the process dies.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        What will be written.
    job : str
        Who writes, for others to read: the path of the job's folder.

    Raises
    ------
    UserError
        If another job writes to one of them. The same job's last driver is waited for.
    """
    with ExitStack() as stack:
        for path in sorted({path.resolve() for path in paths}):
            lock = lock_of(path)
            lock.parent.mkdir(parents=True, exist_ok=True)
            _lock(stack.enter_context(lock.open("a+")), path, job)
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
    return UserError(
        f"The job {Path(owner).name} writes to {path} already; wait until it is done, cancel it, "
        f"or name another path."
    )
