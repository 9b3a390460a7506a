"""Every network is trained, saved and used, on either backend of Keras."""

import keras
import numpy as np
import pytest
from networks import NETWORKS, with_shape

from rrl_batch.lightcurve.sequences import PADDING
from rrl_batch.models.registry import arrays_for, build, n_static_of
from rrl_batch.training.fit import trainer
from rrl_batch.training.network import optimizer
from rrl_batch.training.problem import FitSettings, MemberId, Problem, Scaling

N_STARS, N_POINTS = 48, 8

pytestmark = pytest.mark.usefixtures("small_networks")


@pytest.fixture
def curves():
    rng = np.random.default_rng(3)
    sequences = rng.normal(0, 0.3, (N_STARS, N_POINTS, 2)).astype(np.float32)
    sequences[::2, -3:] = PADDING
    return sequences


@pytest.mark.parametrize("architecture", NETWORKS)
def test_a_network_is_fitted_to_padded_curves_and_gives_dex(architecture, curves, tmp_path):
    inputs, settings = with_shape(curves), FitSettings(True, epochs=2, batch_size=16)
    rng = np.random.default_rng(5)
    target = np.tanh(3 * curves[:, :4, 0].sum(1))
    weights = rng.uniform(0.2, 2, N_STARS).astype(np.float32)
    n_static = n_static_of(architecture, "none")
    scaling = Scaling(rng.normal(size=n_static), rng.uniform(0.5, 2, n_static), -1.5, 0.4)
    rows, member = np.arange(N_STARS), MemberId(architecture, 0, (0,))
    problem = Problem(member, 7, rows[:32], rows[32:], target, weights, scaling)
    passes = []
    (done,) = trainer(architecture)([problem], inputs, settings, passes.extend)
    assert len(passes) == len(done.history.training) == len(done.history.stopping) == 2
    start = build(architecture, N_POINTS, masked=True, n_static=n_static, seed=7).get_weights()
    network = done.predictor.network
    pairs = zip(start, network.get_weights(), strict=True)
    assert all(np.isfinite(b).all() and not np.array_equal(a, b) for a, b in pairs)
    assert done.predictor.n_parameters == sum(a.size for a in start)

    # these are the weights that came out best, and what they give is in dex
    predicted = done.predictor.predict(inputs)
    squares = weights * ((predicted - scaling.feh_mean) / scaling.feh_scale - target) ** 2
    loss = squares[32:].mean() + sum(map(float, network.losses))
    assert min(done.history.stopping) == done.history.stopping[done.epochs - 1]
    assert loss == pytest.approx(min(done.history.stopping), rel=1e-4)

    done.predictor.write(tmp_path / "member.weights.h5")
    again = build(architecture, N_POINTS, masked=True, n_static=n_static, seed=8)
    again.load_weights(tmp_path / "member.weights.h5")
    np.testing.assert_allclose(
        np.asarray(again(arrays_for(again, inputs)))[:, 0], predicted, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(("n_training", "epochs", "batch_size"), [(100, 10, 32), (7, 1, 16)])
def test_in_one_cycle_the_learning_rate_rises_and_falls_to_zero(n_training, epochs, batch_size):
    highest = 0.02
    settings = FitSettings(
        False, schedule="onecycle", epochs=epochs, batch_size=batch_size, learning_rate=highest
    )
    adam = optimizer(settings, n_training)
    n_steps = epochs * int(np.ceil(n_training / batch_size))
    rise = max(1, round(0.15 * n_steps))
    rates = []
    for step in range(n_steps + 1):
        adam.iterations.assign(step)
        rates.append(float(adam.learning_rate))
    up = np.linspace(highest / 25, highest, rise + 1)
    down = highest * (1 + np.cos(np.linspace(0, np.pi, n_steps - rise + 1))) / 2
    expected = np.concatenate([up, down[1:]]) if n_steps > rise else up
    np.testing.assert_allclose(rates, expected, rtol=0, atol=1e-7)


def test_a_constant_learning_rate_is_that_of_the_job():
    adam = optimizer(FitSettings(False, learning_rate=0.003), 100)
    assert float(adam.learning_rate) == pytest.approx(0.003)


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
