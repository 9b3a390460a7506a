"""The kinds of network by name: adding one is a file with a builder and a line here."""

import difflib
from collections.abc import Callable
from typing import TYPE_CHECKING

from rrl_batch.errors import UserError
from rrl_batch.models import recurrent

if TYPE_CHECKING:
    import keras

ARCHITECTURES: dict[str, Callable[..., "keras.Model"]] = {
    "gru": recurrent.gru,
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
    return ARCHITECTURES[architecture](n_points, masked=masked, seed=seed)


def check(architecture: str) -> None:
    """Raise UserError, with the nearest name, if there is no such architecture."""
    if architecture not in ARCHITECTURES:
        near = difflib.get_close_matches(architecture, ARCHITECTURES, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(ARCHITECTURES)}."
        raise UserError(f"There is no architecture '{architecture}'; {hint}")
