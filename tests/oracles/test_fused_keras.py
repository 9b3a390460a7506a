import keras
import numpy as np
import pytest
from networks import FUSED, of

from rrl_batch.inference.fused import FusedEnsemble
from rrl_batch.models.registry import build

N_STARS = 2_000
N_POINTS = 265
SAME = 1e-5  # dex


@pytest.fixture(scope="module")
def sequences():
    """Curves of four harmonics within 0.6 mag, and phase times period."""
    rng = np.random.default_rng(0)
    phase = np.arange(N_POINTS) / N_POINTS
    angle = 2 * np.pi * np.arange(1, 5)[:, None] * phase
    amplitude = rng.uniform(0.3, 1.0, (N_STARS, 4)) * 0.35 / np.arange(1, 5)
    turn = rng.uniform(0.0, 2 * np.pi, (N_STARS, 4))
    mag = (amplitude[..., None] * np.cos(angle + turn[..., None])).sum(axis=1)
    period = rng.uniform(0.2, 1.0, (N_STARS, 1))
    return np.stack([np.clip(mag, -0.6, 0.6), phase * period], axis=2).astype(np.float32)


@pytest.fixture(scope="module", params=FUSED)
def network(request):
    """A network that gets its weights from the test: Keras traces it but once."""
    return build(request.param, N_POINTS, masked=False)


def fused(network, folder):
    network.save_weights(folder / "member.weights.h5")
    return FusedEnsemble.from_files([folder / "member.weights.h5"], n_channels=2)


def largest_difference(network, sequences, folder):
    fused_values = fused(network, folder).predict(of(sequences))
    expected = network.predict(sequences, batch_size=1024, verbose=0)
    assert expected.std() > 500 * SAME  # the network does tell curves apart
    return np.abs(fused_values - expected).max()


def test_every_curve_gets_what_keras_gives(network, sequences, tmp_path):
    fresh = build(network.name, N_POINTS, masked=False).get_weights()
    rng = np.random.default_rng(1)
    network.set_weights([w + rng.normal(0.0, 0.1, w.shape) for w in fresh])
    assert largest_difference(network, sequences, tmp_path) < SAME


def test_larger_weights_make_no_difference(network, sequences, tmp_path):
    rng = np.random.default_rng(2)
    network.set_weights([rng.normal(0.0, 0.5, w.shape) for w in network.get_weights()])
    assert largest_difference(network, sequences[:500], tmp_path) < SAME


def test_saturated_gates_are_as_near_to_double_precision_as_in_keras(network, sequences, tmp_path):
    """Rounding errors grow so much here that single precision has no five digits to agree in."""
    rng = np.random.default_rng(3)
    spread = {"kernel": 5.0, "recurrent_kernel": 0.3, "bias": 2.0}
    weights = [rng.normal(0.0, spread[w.name], w.shape).astype("f4") for w in network.weights]
    network.set_weights(weights)
    keras.config.set_dtype_policy("float64")
    try:
        precise = build(network.name, N_POINTS, masked=False)
    finally:
        keras.config.set_dtype_policy("float32")
    precise.set_weights(weights)
    some = sequences[:200]
    exact = precise.predict(some.astype(np.float64), verbose=0)
    assert exact.dtype == np.float64
    ours = fused(network, tmp_path).predict(of(some)) - exact
    theirs = network.predict(some, verbose=0) - exact
    assert np.median(np.abs(ours)) < 1.5 * np.median(np.abs(theirs))
