"""The first and the last layers, which networks share."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rrl_batch.lightcurve.sequences import PADDING

if TYPE_CHECKING:
    import keras


def begin(n_points: int, *, masked: bool) -> "tuple[keras.KerasTensor, keras.KerasTensor]":
    """Return the input of a network, and what its first layer gets.

    Parameters
    ----------
    n_points : int
        Steps of a sequence.
    masked : bool
        Whether sequences are padded, so that the steps beyond the last epoch are passed over.

    Returns
    -------
    curve, state : keras.KerasTensor
        The (n_stars, n_points, 2) input, and the same with a Keras mask if it is padded.
    """
    import keras

    curve = keras.Input((n_points, 2), name="curve")
    return curve, keras.layers.Masking(PADDING)(curve) if masked else curve


def mean_of_steps(state: "keras.KerasTensor") -> "keras.KerasTensor":
    """Return each feature's mean over the steps that are not masked."""
    import keras

    return keras.layers.GlobalAveragePooling1D()(state)


def finish(
    curve: "keras.KerasTensor", features: "keras.KerasTensor", seeds: Iterator[int], name: str
) -> "keras.Model":
    """Return the network that ends in a linear layer of one unit, as the label scaling needs it.

    Parameters
    ----------
    curve : keras.KerasTensor
        Input of the network.
    features : (n_stars, n_features) keras.KerasTensor
        What the other layers make of it.
    seeds : iterator of int
        Seeds of the layers.
    name : str
        Name of the network.
    """
    import keras

    kernel = keras.initializers.GlorotUniform(next(seeds))
    last = keras.layers.Dense(1, kernel_initializer=kernel, name="feh")
    return keras.Model(curve, last(features), name=name)
