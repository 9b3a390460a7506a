"""Arguments that several commands have, and what is made of them."""

import argparse
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rrl_batch.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client

    from rrl_batch.cluster.jobs import JobFolder
    from rrl_batch.job import ClusterSection, Job

Commands = Any
"""Where commands are added: what `argparse` gives for them has no public name."""


def location(text: str) -> Path:
    """Return a path, or that of an object store."""
    from rrl_batch.storage.remote import path_of

    try:
        return path_of(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def positive(text: str) -> int:
    """Return a number of things, of which there must be one."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is too few; give 1 or more")
    return number


def identifier(text: str) -> int:
    """Return the identifier of a star, a positive number of 64 bits."""
    number = int(text)
    if not 0 < number < 2**63:
        raise argparse.ArgumentTypeError(f"{text} is no identifier of a star")
    return number


def angle(text: str) -> float:
    """Return the radius of a search, in arcsec, of a quarter of the sky at the most."""
    number = float(text)
    if not 0 < number <= 324_000:
        raise argparse.ArgumentTypeError(f"{text} is no radius; give one above 0 arcsec")
    return number


def column_names(pairs: list[str]) -> dict[str, str]:
    """Return what a table calls columns, by our names, as given by --column.

    Raises
    ------
    UserError
        If one is not OURS=THEIRS.
    """
    return dict(map(_pair, pairs))


def _pair(text: str) -> tuple[str, str]:
    ours, equals, theirs = text.partition("=")
    if not (equals and ours and theirs):
        raise UserError(f"--column takes OURS=THEIRS, e.g. feh=[Fe/H], not '{text}'.")
    return ours.strip(), theirs.strip()


def add_job_file(parser: argparse.ArgumentParser, nargs: str | None = None) -> None:
    """Add the arguments of a command that does what a job file says."""
    parser.add_argument("job", type=Path, nargs=nargs, help="job file (TOML)")
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="SECTION.KEY=VALUE",
        help="override an option of the job file; may be repeated",
    )  # fmt: skip
    parser.add_argument("--scheduler", help="address of a running Dask scheduler")
    add_certificates(parser)


def add_relations(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names other relations between metallicity scales."""
    parser.add_argument(
        "--relations", type=Path, metavar="FILE", help="relations between metallicity scales, in "
        "place of those known",
    )  # fmt: skip


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a command without a job file: where it runs."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--scheduler", help="address of a running Dask scheduler")
    where.add_argument(
        "--workers", type=int, help="processes on this machine; one a core if not given"
    )
    add_certificates(parser)


def add_certificates(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names a user's certificate."""
    parser.add_argument(
        "--tls", type=Path, help="folder with your certificate for a scheduler at tls://…"
    )


def add_jobs_folder(parser: argparse.ArgumentParser) -> None:
    """Add the argument that says where the folders of jobs are."""
    parser.add_argument(
        "--jobs", type=Path, metavar="FOLDER",
        help="folder of all jobs; if not given, that of RRL_BATCH_JOBS, else rrl-jobs",
    )  # fmt: skip


def read_job_file(options: argparse.Namespace) -> "Job":
    """Read the job file of a command, with what its arguments say otherwise."""
    from rrl_batch.job import read_job

    tls = [f"cluster.tls={options.tls}"] if options.tls else []
    job = read_job(options.job, [*options.settings, *tls], options.scheduler)
    job.check_where_it_writes(options.job, options.settings)
    return job


@contextmanager
def cluster_of(options: argparse.Namespace) -> "Iterator[Client]":
    """Yield a client of the cluster that a command without a job file runs on."""
    with connect(section_of(options)) as client:
        yield client


def section_of(options: argparse.Namespace) -> "ClusterSection":
    """Return the cluster that a command without a job file runs on."""
    from rrl_batch.job import make_job

    section: dict[str, Any] = {"workers": options.workers}
    if options.scheduler:
        section = {"kind": "address", "address": options.scheduler}
    section["tls"] = options.tls
    return make_job({"cluster": section}, "command line").cluster


@contextmanager
def connect(section: "ClusterSection") -> "Iterator[Client]":
    """Yield a client of a cluster, and say where its dashboard is."""
    from rrl_batch.cluster import connect as cluster

    with cluster.connect(section) as client:
        print(f"dashboard  {client.dashboard_link}", flush=True)
        yield client


@contextmanager
def writing(options: argparse.Namespace, *paths: Path) -> "Iterator[None]":
    """Be the only command that writes to some paths within the block."""
    from rrl_batch.storage.lock import sole_writer, this_command
    from rrl_batch.storage.manifest import withdrawn_if_refused

    with sole_writer(paths, this_command(options.line)), withdrawn_if_refused(paths):
        yield


def make_folder(options: argparse.Namespace, job: "Job") -> "JobFolder":
    """Make the folder of a job that a command begins."""
    from rrl_batch.cluster.jobs import JobFolder

    name, absolute = options.job.stem, job.absolute(Path.cwd())
    return JobFolder.create(jobs_folder(options), name, absolute, options.line)


def jobs_folder(options: argparse.Namespace) -> Path:
    """Return the folder of all jobs."""
    from rrl_batch.cluster.jobs import default_jobs

    return options.jobs or default_jobs()
