"""Recurrent networks of Monti et al. (2024): three layers of 20, 16 and 8 units.

References
----------
Monti, L., Muraveva, T., Clementini, G. & Garofalo, A. 2024, Sensors 24, 5203.
"""

from typing import TYPE_CHECKING

from rrl_batch.lightcurve.sequences import PADDING
from rrl_batch.models.seeds import layer_seeds

if TYPE_CHECKING:
    import keras

UNITS = (20, 16, 8)
DROPOUT = (0.2, 0.2, 0.1)
KERNEL_L2 = 2e-6
RECURRENT_L1 = 2e-6


def gru(n_points: int, *, masked: bool, seed: int) -> "keras.Model":
    """Build the paper's GRU: 3,897 parameters with two channels.

    Parameters
    ----------
    n_points : int
        Steps of a sequence.
    masked : bool
        Whether sequences are padded, so that the steps beyond the last epoch are passed over.
    seed : int
        Seed of initial weights and dropout.

    Returns
    -------
    keras.Model
        From (n_stars, n_points, 2) sequences to (n_stars, 1) metallicities.
    """
    import keras

    layers, initializers = keras.layers, keras.initializers
    seeds = layer_seeds(seed)
    curve = keras.Input((n_points, 2), name="curve")
    state = layers.Masking(PADDING)(curve) if masked else curve
    for number, (units, dropout) in enumerate(zip(UNITS, DROPOUT, strict=True)):
        state = layers.GRU(
            units,
            return_sequences=number < len(UNITS) - 1,
            kernel_initializer=initializers.GlorotUniform(next(seeds)),
            recurrent_initializer=initializers.Orthogonal(seed=next(seeds)),
            kernel_regularizer=keras.regularizers.L2(KERNEL_L2),
            recurrent_regularizer=keras.regularizers.L1(RECURRENT_L1),
        )(state)
        state = layers.Dropout(dropout, seed=next(seeds))(state)
    last = layers.Dense(1, kernel_initializer=initializers.GlorotUniform(next(seeds)), name="feh")
    return keras.Model(curve, last(state), name="gru")
