"""Fit one member of an ensemble: the network that never sees one of the folds."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.models.folder import save_weights
from rrl_batch.models.registry import build
from rrl_batch.storage.commit import replacing, write_json
from rrl_batch.storage.manifest import Receipt
from rrl_batch.training.folds import split_stopping_set
from rrl_batch.training.metrics import scores
from rrl_batch.training.shards import TrainingSet, read_shards
from rrl_batch.training.weights import density_weights

if TYPE_CHECKING:
    import keras

FOLDS_FILE = "folds.parquet"


@dataclass(frozen=True)
class FitSettings:
    """How a member is fitted; see the training section of a job."""

    architecture: str
    masked: bool
    stop_fraction: float
    epochs: int
    patience: int
    batch_size: int
    learning_rate: float
    seed: int


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


def fit_member(
    fold: int,
    root: Path,
    model: Path,
    receipts: list[Receipt],
    settings: FitSettings,
    fingerprint: str,
    on_epoch: Callable[[int], None] | None = None,
) -> FittedMember:
    """Fit the member of a fold and predict that fold with it, unless it is there already.

    The weights of the stars, the scaling of the labels and the stopping set come from the
    training folds alone; the held-out fold is read only to be predicted.

    Parameters
    ----------
    fold : int
        The fold to hold out.
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
        Told the number of each epoch that has ended.
    """
    done = _finished(fold, root, model, fingerprint)
    if done:
        return done
    stars = read_shards(root, receipts)
    folds = pd.read_parquet(root / FOLDS_FILE).set_index("source_id")["fold"]
    held_out = (stars.table["source_id"].map(folds) == fold).to_numpy()
    network, epochs, epochs_run = _fit(
        _subset(stars, ~held_out), settings, settings.seed + fold, on_epoch
    )

    predicted = network.predict(stars.sequences, batch_size=settings.batch_size, verbose=0)[:, 0]
    table = stars.table.assign(predicted=predicted.astype(np.float64), fold=np.int32(fold))
    seen = table[~held_out]
    weights = density_weights(seen["feh"], seen["feh_error"])
    with replacing(root / held_out_file(fold)) as partial:
        columns = ["source_id", "fold", "feh", "feh_error", "predicted"]
        table.loc[held_out, columns].to_parquet(partial, index=False)
    member = FittedMember(
        fold,
        save_weights(network, model / weights_file(fold)),
        epochs,
        epochs_run,
        scores(seen["feh"], seen["predicted"], weights),
        fingerprint,
    )
    write_json(root / f"member_{fold}.json", asdict(member))
    return member


def _finished(fold: int, root: Path, model: Path, fingerprint: str) -> FittedMember | None:
    """Return a member that was fitted from the same things before, if any."""
    try:
        member = FittedMember(**json.loads((root / f"member_{fold}.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    there = (model / weights_file(fold)).exists() and (root / held_out_file(fold)).exists()
    return member if there and member.fingerprint == fingerprint else None


def _subset(stars: TrainingSet, rows: NDArray[np.bool_]) -> TrainingSet:
    return TrainingSet(stars.table[rows].reset_index(drop=True), stars.sequences[rows])


def _fit(
    stars: TrainingSet, settings: FitSettings, seed: int, on_epoch: Callable[[int], None] | None
) -> "tuple[keras.Model, int, int]":
    """Fit a network; return it, the number of the epoch whose weights it has, and the last."""
    import keras

    feh = stars.table["feh"].to_numpy(np.float64)
    error = stars.table["feh_error"].to_numpy(np.float64, na_value=np.nan)
    training, stopping = split_stopping_set(feh, settings.stop_fraction, seed)
    weights = np.empty_like(feh)
    for rows in (training, stopping):
        weights[rows] = density_weights(feh[rows], error[rows])
    mean, scale = feh[training].mean(), max(feh[training].std(), 1e-6)
    target = ((feh - mean) / scale).astype(np.float32)

    keras.utils.set_random_seed(seed)  # of the shuffling
    network = build(
        settings.architecture, stars.sequences.shape[1], masked=settings.masked, seed=seed
    )
    network.compile(keras.optimizers.Adam(settings.learning_rate), loss="mse")
    stopper = keras.callbacks.EarlyStopping(
        "val_loss", patience=settings.patience, restore_best_weights=True
    )
    callbacks = [stopper]
    if on_epoch is not None:
        callbacks.append(keras.callbacks.LambdaCallback(on_epoch_end=lambda e, _: on_epoch(e + 1)))
    history = network.fit(
        stars.sequences[training],
        target[training],
        sample_weight=weights[training],
        validation_data=(stars.sequences[stopping], target[stopping], weights[stopping]),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        callbacks=callbacks,
        verbose=0,
    )
    _undo_scaling(network, mean, scale)
    return network, int(stopper.best_epoch) + 1, len(history.epoch)


def _undo_scaling(network: "keras.Model", mean: float, scale: float) -> None:
    """Put the labels' scaling into the last layer, so that the network gives dex."""
    kernel, bias = network.layers[-1].get_weights()
    network.layers[-1].set_weights([kernel * scale, bias * scale + mean])
