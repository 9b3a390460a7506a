"""What a member learns from, how it is fitted, and what comes of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras


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
class Problem:
    """What one member learns from, all of it from the folds that it is trained on.

    Parameters
    ----------
    fold : int
        The fold that it must never see.
    seed : int
        Seed of its initial weights, dropout and shuffling.
    training, stopping : (n,) int64
        Rows of the stars that it learns from, and of those that end its training.
    target : (n_stars,) float32
        Labels less their mean, over their scale; NaN for all other stars.
    weights : (n_stars,) float32
        Sample weights; NaN for all other stars.
    mean, scale : float
        Mean and standard deviation of the training labels, in dex.
    """

    fold: int
    seed: int
    training: NDArray[np.int64]
    stopping: NDArray[np.int64]
    target: NDArray[np.float32]
    weights: NDArray[np.float32]
    mean: float
    scale: float


@dataclass(frozen=True)
class Fit:
    """What has become of a problem.

    Parameters
    ----------
    problem : Problem
        What was learnt from.
    network : keras.Model or None
        The network at its best on the stopping stars, to be used before the next fit is asked for;
        None if the loss has become infinite or NaN.
    epochs : int
        Passes up to the weights that were kept.
    epochs_run : int
        Passes in all, those without improvement included.
    """

    problem: Problem
    network: "keras.Model | None"
    epochs: int
    epochs_run: int
