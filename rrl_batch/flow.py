"""The pipeline: stars and transits -> survey -> curves -> model -> catalogue.

Data go one way. The sky is a bag whose elements are its pieces, the partitions of a survey; a
piece streams through a stage in batches of at most 5,000 stars, by functions that know nothing of
Dask, and ends in a file that is committed, so that a run that was stopped goes on where it was.
"""

from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from distributed import span

from rrl_batch import __version__, tasks
from rrl_batch.catalogue import write as catalogue
from rrl_batch.cluster.monitor import gather
from rrl_batch.cluster.polite import limit
from rrl_batch.cluster.recorder import tell_training_set
from rrl_batch.cluster.worker import compile_once
from rrl_batch.contracts.histogram import feh_histogram
from rrl_batch.errors import UserError
from rrl_batch.inference.model import open_model
from rrl_batch.job import Job
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.models.folder import CARD, OUT_OF_FOLD, ModelCard, write_priors
from rrl_batch.sources.archive.chunks import StagedChunk, sizes_of_chunks
from rrl_batch.sources.archive.login import Login
from rrl_batch.sources.archive.release import Release, StarChoice
from rrl_batch.sources.archive.stars import STARS, reasons_for_absence
from rrl_batch.sources.bulk.mirror import contents, files_for
from rrl_batch.sources.bulk.stage import StagedFile
from rrl_batch.sources.files import stage_transits
from rrl_batch.sources.staging import Staging
from rrl_batch.sources.synthetic import simulate_stars
from rrl_batch.sources.synthetic.labels import MEASURED, check_replaceable, make_labels
from rrl_batch.sources.synthetic.source import SimulatedLightCurves
from rrl_batch.sources.tables import read_stars
from rrl_batch.sources.transits import StagedLightCurves, TransitCounts
from rrl_batch.stages.prediction import engines_for
from rrl_batch.stages.sky import STARS_PER_TASK, over_the_sky
from rrl_batch.stages.training import (
    check_alignment,
    fit_members,
    fit_settings_of,
    ingredients,
    members_mark,
    members_of,
    priors_of,
    select_stars,
    selection_of,
    training_set_mark,
    what_is_stale,
)
from rrl_batch.storage.commit import checksum, content_mark, fingerprint, replacing
from rrl_batch.storage.manifest import Manifest, Receipt, adopt, claim, completed
from rrl_batch.storage.remote import is_remote, readable, remove_tree
from rrl_batch.storage.sky import Partition
from rrl_batch.survey import write as survey_files
from rrl_batch.survey.read import Survey
from rrl_batch.training.finish import finish_model
from rrl_batch.training.problem import Plan
from rrl_batch.training.start import assign_training_folds, count_stars, require_each_mode

if TYPE_CHECKING:
    from distributed import Client

TRAINING_SET = "training"


def simulate(client: "Client", n_stars: int, seed: int, out: Path, labels: Path) -> Manifest:
    """Write a synthetic survey, and its stars' metallicities, true and photometric."""
    made_from = {"stars": n_stars, "seed": seed, "code_version": __version__}
    check_replaceable(labels)
    found = _finished_survey(out, made_from)
    if found and labels.exists():
        return found
    source = SimulatedLightCurves(seed)
    stars, partitions = survey_files.plan_partitions(simulate_stars(n_stars, seed))
    if found:
        _write_simulated_labels(out, found.partitions, stars, labels)
        return found
    compile_once(client, source, stars.iloc[:0], 0)
    about = {
        "description": f"SYNTHETIC survey of {n_stars} RR Lyrae stars, not a measurement",
        "synthetic": True,
        "made_from": made_from,
    }
    mark = fingerprint(about)
    receipts = _write_partitions(client, out, stars, partitions, source, mark, about)
    # before the manifest, with which the run has ended
    _write_simulated_labels(out, receipts, stars, labels)
    pixels = [partition.pixel for partition in partitions]
    return survey_files.finish_survey(out, pixels, receipts, mark, about)


