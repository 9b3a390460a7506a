"""What a member learns from, how it is fitted, and what comes of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rrl_batch.lightcurve.inputs import Inputs
from rrl_batch.storage.manifest import Receipt

Floats = NDArray[np.float64]


@dataclass(frozen=True, order=True)
class MemberId:
    """Which member of an ensemble, or of an experiment.

    Parameters
    ----------
    architecture : str
        Name in the registry.
    repeat : int
        Which of the repeated divisions into folds.
    held_out : tuple of int
        Folds that it must never see: one, or two where a choice between predictors is made within
        the training folds.
    mode : str
        The one pulsation mode whose stars it sees; empty: all that there are.
    """

    architecture: str
    repeat: int
    held_out: tuple[int, ...]
    mode: str = ""

    @property
    def name(self) -> str:
        """What its files are called."""
        parts = (self.architecture, self.repeat, *self.held_out, self.mode)
        return "_".join(map(str, parts)).rstrip("_")

    @property
    def kind(self) -> str:
        """Its architecture, and the pulsation mode that it is for if it is for one."""
        return f"{self.architecture} {self.mode}".rstrip()

    def seed(self, seed: int) -> int:
        """Return a seed of its own, for weights, dropout and shuffling."""
        state = np.random.SeedSequence([seed, self.repeat, *self.held_out]).generate_state(1)
        return int(state[0])


@dataclass(frozen=True)
class FitSettings:
    """How members are fitted; see the sections `model` and `training` of a job."""

    masked: bool
    static: Literal["none", "period", "shape"] = "none"
    dropout: float | None = None
    weights: Literal["density", "denseweight"] = "density"
    weight_strength: float = 1.0
    weight_errors: bool = True
    weight_noise: float = 0.0
    fraction: float = 1.0
    stop_fraction: float = 0.15
    epochs: int = 400
    patience: int = 40
    schedule: Literal["constant", "onecycle"] = "constant"
    batch_size: int = 256
    learning_rate: float = 0.01
    seed: int = 0


@dataclass(frozen=True)
class Plan:
    """What members learn from, how, and where what is fitted goes.

    Parameters
    ----------
    root : pathlib.Path
        Folder of the training set.
    receipts : list of Receipt
        Its shards.
    settings : FitSettings
        How to fit.
    out : pathlib.Path
        Folder that gets each member's predictions, and last its record.
    fingerprint : str
        Fingerprint of everything that the members are made from.
    keep : pathlib.Path or None
        Folder of the model, which gets the weights; None if they are not kept.
    title : str
        What tells its members from those of other plans, where there are some.
    """

    root: Path
    receipts: list[Receipt]
    settings: FitSettings
    out: Path
    fingerprint: str
    keep: Path | None = None
    title: str = ""

    def name_of(self, member: MemberId) -> str:
        """Return what a member is called among those of all plans."""
        return f"{self.title} {member.name}".lstrip()


class Scaling(NamedTuple):
    """How labels and shape parameters are scaled for training.

    Attributes
    ----------
    shape_mean, shape_scale : (n_static,) float64
        Means and standard deviations of the static inputs.
    feh_mean, feh_scale : float
        Those of the labels, in dex.
    """

    shape_mean: Floats
    shape_scale: Floats
    feh_mean: float
    feh_scale: float


@dataclass(frozen=True)
class Problem:
    """What one member learns from, all of it from the folds that it is trained on.

    Parameters
    ----------
    member : MemberId
        Which member.
    seed : int
        Seed of its initial weights, dropout and shuffling.
    training, stopping : (n,) int64
        Rows of the stars that it learns from, and of those that end its training, if any.
    target : (n_stars,) float32
        Scaled labels; NaN for all other stars.
    weights : (n_stars,) float32
        Sample weights; NaN for all other stars.
    scaling : Scaling
        How labels and static inputs are scaled.
    """

    member: MemberId
    seed: int
    training: NDArray[np.int64]
    stopping: NDArray[np.int64]
    target: NDArray[np.float32]
    weights: NDArray[np.float32]
    scaling: Scaling

    def scaled(self, inputs: Inputs) -> Inputs:
        """Return the inputs of all stars as the member is trained on them."""
        mean, scale, *_ = self.scaling
        shape = (inputs.shape[:, : len(mean)] - mean) / scale
        return Inputs(inputs.sequences, shape.astype(np.float32))


class Predictor(Protocol):
    """What has been fitted."""

    @property
    def n_parameters(self) -> int | None:
        """How many numbers were fitted, where these can be counted."""

    def predict(self, inputs: Inputs) -> Floats:
        """Return metallicities, (n_stars,), in dex."""

    def write(self, path: Path) -> str:
        """Write what it takes to predict again, and return the file's checksum."""


class History(NamedTuple):
    """The loss after each pass, in squared units of the scaled labels; empty where none is made.

    Attributes
    ----------
    training, stopping : list of float
        On the stars learnt from, penalties and dropout included, and on those that end training.
    """

    training: list[float]
    stopping: list[float]


class Pass(NamedTuple):
    """A pass of a member over its training stars.

    Attributes
    ----------
    member : MemberId
        Which member.
    number : int
        From 1.
    loss, stopping_loss : float or None
        As in `History`; None where none is made.
    """

    member: MemberId
    number: int
    loss: float | None = None
    stopping_loss: float | None = None


@dataclass(frozen=True)
class Fit:
    """What has become of a problem.

    Parameters
    ----------
    problem : Problem
        What was learnt from.
    predictor : Predictor or None
        What was fitted, at its best on the stopping stars if there are any, to be used before the
        next fit is asked for; None if the loss has become infinite or NaN.
    epochs : int
        Passes up to the weights that were kept.
    history : History
        The losses, of every pass that was made.
    """

    problem: Problem
    predictor: Predictor | None
    epochs: int
    history: History
