"""Intervals are those of scipy's paired bootstrap, and hold the truth as often as they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import bootstrap

from rrl_batch.experiment.bootstrap import RESAMPLES, estimate, rmse, rmse_difference

RNG = np.random.default_rng(3)


def _rmse(errors, axis=-1):
    return np.sqrt(np.mean(errors**2, axis=axis))


def test_difference_is_that_of_scipy_on_the_same_resamples() -> None:
    mine = RNG.normal(0, 0.15, 150)
    other = mine + RNG.normal(0, 0.1, 150)
    found = rmse_difference(mine, other)
    oracle = bootstrap(
        (mine, other), lambda a, b, axis: _rmse(a, axis) - _rmse(b, axis), paired=True,
        vectorized=True, method="percentile", n_resamples=RESAMPLES, rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    assert_allclose(found.value, _rmse(mine) - _rmse(other), rtol=1e-12)
    assert_allclose([found.low, found.high], [oracle.low, oracle.high], rtol=1e-10)


def test_intervals_hold_the_truth_in_19_of_20_samples() -> None:
    samples, n = 1000, 200
    common = RNG.normal(0, 0.1, (samples, n))
    mine = common + RNG.normal(0, 0.05, (samples, n))
    other = common + RNG.normal(0, 0.10, (samples, n))
    truth = np.hypot(0.1, 0.05) - np.hypot(0.1, 0.1)
    found = rmse_difference(mine, other)
    covered = np.mean((found.low <= truth) & (truth <= found.high))
    assert covered == pytest.approx(0.95, abs=0.03)


def test_equal_predictors_differ_by_exactly_nothing() -> None:
    errors = RNG.normal(0, 0.2, (7, 101))
    found = rmse_difference(errors, errors.copy())
    assert not np.any(found)
    assert rmse_difference(np.zeros(9), np.zeros(9)) == (0, 0, 0)


def test_only_stars_that_both_have_count() -> None:
    mine, other = RNG.normal(0, 0.2, (2, 80))
    mine[:10], other[70:] = np.nan, np.nan
    found = rmse_difference(mine, other)
    both = slice(10, 70)
    assert_allclose(found.value, _rmse(mine[both]) - _rmse(other[both]), rtol=1e-12)
    assert found.low < found.value < found.high
    assert_allclose(rmse(mine).value, _rmse(mine[10:]), rtol=1e-12)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60))
def test_difference_changes_sign_with_the_order(seed: int, n: int) -> None:
    mine, other = np.random.default_rng(seed).normal(0, 0.2, (2, n))
    one, two = rmse_difference(mine, other), rmse_difference(other, mine)
    assert_allclose(one.value, -two.value, atol=1e-12)
    assert_allclose([one.low, one.high], [-two.high, -two.low], atol=1e-12)
    assert one.low <= one.high


@pytest.mark.parametrize("known", [0, 1])
def test_what_too_few_stars_are_there_for_is_not_a_number(known: int) -> None:
    errors = np.full(30, np.nan)
    errors[:known] = 0.1
    found = rmse(errors)
    assert np.isnan(found.value) == (known == 0)
    # some resample lacks the only star
    assert np.isnan([found.low, found.high]).all()
    single = rmse(np.array([0.1]))
    assert single.value == pytest.approx(0.1)
    assert np.isnan(single.low)


def test_the_shape_is_that_of_the_statistic() -> None:
    terms = RNG.normal(1, 0.1, (2, 3, 40))
    found = estimate(terms, lambda sums: sums[0] / sums[1])
    assert [part.shape for part in found] == [(3,)] * 3
    assert rmse(np.empty((0, 40))).low.shape == (0,)
