"""Ensembles of recurrent networks, evaluated by one kernel instead of one network at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numba
import numpy as np
from numpy.typing import NDArray

from rrl_batch.errors import UserError
from rrl_batch.inference.recurrent_kernel import (
    LANES,
    RUN,
    SIGMOID,
    TANH,
    evaluate,
)
from rrl_batch.inference.stack_file import Direction, RecurrentStack, read_stack
from rrl_batch.lightcurve.inputs import Inputs

Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class FusedEnsemble:
    """Stacks of GRU or LSTM layers, alike in all but their weights, that the kernel evaluates.

    If they have static inputs, a hidden layer takes these and the last states.

    A star's prediction depends on its own curve alone, to the last bit: not on the stars beside
    it, nor on the number of threads.

    Parameters
    ----------
    n_channels : int
        Numbers a point of the input.
    n_static : int
        Inputs beside the curve: the first shape parameters.
    n_hidden : int
        Units of the hidden layer; 0 without static inputs.
    runs : (n_runs,) structured ndarray
        The recurrent layers, as the kernel reads them.
    weights : (n_members, n_weights) float32 ndarray
        The weights, in the kernel's order.
    """

    n_channels: int
    n_static: int
    n_hidden: int
    runs: NDArray[np.void]
    weights: Float32Array

    @classmethod
    def from_files(cls, paths: Sequence[Path], n_channels: int, n_static: int = 0) -> Self:
        """Read the members from their weights files.

        Parameters
        ----------
        paths : sequence of pathlib.Path
            A file a member, of which there is at least one.
        n_channels : int
            Numbers a point of the input.
        n_static : int
            Inputs beside the curve.

        Raises
        ------
        UserError
            If a file is damaged, does not hold a recurrent stack, or is unlike the first.
        """
        stacks = [read_stack(path, n_channels, n_static) for path in paths]
        members = [pack(stack) for stack in stacks]
        hidden = [[len(layer.bias) for layer in stack.head[:-1]] for stack in stacks]
        runs, n_hidden = members[0][0], hidden[0]
        for path, (others, _), n_others in zip(paths, members, hidden, strict=True):
            if not np.array_equal(runs, others) or n_hidden != n_others:
                raise UserError(f"{path} has other layers than {paths[0]}; train again.")
        weights = np.stack([weights for _, weights in members])
        return cls(n_channels, n_static, sum(n_hidden), runs, weights)

    def member(self, number: int) -> Self:
        """Return what evaluates one member alone."""
        return replace(self, weights=self.weights[number : number + 1])

    def predict(self, inputs: Inputs) -> Float32Array:
        """Return every member's prediction, on as many threads as numba may use.

        The kernel is called, and compiled if need be, even if there is no star.

        Parameters
        ----------
        inputs : Inputs
            Curves, (n_stars, n_points, n_channels), and shape parameters, in any memory layout.

        Returns
        -------
        (n_stars, n_members) float32 ndarray
            In dex; NaN where a curve, or a static input, has a NaN.

        Raises
        ------
        ValueError
            If the sequences have another number of channels, or no points; or if there are too few
            shape parameters.
        """
        sequences = np.asarray(inputs.sequences)
        if sequences.ndim != 3 or sequences.shape[2] != self.n_channels or not sequences.shape[1]:
            raise ValueError(
                f"sequences must have the shape (n_stars, n_points, {self.n_channels}) with one "
                f"point or more, got {sequences.shape}"
            )
        static = inputs.shape[:, : self.n_static]
        if static.shape != (len(sequences), self.n_static):
            raise ValueError(
                f"shape must have {len(sequences)} rows with {self.n_static} columns or more, got "
                f"{inputs.shape.shape}"
            )
        n_stars, n_points, _ = sequences.shape
        predicted = np.empty((n_stars, len(self.weights)), np.float32)
        n_threads = min(numba.get_num_threads(), -(-n_stars // LANES))
        evaluate(
            _plain(sequences.reshape(n_stars, n_points * self.n_channels)),
            self.n_channels,
            _plain(static),
            self.runs,
            self.weights,
            self.n_hidden,
            n_threads,
            predicted,
        )
        return predicted


def _plain(array: NDArray[Any]) -> Float32Array:
    """Return an array in the one type that the kernel is compiled for.

    Arrow's buffers are read-only, which for numba is a type of its own.
    """
    plain = np.ascontiguousarray(array, np.float32).view()
    plain.flags.writeable = False
    return plain


def pack(stack: RecurrentStack) -> tuple[NDArray[np.void], Float32Array]:
    """Return the runs of a network, and its weights in the kernel's order.

    Parameters
    ----------
    stack : RecurrentStack
        The network.

    Returns
    -------
    runs : (n_runs,) structured ndarray
        As `FusedEnsemble` has them.
    weights : (n_weights,) float32 ndarray
        Of this member.
    """
    runs, size = [], 0
    parts: list[NDArray[Any]] = []
    for number, layer in enumerate(stack.layers):
        width = sum(direction.n_units for direction in layer)
        first_row = 0
        for backward, direction in enumerate(layer):
            n_inputs, n_units = len(direction.kernel), direction.n_units
            runs.append(
                (direction.is_lstm, backward, number, n_inputs, n_units, width, first_row, size)
            )
            parts.append(_pack_direction(direction))
            first_row += n_units
            size += parts[-1].size
    parts += [np.vstack([layer.kernel, layer.bias]).T.ravel() for layer in stack.head]
    return np.array(runs, RUN), np.concatenate(parts).astype(np.float32)


def _pack_direction(direction: Direction) -> NDArray[np.float64]:
    """Return the weights of one layer in one direction, unit after unit, as `RUN` describes them.

    Keras keeps the gates one after the other, i, f, c, o or z, r and candidate.
    """
    scale = np.array([SIGMOID, SIGMOID, TANH, SIGMOID][: 4 if direction.is_lstm else 3])[:, None]
    # inputs or states, gates, units
    kernel, recurrent, bias = (
        scale * array.astype(np.float64).reshape(-1, len(scale), direction.n_units)
        for array in direction
    )
    if direction.is_lstm:
        sums = bias[0]
    else:
        of_input, of_state = bias
        sums = np.stack([*(of_input + of_state)[:2], of_input[2], of_state[2]])
    by_unit = [sums, *kernel, *recurrent]
    return np.concatenate(by_unit).T.ravel()
