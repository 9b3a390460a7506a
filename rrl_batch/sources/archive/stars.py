"""The table of stars: an asynchronous TAP query, whose job is picked up by a later run."""

import json
import logging
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rrl_batch.errors import RunError, UserError
from rrl_batch.sources.archive.call import Archive, EndedQueryError, FailedCallError, arriving
from rrl_batch.sources.tables import to_arrow
from rrl_batch.storage.commit import fingerprint, replacing, write_json

STARS = "stars.parquet"
"""The table of stars, beside the survey's own files; `ingest bulk` takes it."""

_JOB = "query.json"
_RESULT = "query.vot.gz"
_MARK = b"made_from"
_HAS_LIGHT_CURVE = "has_epoch_photometry"
_SUBMISSIONS = 3  # without a network nobody wants to wait for long

_NONE = "the archive says that it has no epoch photometry of them"
_LACKING = "no answer of the archive holds them, although they were asked for again"

log = logging.getLogger(__name__)


def stars_query(query: str, archive: Archive, root: Path, folder: Path) -> int:
    """Write the table of stars that a query asks for, unless it is there already.

    The identifier of the archive's job is on disk as soon as it is known: a later run waits for
    the same job.

    Parameters
    ----------
    query : str
        The query, in ADQL.
    archive : Archive
        The archive.
    root : pathlib.Path
        Folder of the survey, which gets the table.
    folder : pathlib.Path
        Where the job's identifier and answer are kept.

    Returns
    -------
    int
        Number of stars.

    Raises
    ------
    UserError
        If the archive refuses the query, or no star fulfils its condition.
    RunError
        If the archive fails for long, or has cut the table short.
    """
    mark = fingerprint(query)
    path = root / STARS
    if _is_there(path, mark):
        return pq.read_metadata(path).num_rows
    try:
        table = _result(query, archive, folder)
    except EndedQueryError as error:
        (folder / _JOB).unlink()
        raise UserError(
            f"The archive at {archive.release.server.url} has ended the query: {error}. Mend "
            f"the condition, --where; if the fault was the archive's, the same command begins the "
            f"query anew."
        ) from None
    if not table.num_rows:
        (folder / _JOB).unlink()
        raise UserError("No star of the archive fulfils the condition; change --where.")
    with replacing(path) as partial_file:
        pq.write_table(table.replace_schema_metadata({_MARK: mark.encode()}), partial_file)
    return table.num_rows


def reasons_for_absence(root: Path, absent: Sequence[int]) -> dict[str, list[int]]:
    """Return the stars whose light curves the archive has not given, by the reason.

    Parameters
    ----------
    root : pathlib.Path
        Folder of the survey, with the table of stars.
    absent : sequence of int
        The stars.
    """
    path = root / STARS
    none = set[int]()
    if _HAS_LIGHT_CURVE in pq.read_schema(path).names:
        table = pq.read_table(path, columns=["source_id", _HAS_LIGHT_CURVE])
        none.update(table.filter(pc.equal(table[_HAS_LIGHT_CURVE], False))["source_id"].to_pylist())
    reasons: dict[str, list[int]] = {}
    for star in absent:
        reasons.setdefault(_NONE if star in none else _LACKING, []).append(star)
    return reasons


def _is_there(path: Path, mark: str) -> bool:
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        return False
    return metadata.get(_MARK) == mark.encode()


def _result(query: str, archive: Archive, folder: Path) -> pa.Table:
    """Return the table of a query: of the job that an earlier run has begun, if it still exists."""
    job = _known_job(query, archive, folder)
    if job:
        log.info("Waiting for the archive's job %s, which an earlier run has begun.", job)
        try:
            return archive.patiently(partial(_fetch, job, archive, folder))
        except EndedQueryError as error:
            log.warning("The archive has ended the job %s (%s); it is begun anew.", job, error)
    job = archive.patiently(partial(archive.submit, query), _SUBMISSIONS)
    write_json(folder / _JOB, {"job": job, "query": query, "server": archive.release.server.url})
    return archive.patiently(partial(_fetch, job, archive, folder))


def _known_job(query: str, archive: Archive, folder: Path) -> str | None:
    try:
        content = json.loads((folder / _JOB).read_text())
        own = (content["query"], content["server"]) == (query, archive.release.server.url)
        return str(content["job"]) if own else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _fetch(job: str, archive: Archive, folder: Path) -> pa.Table:
    path = folder / _RESULT
    arriving(path, partial(archive.result, job))
    try:
        return _read(path, archive)
    finally:
        path.unlink()


def _read(path: Path, archive: Archive) -> pa.Table:
    """Return the columns of a result, by our names."""
    from astropy.io import votable
    from astropy.units import UnrecognizedUnit
    from astropy.utils.exceptions import AstropyWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            file = votable.parse(path)
            found: Any = file.get_first_table().to_table(use_names_over_ids=True)
    except Exception as error:  # whatever zlib, expat and astropy make of damaged content
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FailedCallError(f"its table of stars cannot be read: {reason}") from None
    notes = [info for resource in file.resources for info in resource.infos]
    if any(note.name == "QUERY_STATUS" and note.value == "OVERFLOW" for note in notes):
        raise RunError(
            f"The archive has cut the table of stars short after {len(found):,} rows; ask for "
            f"fewer with --where, or log in with --credentials, which allows more."
        )
    for column in found.itercols():
        if isinstance(column.unit, UnrecognizedUnit):
            column.unit = None  # such as "Time[Barycentric JD in TCB - 2455197.5 (day)]"
    table = to_arrow(found)
    names = {name.lower(): name for name in table.column_names}
    wanted = archive.release.stars.columns
    if lacking := [name for name in wanted if name.lower() not in names]:
        raise FailedCallError(
            f"its table of stars lacks '{lacking[0]}'; it has: {', '.join(table.column_names)}"
        )
    return table.select([names[name.lower()] for name in wanted]).rename_columns(list(wanted))
