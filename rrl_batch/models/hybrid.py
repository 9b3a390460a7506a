"""Networks of Monti et al. (2024) with recurrent layers behind convolutions.

References
----------
Monti, L., Muraveva, T., Clementini, G. & Garofalo, A. 2024, Sensors 24, 5203.
"""

from typing import TYPE_CHECKING

from rrl_batch.models.convolutional import convolutions
from rrl_batch.models.ends import begin, finish
from rrl_batch.models.recurrent import stack
from rrl_batch.models.seeds import layer_seeds

if TYPE_CHECKING:
    import keras

POOL = 2
UNITS = (8, 4)
DROPOUT = (0.2, 0.1)


def convgru(n_points: int, *, masked: bool, seed: int) -> "keras.Model":
    """Build the paper's ConvGRU: 270,237 parameters.

    The text gives neither pool nor units; they are those of the published code. An odd number of
    points leaves a last pool of one, which is kept.

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

    return _network("convgru", keras.layers.GRU, n_points, masked=masked, seed=seed)


def convlstm(n_points: int, *, masked: bool, seed: int) -> "keras.Model":
    """Build the paper's ConvLSTM: 271,349 parameters; arguments as those of `convgru`."""
    import keras

    return _network("convlstm", keras.layers.LSTM, n_points, masked=masked, seed=seed)


def _network(
    name: str, kind: "type[keras.layers.RNN]", n_points: int, *, masked: bool, seed: int
) -> "keras.Model":
    from rrl_batch.models.masked_layers import MaskedMaxPooling1D

    seeds = layer_seeds(seed)
    curve, state = begin(n_points, masked=masked)
    state = MaskedMaxPooling1D(POOL, padding="same")(convolutions(state, seeds))
    return finish(curve, stack(state, kind, UNITS, DROPOUT, seeds), seeds, name)
