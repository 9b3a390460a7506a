"""Fit members: predictors each of which never sees some of the folds."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.lightcurve.inputs import Inputs
from rrl_batch.lightcurve.redrawn import N_DRAWS
from rrl_batch.lightcurve.shape import SHAPE_COLUMNS
from rrl_batch.models.device import claim_gpu
from rrl_batch.models.registry import ARCHITECTURES, n_static_of
from rrl_batch.storage.commit import replacing, write_json
from rrl_batch.storage.remote import content_of, readable
from rrl_batch.training.folds import split_stopping_set, thin_out
from rrl_batch.training.metrics import scores
from rrl_batch.training.problem import (
    Fit,
    FitSettings,
    Floats,
    History,
    MemberId,
    Pass,
    Plan,
    Problem,
    Scaling,
)
from rrl_batch.training.shards import TrainingSet, read_redrawn, read_shards
from rrl_batch.training.weights import density_weights, noise_weights

FOLDS_FILE = "folds.parquet"

DRAWS = [f"redrawn_{draw}" for draw in range(N_DRAWS)]
"""Columns of what a member of a model's first repeat predicts for redrawn curves of held-out
stars."""

Trainer = Callable[
    [Sequence[Problem], Inputs, FitSettings, Callable[[list[Pass]], None]], Iterator[Fit]
]


@dataclass(frozen=True)
class FittedMember:
    """A member that has been fitted, with its files on disk.

    Parameters
    ----------
    member : MemberId
        Which member.
    sha256 : str
        Checksum of its weights; empty if they are not kept.
    epochs : int
        Passes up to the weights that were kept.
    n_training : int
        Stars that it has learnt from.
    n_parameters : int or None
        Numbers that were fitted, where these can be counted.
    seconds : float
        Processor time of the fit, with the compilation that other members then profit from.
    training : dict
        Scores on them and on the stars that ended its training.
    history : History
        Losses of all passes.
    failure : str
        Why there is nothing to predict with, if the fit has diverged; else empty.
    fingerprint : str
        Fingerprint of everything that it was made from.
    """

    member: MemberId
    sha256: str
    epochs: int
    n_training: int
    n_parameters: int | None
    seconds: float
    training: dict[str, Any]
    history: History
    failure: str
    fingerprint: str

    @property
    def epochs_run(self) -> int:
        """Passes in all, those without improvement included."""
        return max(self.epochs, len(self.history.training))

    def passes(self) -> list[Pass]:
        """Return the passes whose losses are known."""
        losses = zip_longest(*self.history)
        return [Pass(self.member, i, *both) for i, both in enumerate(losses, start=1)]

    @classmethod
    def read(cls, path: Path) -> "FittedMember":
        """Read what `write` has written."""
        content = json.loads(content_of(path))
        member = content.pop("member")
        member["held_out"] = tuple(member["held_out"])
        history = History(*content.pop("history"))
        return cls(member=MemberId(**member), history=history, **content)

    def write(self, path: Path) -> None:
        """Write it, when all other files of the member are there."""
        write_json(path, asdict(self))


def weights_file(member: MemberId, fingerprint: str) -> str:
    """Return the name of a member's weights in the model's folder.

    Parameters
    ----------
    member : MemberId
        Which member.
    fingerprint : str
        That of the plan: a process of another run, however late, writes another file.
    """
    network = ARCHITECTURES[member.architecture].is_network
    return f"{member.name}.{fingerprint[:12]}.{'weights.h5' if network else 'npz'}"


def predictions_file(member: MemberId, fingerprint: str) -> str:
    """Return the name of a member's predictions for all stars, in the folder of its record."""
    return f"{member.name}.{fingerprint[:12]}.parquet"


def _record_file(member: MemberId, fingerprint: str) -> str:
    return f"{member.name}.{fingerprint[:12]}.json"


