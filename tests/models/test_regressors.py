"""Regressors against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import approx_fprime
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from threadpoolctl import threadpool_limits

from rrl_batch.lightcurve.shape import SHAPE_COLUMNS
from rrl_batch.models import regressors
from rrl_batch.models.gaussian_process import AMPLITUDE, LENGTH, NOISE, GaussianProcess
from rrl_batch.models.registry import ARCHITECTURES, fit_regressor

# the linear relation takes its inputs by name, the others take any
REGRESSORS = [
    name for name, kind in ARCHITECTURES.items() if not kind.is_network and name != "linear"
]
N_STARS, N_SHAPE = 120, 4


@pytest.fixture(autouse=True)
def _one_thread():
    """Threads of problems so small would wait for each other."""
    with threadpool_limits(1):
        yield


def stars(n_stars=N_STARS, seed=0):
    """Return shape parameters of any scale, of which the third means nothing, and the rest."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(0.0, 1.0, (n_stars, N_SHAPE))
    signal = np.tanh(inputs[:, 0]) + 0.4 * inputs[:, 1] ** 2 + 0.2 * inputs[:, 3]
    feh = -1.5 + 0.4 * (signal + rng.normal(0.0, 0.2, n_stars))
    shape = np.array([0.5, -3.0, 100.0, 0.0]) + inputs * [0.1, 2.0, 30.0, 1e-3]
    return shape, feh, rng.uniform(0.3, 3.0, n_stars)


def test_ridge_and_support_vectors_are_those_of_sklearn():
    shape, feh, weights = stars()
    others = stars(seed=1)[0]
    pipelines = {
        "ridge": make_pipeline(StandardScaler(), RidgeCV(regressors.ALPHAS)),
        "svr": make_pipeline(StandardScaler(), SVR(C=1, gamma=0.015, epsilon=0.05)),
    }
    for name, pipeline in pipelines.items():
        step = pipeline.steps[-1][0]
        expected = pipeline.fit(shape, feh, **{f"{step}__sample_weight": weights}).predict(others)
        predicted = fit_regressor(name, shape, feh, weights, 0).predict(others)
        assert_allclose(predicted, expected, rtol=0, atol=1e-10)
        assert predicted.std() > 0.05


def test_boosting_is_that_of_sklearn():
    shape, feh, weights = stars()
    trees = HistGradientBoostingRegressor(random_state=3).fit(shape, feh, weights)
    predicted = fit_regressor("boosting", shape, feh, weights, 3).predict(shape)
    assert_allclose(predicted, trees.predict(shape), rtol=0, atol=0)


def standardised(shape, feh):
    return StandardScaler().fit_transform(shape), (feh - feh.mean()) / feh.std()


def sklearn_kernel(process):
    signal = ConstantKernel(process.amplitude**2) * RBF(process.length)
    return signal + WhiteKernel(process.noise**2)


@settings(max_examples=15)
@given(
    st.lists(st.floats(-1.5, 4.0), min_size=N_SHAPE, max_size=N_SHAPE),
    st.floats(-2.0, 2.0),
    st.floats(-2.5, 0.5),
)
def test_the_likelihood_and_its_gradient_are_those_of_sklearn(length, amplitude, noise):
    inputs, target = standardised(*stars(40)[:2])
    process = GaussianProcess(np.exp(length), np.exp(amplitude), np.exp(noise))
    value, gradient = process.surprise(inputs, target, np.ones(40))
    theirs = GaussianProcessRegressor(sklearn_kernel(process), alpha=1e-300, optimizer=None)
    theta = theirs.fit(inputs, target).kernel_.theta
    expected, slope = theirs.log_marginal_likelihood(theta, eval_gradient=True)
    assert_allclose(value, -expected - 20 * np.log(2 * np.pi), rtol=1e-8, atol=1e-8)
    # sklearn's parameters are amplitude², length scales, noise²
    order = [*range(1, N_SHAPE + 1), 0, N_SHAPE + 1]
    ours = gradient / np.array([*np.ones(N_SHAPE), 2, 2])
    assert_allclose(ours, -slope[order], rtol=1e-5, atol=1e-5 * np.abs(slope).max())


def test_the_gradient_is_that_of_the_likelihood_with_weights_too():
    shape, feh, weights = stars(40)
    inputs, target = standardised(shape, feh)

    def surprise(theta):
        *length, amplitude, noise = np.exp(theta)
        return GaussianProcess(np.array(length), amplitude, noise).surprise(inputs, target, weights)

    theta = np.array([0.2, 0.5, 1.5, 0.1, 0.3, -0.8])
    numeric = approx_fprime(theta, lambda t: surprise(t)[0], 1e-6)
    assert_allclose(surprise(theta)[1], numeric, rtol=1e-4, atol=1e-4)