def _write_simulated_labels(
    survey: Path, receipts: list[Receipt], stars: pd.DataFrame, labels: Path
) -> None:
    measured = [
        pq.read_table(readable(survey / receipt.path), columns=MEASURED) for receipt in receipts
    ]
    with replacing(labels) as partial:
        pq.write_table(make_labels(stars, pa.concat_tables(measured)), partial)


def ingest_files(client: "Client", photometry: Path, stars: Path, out: Path) -> Manifest:
    """Write a survey from a star table and a long table of transits."""
    _check_local(out)
    table = read_stars(stars)
    made_from = {
        "photometry": photometry.name,
        "photometry_sha256": content_mark(photometry),
        "stars": stars.name,
        "stars_sha256": checksum(stars),
        "code_version": __version__,
    }
    if found := _finished_survey(out, made_from):
        return found
    table, partitions = survey_files.plan_partitions(table)
    staged = out.resolve() / survey_files.STAGING / "transits"
    counts = stage_transits(photometry, table, partitions, staged)
    about = _about_transits(photometry.name, counts, made_from)
    return _write_survey(client, out, table, partitions, StagedLightCurves(staged), about)


def ingest_bulk(client: "Client", folder: Path, stars: Path, out: Path) -> Manifest:
    """Write a survey from a star table and the bulk files of Gaia's epoch photometry."""
    _check_local(out)
    table = read_stars(stars)
    files = files_for(folder, table["source_id"].to_numpy())
    made_from = {
        "photometry": fingerprint(contents(files)),
        "stars": stars.name,
        "stars_sha256": checksum(stars),
        "code_version": __version__,
    }
    if found := _finished_survey(out, made_from):
        return found
    table, partitions = survey_files.plan_partitions(table)
    staging = Staging(out.resolve() / survey_files.STAGING, len(partitions))
    staging.begin(table, partitions)
    with span("read"):
        futures = client.map(
            tasks.stage_bulk_file, files, staging=staging, mark=fingerprint(made_from),
            key="bulk", pure=False,
        )  # fmt: skip
    staged: list[StagedFile] = gather(
        client, futures, stage="read", unit="MB",
        planned=[file.path.stat().st_size / 1e6 for file in files],
    )  # fmt: skip
    counts = TransitCounts.total([file.counts for file in staged])
    unreadable = [star for file in staged for star in file.unreadable]
    about = _about_transits(folder.name, counts, made_from, len(unreadable)) | {
        "sources_read": sum(file.sources for file in staged),
        "unreadable_stars": unreadable,
    }
    return _write_survey(client, out, table, partitions, StagedLightCurves(staging.transits), about)


def query_gaia(
    client: "Client", out: Path, release: Release, stars: StarChoice, login: Login | None = None
) -> int:
    """Write the table of a release's RR Lyrae stars, from the archive, into a folder of a survey.

    Returns how many stars there are; `ingest_gaia` goes on from here.
    """
    _check_local(out)
    if found := _finished_survey(out, _made_from_gaia(release, stars)):
        return found.rows
    return _query_stars(client, out, release, stars, login)


def _query_stars(
    client: "Client", out: Path, release: Release, stars: StarChoice, login: Login | None
) -> int:
    root = out.resolve()
    with span("query"):
        asked = client.submit(
            tasks.query_stars, release.query(stars), release, login, root,
            root / survey_files.STAGING, pure=False,
        )  # fmt: skip
    numbers: list[int] = gather(client, [asked], stage="query", unit="tables", planned=[1])
    return numbers[0]