def fit_members(
    members: Sequence[MemberId],
    plan: Plan,
    on_epoch: Callable[[int, list[Pass]], None] | None = None,
) -> list[FittedMember]:
    """Fit some members and predict all stars with each.

    The weights of the stars, all scaling and the stopping set come from the training folds alone;
    held-out folds are read only to be predicted. A member that is there already is not fitted
    again.

    Parameters
    ----------
    members : sequence of MemberId
        Which to fit, all of one architecture.
    plan : Plan
        What they learn from, how, and where the results go.
    on_epoch : callable, optional
        Told how many epochs have ended so far, those of all members added up, and which just now.

    Returns
    -------
    list of FittedMember
        In the order of the members.
    """
    found = (finished_member(member, plan) for member in members)
    fitted = {member.member: member for member in found if member}
    epochs = sum(member.epochs_run for member in fitted.values())

    def count(passes: list[Pass]) -> None:
        nonlocal epochs
        epochs += len(passes)
        if on_epoch is not None:
            on_epoch(epochs, passes)

    missing = [member for member in members if member not in fitted]
    if missing:
        stars = read_stars(plan)
        problems = [_problem(member, stars, plan.settings) for member in missing]
        fits = trainer(missing[0].architecture)(problems, stars.inputs, plan.settings, count)
        start = time.process_time()
        for fit in fits:
            seconds = time.process_time() - start
            fitted[fit.problem.member] = _keep(fit, stars, plan, seconds)
            start = time.process_time()
    return [fitted[member] for member in members]


def most_epochs(member: MemberId, plan: Plan) -> int:
    """Return how many passes a member makes at most."""
    return plan.settings.epochs if ARCHITECTURES[member.architecture].is_network else 1


def trainer(architecture: str) -> Trainer:
    """Return what fits members of an architecture fastest, with Keras's backend and here."""
    kind = ARCHITECTURES[architecture]
    if not kind.is_network:
        from rrl_batch.training import regression

        return regression.fit
    has_gpu = claim_gpu()
    import keras

    from rrl_batch.training import sequential, vectorised

    if keras.config.backend() != "jax":
        return sequential.fit
    # on a CPU, XLA does without its fast convolutions inside the loop over the batches
    without = kind.engine == "fused" or kind.takes == "shape"
    return vectorised.fit if has_gpu or without else sequential.fit


def finished_member(member: MemberId, plan: Plan) -> FittedMember | None:
    """Return a member that was fitted from the same things before, if any."""
    try:
        fitted = FittedMember.read(plan.out / _record_file(member, plan.fingerprint))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    files = [plan.out / predictions_file(member, plan.fingerprint)]
    if plan.keep and not fitted.failure:
        files.append(plan.keep / weights_file(member, plan.fingerprint))
    there = all(file.exists() for file in files)
    return fitted if there and fitted.fingerprint == plan.fingerprint else None


def read_stars(plan: Plan) -> TrainingSet:
    """Read the stars that have a fold, with their folds in the table."""
    folds = pd.read_parquet(readable(plan.root / FOLDS_FILE)).set_index("source_id")
    stars = read_shards(plan.root, plan.receipts, folds.index.to_numpy())
    return TrainingSet(stars.table.join(folds, on="source_id"), stars.inputs)


def fold_column(repeat: int) -> str:
    """Return the column of the folds' table that holds the folds of a repeat."""
    return f"fold_{repeat}"


def _seen(stars: pd.DataFrame, member: MemberId) -> NDArray[np.int64]:
    """Return the rows of the stars that a member may see."""
    return np.flatnonzero(~stars[fold_column(member.repeat)].isin(member.held_out))


