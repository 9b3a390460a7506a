"""Ensembles of recurrent networks, evaluated by one kernel instead of one network at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from rrl_batch.inference.recurrent_kernel import (
    GRU_INPUT,
    GRU_STATE,
    LANES,
    RUN,
    SIGMOID,
    TANH,
    evaluate,
)

if TYPE_CHECKING:
    import keras

Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class FusedEnsemble:
    """Networks of one architecture that the kernel evaluates together.

    A star's prediction depends on its own curve alone, to the last bit: not on the stars beside
    it, nor on the number of threads.

    Parameters
    ----------
    n_channels : int
        Numbers a point of the input.
    runs : (n_runs,) structured ndarray
        The architecture, as the kernel reads it.
    weights : (n_members, n_weights) float32 ndarray
        The weights, in the kernel's order.
    """

    n_channels: int
    runs: NDArray[np.void]
    weights: Float32Array

    @classmethod
    def from_networks(cls, networks: "Sequence[keras.Model]") -> Self:
        """Take over the weights of networks.

        Parameters
        ----------
        networks : sequence of keras.Model
            The members, for each of which `can_fuse` holds, all of one architecture.

        Raises
        ------
        ValueError
            If there is no network, one that cannot be fused, or one unlike the first.
        """
        if not networks or not all(map(can_fuse, networks)):
            raise ValueError("networks must be one or more recurrent stacks that can be fused")
        members = [_pack(network) for network in networks]
        runs = members[0][0]
        if not all(np.array_equal(runs, other) for other, _ in members):
            raise ValueError("networks must have the same layers of the same sizes")
        weights = np.stack([weights for _, weights in members])
        return cls(networks[0].inputs[0].shape[-1], runs, weights)

    def predict(self, sequences: ArrayLike) -> Float32Array:
        """Return every member's prediction, on as many threads as numba may use.

        Parameters
        ----------
        sequences : (n_stars, n_points, n_channels) float32
            Curves, in any memory layout.

        Returns
        -------
        (n_stars, n_members) float32 ndarray
            In dex; NaN where a curve has a NaN.

        Raises
        ------
        ValueError
            If the sequences have another number of channels, or no points.
        """
        sequences = np.ascontiguousarray(sequences, dtype=np.float32)
        if sequences.ndim != 3 or sequences.shape[2] != self.n_channels or not sequences.shape[1]:
            raise ValueError(
                f"sequences must have the shape (n_stars, n_points, {self.n_channels}) with one "
                f"point or more, got {sequences.shape}"
            )
        n_stars = len(sequences)
        predicted = np.empty((n_stars, len(self.weights)), np.float32)
        if n_stars == 0:
            return predicted
        curves = sequences.reshape(n_stars, -1)
        # Arrow's buffers are read-only, for numba a type of its own: one type for all.
        curves.flags.writeable = False
        n_threads = min(numba.get_num_threads(), -(-n_stars // LANES))
        evaluate(curves, self.n_channels, self.runs, self.weights, n_threads, predicted)
        return predicted


def can_fuse(network: "keras.Model") -> bool:
    """Return whether a network is one that the kernel evaluates as Keras does.

    It must be a plain stack of GRU, LSTM or either in `keras.layers.Bidirectional`, with dropout
    anywhere, and then one output unit; all with default activations, in float32, without masking.

    Parameters
    ----------
    network : keras.Model
        Any network.
    """
    layers = _stack(network)
    if len(layers) < 2 or not _is_output(layers[-1]):
        return False
    last = len(layers) - 2
    return all(
        _is_recurrent(layer) and layer.return_sequences == (number < last)
        for number, layer in enumerate(layers[:-1])
    )
