import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from rrl_batch.lightcurve.align import maximum_of_first_harmonic, mean_of_rising_branch, on_grid
from rrl_batch.lightcurve.fourier import fit_fourier

NAN = np.full((1, 12), np.nan, complex)


def curve(harmonics, phase):
    orders = np.arange(1, len(harmonics) + 1)
    return (harmonics * np.exp(2j * np.pi * np.multiply.outer(phase, orders))).real.sum(axis=-1)


@st.composite
def curves(draw):
    """Harmonics of which the first is the largest, as in any pulsating star."""
    seed, fall = draw(st.integers(0, 2**32 - 1)), draw(st.floats(0.1, 0.7))
    rng = np.random.default_rng(seed)
    size = 0.3 * fall ** np.arange(12) * np.r_[1.0, rng.random(11)]
    return size * np.exp(2j * np.pi * rng.random(12))


@given(maximum=st.floats(0, 1, exclude_max=True))
def test_the_maximum_of_the_first_harmonic_is_its_brightest_point(maximum):
    phase = np.linspace(0, 1, 40, endpoint=False)
    mag = 15 - 0.4 * np.cos(2 * np.pi * (phase - maximum))
    fit = fit_fourier(phase, mag, np.array([0, 40, 40]))
    found = maximum_of_first_harmonic(fit.harmonics)
    assert abs((found[0] - maximum + 0.5) % 1 - 0.5) < 1e-4
    assert np.isnan(found[1])


@given(harmonics=curves())
def test_on_the_rising_branch_the_curve_crosses_its_mean_for_the_last_time_before_maximum(
    harmonics,
):
    origin = mean_of_rising_branch(harmonics[np.newaxis])[0]

    fine = np.arange(4096) / 4096
    brightest = fine[np.argmin(curve(harmonics, fine))]
    to_maximum = (brightest - origin) % 1.0
    between = origin + to_maximum * np.linspace(0.02, 1, 200)
    amplitude = np.ptp(curve(harmonics, fine))
    assert 0 < to_maximum < 1
    assert abs(curve(harmonics, origin)) < 0.005 * amplitude
    assert (curve(harmonics, between) < 0.005 * amplitude).all()


@pytest.mark.parametrize("origin", [0.0, 0.3, 0.999])
def test_the_crossing_is_found_where_a_root_finder_finds_it(origin):
    harmonics = np.array([0.3, 0.15, 0.09, 0.05]) * np.exp(1j * np.array([1.7, 1.4, 1.1, 0.9]))
    harmonics = harmonics * np.exp(-2j * np.pi * np.arange(1, 5) * origin)
    found = mean_of_rising_branch(harmonics[np.newaxis])[0]
    root = brentq(lambda phase: curve(harmonics, phase), found - 0.02, found + 0.02)
    assert found == pytest.approx(root % 1.0, abs=1e-4)
    assert curve(harmonics, found + 0.01) < curve(harmonics, found - 0.01)


@given(harmonics=curves(), n_points=st.integers(1, 70))
def test_a_grid_of_any_size_holds_the_curve(harmonics, n_points):
    expected = curve(harmonics, np.arange(n_points) / n_points)
    np.testing.assert_allclose(on_grid(harmonics[np.newaxis], n_points)[0], expected, atol=1e-12)


def test_no_curve_has_no_origin():
    assert np.isnan(maximum_of_first_harmonic(NAN)).all()
    assert np.isnan(mean_of_rising_branch(NAN)).all()
    assert mean_of_rising_branch(NAN[:0]).shape == (0,)
