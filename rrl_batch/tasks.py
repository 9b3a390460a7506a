"""What runs on the workers: a function a stage, for a piece of the sky or a share of the folds."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.catalogue import write as catalogue
from rrl_batch.cluster.monitor import report, timed
from rrl_batch.cluster.polite import leases
from rrl_batch.cluster.recorder import passes_of
from rrl_batch.cluster.wanted import end_unwanted_task, while_wanted
from rrl_batch.cluster.worker import memory_limit, require_memory, takes_turns
from rrl_batch.contracts import Flag
from rrl_batch.inference.isolation import failing_stars, predict_around
from rrl_batch.inference.model import Model
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.drawn import DrawnCurve, drawn_curves
from rrl_batch.lightcurve.folded import folded
from rrl_batch.lightcurve.memory import memory_needed
from rrl_batch.lightcurve.population import FoldedCurves, statistics
from rrl_batch.lightcurve.population_prior import PopulationPrior
from rrl_batch.lightcurve.prepare import PreparedStars, prepare
from rrl_batch.sources.archive.call import Archive
from rrl_batch.sources.archive.chunks import StagedChunk, stage_chunk
from rrl_batch.sources.archive.login import Login
from rrl_batch.sources.archive.release import Release
from rrl_batch.sources.archive.stars import stars_query
from rrl_batch.sources.bulk.stage import stage_file
from rrl_batch.sources.staging import Staging
from rrl_batch.storage.commit import fingerprint
from rrl_batch.storage.manifest import Receipt
from rrl_batch.storage.sky import Pixel
from rrl_batch.survey import write as survey
from rrl_batch.survey.read import SurveyPartition
from rrl_batch.training.fit import FittedMember, fit_members
from rrl_batch.training.problem import MemberId, Plan
from rrl_batch.training.selection import Selection
from rrl_batch.training.shards import labelled_only, size_in_memory, write_shard

if TYPE_CHECKING:
    from distributed import Semaphore

log = logging.getLogger(__name__)

_MOST_LOGGED = 20
"""Stars of a batch that are logged, each on a line."""

TRAINING_MEMORY = 700_000_000
"""Bytes that TensorFlow or JAX take when they are loaded and train on some thousand stars."""

TRAINING_COPIES = 4
"""How often the training stars are in memory: all, those that a member learns from, and these
again as tensors; the fourth is room for a shard and for what else a step needs."""

Preprocess = dict[str, Any]
"""Settings of the light-curve preparation, by name."""


stage_bulk_file = takes_turns(stage_file)
"""Read a bulk file of Gaia's epoch photometry."""


def query_stars(query: str, release: Release, login: Login | None, root: Path, folder: Path) -> int:
    """Write the table of stars that a query of the archive asks for; return their number."""
    with timed():
        archive = Archive(release, login, look=end_unwanted_task)
        return stars_query(query, archive, root, folder)


def stage_archive_chunk(
    number: int,
    *,
    release: Release,
    login: Login | None,
    semaphore: "Semaphore",
    staging: Staging,
    mark: str,
) -> StagedChunk:
    """Fetch the light curves of a chunk of the archive's stars.

    It waits much and computes little, and so takes no turn on its worker.
    """
    with timed():
        archive = Archive(release, login, leases(semaphore), end_unwanted_task)
        return stage_chunk(number, archive, staging, mark, report)


@takes_turns
def write_survey_partition(
    piece: tuple[int, Pixel],
    *,
    source: survey.LightCurveSource,
    out: Path,
    mark: str,
    description: str,
) -> Receipt:
    """Write a piece of the sky with the light curves of a source."""
    return survey.write_partition(piece, out, source, mark, description)


@takes_turns
def folded_curves(
    pieces: Sequence[SurveyPartition], modes: Sequence[str], careful: bool = False
) -> list[FoldedCurves]:
    """Return the light curves of each mode in some pieces of the sky, for the population prior.

    They stay on the worker from one iteration of EM to the next: 12 B an epoch, and the weights of
    the epochs 8 B. Dask puts them on disk where memory runs short. Done again in a careful manner,
    the task leaves out stars that the program fails on.
    """
    found: list[list[FoldedCurves]] = [[] for _ in modes]
    first = {mode: PopulationPrior.first(mode) for mode in modes}
    smooth = partial(prepare, smoothing="population", priors=first)
    for piece in pieces:
        _require_memory(piece, points=0)
        for batch in while_wanted(piece.batches()):
            good = batch
            if careful:
                good = batch.without_epochs(_failing_stars(smooth, batch, piece))
            stars = folded(good, "fourier")
            for mode, curves in zip(modes, found, strict=True):
                own = stars.curves(stars.of_mode(mode))
                # the survey has magnitudes in single precision
                curves.append(own._replace(mag=own.mag.astype(np.float32)))
    return [FoldedCurves.joined(curves) for curves in found]


expectation = takes_turns(statistics)
"""Of EM on the curves of a piece of the sky."""


