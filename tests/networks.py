"""What tests of networks share."""

import keras
import numpy as np

from rrl_batch.lightcurve.inputs import Inputs
from rrl_batch.models.registry import ARCHITECTURES

NETWORKS = [name for name, kind in ARCHITECTURES.items() if kind.is_network]
OF_CURVES = [name for name in NETWORKS if ARCHITECTURES[name].takes == "curve"]
FUSED = [name for name in NETWORKS if ARCHITECTURES[name].engine == "fused"]


def of(sequences):
    """Return curves as inputs, with no shape parameters."""
    return Inputs(sequences, np.empty((len(sequences), 0), np.float32))


def with_shape(sequences, n_shape=16, seed=0):
    """Return curves as inputs, with shape parameters of any kind."""
    rng = np.random.default_rng(seed)
    return Inputs(sequences, rng.normal(0.0, 1.0, (len(sequences), n_shape)).astype(np.float32))


def layers_of(network, kind):
    """Return the layers whose class has this name, in the order in which they were made."""

    def number(layer):
        digits = layer.name.rpartition("_")[2]
        return int(digits) if digits.isdigit() else 0

    return sorted((la for la in network.layers if type(la).__name__ == kind), key=number)


def spread(network, seed=0):
    """Give a network weights, and statistics of batches, as training might leave them."""
    rng = np.random.default_rng(seed)

    def value(variable):
        noise = rng.normal(0.0, 0.1, variable.shape)
        moved = np.asarray(variable) * np.exp(noise)
        return moved if noise.ndim > 1 else moved + np.abs(noise)

    network.set_weights([value(variable) for variable in network.weights])
    network.compile(keras.optimizers.SGD(0.1), loss="mse", jit_compile=False)
    return network


def gru(inputs, units):
    """Three gates, each with weights of inputs and of states, and two biases (reset after)."""
    return 3 * (inputs * units + units * units + 2 * units)


def lstm(inputs, units):
    """Four gates, each with weights of inputs and of states, and a bias."""
    return 4 * (inputs * units + units * units + units)


def convolution(kernel, inputs, filters, *, bias=True):
    return kernel * inputs * filters + bias * filters


def normalisation(filters):
    """Scale, shift, and the mean and variance of batches."""
    return 4 * filters


def unit(kernel, inputs, filters):
    """Convolution and normalisation."""
    return convolution(kernel, inputs, filters) + normalisation(filters)
