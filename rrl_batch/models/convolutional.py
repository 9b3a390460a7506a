"""Convolutional networks of Monti et al. (2024), with initial weights drawn as Keras does.

References
----------
Monti, L., Muraveva, T., Clementini, G. & Garofalo, A. 2024, Sensors 24, 5203.
Wang, Z., Yan, W. & Oates, T. 2017, IJCNN, 1578: FCN and ResNet for time series.
Ismail Fawaz, H. et al. 2020, Data Mining and Knowledge Discovery 34, 1936: InceptionTime.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

KERNELS = (8, 5, 3)
FILTERS = (128, 256, 128)
FILTERS_OF_BLOCKS = (64, 128, 128)
INCEPTION_DEPTH = 6
INCEPTION_KERNELS = (40, 20, 10)
INCEPTION_FILTERS = 32
MOMENTUM = 0.9
"""Of the running statistics of batches. Keras has 0.99, which takes hundreds of batches to forget:
more than the last passes over a few thousand stars, so that a network would be used with the
statistics of weights that it had long before."""


def fcn(state: "keras.KerasTensor", seeds: Iterator[int]) -> "keras.KerasTensor":
    """Return the layers of the paper's fully convolutional network: 266,881 parameters.

    As in the text there are no penalties; the published code has L2 = 2e-6 on its weights.
    """
    import keras

    return keras.layers.GlobalAveragePooling1D()(convolutions(state, seeds))


def resnet(state: "keras.KerasTensor", seeds: Iterator[int]) -> "keras.KerasTensor":
    """Return the layers of the paper's residual network: 523,777 parameters.

    Its three blocks have 64, 128 and 128 filters, as in the published code; the text has 64 in
    all. Each shortcut is a convolution, while in the published code the third is the identity.
    """
    import keras

    for filters in FILTERS_OF_BLOCKS:
        branch = state
        for kernel in KERNELS[:-1]:
            branch = _activated(_normalised(_convolved(branch, filters, kernel, seeds)))
        branch = _normalised(_convolved(branch, filters, KERNELS[-1], seeds))
        shortcut = _normalised(_convolved(state, filters, 1, seeds))
        state = _activated(keras.layers.Add()([branch, shortcut]))
    return keras.layers.GlobalAveragePooling1D()(state)


def inceptiontime(state: "keras.KerasTensor", seeds: Iterator[int]) -> "keras.KerasTensor":
    """Return the layers of one network of InceptionTime: 492,033 parameters.

    Six modules in two residual blocks; its authors take the mean of five such networks.
    """
    import keras

    block = state
    for number in range(INCEPTION_DEPTH):
        state = _inception(state, seeds)
        if number % 3 == 2:
            filters = state.shape[-1]
            shortcut = _normalised(_convolved(block, filters, 1, seeds, use_bias=False))
            block = state = _activated(keras.layers.Add()([shortcut, state]))
    return keras.layers.GlobalAveragePooling1D()(state)


def convolutions(state: "keras.KerasTensor", seeds: Iterator[int]) -> "keras.KerasTensor":
    """Return what the three convolutions of the FCN make of curves.

    Parameters
    ----------
    state : (n_stars, n_points, n_channels) keras.KerasTensor
        What the first of them gets.
    seeds : iterator of int
        Seeds of the layers.
    """
    for filters, kernel in zip(FILTERS, KERNELS, strict=True):
        state = _activated(_normalised(_convolved(state, filters, kernel, seeds)))
    return state


def _inception(state: "keras.KerasTensor", seeds: Iterator[int]) -> "keras.KerasTensor":
    """Return a module: convolutions of three widths, and one of the maximum of neighbours."""
    import keras

    from rrl_batch.models.masked_layers import MaskedMaxPooling1D

    filters = INCEPTION_FILTERS
    bottleneck = _convolved(state, filters, 1, seeds, use_bias=False)
    branches = [
        _convolved(bottleneck, filters, kernel, seeds, use_bias=False)
        for kernel in INCEPTION_KERNELS
    ]
    pooled = MaskedMaxPooling1D(3, strides=1, padding="same")(state)
    branches.append(_convolved(pooled, filters, 1, seeds, use_bias=False))
    return _activated(_normalised(keras.layers.Concatenate()(branches)))


def _convolved(
    state: "keras.KerasTensor",
    filters: int,
    kernel: int,
    seeds: Iterator[int],
    *,
    use_bias: bool = True,
) -> "keras.KerasTensor":
    import keras

    from rrl_batch.models.masked_layers import MaskedConv1D

    start = keras.initializers.GlorotUniform(next(seeds))
    return MaskedConv1D(
        filters, kernel, padding="same", use_bias=use_bias, kernel_initializer=start
    )(state)


def _normalised(state: "keras.KerasTensor") -> "keras.KerasTensor":
    import keras

    return keras.layers.BatchNormalization(momentum=MOMENTUM)(state)


def _activated(state: "keras.KerasTensor") -> "keras.KerasTensor":
    import keras

    return keras.layers.ReLU()(state)
