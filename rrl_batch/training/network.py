"""What both trainers of networks share: optimiser, inputs and the network that has been fitted."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rrl_batch.lightcurve.inputs import Inputs
from rrl_batch.models.folder import save_weights
from rrl_batch.models.registry import arrays_for, build, n_static_of
from rrl_batch.models.scaling import undo_scaling
from rrl_batch.training.problem import FitSettings, Floats, Problem

if TYPE_CHECKING:
    import keras

_PREDICT_BATCH = 1024

_WARM_UP = 0.15
_START = 1 / 25
"""Part of the passes in which the learning rate rises, and the part of it that it starts from.

Smith, L. N. & Topin, N. 2019, Proc. SPIE 11006, 1100612 (one cycle).
"""


@dataclass(frozen=True)
class Network:
    """A network that has been fitted, with the scaling undone."""

    network: "keras.Model"

    @classmethod
    def of(cls, network: "keras.Model", problem: Problem) -> "Network":
        """Undo the scaling of a network that has just been fitted to a problem."""
        undo_scaling(network, *problem.scaling)
        return cls(network)

    @property
    def n_parameters(self) -> int:
        """How many weights there are, those that are not trained included."""
        return int(self.network.count_params())

    def predict(self, inputs: Inputs) -> Floats:
        """Return metallicities, (n_stars,), in dex."""
        arrays = arrays_for(self.network, inputs)
        predicted = self.network.predict(arrays, _PREDICT_BATCH, verbose=0)
        column: Floats = predicted[:, 0].astype(np.float64)
        return column

    def write(self, path: Path) -> str:
        """Write the weights and return the file's checksum."""
        return save_weights(self.network, path)


def fresh(architecture: str, n_points: int, settings: FitSettings, seed: int) -> "keras.Model":
    """Return a network with fresh weights."""
    return build(
        architecture,
        n_points,
        masked=settings.masked,
        n_static=n_static_of(architecture, settings.static),
        dropout=settings.dropout,
        seed=seed,
    )


def optimizer(settings: FitSettings, n_training: int) -> "keras.Optimizer":
    """Return the optimiser, with the schedule of its learning rate."""
    import keras

    if settings.schedule == "constant":
        return keras.optimizers.Adam(settings.learning_rate)
    steps = settings.epochs * -(-n_training // settings.batch_size)
    warm_up = max(1, round(_WARM_UP * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        _START * settings.learning_rate,
        decay_steps=max(1, steps - warm_up),
        warmup_target=settings.learning_rate,
        warmup_steps=warm_up,
    )
    return keras.optimizers.Adam(schedule)
