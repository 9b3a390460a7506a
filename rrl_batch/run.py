"""What a job does from its beginning to its end, in whichever process its driver is."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from rrl_batch import experiments, flow
from rrl_batch.catalogue.recompute import recompute
from rrl_batch.catalogue.verify import verify
from rrl_batch.errors import RunError, UserError
from rrl_batch.experiment.folder import ABOUT_FILE
from rrl_batch.job import Job
from rrl_batch.models.folder import CARD
from rrl_batch.models.registry import check_dropout, check_model
from rrl_batch.report.catalogue_page import write_catalogue_page
from rrl_batch.report.clusters import compare_with_clusters
from rrl_batch.report.evaluate import evaluate
from rrl_batch.report.experiment_page import write_report
from rrl_batch.report.reference import compare_with_reference
from rrl_batch.report.survey_page import write_summary
from rrl_batch.sources.synthetic.labels import PHOTOMETRIC, TRUE
from rrl_batch.sources.tables import read_labels
from rrl_batch.storage.manifest import MANIFEST, Manifest
from rrl_batch.survey.read import Survey, open_survey

if TYPE_CHECKING:
    from distributed import Client

Say = Callable[[str], None]
"""What takes a line about a result."""


def check_job(job: Job) -> None:
    """Check what can be checked of a whole job before anything runs.

    Raises
    ------
    UserError
        If a path or scale is not named, or a predictor is none that there is.
    """
    job.require("survey", "labels")
    if job.experiment or job.search:
        job.require(*_outputs(job))
        for case in job.cases().values() if job.experiment else job.search_points():
            for architecture in case.model.architecture:
                check_dropout(architecture, case.model.dropout)
    else:
        job.require(*_outputs(job))
        check_architectures(job)
    if job.simulate and job.labels.scale not in (TRUE, PHOTOMETRIC):
        raise UserError(
            f"Simulated stars have labels on two scales; set labels.scale to '{TRUE}' or "
            f"'{PHOTOMETRIC}'."
        )


def check_architectures(job: Job) -> None:
    """Check that the predictors of a job are such that a model can be made of."""
    for architecture in job.model.kinds:
        check_model(architecture)


def check_inputs(job: Job) -> None:
    """Check that a job's survey and labels are there, if it does not make them itself.

    Raises
    ------
    UserError
        If they are not, or the labels cannot be used.
    """
    if job.simulate:
        return
    survey = job.paths()["survey"]
    if not survey.is_dir():
        raise UserError(f"There is no survey at {survey}; make one with 'rrl-batch ingest'.")
    labels_of(job)


def outputs(job: Job) -> list[Path]:
    """Return what a whole job writes, the folders and the file of labels."""
    made = ("survey", "labels") if job.simulate else ()
    paths = job.paths()
    return [paths[name] for name in (*made, *_outputs(job))]


def _outputs(job: Job) -> tuple[str, ...]:
    if job.experiment:
        return ("experiment",)
    return ("search",) if job.search else ("model", "catalogue", "evaluation")


def run_job(client: "Client", job: Job, say: Say) -> None:
    """Do a whole job: a catalogue with its model and evaluation, an experiment or a search.

    Parameters
    ----------
    client : distributed.Client
        The cluster's client.
    job : Job
        What is to be done.
    say : callable
        Takes a line about each result.

    Raises
    ------
    UserError
        If what is given does not serve.
    RunError
        If something fails all the same.
    """
    check_job(job)
    paths = job.paths()
    if job.simulate:
        flow.simulate(
            client, job.simulate.stars, job.simulate.seed, paths["survey"], paths["labels"]
        )
    survey = open_survey(paths["survey"])
    if job.experiment:
        page = experiments.compare(client, survey, labels_of(job), paths["experiment"], job)
        say(f"experiment {page}")
    elif job.search:
        found = experiments.search(client, survey, labels_of(job), paths["search"], job)
        say(f"search     {found}")
    else:
        train_model(client, survey, job, say)
        write_catalogue(client, survey, paths["model"], paths["catalogue"], say)
        verify_catalogue(paths["catalogue"], say)
        evaluate_catalogue(
            paths["catalogue"], paths["labels"], job.labels.scale, paths["evaluation"], say
        )


def labels_of(job: Job) -> pd.DataFrame:
    """Read the labels of a job."""
    about = job.labels
    return read_labels(job.paths()["labels"], about.scale, fold=about.fold, rival=about.rival)


def train_model(client: "Client", survey: Survey, job: Job, say: Say) -> None:
    """Train the model of a job, and say how well it does on stars that it has not seen."""
    path = job.paths()["model"]
    card = flow.train(client, survey, labels_of(job), path, job)
    for line in card.stars.lines():
        say(f"selection  {line}")
    say(f"model      {path}: {card.summary}")


def write_catalogue(client: "Client", survey: Survey, model: Path, out: Path, say: Say) -> None:
    """Write the catalogue of a survey, and say how many stars it has."""
    manifest = flow.predict(client, survey, model, out)
    predicted = sum(receipt.counts["predicted"] for receipt in manifest.partitions)
    say(f"catalogue  {out}: {manifest.rows:,} stars, {predicted:,} with a metallicity")


def verify_catalogue(catalogue: Path, say: Say) -> None:
    """Check that a catalogue is whole, and say so.

    Raises
    ------
    RunError
        If it is not as it was written.
    """
    found = verify(catalogue)
    for fault in found.faults:
        say(f"verify     {fault}")
    if found.faults:
        raise RunError(
            f"{catalogue} is not as it was written; delete manifest.json and the files named, and "
            f"give the same command again."
        )
    say(f"verify     {catalogue}: {found.rows:,} rows in {found.partitions} files, all as written")


def write_page(folder: Path, survey: Path | None = None, model: Path | None = None) -> Path:
    """Write the page of what a folder holds: an experiment, a catalogue or a survey.

    Parameters
    ----------
    folder : pathlib.Path
        The folder.
    survey, model : pathlib.Path, optional
        Those of a catalogue, where they were moved.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    UserError
        If it holds nothing of this kind.
    """
    if not folder.is_dir():
        raise UserError(
            f"There is no folder {folder}; give that of an experiment, a catalogue or a survey."
        )
    if (folder / MANIFEST).exists() and Manifest.read(folder).kind == "catalogue":
        return write_catalogue_page(folder, survey, model)
    if survey or model:
        raise UserError(f"{folder} holds no catalogue, for which --survey and --model are.")
    if (folder / CARD).exists():
        raise UserError(
            f"{folder} holds a model; its scores are in {CARD}, and on the page of each catalogue "
            f"that was made with it."
        )
    return write_report(folder) if (folder / ABOUT_FILE).exists() else write_summary(folder)


def recompute_stars(
    catalogue: Path, n_stars: int, seed: int, survey: Path | None, model: Path | None, say: Say
) -> None:
    """Compute random stars of a catalogue again, and say whether they come out as they are there.

    Raises
    ------
    RunError
        If one does not.
    """
    compared, faults = recompute(catalogue, n_stars, seed, survey, model)
    for fault in faults:
        say(f"verify     {fault}")
    if faults:
        raise RunError(
            f"{len(faults)} of {compared} stars of {catalogue} come out otherwise; it was made by "
            f"another version of the program or its libraries, on other processors, or changed."
        )
    say(f"verify     {catalogue}: {compared:,} stars computed again (seed {seed}), to the same bit")


def evaluate_catalogue(
    catalogue: Path, labels: Path, scale: str | None, out: Path, say: Say
) -> None:
    """Compare a catalogue with labels, and say how they agree."""
    metrics = evaluate(catalogue, labels, scale, out)
    for name in ("network", "baseline"):
        scores = metrics[name]
        figures = [
            f"{label} {scores[key]:.3f}"
            for key, label in (("rmse", "RMSE"), ("mae", "MAE"), ("r2", "R2"))
            if scores[key] is not None
        ]
        _say_figures(name, scores["n"], figures, say)
    say(f"evaluation {out / 'index.html'}")


def evaluate_with_reference(
    catalogue: Path, reference: Path, out: Path, say: Say, **options: Any
) -> None:
    """Compare a catalogue with reference values, and say how they agree."""
    metrics = compare_with_reference(catalogue, reference, out, **options)
    for name in ("network", "baseline"):
        found = metrics[name]
        figures = [
            f"{key} {found[key]['value']:{form}}"
            for key, form in (("offset", "+.3f"), ("scatter", ".3f"), ("slope", ".2f"))
            if found[key] and found[key]["value"] is not None
        ]
        _say_figures(name, found["n"], figures, say)
    say(f"evaluation {out / 'index.html'}")


def _say_figures(name: str, n_stars: int, figures: list[str], say: Say) -> None:
    said = ", ".join(figures) or "too few to say more"
    say(f"evaluation {name:<8} on {n_stars:,} stars: {said}")


def evaluate_with_clusters(catalogue: Path, out: Path, say: Say, **options: Any) -> None:
    """Compare a catalogue with globular clusters, and say how they agree."""
    metrics = compare_with_clusters(catalogue, out, **options)
    between = metrics["between_clusters"]
    agree = "" if between["offset"] is None else f": mean difference {between['offset']:+.3f}"
    say(f"evaluation {metrics['n_members']:,} members of {metrics['n_counted']:,} clusters{agree}")
    say(f"evaluation {out / 'index.html'}")
