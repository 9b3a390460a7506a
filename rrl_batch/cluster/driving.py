"""Being the driver of a job: the only one, heard of every other second, and told to stop."""

import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rrl_batch.cluster.jobs import DRIVER_FILE, JobFolder
from rrl_batch.storage.commit import write_json

REPLACED = 75
"""Exit code of a driver that another one has taken the place of."""

_BEAT_SECONDS = 2.0
_STOP_SECONDS = 120.0


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
