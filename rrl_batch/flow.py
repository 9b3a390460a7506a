"""The pipeline: stars and transits -> survey -> curves -> model -> catalogue.

Data go one way. The sky is a bag whose elements are its pieces, the partitions of a survey; a
piece streams through a stage in batches of at most 5,000 stars, by functions that know nothing of
Dask, and ends in a file that is committed, so that a run that was stopped goes on where it was.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import reduce
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from dask import bag, delayed

from rrl_batch import __version__, tasks
from rrl_batch.catalogue import write as catalogue
from rrl_batch.cluster.connect import training_backend, training_workers
from rrl_batch.cluster.monitor import gather, report
from rrl_batch.cluster.worker import call_once, compile_once
from rrl_batch.job import Job, TrainingSection
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.population import ITERATIONS, Noise, update
from rrl_batch.lightcurve.population_prior import PopulationPrior
from rrl_batch.lightcurve.prepare import prepare
from rrl_batch.models.folder import CARD, ModelCard, Preprocess, preparation, write_priors
from rrl_batch.sources.files import StagedLightCurves, stage_transits
from rrl_batch.sources.synthetic import simulate_stars
from rrl_batch.sources.synthetic.source import SimulatedLightCurves, true_labels
from rrl_batch.sources.tables import read_stars
from rrl_batch.storage.commit import checksum, content_mark, fingerprint, replacing
from rrl_batch.storage.manifest import Manifest, Receipt, claim, is_whole
from rrl_batch.storage.sky import Partition, neighbours
from rrl_batch.survey import write as survey_files
from rrl_batch.survey.alignment import check_epochs
from rrl_batch.survey.read import Survey, SurveyPartition
from rrl_batch.training.finish import finish_model
from rrl_batch.training.fit import FittedMember, weights_file
from rrl_batch.training.problem import FitSettings
from rrl_batch.training.shards import Selection, read_shards
from rrl_batch.training.start import assign_training_folds, store_labels

if TYPE_CHECKING:
    from dask.delayed import Delayed
    from distributed import Client

T = TypeVar("T")

TRAINING_SET = "training"

STARS_PER_TASK = 1_000
"""Fewest stars in a task, 0.1 s of work: partitions smaller than that share one."""

STARS_PER_SELECTION = 20_000
"""The same where most stars are only read, to find those with a label."""

STARS_PER_EXPECTATION = 10_000
"""The same of an iteration of EM."""

MAX_POPULATION = 300_000
"""Stars from which a population is known well enough; they are held in memory, at about 1 kB each
with 40 epochs."""

TERMS_PER_SUM = 8


def simulate(client: "Client", n_stars: int, seed: int, out: Path, labels: Path) -> Manifest:
    """Write a synthetic survey, and the true metallicities of its stars."""
    made_from = {"stars": n_stars, "seed": seed, "code_version": __version__}
    if claim(out, "survey", made_from) and labels.exists() and is_whole(out):
        return Manifest.read(out)
    source = SimulatedLightCurves(seed)
    stars, partitions = survey_files.plan_partitions(simulate_stars(n_stars, seed))
    compile_once(client, source, stars.iloc[:0], 0)
    with replacing(labels) as partial:
        pq.write_table(true_labels(stars), partial)
    about = {
        "description": f"SYNTHETIC survey of {n_stars} RR Lyrae stars, not a measurement",
        "synthetic": True,
        "made_from": made_from,
    }
    return _write_survey(client, out, stars, partitions, source, about)


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
    population = job.preprocess.smoothing == "population"
    priors = fit_population(client, survey, selection.modes) if population else None
    arguments = {**preprocess, "priors": priors}
    compile_once(client, prepare, LightCurveBatch.empty(), **arguments)
    receipts = _over_the_sky(
        client, tasks.write_training_shard, list(enumerate(survey.partitions)),
        [piece.rows for piece in survey.partitions], STARS_PER_SELECTION, stage="select",
        root=root.resolve(), preprocess=arguments, selection=selection, mark=mark,
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
        priors=write_priors(model, priors or {}),
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

    preprocess = preparation(model, card)
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


def fit_population(
    client: "Client", survey: Survey, modes: Sequence[str]
) -> dict[str, PopulationPrior]:
    """Find how the light curves of each pulsation mode are distributed, without any label.

    EM over the survey: the curves of a part of the sky stay on a worker; an iteration is an E-step
    a part, a sum of what they found and an M-step, whose prior the next iteration begins with.
    """
    first = {mode: PopulationPrior.first(mode) for mode in modes}
    empty = LightCurveBatch.empty()
    compile_once(client, prepare, empty, smoothing="population", priors=first)
    pieces = _part_of(survey)
    groups = neighbours([piece.rows for piece in pieces], STARS_PER_EXPECTATION)
    read = delayed(tasks.folded_curves, nout=len(modes))
    parts = [tuple(read(pieces[group], modes)) for group in groups]
    steps = [
        step
        for prior, curves in zip(first.values(), zip(*parts, strict=True), strict=True)
        for step in _iterate(curves, prior)
    ]
    found: list[PopulationPrior] = gather(
        client, client.compute(steps), stage="population", unit="iterations",
        planned=[1] * len(steps),
    )  # fmt: skip
    return dict(zip(modes, found[ITERATIONS - 1 :: ITERATIONS], strict=True))


def _part_of(survey: Survey) -> list[SurveyPartition]:
    """Return all partitions of a survey, or random ones of a survey that is larger than needed."""
    order = np.random.default_rng(0).permutation(len(survey.partitions))
    before = np.cumsum([0, *(survey.partitions[i].rows for i in order)])[:-1]
    return [survey.partitions[i] for i in sorted(order[before < MAX_POPULATION])]


def _iterate(curves: "Sequence[Delayed]", first: PopulationPrior) -> "list[Delayed]":
    """Return the prior after each iteration of EM on parts of the light curves, to be computed."""
    expect = delayed(tasks.expectation, nout=2)
    prior, priors = first, []
    noise: Sequence[Delayed] = [delayed(Noise.first)(part) for part in curves]
    for _ in range(ITERATIONS):
        steps = [expect(part, known, prior) for part, known in zip(curves, noise, strict=True)]
        found, noise = zip(*steps, strict=True)
        prior = delayed(update)(_tree_sum(found), first.mode)
        priors.append(prior)
    return priors


def _tree_sum(terms: "Sequence[Delayed]") -> "Delayed":
    """Return a sum that is taken few terms at a time, always in the same order."""
    while len(terms) > 1:
        few = (terms[i : i + TERMS_PER_SUM] for i in range(0, len(terms), TERMS_PER_SUM))
        terms = [delayed(reduce)(operator.add, list(some)) for some in few]
    return terms[0]


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
