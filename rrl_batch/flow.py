"""The pipeline: stars and transits -> survey -> curves -> model -> catalogue.

Data go one way. The sky is a bag whose elements are its pieces, the partitions of a survey; a
piece streams through a stage in batches of at most 5,000 stars, by functions that know nothing of
Dask, and ends in a file that is committed, so that a run that was stopped goes on where it was.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from itertools import chain, combinations, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd
import pyarrow.parquet as pq
from dask import bag

from rrl_batch import __version__, tasks
from rrl_batch.catalogue import write as catalogue
from rrl_batch.cluster.connect import keras_backend, training_backend, training_workers
from rrl_batch.cluster.monitor import gather, report
from rrl_batch.cluster.worker import call_once, compile_once
from rrl_batch.experiment.folder import EXPERIMENT
from rrl_batch.experiment.write import FITS, write_experiment
from rrl_batch.job import Job
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.prepare import prepare
from rrl_batch.models.folder import CARD, ModelCard, Preprocess
from rrl_batch.report.experiment_page import write_report
from rrl_batch.sources.files import StagedLightCurves, stage_transits
from rrl_batch.sources.synthetic import simulate_stars
from rrl_batch.sources.synthetic.source import SimulatedLightCurves, true_labels
from rrl_batch.sources.tables import read_stars
from rrl_batch.storage.commit import checksum, content_mark, fingerprint, replacing
from rrl_batch.storage.manifest import Manifest, Receipt, claim, is_whole
from rrl_batch.storage.sky import Partition, neighbours
from rrl_batch.survey import write as survey_files
from rrl_batch.survey.alignment import check_epochs
from rrl_batch.survey.read import Survey
from rrl_batch.training.finish import finish_model, refuse_failures
from rrl_batch.training.fit import FOLDS_FILE, FittedMember, most_epochs
from rrl_batch.training.problem import FitSettings, MemberId, Plan
from rrl_batch.training.shards import Selection
from rrl_batch.training.start import assign_training_folds, count_stars, store_labels

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")

TRAINING_SET = "training"

STARS_PER_TASK = 1_000
"""Fewest stars in a task, 0.1 s of work: partitions smaller than that share one."""

STARS_PER_SELECTION = 20_000
"""The same where most stars are only read, to find those with a label."""


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
    """Train an ensemble, members for each fold, on the labelled stars of a survey.

    The tasks that read the survey's partitions put the training stars on disk as shards; the tasks
    of the members read them from there, on workers with a GPU if the cluster has some.
    """
    root = model / TRAINING_SET
    made_from = _made_from(client, survey, labels, job)
    if claim(model, "model", made_from, last_file=CARD, work=f"{TRAINING_SET}/*_*.json"):
        return ModelCard.read(model)

    mark, training = fingerprint(made_from), job.training
    receipts = _select_stars(client, survey, labels, root, job, mark)
    n_folds = assign_training_folds(
        {root: receipts}, labels, training.folds, training.repeats, training.seed
    )
    plan = Plan(
        root.resolve(), receipts, _fit_settings(job), root.resolve(), mark, model.resolve()
    )
    (members,) = _fit_members(client, [(_members(job, n_folds), plan)])
    refuse_failures(members)
    return finish_model(
        model,
        root,
        receipts,
        members,
        _selection(job),
        **job.model.model_dump(exclude={"path"}),
        preprocess=job.preprocess.model_dump(),
        scale=str(labels["scale"].iloc[0]),
        synthetic=survey.synthetic,
        training=training.model_dump(mode="json") | {"stars": count_stars(receipts, len(labels))},
        made_from=made_from,
    )


def compare(client: "Client", survey: Survey, labels: pd.DataFrame, out: Path, job: Job) -> Path:
    """Fit every case of an experiment to the same stars and folds, and report what each predicts.

    Fits that are there already are kept, also when cases are added. Cases among which the best is
    chosen are fitted without each pair of folds as well, so that the choice for a fold is made
    with predictions that have not seen it.
    """
    cases, training = job.cases(), job.training
    made_from = _made_from(client, survey, labels, job, ("folds", "repeats", "seed", "modes"))
    claim(out, "experiment", made_from, last_file=EXPERIMENT, work=f"{FITS}/*/*.json")
    sets = _stars_of_cases(client, survey, labels, out, cases.values(), fingerprint(made_from))
    n_folds = assign_training_folds(
        sets, labels, training.folds, training.repeats, training.seed
    )
    plans = {name: _plan_of_case(out, case, sets) for name, case in cases.items()}
    nested = job.nested_cases()
    members = {
        name: _members(case, n_folds, pairs=name in nested) for name, case in cases.items()
    }
    fitted = _fit_members(client, [(members[name], plans[name]) for name in cases])
    counts = count_stars(next(iter(sets.values()))[1], len(labels))
    experiment = job.experiment
    write_experiment(
        out,
        labels,
        plans,
        dict(zip(cases, fitted, strict=True)),
        experiment.settings(),
        experiment.blends,
        experiment.choose_from,
        title=experiment.title,
        reference=experiment.reference or next(iter(cases)),
        rival=job.labels.rival,
        synthetic=survey.synthetic,
        scale=str(labels["scale"].iloc[0]),
        folds=n_folds,
        repeats=training.repeats,
        provenance={**made_from, "survey_path": str(survey.path), "stars": counts},
    )
    return write_report(out)


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


def _made_from(
    client: "Client", survey: Survey, labels: pd.DataFrame, job: Job, only: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return everything that predictors are made from; of the settings all, or some of training."""
    training = job.training.model_dump(mode="json")
    settings: dict[str, Any] = {"training": {name: training[name] for name in only or training}}
    if not only:
        settings["preprocess"] = job.preprocess.model_dump()
        settings["model"] = job.model.model_dump(mode="json", exclude={"path"})
    return {
        "survey": survey.fingerprint,
        "labels": fingerprint(labels.to_json(orient="split", double_precision=15)),
        **settings,
        "backend": training_backend(client),
        "code_version": __version__,
    }


