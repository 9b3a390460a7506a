"""The pipeline: stars and transits -> survey -> curves -> model -> catalogue.

Data go one way. A survey is a bag: an element is a batch of stars, a partition of the bag is a
partition of the sky. Each stage maps functions over it that know nothing of Dask, and ends in
files that are committed one by one, so that a run that was stopped goes on where it was.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.parquet as pq
from dask import bag
from dask.bag import Bag

from rrl_batch import __version__
from rrl_batch.catalogue import write as catalogue
from rrl_batch.cluster.connect import training_resources
from rrl_batch.cluster.monitor import gather, report
from rrl_batch.inference.predict import predict as predict_stars
from rrl_batch.job import Job, TrainingSection
from rrl_batch.lightcurve.prepare import prepare
from rrl_batch.models.folder import CARD, ModelCard
from rrl_batch.sources.files import StagedLightCurves, stage_transits
from rrl_batch.sources.synthetic import simulate_stars
from rrl_batch.sources.synthetic.source import SimulatedLightCurves, true_labels
from rrl_batch.sources.tables import read_stars
from rrl_batch.storage.commit import checksum, content_mark, fingerprint, replacing
from rrl_batch.storage.manifest import Manifest, Receipt, claim, is_whole
from rrl_batch.storage.sky import Partition
from rrl_batch.survey.read import Survey, SurveyPartition
from rrl_batch.survey.write import (
    STAGING,
    LightCurveSource,
    finish_survey,
    plan_partitions,
    stage_stars,
)
from rrl_batch.survey.write import write_partition as write_survey_partition
from rrl_batch.training.finish import finish_model
from rrl_batch.training.fit import FitSettings, FittedMember, fit_member, weights_file
from rrl_batch.training.shards import Selection, read_shards, write_shard
from rrl_batch.training.start import assign_training_folds, store_labels

if TYPE_CHECKING:
    from distributed import Client

TRAINING_SET = "training"


def light_curves(partitions: list[SurveyPartition]) -> Bag:
    """Return partitions of a survey as a bag of `LightCurveBatch`."""
    return _one_each(partitions).map(SurveyPartition.batches).flatten()


def simulate(client: "Client", n_stars: int, seed: int, out: Path, labels: Path) -> Manifest:
    """Write a synthetic survey, and the true metallicities of its stars."""
    made_from = {"stars": n_stars, "seed": seed, "code_version": __version__}
    if claim(out, "survey", made_from) and labels.exists() and is_whole(out):
        return Manifest.read(out)
    stars, partitions = plan_partitions(simulate_stars(n_stars, seed))
    with replacing(labels) as partial:
        pq.write_table(true_labels(stars), partial)
    about = {
        "description": f"SYNTHETIC survey of {n_stars} RR Lyrae stars, not a measurement",
        "synthetic": True,
        "made_from": made_from,
    }
    return _write_survey(client, out, stars, partitions, SimulatedLightCurves(seed), about)


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
    table, partitions = plan_partitions(table)
    staged = out.resolve() / STAGING / "transits"
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
    settings = job.training.model_dump(mode="json")
    preprocess = job.preprocess.model_dump()
    selection = Selection(**{name: settings[name] for name in Selection.__dataclass_fields__})
    made_from = {
        "survey": survey.fingerprint,
        "labels": fingerprint(labels.to_json(orient="split", double_precision=15)),
        "preprocess": preprocess,
        "training": settings,
        "architecture": job.model.architecture,
        "code_version": __version__,
    }
    if claim(model, "model", made_from, last_file=CARD, work=weights_file("*")):
        return ModelCard.read(model)

    store_labels(root, labels)
    mark = fingerprint(made_from)
    prepared = light_curves(survey.partitions).map(prepare, **preprocess)
    numbers = _one_each(list(range(len(survey.partitions))))
    shards = prepared.map_partitions(_write, numbers, write_shard, root.resolve(), selection, mark)
    receipts = _compute(client, shards, "prepare", [p.rows for p in survey.partitions])
    counts = assign_training_folds(
        root, receipts, len(labels), job.training.folds, job.training.seed
    )
    members = _fit_members(client, model, receipts, job, mark)
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

    prepared = light_curves(survey.partitions).map(prepare, **card.preprocess.model_dump())
    rows = prepared.map(predict_stars, model.resolve(), mark)
    partitions = _one_each(survey.partitions)
    description = catalogue.describe(survey, card)
    written = rows.map_partitions(
        _write, partitions, catalogue.write_partition, out.resolve(), mark, description
    )
    receipts = _compute(client, written, "predict", [p.rows for p in survey.partitions])
    provenance = catalogue.provenance(survey, model, card, made_from)
    return catalogue.finish_catalogue(
        out, [p.pixel for p in survey.partitions], receipts, provenance
    )


def _one_each(items: list[Any]) -> Bag:
    """Return a bag with an item in each partition."""
    return bag.from_sequence(items, npartitions=len(items))


def _write(
    batches: Iterable[Any], target: Iterable[Any], write: Callable[..., Receipt], *arguments: Any
) -> Receipt:
    """Write what has become of a partition's batches; the target bag names the partition."""
    (only,) = target
    return write(batches, only, *arguments)


def _compute(client: "Client", receipts: Bag, stage: str, stars: list[int]) -> list[Any]:
    """Run one task a partition and return the results, with a progress line in stars."""
    futures = client.compute(receipts.to_delayed())
    return gather(client, futures, stage=stage, unit="stars", planned=stars)


def _write_survey(
    client: "Client",
    out: Path,
    stars: pd.DataFrame,
    partitions: list[Partition],
    source: LightCurveSource,
    provenance: dict[str, Any],
) -> Manifest:
    """Write the stars of a plan with the light curves of a source."""
    stage_stars(out, stars, partitions)
    pixels = [partition.pixel for partition in partitions]
    receipts = _one_each(list(enumerate(pixels))).map(
        write_survey_partition,
        out.resolve(),
        source,
        fingerprint(provenance),
        provenance["description"],
    )
    done = _compute(client, receipts, "survey", [p.stop - p.start for p in partitions])
    return finish_survey(out, pixels, [receipt for (receipt,) in done], provenance)


def _fit_members(
    client: "Client", model: Path, receipts: list[Receipt], job: Job, mark: str
) -> list[FittedMember]:
    """Run one task a fold and return the fitted members, with a progress line in epochs."""
    names = set(FitSettings.__dataclass_fields__) & set(TrainingSection.model_fields)
    settings = FitSettings(
        architecture=job.model.architecture,
        masked=job.preprocess.dataset == "raw",
        **job.training.model_dump(include=names),
    )
    folds = range(job.training.folds)
    futures = client.map(
        fit_member, folds, root=(model / TRAINING_SET).resolve(), model=model.resolve(),
        receipts=receipts,
        settings=settings, fingerprint=mark, on_epoch=report,
        resources=training_resources(client), key="fit", pure=False,
    )  # fmt: skip
    planned = [job.training.epochs] * len(folds)
    return gather(
        client,
        futures,
        stage="train",
        unit="epochs",
        planned=planned,
        amount=lambda m: m.epochs_run,
    )
