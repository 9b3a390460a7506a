"""Fit the members of an ensemble: networks each of which never sees one of the folds."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.errors import RunError
from rrl_batch.lightcurve.sequences import Sequences
from rrl_batch.models.folder import save_weights
from rrl_batch.models.registry import ARCHITECTURES
from rrl_batch.models.scaling import undo_scaling
from rrl_batch.storage.commit import replacing, write_json
from rrl_batch.storage.manifest import Receipt
from rrl_batch.training import sequential, vectorised
from rrl_batch.training.folds import split_stopping_set
from rrl_batch.training.metrics import scores
from rrl_batch.training.problem import Fit, FitSettings, Problem
from rrl_batch.training.shards import TrainingSet, read_shards
from rrl_batch.training.weights import density_weights

if TYPE_CHECKING:
    import keras

FOLDS_FILE = "folds.parquet"
_PREDICT_BATCH = 1024

Trainer = Callable[
    [Sequence[Problem], Sequences, FitSettings, Callable[[int], None]], Iterator[Fit]
]


@dataclass(frozen=True)
class FittedMember:
    """A member that is on disk, complete.

    Parameters
    ----------
    fold : int
        The fold that it has never seen.
    sha256 : str
        Checksum of its weights.
    epochs : int
        Passes up to the weights that were kept.
    epochs_run : int
        Passes in all, those without improvement included.
    training : dict
        Scores on the stars that it was trained on.
    fingerprint : str
        Fingerprint of everything that it was made from.
    """

    fold: int
    sha256: str
    epochs: int
    epochs_run: int
    training: dict[str, Any]
    fingerprint: str


def weights_file(fold: int | str) -> str:
    """Return the name of a member's weights in the model's folder."""
    return f"member_{fold}.weights.h5"


def held_out_file(fold: int) -> str:
    """Return the name of a member's predictions for its fold in the training set's folder."""
    return f"held_out_{fold}.parquet"


def fit_members(
    folds: Sequence[int],
    root: Path,
    model: Path,
    receipts: list[Receipt],
    settings: FitSettings,
    fingerprint: str,
    on_epoch: Callable[[int], None] | None = None,
) -> list[FittedMember]:
    """Fit the members of some folds and predict each fold with its member.

    The weights of the stars, the scaling of the labels and the stopping set come from the
    training folds alone; the held-out fold is read only to be predicted. A member that is there
    already is not fitted again.

    Parameters
    ----------
    folds : sequence of int
        The folds to hold out, one a member.
    root : pathlib.Path
        Folder of the training set.
    model : pathlib.Path
        Folder of the model, which gets the weights.
    receipts : list of Receipt
        Shards of the training set.
    settings : FitSettings
        How to fit.
    fingerprint : str
        Fingerprint of everything that the model is made from.
    on_epoch : callable, optional
        Told how many epochs have ended so far, those of all members added up.

    Returns
    -------
    list of FittedMember
        In the order of the folds.

    Raises
    ------
    RunError
        If members have diverged; the others are on disk by then.
    """
    found = (_finished(fold, root, model, fingerprint) for fold in folds)
    members = {member.fold: member for member in found if member}
    epochs = sum(member.epochs_run for member in members.values())

    def count(passes: int) -> None:
        nonlocal epochs
        epochs += passes
        if on_epoch is not None:
            on_epoch(epochs)

    missing = [fold for fold in folds if fold not in members]
    if missing:
        stars = _read_stars(root, receipts)
        problems = [_problem(fold, stars.table, settings) for fold in missing]
        diverged = []
        for fit in trainer(settings.architecture)(problems, stars.sequences, settings, count):
            if fit.network is None:
                diverged.append(fit.problem.fold)
            else:
                member = _keep(fit, fit.network, stars, root, model, fingerprint)
                members[member.fold] = member
        if diverged:
            raise RunError(
                f"The loss of {len(diverged)} of {len(folds)} members (folds "
                f"{', '.join(map(str, diverged))}) is no longer a finite number; set "
                f"training.learning_rate below {settings.learning_rate:g} and train again."
            )
    return [members[fold] for fold in folds]


def trainer(architecture: str) -> Trainer:
    """Return what fits members of an architecture fastest, with Keras's backend and here."""
    import keras

    if keras.config.backend() != "jax":
        return sequential.fit
    import jax

    # on a CPU, XLA does without its fast convolutions inside the loop over the batches
    recurrent = ARCHITECTURES[architecture].engine == "fused"
    on_cpu = jax.default_backend() == "cpu"
    return sequential.fit if on_cpu and not recurrent else vectorised.fit


def _finished(fold: int, root: Path, model: Path, fingerprint: str) -> FittedMember | None:
    """Return a member that was fitted from the same things before, if any."""
    try:
        member = FittedMember(**json.loads((root / f"member_{fold}.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    there = (model / weights_file(fold)).exists() and (root / held_out_file(fold)).exists()
    return member if there and member.fingerprint == fingerprint else None


def _read_stars(root: Path, receipts: list[Receipt]) -> TrainingSet:
    """Read a training set, with the fold of each star in its table."""
    stars = read_shards(root, receipts)
    folds = pd.read_parquet(root / FOLDS_FILE)
    return TrainingSet(stars.table.merge(folds, "left", "source_id"), stars.sequences)


def _seen(stars: pd.DataFrame, fold: int) -> NDArray[np.int64]:
    """Return the rows of the stars that the member of a fold may see."""
    return np.flatnonzero(stars["fold"] != fold)


def _problem(fold: int, stars: pd.DataFrame, settings: FitSettings) -> Problem:
    """Return what the member of a fold learns from."""
    feh = stars["feh"].to_numpy(np.float64)
    error = stars["feh_error"].to_numpy(np.float64, na_value=np.nan)
    seen, seed = _seen(stars, fold), settings.seed + fold
    training, stopping = (
        seen[rows] for rows in split_stopping_set(feh[seen], settings.stop_fraction, seed)
    )
    mean, scale = float(feh[training].mean()), max(float(feh[training].std()), 1e-6)
    target, weights = np.full((2, len(feh)), np.nan, np.float32)
    for rows in (training, stopping):
        target[rows] = (feh[rows] - mean) / scale
        weights[rows] = density_weights(feh[rows], error[rows])
    return Problem(fold, seed, training, stopping, target, weights, mean, scale)


def _keep(
    fit: Fit,
    network: "keras.Model",
    stars: TrainingSet,
    root: Path,
    model: Path,
    fingerprint: str,
) -> FittedMember:
    """Write a member's predictions of its fold and its weights, and last that it is complete."""
    fold = fit.problem.fold
    undo_scaling(network, (), (), fit.problem.mean, fit.problem.scale)
    predicted = network.predict(stars.sequences, batch_size=_PREDICT_BATCH, verbose=0)[:, 0]
    table = stars.table.assign(predicted=predicted.astype(np.float64))
    held_out = table["fold"] == fold
    seen = table[~held_out]
    weights = density_weights(seen["feh"], seen["feh_error"])
    with replacing(root / held_out_file(fold)) as partial:
        columns = ["source_id", "fold", "feh", "feh_error", "predicted"]
        table.loc[held_out, columns].to_parquet(partial, index=False)
    member = FittedMember(
        fold,
        save_weights(network, model / weights_file(fold)),
        fit.epochs,
        fit.epochs_run,
        scores(seen["feh"], seen["predicted"], weights),
        fingerprint,
    )
    write_json(root / f"member_{fold}.json", asdict(member))
    return member
