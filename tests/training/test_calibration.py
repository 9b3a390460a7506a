"""Intervals hold what they say, also of stars that nothing was fitted to."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad

from rrl_batch.models.calibration import LEVELS, Calibration
from rrl_batch.training.calibrate import (
    _penalised,
    _rank,
    calibrate,
    cross_calibrate,
    cross_fitted_half_widths,
)


def stars(n, rng):
    """What is known of stars that span a survey."""
    return pd.DataFrame(
        {
            "num_epochs_used": rng.integers(12, 120, n),
            "mean_mag": rng.uniform(12, 20, n),
            "max_phase_gap": rng.uniform(0, 0.3, n),
            "amplitude": rng.uniform(0.2, 1.2, n),
            "feh": rng.normal(-1.4, 0.5, n),
            "noise_error": rng.gamma(2, 0.04, n),
            "spread": rng.gamma(2, 0.01, n),
        }
    )


def errors_of(known, rng, *, tails=np.inf):
    """Errors of which noise, magnitude and metallicity decide, far from what is fitted."""
    scale = 0.08 + known["noise_error"] * (1 + 0.5 * np.abs(known["feh"] + 1.4))
    scale *= np.exp(0.15 * (known["mean_mag"] - 16).clip(0))
    deviates = (
        rng.standard_t(tails, len(known)) if np.isfinite(tails) else rng.normal(size=len(known))
    )
    return (scale * deviates).to_numpy()


@settings(max_examples=8)
@given(st.integers(0, 2**32), st.sampled_from([3.0, np.inf]))
def test_new_stars_of_every_kind_are_covered(seed, tails):
    rng = np.random.default_rng(seed)
    known, new = stars(3000, rng), stars(20_000, rng)
    found = calibrate(known, errors_of(known, rng, tails=tails))
    inside = np.abs(errors_of(new, rng, tails=tails)) <= found.half_widths(new)
    for level, within in zip(LEVELS, inside, strict=True):
        spread = np.sqrt(level * (1 - level) / len(known))
        assert within.mean() == pytest.approx(level, abs=5 * spread)
        for name in ("num_epochs_used", "mean_mag", "amplitude", "feh", "noise_error"):
            for _, some in pd.Series(within).groupby(
                pd.qcut(new[name].to_numpy(), 4, labels=False)
            ):
                assert some.mean() == pytest.approx(level, abs=0.06)


def test_the_width_follows_the_noise_and_one_width_for_all_would_not_do():
    rng = np.random.default_rng(2)
    known, new = stars(3000, rng), stars(20_000, rng)
    found = calibrate(known, errors_of(known, rng))
    error = np.abs(errors_of(new, rng))
    noisy = (new["noise_error"] > new["noise_error"].quantile(0.9)).to_numpy()
    one_width = np.quantile(error, LEVELS[0])
    assert (error[noisy] <= one_width).mean() < 0.45
    assert (error <= found.half_widths(new)[0])[noisy].mean() == pytest.approx(LEVELS[0], abs=0.04)


def test_noise_goes_on_beyond_the_stars_that_were_seen_and_the_factor_does_not():
    rng = np.random.default_rng(3)
    known = stars(2000, rng)
    found = calibrate(known, errors_of(known, rng))
    ends = known.iloc[:1].assign(mean_mag=[found.highest[1]])
    assert found.scale(ends.assign(mean_mag=30.0)) == pytest.approx(found.scale(ends))
    assert found.scale(ends.assign(noise_error=3.0)) > 3 * found.scale(ends.assign(noise_error=0.3))


def test_a_fold_does_not_decide_about_its_own_widths():
    rng = np.random.default_rng(4)
    known = stars(600, rng)
    error, fold = errors_of(known, rng), np.arange(600) % 3
    calibrations = cross_calibrate(known, error, fold)
    assert len(calibrations) == 4
    widths = cross_fitted_half_widths(calibrations, known, fold)
    spoilt = np.where(fold == 1, 100 * error, error)
    others = cross_fitted_half_widths(cross_calibrate(known, spoilt, fold), known, fold)
    np.testing.assert_array_equal(widths[:, fold == 1], others[:, fold == 1])
    assert (others[:, fold != 1] > 2 * widths[:, fold != 1]).all()


@pytest.mark.parametrize("n", [2, 5, 30])
def test_few_stars_and_predictors_that_are_alike_give_finite_widths(n):
    rng = np.random.default_rng(5)
    known = stars(n, rng).assign(spread=np.nan, num_epochs_used=40, noise_error=0.0)
    error = errors_of(known, rng)
    found = calibrate(known, error)
    widths = found.half_widths(known)
    assert (np.isfinite(widths) & (widths > 0)).all()
    # the largest error counts, where there are too few for the wanted rank
    assert (np.abs(error) <= widths[1] * (1 + 1e-12)).all()


def test_the_rank_makes_the_coverage_of_a_new_star_at_least_the_wanted_one():
    for level in LEVELS:
        for n in (40, 100, 1965):
            rank = _rank(level, n)  # a new star's pull is equally likely in each of n + 1 places
            assert rank / (n + 1) >= level
            assert (rank - 1) / (n + 1) < level


@settings(max_examples=10)
@given(st.integers(0, 2**32))
def test_the_gradient_of_the_likelihood_is_its_slope(seed):
    rng = np.random.default_rng(seed)
    error, terms = rng.normal(0, 0.2, 50), rng.normal(size=(50, 10))
    squares = np.column_stack([np.ones(50), rng.uniform(0, 0.1, (50, 2))])
    at = np.concatenate([rng.normal(-1, 0.5, 3), rng.uniform(0.5, 1.5, 1), rng.normal(0, 0.1, 10)])
    arguments = (error, squares, terms)
    off = check_grad(
        lambda x: _penalised(x, *arguments)[0], lambda x: _penalised(x, *arguments)[1], at
    )
    assert off < 1e-5


def test_a_calibration_that_lacks_a_number_is_refused():
    rng = np.random.default_rng(6)
    known = stars(50, rng)
    content = calibrate(known, errors_of(known, rng)).model_dump()
    assert Calibration.model_validate(content).model_dump() == content
    for changed in ({"slope": (0.1,)}, {"unit": (1.0, 1.0, 0.0, 1.0, 1.0)}, {"floor": np.nan}):
        with pytest.raises(ValueError, match=r"needs a value|finite"):
            Calibration.model_validate(content | changed)