def ingest_gaia(
    client: "Client", out: Path, release: Release, stars: StarChoice, login: Login | None = None
) -> Manifest:
    """Write a survey of a release's RR Lyrae stars, from the archive."""
    _check_local(out)
    made_from = _made_from_gaia(release, stars)
    if found := _finished_survey(out, made_from):
        return found
    _query_stars(client, out, release, stars, login)
    table, partitions = survey_files.plan_partitions(read_stars(out / STARS))
    staging = Staging(out.resolve() / survey_files.STAGING, len(partitions))
    staging.begin(table, partitions)
    access = release.access
    sizes = sizes_of_chunks(len(table), access.stars_per_call)
    with span("fetch"):
        futures = client.map(
            tasks.stage_archive_chunk, range(len(sizes)), release=release, login=login,
            semaphore=limit(client, release.server.url, access.calls_at_once), staging=staging,
            mark=fingerprint(made_from), key="archive", pure=False,
        )  # fmt: skip
    chunks: list[StagedChunk] = gather(client, futures, stage="fetch", unit="stars", planned=sizes)
    counts = TransitCounts.total([chunk.counts for chunk in chunks])
    absent = [star for chunk in chunks for star in chunk.absent]
    unreadable = [star for chunk in chunks for star in chunk.unreadable]
    listed = len(absent) + len(unreadable)
    about = _about_transits(release.name, counts, made_from, listed) | {
        "absent_stars": reasons_for_absence(out, absent),
        "unreadable_stars": unreadable,
    }
    return _write_survey(client, out, table, partitions, StagedLightCurves(staging.transits), about)


def train(
    client: "Client", survey: Survey, labels: pd.DataFrame, model: Path, job: Job
) -> ModelCard:
    """Train an ensemble, members for each fold, on the labelled stars of a survey.

    The tasks that read the survey's partitions put the training stars on disk as shards; the tasks
    of the members read them from there, on workers with a GPU if the cluster has some.
    """
    training = job.training
    settings = {
        "preprocess": job.preprocess.model_dump(),
        "model": job.model.model_dump(mode="json", exclude={"path"}),
        "training": training.model_dump(mode="json"),
    }
    made_from = ingredients(client, survey, labels) | settings
    claimed = claim(model, "model", made_from, last_file=CARD)
    if claimed.is_finished:
        return ModelCard.read(model)

    mark = training_set_mark(made_from, job)
    root = model / TRAINING_SET / mark[:16]
    priors = priors_of(client, survey, job)
    receipts = select_stars(client, survey, labels, root, job, priors, mark)
    n_folds = assign_training_folds(
        {root: receipts}, labels, training.folds, training.repeats, training.seed
    )
    if job.model.by_mode:
        require_each_mode(root, receipts, training.modes)
    shards, work = root.resolve(), []
    for kind in job.model.kinds:
        fit = fit_settings_of(job, kind)
        mark = members_mark(root, receipts, fit, kind, made_from["backend"])
        plan = Plan(shards, receipts, fit, shards, mark, model.resolve())
        work.append((members_of(job, kind, n_folds), plan))
    if claimed.changed:
        claimed.tell(model, what_is_stale(receipts, work))
    members = list(chain.from_iterable(fit_members(client, work)))
    return finish_model(
        model,
        root,
        receipts,
        members,
        selection_of(job),
        **job.model.model_dump(exclude={"path"}),
        preprocess=settings["preprocess"],
        priors=write_priors(model, priors or {}),
        scale=str(labels["scale"].iloc[0]),
        synthetic=survey.synthetic,
        training=settings["training"],
        stars=count_stars(receipts, len(labels)),
        made_from=made_from,
    )


