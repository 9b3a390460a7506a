"""Find the stars that a computation fails on, or that its process dies of, and go round them.

Whatever such a star does, it does it to a process of its own: halves of a batch are tried there
until the star is found.
"""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from typing import Any, Self

import numba
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.contracts import Flag
from rrl_batch.contracts.catalogue import IDENTIFICATION
from rrl_batch.errors import RunError, UserError
from rrl_batch.lightcurve.batch import LightCurveBatch

MOST_FAILING = 10
"""Stars of a batch, of more than which it is not the stars that are to blame."""

_NOT_THE_STAR = (UserError, RunError, OSError)
_TRIES = 2


def failing_stars(
    work: Callable[[LightCurveBatch], Any], batch: LightCurveBatch, memory: int = 0
) -> NDArray[np.bool_]:
    """Return which stars of a batch some work fails on, or kills the process that does it.

    Parameters
    ----------
    work : callable
        What is done with a batch; it is pickled.
    batch : LightCurveBatch
        The stars.
    memory : int
        Bytes that the work may take; 0 if there is no limit.

    Returns
    -------
    (n_stars,) bool ndarray
        All False if nothing fails: the work was ended by something else before.

    Raises
    ------
    UserError, RunError, OSError
        If the work says that its input or the machine is at fault.
    RunError
        If it fails without any star, or with more than ten.
    """
    failing = np.zeros(len(batch), np.bool_)
    with _Trial(work, memory) as trial:
        if not trial.succeeds(batch.select(failing)):
            raise RunError(f"The computation fails without any star: {trial.reason}.")
        waiting = [np.arange(len(batch))]
        while waiting:
            rows = waiting.pop()
            one = len(rows) == 1
            some = batch.select(np.isin(np.arange(len(batch)), rows))
            # a process that is alone may die of another's hunger for memory
            if any(trial.succeeds(some) for _ in range(_TRIES if one else 1)):
                continue
            if not one:
                waiting += np.array_split(rows, 2)[::-1]
                continue
            failing[rows] = True
            if failing.sum() > MOST_FAILING:
                raise RunError(
                    f"The computation fails for more than {MOST_FAILING} stars, of "
                    f"{len(batch):,} that belong together: it is not the stars that are at fault "
                    f"({trial.reason})."
                )
    return failing


def predict_around(
    predict: Callable[[LightCurveBatch], pd.DataFrame],
    batch: LightCurveBatch,
    failing: NDArray[np.bool_],
) -> pd.DataFrame:
    """Return the catalogue's rows of a batch some of whose stars cannot be worked on.

    Another star stands in the place of each, so that all others are computed in just the company,
    and to just the last bit, that they always are.

    Parameters
    ----------
    predict : callable
        Gives the catalogue's rows of a batch.
    batch : LightCurveBatch
        The stars.
    failing : (n_stars,) bool ndarray
        Those that cannot be worked on.
    """
    rows = np.arange(len(batch))
    good = np.flatnonzero(~failing)
    if len(good):
        rows[failing] = good[0]
        table = predict(batch.take(rows))
    else:
        table = predict(batch.without_epochs(failing))
    for name in table:
        if name in IDENTIFICATION.names:
            table[name] = batch.stars[name].to_numpy()
        elif table[name].dtype.kind == "f":
            table.loc[failing, name] = np.nan
    table.loc[failing, "num_epochs_used"] = 0
    table.loc[failing, "flags"] = int(Flag.COMPUTATION_FAILED)
    return table


class _Trial:
    """A process in which work is tried; where it dies, another takes its place."""

    def __init__(self, work: Callable[[LightCurveBatch], Any], memory: int) -> None:
        self._work, self._memory = work, memory
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection[Any, Any] | None = None
        self.reason = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def succeeds(self, batch: LightCurveBatch) -> bool:
        """Do the work on a batch, and tell whether that went well."""
        pipe = self._pipe or self._start()
        try:
            pipe.send(batch)
            error = pipe.recv()
        except (EOFError, OSError):
            self.reason = f"its process ended with {self._end()}"
            return False
        if isinstance(error, _NOT_THE_STAR):
            raise error
        if error is not None:
            self.reason = str(error)
        return error is None

    def _start(self) -> "Connection[Any, Any]":
        ours, theirs = Pipe()
        command = [sys.executable, "-m", __name__, str(theirs.fileno()), str(self._memory)]
        environment = os.environ | {"NUMBA_NUM_THREADS": str(numba.get_num_threads())}
        self._process = subprocess.Popen(  # noqa: S603 -- nothing of it comes from outside
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=environment
        )
        theirs.close()
        self._pipe = ours
        with suppress(OSError):  # which `succeeds` will find out, too
            ours.send(self._work)
        return ours

    def _end(self) -> int:
        """End the process, if it has not ended, and return its exit code."""
        if self._pipe:
            self._pipe.close()
        code = self._process.wait() if self._process else 0
        self._pipe = self._process = None
        return code


def main() -> None:
    """Do work on the batches that come through a pipe, and answer with the error, or None."""
    pipe, memory = Connection(int(sys.argv[1])), int(sys.argv[2])
    if memory:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    work = pipe.recv()
    with suppress(EOFError):
        while True:
            pipe.send(_error_of(work, pipe.recv()))


def _error_of(work: Callable[[LightCurveBatch], Any], batch: LightCurveBatch) -> Exception | None:
    try:
        work(batch)
    except _NOT_THE_STAR as error:
        return error
    except Exception as error:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return None


if __name__ == "__main__":
    main()
