"""Networks of Monti et al. (2024) with recurrent layers behind convolutions.

References
----------
Monti, L., Muraveva, T., Clementini, G. & Garofalo, A. 2024, Sensors 24, 5203.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rrl_batch.models.convolutional import convolutions
from rrl_batch.models.recurrent import stack

if TYPE_CHECKING:
    import keras

POOL = 2
UNITS = (8, 4)
DROPOUT = (0.2, 0.1)


def convgru(state: "keras.KerasTensor", seeds: Iterator[int]) -> "keras.KerasTensor":
    """Return the layers of the paper's ConvGRU: 270,237 parameters.

    The text gives neither pool nor units; they are those of the published code. An odd number of
    points leaves a last pool of one, which is kept.
    """
    import keras

    return stack(_pooled(state, seeds), keras.layers.GRU, UNITS, DROPOUT, seeds)


def convlstm(state: "keras.KerasTensor", seeds: Iterator[int]) -> "keras.KerasTensor":
    """Return the layers of the paper's ConvLSTM: 271,349 parameters; see `convgru`."""
    import keras

    return stack(_pooled(state, seeds), keras.layers.LSTM, UNITS, DROPOUT, seeds)


def _pooled(state: "keras.KerasTensor", seeds: Iterator[int]) -> "keras.KerasTensor":
    """Return what convolutions make of curves, on fewer steps."""
    from rrl_batch.models.masked_layers import MaskedMaxPooling1D

    return MaskedMaxPooling1D(POOL, padding="same")(convolutions(state, seeds))