def predict(client: "Client", survey: Survey, model: Path, out: Path) -> Manifest:
    """Write the catalogue: a row for every star of a survey, by the ensemble of a model.

    All workers share the sky, if kernels evaluate the model. If Keras is needed and some workers
    own a GPU, it is these alone, so that all values come from devices of one kind.
    """
    ensemble = open_model(model)
    card = ensemble.card
    made_from = {"survey": survey.fingerprint, "model": ensemble.mark, "code_version": __version__}
    claimed = claim(out, "catalogue", made_from)
    if claimed.is_finished and (found := completed(out)):
        return found

    check_alignment(client, survey, model, ensemble.preparation)
    learnt_from = pq.read_table(readable(model / OUT_OF_FOLD), columns=["feh"])["feh"]
    tell_training_set(client, feh_histogram(learnt_from))
    engines, workers = engines_for(client, card)
    # what another device has computed of an unfinished catalogue is computed again
    ensemble = replace(ensemble, mark=fingerprint(ensemble.mark, engines))
    mark = fingerprint(made_from, engines)
    if claimed.changed:
        marks = {
            p.pixel.file(mark): catalogue.partition_mark(p, ensemble.mark)
            for p in survey.partitions
        }
        stale = len(marks) - adopt(out, marks)
        claimed.tell(out, f"{stale:,} of {len(marks):,} partitions are done anew")
    empty, resources = LightCurveBatch.empty(), workers.resources
    compile_once(client, ensemble.predict, empty, resources=resources)
    receipts = over_the_sky(
        client, tasks.write_catalogue_partition, survey.partitions,
        [piece.pixel for piece in survey.partitions],
        [piece.rows for piece in survey.partitions], STARS_PER_TASK, stage="predict",
        resources=resources, isolates=True, model=ensemble, out=out.resolve(), mark=mark,
        about=catalogue.describe(survey, card),
    )  # fmt: skip
    provenance = catalogue.provenance(survey, model, card, engines, made_from)
    return catalogue.finish_catalogue(
        out, [p.pixel for p in survey.partitions], receipts, mark, provenance
    )


def _check_local(out: Path) -> None:
    """Check that transits can be sorted where a survey is to be written."""
    if is_remote(out):
        raise UserError(
            f"Transits are sorted in the survey's folder, and {out} is in an object store; ingest "
            f"into a folder, and copy it there."
        )


def _made_from_gaia(release: Release, stars: StarChoice) -> dict[str, Any]:
    """Return what decides about a survey; not which server, nor how patiently it is asked."""
    return {
        "release": release.name,
        "query": release.query(stars),
        "light_curves": fingerprint(release.light_curves.model_dump()),
        "stars_per_call": release.access.stars_per_call,
        "code_version": __version__,
    }


def _finished_survey(out: Path, made_from: dict[str, Any]) -> Manifest | None:
    """Claim a folder for a survey; return the manifest if it is there already.

    What another run has staged is removed, and what this one needs no more.
    """
    claimed = claim(out, "survey", made_from)
    if claimed.changed or claimed.is_finished:
        remove_tree(out / survey_files.STAGING)
    if claimed.changed:
        claimed.tell(out, "all of it is done anew")
    return completed(out) if claimed.is_finished else None


def _about_transits(
    source: str, counts: TransitCounts, made_from: dict[str, Any], listed: int = 0
) -> dict[str, Any]:
    """Return where a survey of observed stars comes from; some without transits are listed."""
    return {
        "description": f"Light curves of {counts.stars} RR Lyrae stars from {source}",
        "synthetic": False,
        "transits": {**asdict(counts), "summary": counts.summary(listed)},
        "made_from": made_from,
    }


def _write_survey(
    client: "Client",
    out: Path,
    stars: pd.DataFrame,
    partitions: list[Partition],
    source: survey_files.LightCurveSource,
    provenance: dict[str, Any],
) -> Manifest:
    """Write the stars of a plan with the light curves of a source, and the manifest, last."""
    mark = fingerprint(provenance)
    receipts = _write_partitions(client, out, stars, partitions, source, mark, provenance)
    pixels = [partition.pixel for partition in partitions]
    return survey_files.finish_survey(out, pixels, receipts, mark, provenance)


def _write_partitions(
    client: "Client",
    out: Path,
    stars: pd.DataFrame,
    partitions: list[Partition],
    source: survey_files.LightCurveSource,
    mark: str,
    provenance: dict[str, Any],
) -> list[Receipt]:
    survey_files.stage_stars(out, stars, partitions)
    pixels = [partition.pixel for partition in partitions]
    return over_the_sky(
        client, tasks.write_survey_partition, list(enumerate(pixels)), pixels,
        [p.stop - p.start for p in partitions], STARS_PER_TASK, stage="survey",
        out=out.resolve(), source=source, mark=mark, description=provenance["description"],
    )  # fmt: skip
