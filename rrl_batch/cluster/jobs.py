"""The folder of a job, from which alone every command tells how the job is.

In `rrl-jobs/full_sky-1` there are

- `job.toml`: the job with every option, paths absolute
- `events.jsonl`: what has happened (`rrl_batch.cluster.events`)
- `log.jsonl`: the same and more, for people (`rrl_batch.cluster.logs`)
- `driver.json`: who drives it; touched every other second, and gone when the driver is
- `cancel`: somebody wants it to stop
"""

import difflib
import json
import os
import re
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, Literal, Self

import tomli_w

from rrl_batch import __version__
from rrl_batch.cluster.events import EVENTS_FILE, JobEnded, JobOutcome, from_json
from rrl_batch.cluster.state import RunState
from rrl_batch.errors import RunError, UserError
from rrl_batch.job import Job, read_job
from rrl_batch.storage.commit import replacing

JOBS_VARIABLE = "RRL_BATCH_JOBS"
"""Environment variable that names the folder of all jobs."""

JOB_FILE = "job.toml"
DRIVER_FILE = "driver.json"
CANCEL_FILE = "cancel"

SILENT_SECONDS = 90
"""Time without a sign of life after which a driver counts as dead, in s.

A file system that several hosts share may show a change a minute late.
"""

JobState = Literal["waiting", "running", "stopping", "lost", "done", "failed", "cancelled"]


def default_jobs() -> Path:
    """Return the folder of all jobs."""
    return Path(os.environ.get(JOBS_VARIABLE) or "rrl-jobs")


@dataclass(frozen=True)
class Sign:
    """A sign of life of a driver.

    Parameters
    ----------
    heard : float
        When it was given, in seconds of Unix time.
    alive : bool
        Whether the driver counts as alive.
    """

    heard: float
    alive: bool


@dataclass(frozen=True)
class JobFolder:
    """The folder of a job; its name is the job's identifier."""

    path: Path

    @classmethod
    def create(cls, jobs: Path, name: str, job: Job, command: str) -> Self:
        """Make the folder of a new job.

        Parameters
        ----------
        jobs : pathlib.Path
            Folder of all jobs.
        name : str
            What the job is called; its identifier is this and the next free number.
        job : Job
            What is to be done.
        command : str
            What was asked for, as on the command line.

        Raises
        ------
        RunError
            If the folder cannot be written.
        """
        stem = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "job"
        content = job.model_dump(mode="json", exclude_none=True)
        head = f"# rrl_batch {__version__}: {command}\n\n"
        try:
            jobs.mkdir(parents=True, exist_ok=True)
            path = _next_folder(jobs.absolute(), stem)
        except OSError as error:
            raise RunError(
                f"No folder of a job can be made in {jobs} ({error.strerror}); name another "
                f"folder with --jobs or {JOBS_VARIABLE}."
            ) from None
        with replacing(path / JOB_FILE) as partial:
            partial.write_text(head + tomli_w.dumps(content), encoding="utf-8")
        return cls(path)

    @property
    def id(self) -> str:
        """Identifier of the job."""
        return self.path.name

    @cached_property
    def job(self) -> Job:
        """What is to be done."""
        return read_job(self.path / JOB_FILE)

    def look(self) -> "JobView":
        """Return how the job is now."""
        return Follower(self).look()

    def last_sign(self) -> "Sign | None":
        """Return the last sign of life of the job's driver, if it has one."""
        try:
            heard = (self.path / DRIVER_FILE).stat().st_mtime
            driver = self.driver()
        except FileNotFoundError:
            return None
        except ValueError:  # it is just being written
            return Sign(heard, alive=True)
        gone = driver["host"] == socket.gethostname() and not _runs(driver["pid"])
        return Sign(heard, alive=not gone and time.time() - heard < SILENT_SECONDS)

    def driver(self) -> dict[str, Any]:
        """Return who drives the job: `host`, `pid` and a `token` of the process.

        Raises
        ------
        FileNotFoundError, ValueError
            If nobody does, or it is just being written.
        """
        try:
            found: dict[str, Any] = json.loads((self.path / DRIVER_FILE).read_text())
            named = {"host", "pid"} <= found.keys() and 0 < found["pid"] < 2**31
        except (AttributeError, TypeError, RecursionError):
            named = False
        if not named:
            raise ValueError(f"{DRIVER_FILE} names no driver")
        return found

    def ask_to_stop(self) -> None:
        """Leave word for the driver that it shall stop.

        Raises
        ------
        UserError
            If the folder is another user's.
        """
        try:
            (self.path / CANCEL_FILE).touch()
        except OSError as error:
            raise UserError(
                f"{self.path} cannot be written ({error.strerror}): only who has submitted the job "
                f"can cancel it."
            ) from None

    @property
    def is_to_stop(self) -> bool:
        """Whether somebody wants the job to stop."""
        return (self.path / CANCEL_FILE).exists()

    def end(self, state: JobOutcome, message: str = "") -> JobEnded:
        """Note how the job has ended, where no client could tell it to a scheduler."""
        event = JobEnded(time=time.time(), job=self.id, state=state, message=message)
        with (self.path / EVENTS_FILE).open("a", encoding="utf-8") as file:
            file.write(event.to_json() + "\n")
        return event


