"""Keras layers that pass over masked steps where Keras' own do not.

This module loads Keras: builders import it when they are called. Without a mask its convolution
and pooling are those of Keras, and their weights are the same.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

LOWEST = float(np.finfo(np.float32).min)


class MaskedConv1D(keras.layers.Conv1D):
    """A convolution to which a curve ends at its last epoch: it sees zeros beyond, as at the edge.

    Kernels have stride 1 and padding "same", so that steps stay where they are.
    """

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Convolve."""
        return super().call(_filled(inputs, mask, 0.0))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:  # noqa: ARG002
        """Return the mask as it is."""
        return mask


class MaskedMaxPooling1D(keras.layers.MaxPooling1D):
    """Maximum over neighbouring steps, of those that are not masked; padding is "same".

    Pools without any such step are masked, and zero: gradients stay finite.
    """

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Pool."""
        pooled = super().call(_filled(inputs, mask, LOWEST))
        return _filled(pooled, self.compute_mask(inputs, mask), 0.0)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:  # noqa: ARG002
        """Return the mask of the pools."""
        return None if mask is None else mask[:, :: self.strides[0]]


class Positions(keras.layers.Layer):
    """Add to each step a code of its place: sines and cosines of wavelengths from 2π to 2π · 10⁴.

    References
    ----------
    Vaswani, A. et al. 2017, Advances in Neural Information Processing Systems 30, Sect. 3.5.
    """

    def call(self, inputs: Any) -> Any:
        """Add the code, which has no weights."""
        _, n_points, width = inputs.shape
        angle = np.arange(n_points)[:, None] / 1e4 ** (np.arange(0, width, 2) / width)
        code = np.stack([np.sin(angle), np.cos(angle)], axis=2).reshape(n_points, width)
        return inputs + ops.convert_to_tensor(code, inputs.dtype)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:  # noqa: ARG002
        """Return the mask as it is."""
        return mask


def _filled(inputs: Any, mask: Any, value: float) -> Any:
    return inputs if mask is None else ops.where(mask[..., None], inputs, value)
