"""Convolutional networks, written out in double precision."""

import numpy as np
import pytest
from networks import layers_of, spread
from numpy.lib.stride_tricks import sliding_window_view

from rrl_batch.models.registry import build

N_POINTS = 45  # more than the longest kernel has


def windows(steps, width, fill):
    """Return the neighbours of each step, (n_stars, n_points, n_channels, width)."""
    around = ((0, 0), ((width - 1) // 2, width // 2), (0, 0))
    return sliding_window_view(np.pad(steps, around, constant_values=fill), width, axis=1)


class WrittenOut:
    """The layers of a network, each used once, in the order in which they were made."""

    def __init__(self, network):
        def weights(kind):
            layers = layers_of(network, kind)
            return iter([[w.astype("f8") for w in layer.get_weights()] for layer in layers])

        self._kernels = weights("MaskedConv1D")
        self._norms = weights("BatchNormalization")
        ((self._last, self._bias),) = weights("Dense")

    def convolve(self, steps):
        kernel, *bias = next(self._kernels)
        return np.einsum("snck,kcf->snf", windows(steps, len(kernel), 0.0), kernel) + sum(bias)

    def normalise(self, steps):
        scale, shift, mean, variance = next(self._norms)
        return (steps - mean) / np.sqrt(variance + 1e-3) * scale + shift

    def unit(self, steps):
        return self.normalise(self.convolve(steps))

    def end(self, steps):
        return steps.mean(axis=1) @ self._last + self._bias


def relu(steps):
    return np.maximum(steps, 0.0)


def fcn(network, steps):
    for _ in range(3):
        steps = relu(network.unit(steps))
    return network.end(steps)


def resnet(network, steps):
    for _ in range(3):
        branch = network.unit(relu(network.unit(relu(network.unit(steps)))))
        steps = relu(branch + network.unit(steps))
    return network.end(steps)


def inceptiontime(network, steps):
    for _ in range(2):
        block = steps
        for _ in range(3):
            bottleneck = network.convolve(steps)
            branches = [network.convolve(bottleneck) for _ in range(3)]
            branches.append(network.convolve(windows(steps, 3, -np.inf).max(axis=3)))
            steps = relu(network.normalise(np.concatenate(branches, axis=2)))
        steps = relu(steps + network.unit(block))
    return network.end(steps)


@pytest.mark.parametrize("architecture", [fcn, resnet, inceptiontime])
def test_a_network_gives_what_its_formulae_give(architecture):
    network = spread(build(architecture.__name__, N_POINTS, masked=False))
    curves = np.random.default_rng(0).normal(0, 0.5, (4, N_POINTS, 2)).astype(np.float32)
    expected = architecture(WrittenOut(network), curves.astype(np.float64))
    assert expected.std() > 1e-3
    np.testing.assert_allclose(network.predict_on_batch(curves), expected, rtol=1e-4, atol=1e-5)
