"""Ensembles of any networks, evaluated by Keras."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from rrl_batch.lightcurve.inputs import Inputs
from rrl_batch.models.registry import arrays_for

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

    def member(self, number: int) -> Self:
        """Return what evaluates one member alone."""
        return replace(self, networks=[self.networks[number]])

    def predict(self, inputs: Inputs) -> NDArray[np.float32]:
        """Return every member's prediction.

        The device holds a batch at a time. All batches have one shape, the last one filled up,
        since a network is traced, by some backends compiled, for each shape that it meets.

        Parameters
        ----------
        inputs : Inputs
            Curves and shape parameters, float32.

        Returns
        -------
        (n_stars, n_members) float32 ndarray
            In dex.
        """
        n_stars = len(inputs.sequences)
        predicted = np.empty((n_stars, len(self.networks)), np.float32)
        for first in range(0, n_stars, BATCH_SIZE):
            stars = slice(first, min(first + BATCH_SIZE, n_stars))
            batch = Inputs(*(_filled_up(array[stars]) for array in inputs))
            for member, network in enumerate(self.networks):
                values = network.predict_on_batch(arrays_for(network, batch))
                predicted[stars, member] = values[: stars.stop - first, 0]
        return predicted


def _filled_up(stars: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return stars, and zeros up to the size of a batch."""
    return np.pad(stars, [(0, BATCH_SIZE - len(stars))] + [(0, 0)] * (stars.ndim - 1))
