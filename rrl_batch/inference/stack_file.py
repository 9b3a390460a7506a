"""Read a stack of recurrent layers from the weights file of a network, without Keras.

Keras 3 names the groups of an HDF5 file after the layers' classes, not after their names, and
numbers those of one class in the order of the network: `gru`, `gru_1`, ... So the order of layers
of one class is in the file, while that of layers of different classes is not.

What a file does not tell (activations, how the directions are merged) is what the registry vouches
for.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from rrl_batch.errors import UserError

Float32Array = NDArray[np.float32]

_PASSIVE = re.compile(r"(input_layer|dropout|concatenate)(_\d+)?")
_DIRECTIONS = {
    "gru": ("cell",),
    "lstm": ("cell",),
    "bidirectional": ("forward_layer/cell", "backward_layer/cell"),
}
_HEAD = ("dense", "dense_1")


class Dense(NamedTuple):
    """Weights of a dense layer.

    Parameters
    ----------
    kernel : (n_inputs, n_units) float32
        Of the inputs.
    bias : (n_units,) float32
        Of the units.
    """

    kernel: Float32Array
    bias: Float32Array


class Direction(NamedTuple):
    """Weights of a layer in one direction, with the gates one after the other.

    Parameters
    ----------
    kernel : (n_inputs, n_gates * n_units) float32
        Of the inputs. The gates of a GRU are z, r and the candidate, those of an LSTM i, f, c, o.
    recurrent_kernel : (n_units, n_gates * n_units) float32
        Of the states.
    bias : (2, 3 * n_units) or (4 * n_units,) float32
        Of a GRU, those of the inputs and those of the states; of an LSTM, their sums.
    """

    kernel: Float32Array
    recurrent_kernel: Float32Array
    bias: Float32Array

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.recurrent_kernel)

    @property
    def is_lstm(self) -> bool:
        """Whether it is an LSTM, else a GRU."""
        return self.bias.ndim == 1


@dataclass(frozen=True)
class RecurrentStack:
    """Weights of layers of GRU or LSTM, one after the other, and of the dense layers after them.

    Parameters
    ----------
    layers : list of list of Direction
        For each layer its forward direction, and its backward one if it is bidirectional.
    head : list of Dense
        A linear output; ahead of it, if there are static inputs, a hidden layer that takes the
        last states and them.
    """

    layers: list[list[Direction]]
    head: list[Dense]


def read_stack(path: Path, n_channels: int, n_static: int = 0) -> RecurrentStack:
    """Read the weights of a recurrent stack.

    Parameters
    ----------
    path : pathlib.Path
        Weights file of Keras.
    n_channels : int
        Numbers a point of the input.
    n_static : int
        Number of inputs beside the curve.

    Raises
    ------
    UserError
        If the file is damaged, or holds anything else.
    """
    try:
        with h5py.File(path) as file:
            return _read(file, n_channels, n_static)
    except (OSError, RuntimeError, LookupError, ValueError) as error:  # h5py raises any of them
        raise UserError(
            f"{path} does not hold the weights of a recurrent network ({error}); train again."
        ) from None


def _read(file: h5py.File, n_channels: int, n_static: int) -> RecurrentStack:
    layers, width = [], n_channels
    dense = _HEAD if n_static else _HEAD[:1]
    for name in _recurrent_layers(file, dense):
        parts = _DIRECTIONS[name.split("_")[0]]
        layers.append([_direction(file, f"layers/{name}/{part}", width) for part in parts])
        width = sum(direction.n_units for direction in layers[-1])
    head = [Dense(*_arrays(file, f"layers/{name}", 2)) for name in dense]
    n_hidden = [len(layer.bias) for layer in head[:-1]]
    for name, layer, n_inputs, n_units in zip(
        dense, head, [width + n_static, *n_hidden], [*n_hidden, 1], strict=True
    ):
        _check(list(layer), [(n_inputs, n_units), (n_units,)], name)
    return RecurrentStack(layers, head)


def _recurrent_layers(file: h5py.File, dense: Sequence[str]) -> list[str]:
    """Return the groups of the recurrent layers in the order of the network."""
    groups = list(_group(file, "layers"))
    names = {name for name in groups if not _PASSIVE.fullmatch(name)} - set(dense)
    for kind in _DIRECTIONS:
        in_order = [kind, *(f"{kind}_{number}" for number in range(1, len(names)))]
        if names == set(in_order):
            return in_order
    raise ValueError(f"it has the layers {', '.join(groups)}")


def _direction(file: h5py.File, name: str, n_inputs: int) -> Direction:
    direction = Direction(*_arrays(file, name, 3))
    n = direction.n_units
    gates, bias = (4, (4 * n,)) if direction.is_lstm else (3, (2, 3 * n))
    _check(list(direction), [(n_inputs, gates * n), (n, gates * n), bias], name)
    return direction


def _check(arrays: list[Float32Array], shapes: list[tuple[int, ...]], name: str) -> None:
    found = [array.shape for array in arrays]
    if found != shapes or not all(array.size for array in arrays):
        raise ValueError(f"{name} has arrays of the shapes {found}")


def _arrays(file: h5py.File, name: str, number: int) -> list[Float32Array]:
    """Return the arrays of a layer, which are named 0, 1, ..."""
    group = _group(file, f"{name}/vars")
    if set(group) != {str(i) for i in range(number)}:
        raise ValueError(f"{name} has the arrays {', '.join(group)}")
    return [_array(file, f"{group.name}/{i}") for i in range(number)]


def _group(file: h5py.File, name: str) -> h5py.Group:
    group = file[name]
    if not isinstance(group, h5py.Group):
        raise ValueError(f"{name} is no group")
    return group


def _array(file: h5py.File, name: str) -> Float32Array:
    """Return an array whose numbers lie in this very file, which its checksum is of."""
    dataset = file[name]
    if (
        not isinstance(dataset, h5py.Dataset)
        or dataset.dtype != np.float32
        or not 1 <= dataset.ndim <= 2
        or dataset.file.filename != file.filename
        or dataset.external
        or dataset.is_virtual
        or dataset.id.get_storage_size() != dataset.nbytes
    ):
        raise ValueError(f"{name} is no plain array of float32")
    return np.asarray(dataset[...])
