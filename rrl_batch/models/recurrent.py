"""Recurrent networks of Monti et al. (2024): three layers, each followed by dropout.

References
----------
Monti, L., Muraveva, T., Clementini, G. & Garofalo, A. 2024, Sensors 24, 5203.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

UNITS = (20, 16, 8)
UNITS_BOTH_WAYS = (20, 16, 16)
DROPOUT = (0.2, 0.2, 0.1)
PENALTY = 2e-6


def gru(state: "keras.KerasTensor", seeds: Iterator[int]) -> "keras.KerasTensor":
    """Return the layers of the paper's GRU: 3,897 parameters."""
    import keras

    return stack(state, keras.layers.GRU, UNITS, DROPOUT, seeds)


def lstm(state: "keras.KerasTensor", seeds: Iterator[int]) -> "keras.KerasTensor":
    """Return the layers of the paper's LSTM: 5,017 parameters."""
    import keras

    return stack(state, keras.layers.LSTM, UNITS, DROPOUT, seeds)


def bigru(state: "keras.KerasTensor", seeds: Iterator[int]) -> "keras.KerasTensor":
    """Return the layers of the paper's bidirectional GRU: 13,281 parameters.

    That many come from 16 units in the third layer, as in the published code; the text has 8. The
    network of that code ends in a value a step; this one, as all others, in a value a star.
    """
    import keras

    return stack(state, keras.layers.GRU, UNITS_BOTH_WAYS, DROPOUT, seeds, both_ways=True)


def bilstm(state: "keras.KerasTensor", seeds: Iterator[int]) -> "keras.KerasTensor":
    """Return the layers of the paper's bidirectional LSTM: 17,281 parameters.

    It has the units of `bigru`, and LSTMs in all three layers; the third one of the published code
    is a GRU. Kernels are penalised by L1.
    """
    import keras

    l1 = keras.regularizers.L1(PENALTY)
    return stack(
        state, keras.layers.LSTM, UNITS_BOTH_WAYS, DROPOUT, seeds, both_ways=True, penalty=l1
    )


def stack(
    state: "keras.KerasTensor",
    kind: "type[keras.layers.RNN]",
    units: Sequence[int],
    dropout: Sequence[float],
    seeds: Iterator[int],
    *,
    both_ways: bool = False,
    penalty: "keras.Regularizer | None" = None,
) -> "keras.KerasTensor":
    """Return the last state of recurrent layers, each followed by dropout.

    Parameters
    ----------
    state : (n_stars, n_points, n_channels) keras.KerasTensor
        What the first layer gets.
    kind : type
        `keras.layers.GRU` or `keras.layers.LSTM`.
    units : sequence of int
        Units of each layer, in each direction.
    dropout : sequence of float
        Rate of dropout after each layer.
    seeds : iterator of int
        Seeds of the layers.
    both_ways : bool
        Whether layers are bidirectional.
    penalty : keras.Regularizer, optional
        Penalty on the weights of the inputs, L2 if not given; on those of the states it is L1.
    """
    import keras

    penalty = penalty or keras.regularizers.L2(PENALTY)
    for number, (n_units, rate) in enumerate(zip(units, dropout, strict=True)):
        sequences = number < len(units) - 1
        layer = _layer(kind, n_units, seeds, penalty, sequences=sequences)
        if both_ways:
            # Keras' own copy of the forward layer would start from the same weights
            backward = _layer(kind, n_units, seeds, penalty, sequences=sequences, backwards=True)
            layer = keras.layers.Bidirectional(layer, backward_layer=backward)
        state = keras.layers.Dropout(rate, seed=next(seeds))(layer(state))
    return state


def _layer(
    kind: "type[keras.layers.RNN]",
    units: int,
    seeds: Iterator[int],
    penalty: "keras.Regularizer",
    *,
    sequences: bool,
    backwards: bool = False,
) -> "keras.layers.RNN":
    import keras

    return kind(
        units,
        return_sequences=sequences,
        go_backwards=backwards,
        kernel_initializer=keras.initializers.GlorotUniform(next(seeds)),
        recurrent_initializer=keras.initializers.Orthogonal(seed=next(seeds)),
        kernel_regularizer=penalty,
        recurrent_regularizer=keras.regularizers.L1(PENALTY),
        # JAX cannot take cuDNN's LSTM for several members at once, and finds out on a GPU only
        use_cudnn=False if keras.config.backend() == "jax" else "auto",
    )
