"""Put training stars on disk and fit members to them, on the cluster."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain, combinations, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from distributed import span

from rrl_batch import __version__, tasks
from rrl_batch.cluster.environment import keras_backend
from rrl_batch.cluster.monitor import gather
from rrl_batch.cluster.placement import all_workers, common_backend, workers_for_keras
from rrl_batch.cluster.recorder import Outcome, passes_of
from rrl_batch.cluster.worker import call_once, compile_once
from rrl_batch.job import Job
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.population_prior import PopulationPrior
from rrl_batch.lightcurve.prepare import prepare
from rrl_batch.models.folder import Preprocess
from rrl_batch.models.registry import ARCHITECTURES
from rrl_batch.stages.population import fit_population
from rrl_batch.stages.sky import STARS_PER_SELECTION, over_the_sky
from rrl_batch.storage.commit import checksum, fingerprint
from rrl_batch.storage.manifest import Receipt
from rrl_batch.survey.alignment import check_epochs
from rrl_batch.survey.read import Survey
from rrl_batch.training.fit import FOLDS_FILE, FittedMember, finished_member, most_epochs
from rrl_batch.training.problem import FitSettings, MemberId, Plan
from rrl_batch.training.selection import Selection
from rrl_batch.training.start import store_labels

if TYPE_CHECKING:
    from distributed import Client, Future

Priors = dict[str, PopulationPrior] | None

Share = tuple[list[MemberId], Plan]
"""Members that are fitted together, or alike, and their plan."""


def ingredients(client: "Client", survey: Survey, labels: pd.DataFrame) -> dict[str, Any]:
    """Return what predictors are made from, whatever their settings."""
    calibrated = labels.attrs.get("calibrated")  # by `rrl-batch ingest labels --to`
    return {
        "survey": survey.fingerprint,
        "labels": fingerprint(labels.to_json(orient="split", double_precision=15)),
        "backend": common_backend(client),
        "code_version": __version__,
    } | ({"calibrated": calibrated} if calibrated else {})


def training_set_mark(made_from: dict[str, Any], job: Job) -> str:
    """Return the fingerprint of what a training set is made from, besides its own partitions."""
    settings = [made_from[name] for name in ("labels", "preprocess", "code_version")]
    # a prior comes of all partitions
    population = job.preprocess.smoothing == "population"
    return fingerprint(*settings, asdict(selection_of(job)), population and made_from["survey"])


def members_mark(
    root: Path, receipts: list[Receipt], settings: FitSettings, architecture: str, *others: str
) -> str:
    """Return the fingerprint of what the members of an architecture are made from.

    Parameters
    ----------
    root : pathlib.Path
        Folder of the training set, with its folds.
    receipts : list of Receipt
        Its shards.
    settings : FitSettings
        How they are fitted.
    architecture : str
        Their architecture.
    *others : str
        What else makes a difference, beyond the training set.
    """
    stars = [receipt.fingerprint for receipt in receipts], checksum(root / FOLDS_FILE)
    return fingerprint(*stars, asdict(settings), architecture, others)


def what_is_stale(receipts: list[Receipt], work: "Sequence[Share]") -> str:
    """Say how much of a model that was begun with other ingredients is done anew."""
    shards = sum(not receipt.found for receipt in receipts)
    members = [finished_member(member, plan) for some, plan in work for member in some]
    return (
        f"{shards:,} of {len(receipts):,} partitions of training stars and "
        f"{members.count(None):,} of {len(members):,} members are done anew"
    )


def selection_of(job: Job) -> Selection:
    """Return which stars a job trains on."""
    return Selection(job.training.modes, job.training.select)


def fit_settings_of(job: Job, architecture: str) -> FitSettings:
    """Return how a job fits the members of an architecture."""
    names = set(FitSettings.__dataclass_fields__)
    return FitSettings(
        masked=Preprocess(**job.preprocess.model_dump()).masked,
        **job.model.model_dump(include=names),
        **job.training.of_kind(architecture).model_dump(include=names),
    )


def members_of(job: Job, architecture: str, n_folds: int, *, pairs: bool = False) -> list[MemberId]:
    """Return the members of an architecture: for each fold, and each pair of folds if asked for.

    Each pulsation mode has such members of its own, if the job says so.
    """
    held_out: list[tuple[int, tuple[int, ...]]] = [
        (repeat, (fold,)) for repeat in range(job.training.repeats) for fold in range(n_folds)
    ]
    if pairs:
        held_out += [(0, pair) for pair in combinations(range(n_folds), 2)]
    modes = job.training.modes if job.model.by_mode else ("",)
    return [
        MemberId(architecture, repeat, folds, mode) for mode in modes for repeat, folds in held_out
    ]


def priors_of(client: "Client", survey: Survey, job: Job) -> Priors:
    """Return the population priors of a job's pulsation modes, if it smooths by them."""
    if job.preprocess.smoothing != "population":
        return None
    return fit_population(client, survey, job.training.modes)