class Follower:
    """Looks at a job again and again, and reads but what is new of its events.

    Parameters
    ----------
    folder : JobFolder
        The job's folder.
    """

    def __init__(self, folder: JobFolder) -> None:
        self._folder, self._run = folder, RunState()
        self._read = 0

    def look(self) -> "JobView":
        """Return how the job is now."""
        for line in self._new_lines():
            try:
                self._run.apply(from_json(line))
            except ValueError:
                continue  # a driver was killed while it wrote it
        sign = self._folder.last_sign()
        return JobView(self._folder, _state(self._folder, self._run, sign), self._run, sign)

    def _new_lines(self) -> list[str]:
        try:
            with (self._folder.path / EVENTS_FILE).open("rb") as file:
                file.seek(self._read)
                whole, end, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self._read += len(whole + end)
        return whole.decode(errors="replace").splitlines()


@dataclass(frozen=True)
class JobView:
    """How a job is, as its folder has it.

    Parameters
    ----------
    folder : JobFolder
        The job's folder.
    state : str
        "waiting" for a worker that runs its driver, "running", "stopping" since somebody wants
        that, "lost" if its driver is silent, or how it has ended.
    run : RunState
        What it has done.
    sign : Sign or None
        Last sign of life of its driver.
    """

    folder: JobFolder
    state: JobState
    run: RunState
    sign: Sign | None

    @property
    def is_over(self) -> bool:
        """Whether the job has ended."""
        return self.state in ("done", "failed", "cancelled")


def _next_folder(jobs: Path, stem: str) -> Path:
    for number in count(1):
        path = jobs / f"{stem}-{number}"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise AssertionError  # numbers do not end


def _state(folder: JobFolder, run: RunState, sign: Sign | None) -> JobState:
    if run.ended:
        return run.ended.state
    if sign and sign.alive:
        return "stopping" if folder.is_to_stop else "running"
    return "lost" if sign or run.started else "waiting"


def _runs(pid: int) -> bool:
    """Return whether a process of this host is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def all_jobs(jobs: Path) -> list[JobFolder]:
    """Return the folders of all jobs, in the order in which they were made."""
    made = [(file.stat().st_mtime, file.parent) for file in jobs.glob(f"*/{JOB_FILE}")]
    return [JobFolder(path) for _, path in sorted(made)]


def find_job(jobs: Path, name: str) -> JobFolder:
    """Return the folder of a job.

    Raises
    ------
    UserError
        If there is no such job.
    """
    known = {folder.id: folder for folder in all_jobs(jobs)}
    if name not in known:
        raise UserError(f"There is no job '{name}' in {jobs}; {_nearest(name, known)}")
    return known[name]


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    if not names:
        return f"there is none at all: is it the right folder (--jobs, {JOBS_VARIABLE})?"
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"the last is {names[-1]}."
