"""The pipeline: stars and transits -> survey -> curves -> model -> catalogue.

Data go one way. The sky is a bag whose elements are its pieces, the partitions of a survey; a
piece streams through a stage in batches of at most 5,000 stars, by functions that know nothing of
Dask, and ends in a file that is committed, so that a run that was stopped goes on where it was.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from dask import bag

from rrl_batch import __version__, tasks
from rrl_batch.catalogue import write as catalogue
from rrl_batch.cluster.connect import training_backend, training_workers
from rrl_batch.cluster.monitor import gather, report
from rrl_batch.cluster.worker import call_once, compile_once
from rrl_batch.job import Job, TrainingSection
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.prepare import prepare
from rrl_batch.models.folder import CARD, ModelCard, Preprocess
from rrl_batch.sources.files import StagedLightCurves, stage_transits
from rrl_batch.sources.synthetic import simulate_stars
from rrl_batch.sources.synthetic.labels import MEASURED, make_labels
from rrl_batch.sources.synthetic.source import SimulatedLightCurves
from rrl_batch.sources.tables import read_stars
from rrl_batch.storage.commit import checksum, content_mark, fingerprint, replacing
from rrl_batch.storage.manifest import Manifest, Receipt, claim, is_whole
from rrl_batch.storage.sky import Partition, neighbours
from rrl_batch.survey import write as survey_files
from rrl_batch.survey.alignment import check_epochs
from rrl_batch.survey.read import Survey
from rrl_batch.training.finish import finish_model
from rrl_batch.training.fit import FittedMember, weights_file
from rrl_batch.training.problem import FitSettings
from rrl_batch.training.shards import Selection, read_shards
from rrl_batch.training.start import assign_training_folds, store_labels

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")

TRAINING_SET = "training"

STARS_PER_TASK = 1_000
"""Fewest stars in a task, 0.1 s of work: partitions smaller than that share one."""

STARS_PER_SELECTION = 20_000
"""The same where most stars are only read, to find those with a label."""


def simulate(client: "Client", n_stars: int, seed: int, out: Path, labels: Path) -> Manifest:
    """Write a synthetic survey, and its stars' metallicities, true and photometric."""
    made_from = {"stars": n_stars, "seed": seed, "code_version": __version__}
    if claim(out, "survey", made_from) and labels.exists() and is_whole(out):
        return Manifest.read(out)
    source = SimulatedLightCurves(seed)
    stars, partitions = survey_files.plan_partitions(simulate_stars(n_stars, seed))
    compile_once(client, source, stars.iloc[:0], 0)
    about = {
        "description": f"SYNTHETIC survey of {n_stars} RR Lyrae stars, not a measurement",
        "synthetic": True,
        "made_from": made_from,
    }
    manifest = _write_survey(client, out, stars, partitions, source, about)
    measured = [pq.read_table(out / r.path, columns=MEASURED) for r in manifest.partitions]
    with replacing(labels) as partial:
        pq.write_table(make_labels(stars, pa.concat_tables(measured)), partial)
    return manifest


def ingest_files(client: "Client", photometry: Path, stars: Path, out: Path) -> Manifest:
    """Write a survey from a star table and a long table of transits."""
    table = read_stars(stars)
    made_from = {
        "photometry": photometry.name,
        "photometry_sha256": content_mark(photometry),
        "stars": stars.name,
        "stars_sha256": checksum(stars),
        "code_version": __version__,
    }
    if claim(out, "survey", made_from) and is_whole(out):
        return Manifest.read(out)
    table, partitions = survey_files.plan_partitions(table)
    staged = out.resolve() / survey_files.STAGING / "transits"
    counts = stage_transits(photometry, table, partitions, staged)
    about = {
        "description": f"Light curves of {len(table)} RR Lyrae stars from {photometry.name}",
        "synthetic": False,
        "transits": {**asdict(counts), "summary": counts.summary()},
        "made_from": made_from,
    }
    return _write_survey(client, out, table, partitions, StagedLightCurves(staged), about)


def train(
    client: "Client", survey: Survey, labels: pd.DataFrame, model: Path, job: Job
) -> ModelCard:
    """Train an ensemble, a member a fold, on the labelled stars of a survey.

    The tasks that read the survey's partitions put the training stars on disk as shards; the task
    of each member reads them from there, on a worker with a GPU if the cluster has one.
    """
    root = model / TRAINING_SET
    backend = training_backend(client)
    settings = job.training.model_dump(mode="json")
    preprocess = job.preprocess.model_dump()
    selection = Selection(**{name: settings[name] for name in Selection.__dataclass_fields__})
    made_from = {
        "survey": survey.fingerprint,
        "labels": fingerprint(labels.to_json(orient="split", double_precision=15)),
        "preprocess": preprocess,
        "training": settings,
        "architecture": job.model.architecture,
        "backend": backend,
        "code_version": __version__,
    }
    if claim(model, "model", made_from, last_file=CARD, work=weights_file("*")):
        return ModelCard.read(model)

    _check_alignment(client, survey, model, preprocess)
    store_labels(root, labels)
    mark = fingerprint(made_from)
    compile_once(client, prepare, LightCurveBatch.empty(), **preprocess)
    receipts = _over_the_sky(
        client, tasks.write_training_shard, list(enumerate(survey.partitions)),
        [piece.rows for piece in survey.partitions], STARS_PER_SELECTION, stage="select",
        root=root.resolve(), preprocess=preprocess, selection=selection, mark=mark,
    )  # fmt: skip
    counts = assign_training_folds(
        root, receipts, len(labels), job.training.folds, job.training.seed
    )
    members = _fit_members(client, model, receipts, job, mark, backend)
    return finish_model(
        model,
        root,
        read_shards(root, receipts, sequences=False).table,
        members,
        selection,
        preprocess,
        architecture=job.model.architecture,
        scale=str(labels["scale"].iloc[0]),
        synthetic=survey.synthetic,
        training={**settings, "stars": counts},
        made_from=made_from,
    )


