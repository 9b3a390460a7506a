"""A job file, and what the command line has otherwise."""

import tomllib
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

from rrl_batch.errors import UserError
from rrl_batch.job.cluster import CLUSTER_OPTIONS, other_options
from rrl_batch.job.whole import OPTIONAL, Job, make_job, put

_MOST_DOTS = 1_000
"""In a line of a job file, those of numbers included."""


def read_job(path: Path, overrides: Sequence[str] = (), scheduler: str | None = None) -> Job:
    """Read a job file.

    Parameters
    ----------
    path : pathlib.Path
        The TOML file.
    overrides : sequence of str
        Settings ``section.key=value`` that take precedence; the value is TOML, or else a string.
        ``section=false`` takes a section out that a job may lack.
    scheduler : str, optional
        Address of a scheduler, which takes the place of the cluster that the file asks for.

    Returns
    -------
    Job
        The job, all of it checked.

    Raises
    ------
    UserError
        If the file cannot be read, or a section, key or value is not one of a job.
    """
    try:
        text = path.read_text()
        if max(map(str.count, text.splitlines(), repeat(".")), default=0) > _MOST_DOTS:
            raise RecursionError  # tomllib takes hours for keys of many parts
        content = tomllib.loads(text)
    except OSError as error:
        raise UserError(f"The job file {path} cannot be read: {error.strerror}.") from None
    except ValueError as error:  # also numbers that have no end
        raise UserError(f"The job file {path} is not TOML: {error}") from None
    except RecursionError:
        raise UserError(f"The job file {path} is not a job: it nests without end.") from None
    for override in overrides:
        _apply(content, override)
    if scheduler:
        _run_at(content, scheduler)
    return make_job(content, f"{path} with --set" if overrides else str(path))


def _apply(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    names = key.strip().split(".")
    if names[0] in OPTIONAL and len(names) == 1 and text.strip() == "false":
        content.pop(names[0], None)
        return
    if not (equals and len(names) > 1 and all(names)):
        raise UserError(
            f"--set takes section.key=value, e.g. survey.path=work/gaia, not '{override}'."
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a bare word, most often a path
    put(content, key.strip(), value)
    if names == ["cluster", "kind"] and value in CLUSTER_OPTIONS:
        for other in other_options(value):  # the file's, for the kind that it names
            content["cluster"].pop(other, None)


def _run_at(content: dict[str, Any], scheduler: str) -> None:
    """Put a running scheduler in the place of the cluster that a job asks for."""
    section = content.get("cluster", {})
    if isinstance(section, dict):
        others = other_options("address")
        kept = {name: value for name, value in section.items() if name not in others}
        content["cluster"] = kept | {"kind": "address", "address": scheduler}