def _problem(member: MemberId, stars: TrainingSet, settings: FitSettings) -> Problem:
    """Return what a member learns from."""
    table = stars.table
    feh = table["feh"].to_numpy(np.float64)
    error = table["feh_error"].to_numpy(np.float64, na_value=np.nan)
    log_noise = stars.inputs.shape[:, SHAPE_COLUMNS.index("log_noise")].astype(np.float64)
    seed = member.seed(settings.seed)
    seen = _seen(table, member)
    seen = seen[thin_out(feh[seen], settings.fraction, seed)]
    training, stopping = (
        seen[rows] for rows in split_stopping_set(feh[seen], settings.stop_fraction, seed)
    )
    n_inputs = n_static_of(member.architecture, settings.static)
    shape = stars.inputs.shape[training, :n_inputs].astype(np.float64)
    scaling = Scaling(
        shape.mean(axis=0),
        _positive(shape.std(axis=0)),
        float(feh[training].mean()),
        float(_positive(feh[training].std())),
    )
    target, weights = np.full((2, len(feh)), np.nan, np.float32)
    for rows in (training, stopping):
        target[rows] = (feh[rows] - scaling.feh_mean) / scaling.feh_scale
        weights[rows] = _weights(feh[rows], error[rows], log_noise[rows], settings)
    return Problem(member, seed, training, stopping, target, weights, scaling)


def _weights(feh: Floats, error: Floats, log_noise: Floats, settings: FitSettings) -> Floats:
    """Return the weights of stars among themselves, with a mean of 1."""
    known = error if settings.weight_errors else np.full_like(error, np.nan)
    weights = density_weights(feh, known, settings.weights, settings.weight_strength)
    if len(weights) == 0:
        return weights
    weights = weights * noise_weights(np.exp(log_noise), settings.weight_noise)
    return weights / weights.mean()


def _positive(scale: Any) -> Any:
    return np.where(scale > 0, scale, 1.0)


def _keep(fit: Fit, stars: TrainingSet, plan: Plan, seconds: float) -> FittedMember:
    """Write a member's predictions and, if wanted, its weights, and last that it is complete."""
    problem, predictor = fit.problem, fit.predictor
    member = problem.member
    table = stars.table
    learnt = np.concatenate([problem.training, problem.stopping])
    predicted = predictor.predict(stars.inputs) if predictor else np.full(len(table), np.nan)
    failure, sha256 = "", ""
    # the loss of a pass is finite still when its last step is one too far
    if not np.isfinite(predicted[learnt]).all():
        failure = (
            f"the predictions are not finite numbers; set training.learning_rate below "
            f"{plan.settings.learning_rate:g} for '{member.architecture}'"
        )
        predictor, predicted = None, np.full(len(table), np.nan)
    elif predictor and plan.keep:
        sha256 = predictor.write(plan.keep / weights_file(member, plan.fingerprint))
    part = np.full(len(table), "unused", object)
    part[problem.training], part[problem.stopping] = "training", "stopping"
    fold = table[fold_column(member.repeat)]
    held_out = fold.isin(member.held_out).to_numpy()
    part[held_out] = "held_out"
    predictions = pd.DataFrame(
        {"source_id": table["source_id"], "fold": fold, "part": part, "predicted": predicted}
    )
    if sha256 and predictor and member.repeat == 0:
        again = predictor.predict(
            read_redrawn(plan.root, plan.receipts, table["source_id"][held_out].to_numpy())
        )
        predictions.loc[held_out, DRAWS] = again.reshape(-1, N_DRAWS)
    with replacing(plan.out / predictions_file(member, plan.fingerprint)) as partial:
        predictions.to_parquet(partial, index=False)
    seen = table.iloc[learnt]
    weights = density_weights(seen["feh"], seen["feh_error"])
    fitted = FittedMember(
        member,
        sha256,
        fit.epochs,
        len(problem.training),
        predictor.n_parameters if predictor else None,
        seconds,
        scores(seen["feh"], predicted[learnt], weights),
        History(*([loss for loss in part if np.isfinite(loss)] for part in fit.history)),
        failure,
        plan.fingerprint,
    )
    fitted.write(plan.out / _record_file(member, plan.fingerprint))
    return fitted
