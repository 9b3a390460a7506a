"""Experiments: many predictors on the same stars and folds, and the search for the best settings.

As in the pipeline, stars are prepared by tasks over the sky and members are fitted by tasks that
read them from disk. What differs is that nothing is kept but predictions: every table of a report
can be made again from them.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from distributed import span

from rrl_batch import tasks
from rrl_batch.cluster.monitor import gather
from rrl_batch.contracts.training import StarCounts
from rrl_batch.errors import RunError
from rrl_batch.experiment.folder import ABOUT_FILE
from rrl_batch.experiment.write import FITS, write_experiment
from rrl_batch.job import ExperimentSection, Job, SearchSection
from rrl_batch.models.registry import ARCHITECTURES
from rrl_batch.report.drawing import save
from rrl_batch.report.experiment_page import write_report
from rrl_batch.report.method_figures import light_curves, network_diagram
from rrl_batch.stages.search import SCORED_FOLD, run_trials
from rrl_batch.stages.training import (
    Priors,
    fit_members,
    fit_settings_of,
    ingredients,
    members_mark,
    members_of,
    preparation_of,
    priors_of,
    select_stars,
    selection_of,
)
from rrl_batch.storage.commit import fingerprint, write_json
from rrl_batch.storage.manifest import Receipt, claim
from rrl_batch.survey.read import Survey
from rrl_batch.training.finish import held_out_rmse
from rrl_batch.training.folds import require_pairs
from rrl_batch.training.network import fresh
from rrl_batch.training.problem import MemberId, Plan
from rrl_batch.training.search import Search
from rrl_batch.training.start import assign_training_folds, count_stars, require_each_mode

if TYPE_CHECKING:
    from distributed import Client

FOUND_FILE = "search.json"
TRIALS_FILE = "trials.json"
_STARS = "stars"
_EXAMPLES = 9
"""Stars whose light curves are drawn."""
_COMMON = {"modes", "folds", "repeats", "seed"}


@dataclass(frozen=True)
class Found:
    """What a search has come to.

    Parameters
    ----------
    settings : dict
        The best settings, by ``section.key``.
    inner_rmse : float
        Their error within the training folds, which chose them, in dex.
    rmse, own_rmse : float
        Error of the best settings, and of the job's own, on the fold that no trial has seen.
    trials : int
        Number of trials.
    """

    settings: dict[str, Any]
    inner_rmse: float
    rmse: float
    own_rmse: float
    trials: int

    def __str__(self) -> str:
        settings = ", ".join(f"{name} = {value}" for name, value in self.settings.items())
        return (
            f"{settings}: RMSE {self.rmse:.3f} dex on the fold that none of {self.trials} trials "
            f"has seen; {self.own_rmse:.3f} dex with the job's own settings"
        )


def compare(client: "Client", survey: Survey, labels: pd.DataFrame, out: Path, job: Job) -> Path:
    """Fit every case of an experiment to the same stars and folds, and report what each predicts.

    Fits that are there already are kept, also when cases are added. Cases among which the best is
    chosen are fitted without each pair of folds as well, so that the choice for a fold is made
    with predictions that have not seen it.

    Parameters
    ----------
    client : distributed.Client
        The cluster's client.
    survey : Survey
        The survey.
    labels : pandas.DataFrame
        Metallicities, with a column `fold` if the folds are given, and `rival` if there is one.
    out : pathlib.Path
        Folder of the experiment.
    job : Job
        The job, with a section `experiment`.

    Returns
    -------
    pathlib.Path
        The report.

    Raises
    ------
    UserError
        If a case is not valid, or the labels or folds do not serve.
    """
    experiment, training, cases = job.experiment or ExperimentSection(), job.training, job.cases()
    made_from = ingredients(client, survey, labels)
    made_from["training"] = training.model_dump(mode="json", include=_COMMON)
    claimed = claim(out, "experiment", made_from, last_file=ABOUT_FILE)
    if claimed.changed:
        claimed.tell(out, "what was made from it is done anew")
    mark = fingerprint(made_from)
    priors = _priors_of_cases(client, survey, cases.values())
    sets = _stars_of_cases(client, survey, labels, out, cases.values(), priors, mark)
    n_folds = assign_training_folds(sets, labels, training.folds, training.repeats, training.seed)
    if experiment.choose_from:
        require_pairs(n_folds)
    for case in cases.values():
        if case.model.by_mode:
            root = _stars_of(out, case)
            require_each_mode(root, sets[root], training.modes)
    plans = {name: _plan_of(out, case, sets, name) for name, case in cases.items()}
    nested = job.nested_cases()
    work = [
        (members_of(case, case.model.architecture[0], n_folds, pairs=name in nested), plans[name])
        for name, case in cases.items()
    ]
    fitted = dict(zip(cases, fit_members(client, work), strict=True))
    selected: dict[StarCounts, list[str]] = {}
    for name, case in cases.items():
        counts = count_stars(sets[_stars_of(out, case)], len(labels))
        selected.setdefault(counts, []).append(name)
    reference = experiment.reference or next(iter(cases))
    write_experiment(
        out,
        labels,
        plans,
        fitted,
        experiment.settings(),
        experiment.blends,
        experiment.choose_from,
        title=experiment.title,
        reference=reference,
        rival=job.labels.rival,
        synthetic=survey.synthetic,
        scale=str(labels["scale"].iloc[0]),
        folds=n_folds,
        repeats=training.repeats,
        selected=[{"cases": names, "stars": asdict(c)} for c, names in selected.items()],
        provenance={**made_from, "survey_path": str(survey.path)},
    )
    # a blend has no curves of its own: those of the job stand for it
    _draw_method(client, survey, out, cases.get(reference, job), priors)
    return write_report(out)


def search(client: "Client", survey: Survey, labels: pd.DataFrame, out: Path, job: Job) -> Found:
    """Search for the settings with the least error within the training folds.

    Fold 0 is left out of every trial: with it the best settings, and the job's own, are scored in
    the end. A trial is fitted without one more fold at a time, and is given up when its error on
    the first of them is large; as many trials as there are workers run side by side.

    Parameters
    ----------
    client : distributed.Client
        The cluster's client.
    survey : Survey
        The survey.
    labels : pandas.DataFrame
        Metallicities, with a column `fold` if the folds are given.
    out : pathlib.Path
        Folder of the search; gets `trials.json` and, last, `search.json`.
    job : Job
        The job, with a section `search`.

    Returns
    -------
    Found
        What was found.

    Raises
    ------
    RunError
        If no trial has been completed.
    """
    section, training = job.search or SearchSection(), job.training
    points = job.search_points()
    made_from = ingredients(client, survey, labels)
    made_from["job"] = job.model_dump(
        mode="json", include={"preprocess", "model", "training", "search"},
        exclude={"model": {"path"}, "search": {"path", "trials"}},
    )  # fmt: skip
    claimed = claim(out, "search", made_from, last_file=FOUND_FILE)
    if claimed.changed:
        (out / TRIALS_FILE).unlink(missing_ok=True)
        claimed.tell(out, "all trials are done anew")
    mark = fingerprint(made_from)
    priors = _priors_of_cases(client, survey, [job, *points])
    sets = _stars_of_cases(client, survey, labels, out, [job, *points], priors, mark)
    n_folds = assign_training_folds(sets, labels, training.folds, 1, training.seed)
    require_pairs(n_folds)
    feh = labels.set_index("source_id")["feh"]
    study = Search(
        out / TRIALS_FILE, section.space, section.method, section.trials, section.prune,
        section.seed,
    )  # fmt: skip

    def plan_of(settings: dict[str, Any]) -> tuple[str, Plan]:
        case = job.with_settings(settings, "[search.space]")
        return case.model.architecture[0], _plan_of(out, case, sets)

    run_trials(client, study, plan_of, n_folds, feh)
    best = study.best()
    if best is None:
        raise RunError(
            f"None of {len(study.trials)} trials was completed; see {out / TRIALS_FILE}: give "
            f"smaller values of training.learning_rate in [search.space]."
        )
    final = [plan_of({}), plan_of(best.settings)]
    scored = fit_members(
        client, [([MemberId(name, 0, (SCORED_FOLD,))], plan) for name, plan in final]
    )
    own, found = (
        held_out_rmse(plan.out, members[0], feh)
        for (_, plan), members in zip(final, scored, strict=True)
    )
    result = Found(best.settings, float(np.mean(best.rmse)), found, own, len(study.trials))
    write_json(out / FOUND_FILE, asdict(result) | {"made_from": made_from})
    return result


def _priors_of_cases(client: "Client", survey: Survey, cases: Iterable[Job]) -> Priors:
    """Return the population priors of the cases, which all have the same modes."""
    smoothed = [case for case in cases if case.preprocess.smoothing == "population"]
    return priors_of(client, survey, smoothed[0]) if smoothed else None


def _draw_method(
    client: "Client", survey: Survey, out: Path, reference: Job, priors: Priors
) -> None:
    """Draw light curves as the reference case has them, and its network."""
    architecture = reference.model.architecture[0]
    if ARCHITECTURES[architecture].is_network:
        points = reference.preprocess.points
        network = fresh(architecture, points, fit_settings_of(reference, architecture), seed=0)
        save(network_diagram(network, survey.synthetic), out / "network.png", survey.synthetic)
    with span("draw"):
        example = client.submit(
            tasks.example_curves, survey.largest, preparation_of(reference, priors),
            reference.training.modes, _EXAMPLES, pure=False,
        )  # fmt: skip
    drawn: list[Any] = gather(client, [example], stage="draw", unit="figures", planned=[1])
    stars, curves = drawn[0]
    figure = light_curves(stars, curves, survey.synthetic)
    save(figure, out / "light_curves.png", survey.synthetic)


def _stars_of_cases(
    client: "Client",
    survey: Survey,
    labels: pd.DataFrame,
    out: Path,
    cases: Iterable[Job],
    priors: Priors,
    mark: str,
) -> dict[Path, list[Receipt]]:
    """Return a training set for each way in which cases prepare and select stars."""
    sets: dict[Path, list[Receipt]] = {}
    for case in cases:
        root = _stars_of(out, case)
        if root not in sets:
            its_mark = fingerprint(mark, root.name)
            sets[root] = select_stars(client, survey, labels, root, case, priors, its_mark)
    return sets


def _stars_of(out: Path, case: Job) -> Path:
    """Return the folder of the training set of a case."""
    settings = case.preprocess.model_dump(), asdict(selection_of(case))
    return out / _STARS / fingerprint(*settings)[:16]


def _plan_of(out: Path, case: Job, sets: dict[Path, list[Receipt]], title: str = "") -> Plan:
    """Return the plan of a case, whose files are in a folder of its own, whatever its name."""
    root = _stars_of(out, case)
    settings = fit_settings_of(case, case.model.architecture[0])
    mark = members_mark(root, sets[root], settings, case.model.architecture[0])
    folder = (out / FITS / mark[:16]).resolve()
    return Plan(root.resolve(), sets[root], settings, folder, mark, title=title)
