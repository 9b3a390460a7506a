"""The shared file system: what a job reads and writes has to be the same files for every worker."""

import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rrl_batch.doctor.finding import Finding, fails, listed, ok
from rrl_batch.doctor.subject import Subject, existing

if TYPE_CHECKING:
    from distributed import Client, Worker

_SHARE_IT = (
    "mount the same file system there, under the same path, for a user who may read and write it; "
    "or name folders that all see"
)
_CLIENT_FILE = "client"
_PATIENCE_SECONDS = 5.0


def written(subject: Subject) -> Iterator[Finding]:
    """Let every worker read what this machine writes, and the other way round.

    In each folder that the job writes to, or in the working directory without a job.
    """
    if subject.client is not None:
        for folder in sorted({existing(path) for path in subject.outputs.values()} or {Path.cwd()}):
            yield _try_both_ways(subject.client, folder)


def read(subject: Subject) -> Iterator[Finding]:
    """Compare what every worker sees of the job's input with what this machine does."""
    if subject.client is None:
        return
    paths = [path.resolve() for path in subject.inputs.values() if path.exists()]
    if subject.survey is not None:
        paths.append(subject.survey.largest.files[0][0])  # which lies deep within
    for path in paths:
        here, seen = _sight(path), subject.client.run(_sight, path)
        faults = {
            address: there if isinstance(there, str) else "it holds something else there"
            for address, there in seen.items()
            if there != here
        }
        yield _judged(str(path), "read", faults, len(seen))


def _sight(path: Path) -> tuple[str, ...] | str:
    """Return what is seen of a file or folder, or why nothing is."""
    try:
        if path.is_dir():
            return tuple(sorted(item.name for item in path.iterdir()))
        with path.open("rb") as file:
            return (str(path.stat().st_size), file.read(64).hex())
    except OSError as error:
        return error.strerror or str(error)


def _try_both_ways(client: "Client", folder: Path) -> Finding:
    token = secrets.token_hex(16)
    # made as a run makes its folders, so that the rights of the workers' user are those of a run
    trial = folder / f".rrl-batch-doctor-{token[:8]}"
    try:
        trial.mkdir()
        (trial / _CLIENT_FILE).write_text(token)
    except OSError as error:
        return fails(
            f"{folder} cannot be written from here ({error.strerror}); name another folder, or ask "
            f"for the right to write there."
        )
    try:
        answers: dict[str, str] = client.run(_read_and_write, trial, token)
        faults = {address: fault for address, fault in answers.items() if fault}
        for address in answers.keys() - faults.keys():
            if not _appears(trial / _name_of(address), token + address):
                faults[address] = "what it wrote there is not seen here"
        return _judged(str(folder), "written", faults, len(answers))
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def _read_and_write(trial: Path, token: str, dask_worker: "Worker") -> str:
    """Read what the client wrote and write something for it; return what is wrong, on a worker."""
    try:
        if (trial / _CLIENT_FILE).read_text() != token:
            return "it holds something else there"
        (trial / _name_of(dask_worker.address)).write_text(token + dask_worker.address)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _appears(file: Path, content: str) -> bool:
    """Tell whether a file is seen; file systems of a network may take a moment."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return file.read_text() == content
        except OSError:
            if time.monotonic() > until:
                return False
            time.sleep(0.1)


def _name_of(address: str) -> str:
    return re.sub(r"\W+", "_", address)


def _judged(what: str, done: str, faults: dict[str, str], n_workers: int) -> Finding:
    if not faults:
        return ok(f"{what} is {done} by all workers ({n_workers})")
    reasons = ", ".join(sorted(set(faults.values())))
    return fails(
        f"{what} is not {done} by {len(faults)} of {n_workers} workers ({reasons}: "
        f"{listed(sorted(faults))}); {_SHARE_IT}."
    )