def predict(client: "Client", survey: Survey, model: Path, out: Path) -> Manifest:
    """Write the catalogue: a row for every star of a survey, by the ensemble of a model."""
    card = ModelCard.read(model)
    mark = checksum(model / CARD)
    made_from = {"survey": survey.fingerprint, "model": mark, "code_version": __version__}
    if claim(out, "catalogue", made_from) and is_whole(out):
        return Manifest.read(out)

    preprocess = card.preprocess.model_dump()
    _check_alignment(client, survey, model, preprocess)
    arguments = {"preprocess": preprocess, "model": model.resolve(), "mark": mark}
    compile_once(client, tasks.predict_batch, LightCurveBatch.empty(), **arguments)
    receipts = _over_the_sky(
        client, tasks.write_catalogue_partition, survey.partitions,
        [piece.rows for piece in survey.partitions], STARS_PER_TASK, stage="predict",
        **arguments, out=out.resolve(), description=catalogue.describe(survey, card),
    )  # fmt: skip
    provenance = catalogue.provenance(survey, model, card, made_from)
    return catalogue.finish_catalogue(
        out, [p.pixel for p in survey.partitions], receipts, provenance
    )


def _write_survey(
    client: "Client",
    out: Path,
    stars: pd.DataFrame,
    partitions: list[Partition],
    source: survey_files.LightCurveSource,
    provenance: dict[str, Any],
) -> Manifest:
    """Write the stars of a plan with the light curves of a source."""
    survey_files.stage_stars(out, stars, partitions)
    pixels = [partition.pixel for partition in partitions]
    receipts = _over_the_sky(
        client, tasks.write_survey_partition, list(enumerate(pixels)),
        [p.stop - p.start for p in partitions], STARS_PER_TASK, stage="survey",
        out=out.resolve(), source=source, mark=fingerprint(provenance),
        description=provenance["description"],
    )  # fmt: skip
    return survey_files.finish_survey(out, pixels, receipts, provenance)


def _check_alignment(
    client: "Client", survey: Survey, model: Path, preprocess: dict[str, Any]
) -> None:
    """Check that the model's curves and the survey's have their phase 0 at the same place."""
    if preprocess["alignment"] == "maximum":
        largest = max(survey.partitions, key=lambda piece: piece.rows)
        call_once(client, check_epochs, largest, survey.path, model)


def _over_the_sky(
    client: "Client",
    task: Callable[..., Receipt],
    pieces: Sequence[T],
    stars: list[int],
    stars_per_task: int,
    *,
    stage: str,
    **arguments: Any,
) -> list[Receipt]:
    """Call a function for every piece of the sky, with a progress line in stars."""
    groups = neighbours(stars, stars_per_task)
    planned = [sum(stars[group]) for group in groups]
    sky = bag.from_sequence([pieces[group] for group in groups], npartitions=len(groups)).flatten()
    futures = client.compute(sky.map(task, **arguments).to_delayed())
    done: list[list[Receipt]] = gather(client, futures, stage=stage, unit="stars", planned=planned)
    return list(chain.from_iterable(done))


def _fit_members(
    client: "Client", model: Path, receipts: list[Receipt], job: Job, mark: str, backend: str
) -> list[FittedMember]:
    """Fit a member a fold and return them, with a progress line in epochs.

    A task fits one member; or several at once with JAX, where that is faster than one by one.
    """
    names = set(FitSettings.__dataclass_fields__) & set(TrainingSection.model_fields)
    settings = FitSettings(
        architecture=job.model.architecture,
        masked=Preprocess(**job.preprocess.model_dump()).masked,
        **job.training.model_dump(include=names),
    )
    n_workers, resources = training_workers(client)
    n_folds = job.training.folds
    n_tasks = min(n_workers, n_folds) if backend == "jax" else n_folds
    shares = [range(n_folds)[first::n_tasks] for first in range(n_tasks)]
    futures = client.map(
        tasks.fit_share, shares, root=(model / TRAINING_SET).resolve(),
        model=model.resolve(), receipts=receipts, settings=settings, fingerprint=mark,
        on_epoch=report, resources=resources, key="fit", pure=False,
    )  # fmt: skip
    members: list[list[FittedMember]] = gather(
        client, futures, stage="train", unit="epochs",
        planned=[job.training.epochs * len(share) for share in shares],
        amount=lambda fitted: sum(member.epochs_run for member in fitted),
    )  # fmt: skip
    return sorted(chain.from_iterable(members), key=lambda member: member.fold)
