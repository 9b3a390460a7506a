"""Every network is trained, saved and used, on either backend of Keras."""

import numpy as np
import pytest

from rrl_batch.lightcurve.sequences import PADDING
from rrl_batch.models.registry import ARCHITECTURES, build
from rrl_batch.training.fit import _undo_scaling, trainer
from rrl_batch.training.problem import FitSettings, Problem

N_STARS, N_POINTS = 48, 8


@pytest.fixture
def curves():
    rng = np.random.default_rng(3)
    sequences = rng.normal(0, 0.3, (N_STARS, N_POINTS, 2)).astype(np.float32)
    sequences[::2, -3:] = PADDING
    return sequences


@pytest.mark.usefixtures("small_networks")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
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
    _undo_scaling(done.network, problem)
    done.network.save_weights(tmp_path / "member.weights.h5")
    again = build(architecture, N_POINTS, masked=True, seed=8)
    again.load_weights(tmp_path / "member.weights.h5")
    predicted = np.asarray(again(curves))
    assert np.isfinite(predicted).all()
    np.testing.assert_allclose(predicted, scaled * scale + mean, rtol=0, atol=1e-5)
