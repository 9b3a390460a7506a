import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from rrl_batch.models.baseline import LinearBaseline, offset_from


@pytest.fixture
def stars():
    rng = np.random.default_rng(3)
    period = rng.uniform(0.4, 0.8, 300)
    phi31 = rng.normal(2.0, 0.5, 300)
    feh = -2.0 - 5.9 * (period - 0.6) + 0.94 * (phi31 - 2.0) + rng.normal(0, 0.1, 300)
    return period, phi31, feh


def test_it_is_the_least_squares_plane(stars):
    period, phi31, feh = stars
    oracle = LinearRegression().fit(np.column_stack([period, phi31]), feh)
    relation = LinearBaseline.fit(period, phi31, feh)
    assert relation.intercept == pytest.approx(oracle.intercept_, abs=1e-9)
    assert [relation.period_slope, relation.phi31_slope] == pytest.approx(oracle.coef_, abs=1e-9)
    assert relation.predict(period, phi31) == pytest.approx(
        oracle.predict(np.column_stack([period, phi31])), abs=1e-9
    )


@given(branch=st.integers(-2, 2), cut=st.floats(0, 2 * np.pi))
def test_the_branch_of_phi31_makes_no_difference(branch, cut):
    rng = np.random.default_rng(3)
    period = rng.uniform(0.4, 0.8, 100)
    phi31 = rng.normal(0.1, 0.5, 100)  # on both sides of the branch cut at 0
    feh = -2.0 - 5.9 * (period - 0.6) + 0.94 * phi31
    moved = (phi31 - cut) % (2 * np.pi) + cut + 2 * np.pi * branch
    assert LinearBaseline.fit(period, moved, feh).predict(period, moved) == pytest.approx(
        feh, abs=1e-6
    )


def test_stars_without_phi31_are_left_out_of_the_fit_and_get_no_value(stars):
    period, phi31, feh = stars
    holes = phi31.copy()
    holes[::3] = np.nan
    known = np.isfinite(holes)
    relation = LinearBaseline.fit(period, holes, feh)
    assert relation == LinearBaseline.fit(period[known], phi31[known], feh[known])
    assert np.array_equal(np.isnan(relation.predict(period, holes)), ~known)


def test_offsets_lie_within_half_a_turn():
    offsets = offset_from(3.0, np.linspace(-20, 20, 401))
    assert np.all((offsets >= -np.pi) & (offsets < np.pi))
    assert np.exp(1j * (offsets + 3.0)) == pytest.approx(np.exp(1j * np.linspace(-20, 20, 401)))
