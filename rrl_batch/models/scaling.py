"""Put the scaling that a network was trained with into its weights."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rrl_batch.models.dense import HEAD

if TYPE_CHECKING:
    import keras


def undo_scaling(
    network: "keras.Model",
    shape_mean: ArrayLike,
    shape_scale: ArrayLike,
    feh_mean: float,
    feh_scale: float,
) -> None:
    """Make a network trained on standardised shape parameters and labels take and give plain ones.

    Parameters
    ----------
    network : keras.Model
        As `registry.build` makes them; its weights are changed.
    shape_mean, shape_scale : (n_static,) array_like
        What was subtracted from its shape parameters, and then divided by; a scale of 0, that of
        a constant, counts as 1. Empty if it gets none.
    feh_mean, feh_scale : float
        Mean and scale of the labels, in dex.
    """
    mean = np.asarray(shape_mean, np.float64)
    if len(mean):
        scale = np.asarray(shape_scale, np.float64)
        kernel, bias = _weights(network.get_layer(HEAD))
        rows = slice(len(kernel) - len(mean), None)
        kernel[rows] /= np.where(scale > 0, scale, 1.0)[:, None]
        network.get_layer(HEAD).set_weights([kernel, bias - mean @ kernel[rows]])
    kernel, bias = _weights(network.layers[-1])
    network.layers[-1].set_weights([kernel * feh_scale, bias * feh_scale + feh_mean])


def _weights(layer: "keras.layers.Layer") -> list[NDArray[np.float64]]:
    """Return a layer's weights in double precision, in which they are scaled."""
    return [weight.astype(np.float64) for weight in layer.get_weights()]
