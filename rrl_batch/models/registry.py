"""The kinds of network by name: adding one is a file with its layers and an entry here."""

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rrl_batch.errors import UserError
from rrl_batch.lightcurve.sequences import PADDING
from rrl_batch.models import convolutional, hybrid, recurrent, transformer
from rrl_batch.models.seeds import layer_seeds

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Architecture:
    """A kind of network.

    Parameters
    ----------
    layers : callable
        What it is made of: from curves, (n_stars, n_points, 2), with a Keras mask if they are
        padded, and seeds for its layers, to features, (n_stars, n_features).
    fused : bool
        Whether, without masking, it is a stack of GRU or LSTM layers that the fused kernel of
        `inference` evaluates as Keras does; a test compares the two.
    """

    layers: "Callable[[keras.KerasTensor, Iterator[int]], keras.KerasTensor]"
    fused: bool


ARCHITECTURES = {
    "fcn": Architecture(convolutional.fcn, fused=False),
    "resnet": Architecture(convolutional.resnet, fused=False),
    "inceptiontime": Architecture(convolutional.inceptiontime, fused=False),
    "lstm": Architecture(recurrent.lstm, fused=True),
    "bilstm": Architecture(recurrent.bilstm, fused=True),
    "convlstm": Architecture(hybrid.convlstm, fused=False),
    "gru": Architecture(recurrent.gru, fused=True),
    "bigru": Architecture(recurrent.bigru, fused=True),
    "convgru": Architecture(hybrid.convgru, fused=False),
    "transformer": Architecture(transformer.transformer, fused=False),
}


def build(architecture: str, n_points: int, *, masked: bool, seed: int = 0) -> "keras.Model":
    """Build a network with fresh weights; its last layer is linear, of one unit.

    Parameters
    ----------
    architecture : str
        Name in the registry.
    n_points : int
        Steps of a sequence.
    masked : bool
        Whether sequences are padded, so that the steps beyond the last epoch are passed over.
    seed : int
        Seed of initial weights and dropout.

    Returns
    -------
    keras.Model
        From (n_stars, n_points, 2) sequences to (n_stars, 1) metallicities.

    Raises
    ------
    UserError
        If there is no such architecture.
    """
    check(architecture)
    import keras

    seeds = layer_seeds(seed)
    curve = keras.Input((n_points, 2), name="curve")
    state = keras.layers.Masking(PADDING)(curve) if masked else curve
    features = ARCHITECTURES[architecture].layers(state, seeds)
    kernel = keras.initializers.GlorotUniform(next(seeds))
    last = keras.layers.Dense(1, kernel_initializer=kernel, name="feh")
    return keras.Model(curve, last(features), name=architecture)


def check(architecture: str) -> None:
    """Raise UserError, with the nearest name, if there is no such architecture."""
    if architecture not in ARCHITECTURES:
        near = difflib.get_close_matches(architecture, ARCHITECTURES, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(ARCHITECTURES)}."
        raise UserError(f"There is no architecture '{architecture}'; {hint}")
