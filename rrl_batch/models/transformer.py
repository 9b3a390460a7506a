"""A Transformer: the next step that Monti et al. (2024) name.

References
----------
Vaswani, A. et al. 2017, Advances in Neural Information Processing Systems 30.
Xiong, R. et al. 2020, Proc. ICML 37, 10524: normalisation ahead of each branch.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

WIDTH = 32
HEADS = 4
HIDDEN = 64
BLOCKS = 2
DROPOUT = 0.1


def transformer(state: "keras.KerasTensor", seeds: Iterator[int]) -> "keras.KerasTensor":
    """Return the layers of two encoder blocks and the mean over steps: 17,281 parameters."""
    import keras

    from rrl_batch.models.masked_layers import Positions

    state = Positions()(_dense(WIDTH, seeds)(state))
    for _ in range(BLOCKS):
        state = _added(state, _attended(_normalised(state), seeds), seeds)
        hidden = _dense(HIDDEN, seeds, activation="relu")(_normalised(state))
        state = _added(state, _dense(WIDTH, seeds)(hidden), seeds)
    return keras.layers.GlobalAveragePooling1D()(_normalised(state))


def _attended(state: "keras.KerasTensor", seeds: Iterator[int]) -> "keras.KerasTensor":
    """Return what each step takes from all steps."""
    import keras

    attention = keras.layers.MultiHeadAttention(HEADS, WIDTH // HEADS)
    attended = attention(state, state)
    # one initializer with one seed would start queries, keys and values alike
    for projection in (
        attention.query_dense,
        attention.key_dense,
        attention.value_dense,
        attention.output_dense,
    ):
        shape = projection.kernel.shape
        projection.kernel.assign(keras.initializers.GlorotUniform(next(seeds))(shape))
    return attended


def _added(
    state: "keras.KerasTensor", branch: "keras.KerasTensor", seeds: Iterator[int]
) -> "keras.KerasTensor":
    import keras

    return keras.layers.Add()([state, keras.layers.Dropout(DROPOUT, seed=next(seeds))(branch)])


def _normalised(state: "keras.KerasTensor") -> "keras.KerasTensor":
    import keras

    return keras.layers.LayerNormalization(epsilon=1e-6)(state)


def _dense(width: int, seeds: Iterator[int], activation: str | None = None) -> "keras.layers.Dense":
    import keras

    start = keras.initializers.GlorotUniform(next(seeds))
    return keras.layers.Dense(width, activation=activation, kernel_initializer=start)