@takes_turns
def write_training_shard(
    piece: tuple[int, SurveyPartition],
    *,
    preprocess: Preprocess,
    selection: Selection,
    root: Path,
    mark: str,
    careful: bool = False,
) -> Receipt:
    """Write the training stars of a piece of the sky.

    A task that has failed is done again in a careful manner: stars that it fails on have no curve.
    """
    number, partition = piece
    _require_memory_to_prepare(partition, preprocess)
    labelled = labelled_only(while_wanted(partition.batches()), root)
    if careful:
        work = partial(prepare, **preprocess)
        labelled = (
            batch.without_epochs(_failing_stars(work, batch, partition)) for batch in labelled
        )
    prepared = (prepare(batch, **preprocess) for batch in labelled)
    own_mark = fingerprint(mark, partition.fingerprint)
    return write_shard(prepared, number, root, selection, own_mark)


@takes_turns
def example_curves(
    piece: SurveyPartition, preprocess: Preprocess, modes: Sequence[str], n_stars: int
) -> tuple[pd.DataFrame, list[DrawnCurve]]:
    """Return some stars of a piece of the sky: their table, and their curves to be drawn."""
    batch = next(iter(piece.batches()))
    rows = np.flatnonzero(batch.stars["best_classification"].isin(modes))
    some = batch.select(np.isin(np.arange(len(batch.stars)), rows[:: -(-len(rows) // n_stars)]))
    return some.stars, drawn_curves(some, preprocess)


@takes_turns
def write_catalogue_partition(
    piece: SurveyPartition,
    *,
    model: Model,
    out: Path,
    mark: str,
    about: dict[str, Any],
    careful: bool = False,
) -> Receipt:
    """Write the catalogue of a piece of the sky.

    A task that has failed is done again in a careful manner: stars that it fails on are flagged.
    """
    _require_memory_to_prepare(piece, model.preparation)
    rows = (
        _predict(batch, model, piece, careful=careful) for batch in while_wanted(piece.batches())
    )
    return catalogue.write_partition(rows, piece, out, model.mark, mark, about)


def _failing_stars(
    work: Callable[[LightCurveBatch], Any], batch: LightCurveBatch, piece: SurveyPartition
) -> NDArray[np.bool_]:
    """Return the stars that some work fails on, and log them."""
    failing = failing_stars(work, batch, memory_limit())
    for star in batch.stars["source_id"][failing]:
        about = {"partition": piece.pixel.path, "star": int(star)}
        log.warning("the program fails on star %d, which is passed by", star, extra=about)
    return failing


def _predict(
    batch: LightCurveBatch, model: Model, piece: SurveyPartition, *, careful: bool
) -> pd.DataFrame:
    """Return the catalogue's rows of some stars, and log those that are odd."""
    if careful:
        failing = _failing_stars(model.predict, batch, piece)
        rows = predict_around(model.predict, batch, failing)
    else:
        rows = model.predict(batch)
    odd = rows["source_id"][(rows["flags"] & int(Flag.SMOOTHING_FAILED)) != 0]
    for star in odd[:_MOST_LOGGED]:
        about = {"partition": piece.pixel.path, "star": int(star)}
        log.info("no curve could be fitted to its epochs, or a flat one", extra=about)
    if len(odd) > _MOST_LOGGED:
        more = f"the same holds for {len(odd) - _MOST_LOGGED:,} stars more"
        log.info(more, extra={"partition": piece.pixel.path})
    return rows


def light_curves(pieces: Iterable[SurveyPartition]) -> Iterator[LightCurveBatch]:
    """Yield the stars of some pieces of the sky, a batch at a time."""
    for piece in pieces:
        yield from piece.batches()


@takes_turns
def prepare_batch(stars: LightCurveBatch, model: Model) -> PreparedStars:
    """Prepare some stars for a model."""
    return model.prepare(stars)


@takes_turns
def predict_batch(stars: LightCurveBatch, model: Model) -> pd.DataFrame:
    """Return the catalogue's rows of some stars."""
    return model.predict(stars)


@takes_turns
def fit_share(share: tuple[Sequence[MemberId], Plan]) -> list[FittedMember]:
    """Fit some of the members of a plan, and report every pass."""
    members, plan = share
    needed = TRAINING_MEMORY + TRAINING_COPIES * size_in_memory(plan.root, plan.receipts)
    n_stars = sum(receipt.rows for receipt in plan.receipts)
    require_memory(needed, f"Training on {n_stars:,} stars")
    return fit_members(members, plan, lambda epochs, some: report(epochs, passes_of(plan, some)))


def _require_memory_to_prepare(piece: SurveyPartition, preprocess: Preprocess) -> None:
    population = preprocess["smoothing"] == "population"
    _require_memory(piece, preprocess["points"], population=population)


def _require_memory(piece: SurveyPartition, points: int, *, population: bool = False) -> None:
    """Say that a worker is too small for a piece of the sky, before it is killed for that."""
    needed = memory_needed(*piece.largest_batch(), points, population=population)
    require_memory(needed, f"A batch of stars of {piece.pixel.path}")
