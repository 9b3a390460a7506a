"""Every network is trained, saved and used, on either backend of Keras."""

import keras
import numpy as np
import pytest
from networks import NETWORKS, OF_CURVES, with_shape

from rrl_batch.lightcurve.sequences import PADDING
from rrl_batch.models.registry import arrays_for, build
from rrl_batch.models.scaling import undo_scaling
from rrl_batch.training.fit import trainer
from rrl_batch.training.problem import FitSettings, Problem

N_STARS, N_POINTS = 48, 8


@pytest.fixture
def curves():
    rng = np.random.default_rng(3)
    sequences = rng.normal(0, 0.3, (N_STARS, N_POINTS, 2)).astype(np.float32)
    sequences[::2, -3:] = PADDING
    return sequences


@pytest.mark.parametrize("architecture", OF_CURVES)
def test_a_network_is_fitted_to_padded_curves_and_gives_dex(architecture, curves, tmp_path):
    mean, scale = -1.5, 0.4
    target = np.tanh(3 * curves[:, :4, 0].sum(1))
    rows = np.arange(N_STARS)
    problem = Problem(
        0, 7, rows[:32], rows[32:], target, np.ones(N_STARS, np.float32), mean, scale
    )  # fmt: skip
    settings = FitSettings(architecture, True, 0.2, 2, 10, 16, 0.003, seed=0)
    passes = []
    (done,) = trainer(settings.architecture)([problem], curves, settings, passes.append)
    assert sum(passes) == done.epochs_run == 2
    start = build(architecture, N_POINTS, masked=True, seed=7).get_weights()
    pairs = zip(start, done.network.get_weights(), strict=True)
    assert all(np.isfinite(b).all() and not np.array_equal(a, b) for a, b in pairs)

    scaled = np.asarray(done.network(curves))
    undo_scaling(done.network, (), (), mean, scale)
    done.network.save_weights(tmp_path / "member.weights.h5")
    again = build(architecture, N_POINTS, masked=True, seed=8)
    again.load_weights(tmp_path / "member.weights.h5")
    predicted = np.asarray(again(curves))
    assert np.isfinite(predicted).all()
    np.testing.assert_allclose(predicted, scaled * scale + mean, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", NETWORKS)
def test_a_step_with_shape_parameters_changes_all_weights(architecture, curves):
    network = build(architecture, N_POINTS, masked=True, n_static=16, seed=7)
    # traced and compiled, one step would take many times as long
    network.compile(keras.optimizers.Adam(0.01), loss="mse", run_eagerly=True)
    before, arrays = network.get_weights(), arrays_for(network, with_shape(curves))
    loss = network.train_on_batch(arrays, np.ones(N_STARS, np.float32))
    after = network.get_weights()
    assert np.isfinite(loss)
    assert all(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(np.isfinite(weights).all() for weights in after)