def test_the_search_finds_what_that_of_sklearn_finds():
    inputs, target = standardised(*stars()[:2])
    ours = GaussianProcess.fit(inputs, target, np.ones(N_STARS))
    kernel = ConstantKernel(1.0, np.square(AMPLITUDE)[[0, 2]]) * RBF(
        np.full(N_SHAPE, LENGTH[1]), np.array(LENGTH)[[0, 2]]
    ) + WhiteKernel(NOISE[1] ** 2, np.square(NOISE)[[0, 2]])
    with pytest.warns(match="close to the specified upper bound"):
        theirs = GaussianProcessRegressor(kernel).fit(inputs, target)
    best = -theirs.log_marginal_likelihood_value_ - 0.5 * N_STARS * np.log(2 * np.pi)
    assert ours.surprise(inputs, target, np.ones(N_STARS))[0] == pytest.approx(best, abs=0.05)
    assert ours.noise == pytest.approx(np.exp(theirs.kernel_.theta[-1] / 2), rel=0.05)
    # what means nothing has no influence
    assert ours.length[2] > 10 * ours.length[[0, 1]].max()


def test_the_posterior_is_that_of_sklearn():
    shape, feh, weights = stars()
    others = stars(seed=1)[0]
    scaler, (inputs, _) = StandardScaler().fit(shape), standardised(shape, feh)
    mean, spread = np.average(feh, weights=weights), feh.std()
    weights = weights / weights.mean()
    target = (feh - mean) / spread
    process = GaussianProcess.fit(inputs, target, weights)
    signal = ConstantKernel(process.amplitude**2) * RBF(process.length)
    theirs = GaussianProcessRegressor(signal, alpha=process.noise**2 / weights, optimizer=None)
    expected = theirs.fit(inputs, target).predict(scaler.transform(others))
    predicted = fit_regressor("gp", shape, feh, 7 * weights, 0).predict(others)
    assert_allclose(predicted, mean + spread * expected, rtol=0, atol=1e-8)


def test_a_weight_of_three_counts_as_three_stars():
    inputs, target = standardised(*stars(30)[:2])
    process = GaussianProcess(np.array([1.0, 2.0, 9.0, 3.0]), 1.2, 0.4)
    times = np.where(np.arange(30) % 2, 3, 1)
    weighted = process.coefficients(inputs, target, times.astype(float))
    rows = np.repeat(np.arange(30), times)
    repeated = process.coefficients(inputs[rows], target[rows], np.ones(len(rows)))
    assert_allclose(weighted, np.bincount(rows, repeated), rtol=1e-8, atol=1e-8)


def test_of_many_stars_a_process_takes_some_from_all_metallicities(monkeypatch):
    monkeypatch.setattr(regressors, "MAX_STARS_OF_SEARCH", 20)
    monkeypatch.setattr(regressors, "MAX_STARS", 60)
    shape, feh, weights = stars()
    points = [fit_regressor("gp", shape, feh, weights, seed) for seed in (1, 1, 2)]
    assert np.array_equal(points[0].points, points[1].points)
    assert not np.array_equal(points[0].points, points[2].points)
    scaled = (shape - points[0].centre) / points[0].scale
    distance = np.abs(scaled[:, None] - points[0].points).sum(2)
    ranks = np.argsort(np.argsort(feh))[distance.argmin(0)]
    assert distance.min(0).max() < 1e-9
    # one of each two neighbours
    assert np.array_equal(np.sort(ranks) // 2, np.arange(60))


@pytest.mark.parametrize("name", REGRESSORS)
def test_stars_without_shape_parameters_are_left_out_and_get_no_value(name):
    shape, feh, weights = stars()
    plain = fit_regressor(name, shape, feh, weights, 0).predict(shape)
    holes = np.insert(shape, 7, np.nan, axis=0)
    fitted = fit_regressor(name, holes, np.insert(feh, 7, 9.0), np.insert(weights, 7, 1.0), 0)
    predicted = fitted.predict(holes)
    assert np.isnan(predicted[7])
    assert np.array_equal(np.delete(predicted, 7), plain)
    assert predicted.dtype == np.float64
    assert fitted.predict(np.full((2, N_SHAPE), np.nan)).shape == (2,)
    assert fitted.predict(np.empty((0, N_SHAPE))).shape == (0,)


@pytest.mark.parametrize("name", REGRESSORS)
def test_a_constant_parameter_and_equal_labels_do_no_harm(name):
    shape, feh, weights = stars()
    shape[:, 1] = 5.0
    assert np.isfinite(fit_regressor(name, shape, feh, weights, 0).predict(shape)).all()
    same = fit_regressor(name, shape, np.full(N_STARS, -1.2), weights, 0).predict(shape)
    assert_allclose(same, -1.2, atol=0.051)


def test_the_linear_relation_is_that_of_period_and_phi31_in_any_branch():
    rng = np.random.default_rng(4)
    period, phi31 = rng.uniform(0.4, 0.8, 60), rng.normal(np.pi, 0.4, 60)  # about the branch cut
    ratio = rng.uniform(0.1, 0.5, 60) * np.exp(1j * phi31)
    shape = rng.normal(size=(60, len(SHAPE_COLUMNS)))
    for name, values in (("period", period), ("re31", ratio.real), ("im31", ratio.imag)):
        shape[:, SHAPE_COLUMNS.index(name)] = values
    feh = -1.3 - 5.0 * (period - 0.6) + 0.9 * (phi31 - np.pi)
    predicted = fit_regressor("linear", shape, feh, np.ones(60), 0).predict(shape)
    assert_allclose(predicted, feh, atol=1e-9)
