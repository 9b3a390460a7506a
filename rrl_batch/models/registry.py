"""The kinds of network by name: adding one is a file with a builder and an entry here."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rrl_batch.errors import UserError
from rrl_batch.models import convolutional, hybrid, recurrent, transformer

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Architecture:
    """A kind of network.

    Parameters
    ----------
    build : callable
        Builder: from the number of points, `masked` and `seed` to a network with fresh weights.
    fused : bool
        Whether, without masking, it is a stack of GRU or LSTM layers that the fused kernel of
        `inference` evaluates as Keras does; a test compares the two.
    """

    build: Callable[..., "keras.Model"]
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
    """Build a network with fresh weights.

    Parameters
    ----------
    architecture : str
        Name in the registry.
    n_points : int
        Steps of a sequence.
    masked : bool
        Whether sequences are padded.
    seed : int
        Seed of initial weights and dropout.

    Raises
    ------
    UserError
        If there is no such architecture.
    """
    check(architecture)
    return ARCHITECTURES[architecture].build(n_points, masked=masked, seed=seed)


def check(architecture: str) -> None:
    """Raise UserError, with the nearest name, if there is no such architecture."""
    if architecture not in ARCHITECTURES:
        near = difflib.get_close_matches(architecture, ARCHITECTURES, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(ARCHITECTURES)}."
        raise UserError(f"There is no architecture '{architecture}'; {hint}")
