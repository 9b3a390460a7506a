"""Ensembles of recurrent networks, evaluated by one kernel instead of one network at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from rrl_batch.inference.recurrent_kernel import (
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


def _stack(network: "keras.Model") -> "list[keras.layers.Layer]":
    """Return the layers one after the other, without dropout; none if they form no chain."""
    from keras import Sequential
    from keras.layers import Dropout, InputLayer

    chained = network.built if type(network) is Sequential else _is_chain(network)
    passive = (Dropout, InputLayer)
    return [layer for layer in network.layers if chained and type(layer) not in passive]


def _is_chain(network: "keras.Model") -> bool:
    """Return whether the only input of each layer is the output of the one before it."""
    inputs = getattr(network, "inputs", [])  # a subclassed model has none
    if len(inputs) != 1 or len(network.outputs) != 1:
        return False
    tensor = inputs[0]
    for layer in network.layers[1:]:
        if layer.input is not tensor:
            return False
        tensor = layer.output
    return tensor is network.outputs[0]


def _directions(layer: "keras.layers.Layer") -> "list[keras.layers.RNN]":
    """Return a recurrent layer, or the forward and the backward one of a bidirectional layer."""
    from keras.layers import Bidirectional

    return [layer.forward_layer, layer.backward_layer] if type(layer) is Bidirectional else [layer]


def _is_recurrent(layer: "keras.layers.Layer") -> bool:
    if getattr(layer, "merge_mode", "concat") != "concat":
        return False
    return all(
        _is_default(direction) and direction.go_backwards == bool(number)
        for number, direction in enumerate(_directions(layer))
    )


def _is_default(layer: "keras.layers.Layer") -> bool:
    from keras import activations
    from keras.layers import GRU, LSTM

    return (
        type(layer) in (GRU, LSTM)
        and layer.dtype_policy.name == "float32"
        and layer.activation is activations.tanh
        and layer.recurrent_activation is activations.sigmoid
        and not layer.stateful
        and not layer.return_state
        and getattr(layer, "reset_after", True)
    )


def _is_output(layer: "keras.layers.Layer") -> bool:
    from keras import activations
    from keras.layers import Dense

    return (
        type(layer) is Dense
        and layer.dtype_policy.name == "float32"
        and layer.units == 1
        and layer.activation is activations.linear
    )


def _pack(network: "keras.Model") -> tuple[NDArray[np.void], Float32Array]:
    """Return the runs of a network, and its weights in the kernel's order."""
    *recurrent, output = _stack(network)
    n_inputs = network.inputs[0].shape[-1]
    runs, parts, size = [], [], 0
    for number, layer in enumerate(recurrent):
        directions = _directions(layer)
        width = sum(direction.units for direction in directions)
        first_row = 0
        for backward, direction in enumerate(directions):
            units, is_lstm = direction.units, _is_lstm(direction)
            runs.append((is_lstm, backward, number, n_inputs, units, width, first_row, size))
            parts.append(_pack_run(direction.get_weights(), is_lstm))
            first_row += units
            size += parts[-1].size
        n_inputs = width
    kernel, *bias = output.get_weights()
    parts += [kernel[:, 0], *bias] if bias else [kernel[:, 0], np.zeros(1)]
    return np.array(runs, RUN), np.concatenate(parts).astype(np.float32)


def _is_lstm(layer: "keras.layers.RNN") -> bool:
    from keras.layers import LSTM

    return type(layer) is LSTM


def _pack_run(weights: list[Float32Array], is_lstm: bool) -> NDArray[np.float64]:
    """Return the weights of one layer in one direction, unit after unit, as `RUN` describes them.

    Keras keeps kernel, recurrent kernel and biases with the gates one after the other, i, f, c, o
    or z, r and candidate; a GRU has biases of the inputs and of the states.
    """
    scale = np.array([SIGMOID, SIGMOID, TANH, SIGMOID][: 4 if is_lstm else 3])[:, None]
    n_units = len(weights[1])
    # inputs or states, gates, units
    kernel, recurrent, *biases = (
        scale * array.astype(np.float64).reshape(-1, len(scale), n_units) for array in weights
    )
    bias = biases[0] if biases else np.zeros((1 if is_lstm else 2, len(scale), n_units))
    if is_lstm:
        sums = bias[0]
    else:
        of_input, of_state = bias
        sums = np.stack([*(of_input + of_state)[:2], of_input[2], of_state[2]])
    by_unit = [sums, kernel.reshape(-1, n_units), recurrent.reshape(-1, n_units)]
    return np.concatenate(by_unit).T.ravel()