def _selection(job: Job) -> Selection:
    return Selection(**job.training.model_dump(include=set(Selection.__dataclass_fields__)))


def _fit_settings(job: Job) -> FitSettings:
    names = set(FitSettings.__dataclass_fields__)
    return FitSettings(
        masked=Preprocess(**job.preprocess.model_dump()).masked,
        **job.model.model_dump(include=names),
        **job.training.model_dump(include=names),
    )


def _members(job: Job, n_folds: int, *, pairs: bool = False) -> list[MemberId]:
    """Return the members of a job: for each fold, and for each pair of folds if asked for."""
    held_out = [(r, (fold,)) for r in range(job.training.repeats) for fold in range(n_folds)]
    if pairs:
        held_out += [(0, pair) for pair in combinations(range(n_folds), 2)]
    return [MemberId(name, *rest) for name in job.model.architecture for rest in held_out]


def _select_stars(
    client: "Client", survey: Survey, labels: pd.DataFrame, root: Path, job: Job, mark: str
) -> list[Receipt]:
    """Put the labelled, selected stars of a survey on disk as a training set."""
    preprocess = job.preprocess.model_dump()
    _check_alignment(client, survey, root.parent, preprocess)
    store_labels(root, labels)
    compile_once(client, prepare, LightCurveBatch.empty(), **preprocess)
    return _over_the_sky(
        client, tasks.write_training_shard, list(enumerate(survey.partitions)),
        [piece.rows for piece in survey.partitions], STARS_PER_SELECTION, stage="select",
        root=root.resolve(), preprocess=preprocess, selection=_selection(job), mark=mark,
    )  # fmt: skip


def _stars_of_cases(
    client: "Client",
    survey: Survey,
    labels: pd.DataFrame,
    out: Path,
    cases: Iterable[Job],
    mark: str,
) -> dict[Path, list[Receipt]]:
    """Return a training set for each way in which cases prepare and select stars."""
    sets = {}
    for case in cases:
        root = _stars_of(out, case)
        if root not in sets:
            its_mark = fingerprint(mark, root.name)
            sets[root] = _select_stars(client, survey, labels, root, case, its_mark)
    return sets


def _stars_of(out: Path, case: Job) -> Path:
    """Return the folder of the training set of a case."""
    return out / TRAINING_SET / fingerprint(case.preprocess.model_dump(), vars(_selection(case)))[:16]


def _plan_of_case(out: Path, case: Job, sets: dict[Path, list[Receipt]]) -> Plan:
    """Return the plan of a case, whose files are in a folder of its own, whatever its name."""
    root, settings = _stars_of(out, case), _fit_settings(case)
    mark = fingerprint(
        [receipt.fingerprint for receipt in sets[root]],
        checksum(root / FOLDS_FILE),
        asdict(settings),
        case.model.architecture,
    )
    return Plan(root.resolve(), sets[root], settings, (out / FITS / mark[:16]).resolve(), mark)


def _fit_members(
    client: "Client", work: Sequence[tuple[list[MemberId], Plan]]
) -> list[list[FittedMember]]:
    """Fit the members of some plans, with a progress line in epochs.

    A task fits one member; or several at once with JAX, where that is faster than one by one.
    """
    n_workers, resources = training_workers(client)
    shares: list[tuple[list[MemberId], Plan]] = []
    for members, plan in work:
        for _, kind in groupby(members, key=lambda member: member.architecture):
            alike = list(kind)
            n_tasks = min(n_workers, len(alike)) if keras_backend() == "jax" else len(alike)
            shares += [(alike[first::n_tasks], plan) for first in range(n_tasks)]
    futures = client.map(
        tasks.fit_share, shares, on_epoch=report, resources=resources, key="fit", pure=False
    )
    done: list[list[FittedMember]] = gather(
        client, futures, stage="train", unit="epochs",
        planned=[sum(most_epochs(member, plan) for member in some) for some, plan in shares],
        amount=lambda fitted: sum(member.epochs_run for member in fitted),
    )  # fmt: skip
    found = {(m.fingerprint, m.member): m for m in chain.from_iterable(done)}
    return [[found[plan.fingerprint, member] for member in members] for members, plan in work]
