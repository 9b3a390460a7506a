"""Layers on the shape parameters of a light curve, beside a curve's features or without a curve."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

UNITS = (64, 64)
DROPOUT = 0.05
HEAD = "head"
"""Name of the layer that shape parameters enter, after whatever else it takes."""


def mlp(state: "keras.KerasTensor", seeds: Iterator[int]) -> "keras.KerasTensor":
    """Return two hidden layers, each followed by dropout: of 16 inputs, 5,313 parameters."""
    import keras

    for units, name in zip(UNITS, (HEAD, None), strict=True):
        state = hidden(state, units, seeds, name)
        state = keras.layers.Dropout(DROPOUT, seed=next(seeds))(state)
    return state


def hidden(
    state: "keras.KerasTensor", units: int, seeds: Iterator[int], name: str | None
) -> "keras.KerasTensor":
    """Return what a layer with the activation SiLU makes of features.

    Parameters
    ----------
    state : (n_stars, n_features) keras.KerasTensor
        Features.
    units : int
        Number of units.
    seeds : iterator of int
        Seeds of the layers.
    name : str, optional
        Name of the layer.
    """
    import keras

    start = keras.initializers.GlorotUniform(next(seeds))
    layer = keras.layers.Dense(units, activation="silu", kernel_initializer=start, name=name)
    return layer(state)
