"""Ensembles of any networks, evaluated by Keras."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rrl_batch.lightcurve.sequences import Sequences

if TYPE_CHECKING:
    import keras

BATCH_SIZE = 1024


@dataclass(frozen=True)
class KerasEnsemble:
    """Networks that Keras evaluates on the device of its choice.

    Parameters
    ----------
    networks : sequence of keras.Model
        The members.
    """

    networks: "Sequence[keras.Model]"

    def predict(self, sequences: Sequences) -> NDArray[np.float32]:
        """Return every member's prediction.

        The device holds a batch at a time. All batches have one shape, the last one filled up,
        since a network is traced, by some backends compiled, for each shape that it meets.

        Parameters
        ----------
        sequences : (n_stars, n_points, n_channels) float32 ndarray
            Curves.

        Returns
        -------
        (n_stars, n_members) float32 ndarray
            In dex.
        """
        predicted = np.empty((len(sequences), len(self.networks)), np.float32)
        for first in range(0, len(sequences), BATCH_SIZE):
            stars = sequences[first : first + BATCH_SIZE]
            batch = np.pad(stars, ((0, BATCH_SIZE - len(stars)), (0, 0), (0, 0)))
            for member, network in enumerate(self.networks):
                values = network.predict_on_batch(batch)
                predicted[first : first + len(stars), member] = values[: len(stars), 0]
        return predicted