def preparation_of(job: Job, priors: Priors) -> dict[str, Any]:
    """Return the arguments of `prepare` for a job; it takes the priors if it smooths by them."""
    population = job.preprocess.smoothing == "population"
    return job.preprocess.model_dump() | {"priors": priors if population else None}


def select_stars(
    client: "Client",
    survey: Survey,
    labels: pd.DataFrame,
    root: Path,
    job: Job,
    priors: Priors,
    mark: str,
) -> list[Receipt]:
    """Put the labelled, selected stars of a survey on disk as a training set.

    Parameters
    ----------
    client : distributed.Client
        The cluster's client.
    survey : Survey
        The survey.
    labels : pandas.DataFrame
        Metallicities of some of its stars.
    root : pathlib.Path
        Folder of the training set.
    job : Job
        How curves are prepared, and stars selected.
    priors : dict of str to PopulationPrior, or None
        As `priors_of` gives them; used if the job smooths by them.
    mark : str
        Fingerprint of everything that the training set is made from.

    Returns
    -------
    list of Receipt
        The shards, one a partition of the survey.
    """
    preprocess = preparation_of(job, priors)
    check_alignment(client, survey, root.parent, preprocess)
    store_labels(root, labels)
    compile_once(client, prepare, LightCurveBatch.empty(), **preprocess)
    return over_the_sky(
        client, tasks.write_training_shard, list(enumerate(survey.partitions)),
        [piece.pixel for piece in survey.partitions],
        [piece.rows for piece in survey.partitions], STARS_PER_SELECTION, stage="select",
        isolates=True,
        root=root.resolve(), preprocess=preprocess, selection=selection_of(job), mark=mark,
    )  # fmt: skip


def check_alignment(
    client: "Client", survey: Survey, model: Path, preprocess: dict[str, Any]
) -> None:
    """Check that the model's curves and the survey's have their phase 0 at the same place."""
    if preprocess["alignment"] == "maximum":
        call_once(client, check_epochs, survey.largest, survey.path, model)


def fit_members(client: "Client", work: Sequence[Share]) -> list[list[FittedMember]]:
    """Fit the members of some plans, with a progress line in epochs.

    Networks go to the workers that own a GPU, if there are any; regressors to all.

    Parameters
    ----------
    client : distributed.Client
        The cluster's client.
    work : sequence of (list of MemberId, Plan)
        The members of each plan.

    Returns
    -------
    list of list of FittedMember
        In the same order.
    """
    kinds = _distinct_kinds(work)
    networks = [share for share in kinds if _is_network(share)]
    regressors = [share for share in kinds if not _is_network(share)]
    shares: list[Share] = []
    futures: list[Future] = []
    resources: dict[str, float] = {}
    for some, find_workers in ((networks, workers_for_keras), (regressors, all_workers)):
        if some:
            workers = find_workers(client)
            divided = divide(some, len(workers.addresses))
            shares += divided
            resources |= workers.resources
            with span("train"):
                futures += client.map(
                    tasks.fit_share, divided, resources=workers.resources, key="fit", pure=False
                )
    done: list[list[FittedMember]] = gather(
        client, futures, stage="train", unit="epochs",
        planned=[sum(most_epochs(member, plan) for member in some) for some, plan in shares],
        outcome=lambda i, fitted: _outcome(shares[i][1], fitted), resources=resources,
    )  # fmt: skip
    found = {(m.fingerprint, m.member): m for m in chain.from_iterable(done)}
    return [[found[plan.fingerprint, member] for member in members] for members, plan in work]


def _distinct_kinds(work: Sequence[Share]) -> list[Share]:
    """Return the members of some plans by architecture; two plans may be the same."""
    kinds: list[Share] = []
    shared: set[tuple[str, MemberId]] = set()
    for members, plan in work:
        for _, alike in groupby(members, key=lambda member: member.architecture):
            new = [member for member in alike if (plan.fingerprint, member) not in shared]
            shared.update((plan.fingerprint, member) for member in new)
            if new:
                kinds.append((new, plan))
    return kinds


def divide(kinds: Sequence[Share], n_workers: int) -> list[Share]:
    """Divide members, alike in architecture and plan, into what a task fits.

    That is one member; or of networks on JAX, which fits several as one program, an equal part of
    each kind for every worker, so that none waits for another at the end of a kind.

    Parameters
    ----------
    kinds : sequence of (list of MemberId, Plan)
        Members of one architecture each.
    n_workers : int
        How many workers fit.
    """
    shares = []
    for members, plan in kinds:
        together = keras_backend() == "jax" and _is_network((members, plan))
        n_tasks = max(1, min(n_workers, len(members))) if together else len(members)
        shares += [(members[first::n_tasks], plan) for first in range(n_tasks)]
    return shares


def _is_network(share: Share) -> bool:
    members, _ = share
    return ARCHITECTURES[members[0].architecture].is_network


def _outcome(plan: Plan, fitted: Sequence[FittedMember]) -> Outcome:
    """Return what members that have been fitted say; those fitted now have reported their work."""
    passes = passes_of(plan, chain.from_iterable(member.passes() for member in fitted))
    return Outcome(sum(member.epochs_run for member in fitted), passes=passes)
