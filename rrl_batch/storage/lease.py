"""A lock in an object store, which knows none: a lease that its holder renews while it lives.

Whoever wants the lease watches whether its content changes, by its own clock alone. If it does not,
the holder has died, and the next lease begins, under the next number. A number is put only where
there is none, so that of several one gets it; who has been replaced finds the next number, and
stops.
"""

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rrl_batch.errors import RunError
from rrl_batch.storage.remote import ObjectStoreError, content_of, put

_BEAT_SECONDS = 5.0
_DEAD_SECONDS = 60.0
_LOOK_SECONDS = 1.0

log = logging.getLogger(__name__)


@contextmanager
def leased(folder: Path, owner: str, taken: Callable[[str], Exception]) -> Iterator[None]:
    """Hold the lease in a folder of an object store within the block.

    Parameters
    ----------
    folder : pathlib.Path
        Where its numbers are.
    owner : str
        Who wants it, for others to read.
    taken : callable
        From the holder to the error that is raised if somebody else has it.
    """
    numbers = sorted(file.name for file in folder.iterdir()) if folder.exists() else []
    if numbers:
        _wait_for_death(folder / numbers[-1], taken)
    number = int(numbers[-1]) + 1 if numbers else 1
    mine = folder / f"{number:08d}"
    try:
        put(mine, _content(owner, 0), exclusive=True)
    except FileExistsError:
        raise taken(_owner(content_of(mine))) from None
    for name in numbers:
        (folder / name).unlink(missing_ok=True)
    ended = threading.Event()
    following = folder / f"{number + 1:08d}"
    beat = threading.Thread(target=_beat, args=(mine, following, owner, ended), daemon=True)
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join()
        with suppress(OSError, RunError, ObjectStoreError):
            put(mine, _content(owner, None), exclusive=False)


def _wait_for_death(last: Path, taken: Callable[[str], Exception]) -> None:
    """Return when the holder of a lease has given it back or died; raise if it is alive."""
    seen = content_of(last)
    if _beats(seen) is None:
        return
    log.warning(
        "%s holds %s; waiting up to %.0f s to see whether it is still at work.",
        _owner(seen), last.parent, _DEAD_SECONDS,
    )  # fmt: skip
    end = time.monotonic() + _DEAD_SECONDS
    while time.monotonic() < end:
        time.sleep(_LOOK_SECONDS)
        now = content_of(last)
        if _beats(now) is None:
            return
        if now != seen:
            raise taken(_owner(seen))


def _beat(mine: Path, following: Path, owner: str, ended: threading.Event) -> None:
    number = 0
    while not ended.wait(_BEAT_SECONDS):
        number += 1
        with suppress(OSError, RunError, ObjectStoreError):  # it may pass
            if following.exists():
                log.error("%s has been taken over by another run; this one stops.", mine.parent)
                os.kill(os.getpid(), signal.SIGINT)
                return
            put(mine, _content(owner, number), exclusive=False)


def _content(owner: str, beats: int | None) -> bytes:
    return json.dumps({"owner": owner, "beats": beats}).encode()


def _owner(content: bytes) -> str:
    return str(json.loads(content)["owner"])


def _beats(content: bytes) -> int | None:
    """Return how often a lease was renewed; None if it was given back."""
    beats: int | None = json.loads(content)["beats"]
    return beats
