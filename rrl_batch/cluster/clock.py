"""A clock that does not go back when that of the machine is set back, for what Dask sends."""

import time

_AHEAD = time.time() - time.monotonic()


def steady() -> float:
    """Return the time in s: that of the machine's clock, if it has not been set since."""
    return _AHEAD + time.monotonic()


def keep_sending() -> None:
    """Let Dask's messages and heartbeats in this process not wait for a clock that was set back.

    Both are due at some time of the machine's clock, at which tornado's loop looks: `BatchedSend`
    of distributed sends nothing before a deadline, and `PeriodicCallback` of tornado leaves "long
    gaps between callbacks if the clock jumps backwards by a lot". With a clock three hours slow a
    task would be asked for, or its result told, three hours later, and a worker be given up for
    want of heartbeats. To call it once more changes nothing.
    """
    import distributed.batched
    from tornado.ioloop import IOLoop

    distributed.batched.time = steady
    IOLoop.time = _of_loop  # type: ignore[method-assign,assignment]


def _of_loop(_: object) -> float:
    return steady()
