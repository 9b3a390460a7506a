"""Room on disk for what a job writes, estimated from the numbers of stars."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from dask.utils import format_bytes

from rrl_batch.doctor.finding import Finding, fails, ok, warning
from rrl_batch.doctor.subject import Subject, existing
from rrl_batch.job import Job
from rrl_batch.sources.tables import read_labels
from rrl_batch.storage.manifest import ROWS_PER_GROUP

SURVEY_BYTES = 550
"""Of a simulated star with its 40 epochs; measured: 536 with 21,000 stars, 521 with 63,000."""

CATALOGUE_BYTES = 100
"""Of a star; measured: 90."""

TRAINING_BYTES, POINT_BYTES = 150, 8
"""Of a training star and of a point of its sequence, before compression."""

MEMBER_BYTES = 2_000_000
"""Of a network's weights, rounded up."""

FILE_BYTES = 40_000
"""Of a Parquet file's own, with its receipt; measured with 25 stars in each."""

_AMPLE = 2.0


def room(subject: Subject) -> Iterator[Finding]:
    """Compare what the job will write with what is free, a line a file system."""
    if subject.job is None:
        return
    needed = _needed(subject)
    folders: dict[int, list[str]] = {}
    for name in needed:
        device = existing(subject.outputs[name]).stat().st_dev
        folders.setdefault(device, []).append(name)
    for names in folders.values():
        where = existing(subject.outputs[names[0]])
        yield _judged(where, names, sum(needed[name] for name in names))


def _judged(where: Path, names: list[str], needed: int) -> Finding:
    free = shutil.disk_usage(where).free
    text = (
        f"{where}: {format_bytes(free)} free; {', '.join(names)} take about "
        f"{format_bytes(needed)} (estimate)"
    )
    if free < needed:
        return fails(f"{text}; free some space, or name folders on a larger disk.")
    if free < _AMPLE * needed:
        return warning(f"{text}, so that little may be left; free some space.")
    return ok(text)


def _needed(subject: Subject) -> dict[str, int]:
    """Return about how many bytes each output will take, where it is more than a few pages."""
    job, survey = subject.job, subject.survey
    if job is None:
        return {}
    n_stars = job.simulate.stars if job.simulate else survey.rows if survey else 0
    n_files = len(survey.partitions) if survey else 12 + n_stars // (ROWS_PER_GROUP // 4)
    n_labelled = min(n_stars, _labels(job)) if not job.simulate else n_stars
    training_star = TRAINING_BYTES + POINT_BYTES * job.preprocess.points
    training_set = n_files * FILE_BYTES + n_labelled * training_star
    n_members = job.training.folds * job.training.repeats * len(job.model.architecture)
    model = training_set + n_members * MEMBER_BYTES
    needed = {
        "survey": n_files * FILE_BYTES + n_stars * SURVEY_BYTES,
        "model": model,
        "catalogue": n_files * FILE_BYTES + n_stars * CATALOGUE_BYTES,
    }
    if job.experiment:
        needed["experiment"] = len(job.cases()) * model
    if job.search:
        needed["search"] = job.search.trials * n_members * MEMBER_BYTES + training_set
    return {name: size for name, size in needed.items() if name in subject.outputs}


def _labels(job: Job) -> int:
    path = job.labels.path
    return len(read_labels(path, job.labels.scale)) if path and path.exists() else 0
