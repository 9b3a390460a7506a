"""The driver of a job: the process that says what is to be computed, and when.

`rrl-batch run` is one itself. That of a job that has been submitted is a process of its own beside
one of the cluster's workers, which starts it (`rrl_batch.cluster.submit`): its memory and its use
of Python's lock are not those of a worker that computes, it is the same program as `rrl-batch run`,
and it can be ended at any time, which a thread cannot.
"""

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Hashable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from rrl_batch.cluster.connect import connect
from rrl_batch.cluster.driving import driving
from rrl_batch.cluster.events import EpochEnded, Event, JobStarted, TaskDone, read_events
from rrl_batch.cluster.handshake import noticing_loss, reach
from rrl_batch.cluster.jobs import JobFolder
from rrl_batch.cluster.logs import logged
from rrl_batch.cluster.performance import performance_kept
from rrl_batch.cluster.recorder import how_ended, recording
from rrl_batch.cluster.security import make_security
from rrl_batch.errors import RunError, SchedulerLostError, UserError
from rrl_batch.job import Job
from rrl_batch.run import Say, outputs, run_job
from rrl_batch.storage.lock import sole_writer
from rrl_batch.storage.manifest import withdrawn_if_refused

MOST_STARTS = 5
"""How often a driver is started while nothing gets done in between."""

log = logging.getLogger("rrl_batch.driver")  # also where this is the program


def drive(folder: JobFolder, job: Job, command: str, say: Say) -> None:
    """Do a job in this process, in the main thread; its folder tells how it goes.

    Parameters
    ----------
    folder : JobFolder
        Folder of the job.
    job : Job
        What is to be done, and on which cluster.
    command : str
        What was asked for, as on the command line.
    say : callable
        Takes a line about each result.

    Raises
    ------
    UserError
        If what is given does not serve, or another job writes to the same outputs.
    RunError
        If something fails all the same.
    SchedulerLostError
        If the scheduler is out of reach. The job has not ended: another driver may go on with it.
    KeyboardInterrupt
        If the job is to stop.
    """

    def tell(line: str) -> None:
        say(line)
        log.info(line)

    with driving(folder), logged(folder) as log_event:
        try:
            _check_starts(read_events(folder.path))
            with (
                sole_writer(outputs(job), str(folder.path)),
                withdrawn_if_refused(outputs(job)),
                connect(job.cluster) as client,
                recording(
                    client, folder.id, folder.path,
                    title=folder.id, command=command, listener=log_event,
                ),
                performance_kept(client, folder.path),
                noticing_loss(client),
            ):  # fmt: skip
                tell(f"dashboard  {client.dashboard_link}")
                run_job(client, job, tell)
        except SchedulerLostError:
            raise
        except BaseException as error:
            # where there was no cluster yet
            if not folder.look().is_over:
                log_event(folder.end(*how_ended(error)))
            raise


def _check_starts(events: Iterable[Event]) -> None:
    """Check that a job gets on, and does not end the workers that drive it again and again."""
    starts, known = 0, set[Hashable]()
    for event in events:
        match event:
            case JobStarted():
                starts += 1
            case TaskDone() | EpochEnded():
                done = _done(event)
                starts = starts if done <= known else 0
                known |= done
    if starts >= MOST_STARTS:
        raise RunError(
            f"The job's driver was started {starts} times and ended each time before anything was "
            f"finished; its folder's log, or that of the workers, may say why."
        )


def _done(event: TaskDone | EpochEnded) -> set[Hashable]:
    """Return what need not be done again, or not as far."""
    if isinstance(event, EpochEnded):
        return {(event.member, event.epoch)}
    return {(event.stage, piece.pixel) for piece in event.pieces}


def main() -> int:
    """Do a job that has been submitted: ``python -m rrl_batch.driver FOLDER ADDRESS COMMAND``."""
    folder, address, command = JobFolder(Path(sys.argv[1])), sys.argv[2], sys.argv[3]
    signal.signal(signal.SIGINT, _stop_once)
    threading.Thread(target=_end_with_worker, daemon=True).start()
    job = folder.job
    # as the worker sees the scheduler; its certificates are in the environment
    here = job.cluster.model_copy(update={"address": address, "tls": None})
    try:
        with suppress(UserError):  # of which the job shall tell
            reach(address, make_security())  # else it would take the place of one that does
        drive(folder, job.model_copy(update={"cluster": here}), command, lambda _: None)
    except BaseException:
        traceback.print_exc()  # for those who look after the package; the folder has the sentence
        return 1
    return 0


def _stop_once(*_: object) -> NoReturn:
    """Stop the job; both the worker and the job's folder may ask for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _end_with_worker() -> None:
    """End when the worker does, whose end of the pipe then closes."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
