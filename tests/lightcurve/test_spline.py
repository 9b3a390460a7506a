from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from rrl_batch.lightcurve.spline import MERGE_WITHIN, SmoothedCurves, smooth

METHODS = ("robust", "scipy")
N_POINTS = 50
# Rounding moves the minimum that a search finds within its precision, and with it the curve.
SEARCH_ATOL = 1e-4

seeds = st.integers(0, 2**32 - 1)
methods = st.sampled_from(METHODS)


def sawtooth(phase):
    """Return the steep rise and slow decline of an RRab star, in mag."""
    harmonics = np.arange(1, 5)
    return 17.0 + np.sin(2 * np.pi * harmonics * (phase[..., None] + 0.02)) @ (0.35 / harmonics)


def draw_star(rng, n_epochs, noise=0.03):
    phase = rng.random(n_epochs)
    return phase, sawtooth(phase) + rng.normal(0.0, noise, n_epochs)


def draw_batch(rng, lengths):
    stars = [draw_star(rng, n) for n in lengths]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return np.concatenate([p for p, _ in stars]), np.concatenate([m for _, m in stars]), offsets


def smooth_star(phase, mag, method="robust", n_points=N_POINTS) -> SmoothedCurves:
    return smooth(phase, mag, np.array([0, len(phase)]), n_points, method)


def periodic_fit(phase, mag, smoothing, points):
    """Fit a periodic smoothing spline to distinct phases by dense algebra; return it and its GCV.

    The basis is the values at the knots: continuity of the first derivative around the cycle gives
    the second derivatives, and with them the roughness as a quadratic form of the values.
    """
    order = np.argsort(phase)
    x, y = phase[order], mag[order]
    n = len(x)
    h = np.diff(x, append=x[0] + 1.0)
    shift = np.roll(np.eye(n), -1, axis=0)  # picks the value at the next knot
    slopes = (shift - np.eye(n)) / h[:, None]
    gram = np.diag((h + np.roll(h, 1)) / 3) + np.diag(h) @ shift / 6 + (np.diag(h) @ shift).T / 6
    jumps = slopes - np.roll(slopes, 1, axis=0)
    curvature_of_values = np.linalg.solve(gram, jumps)
    hat = np.linalg.inv(np.eye(n) + smoothing * jumps.T @ curvature_of_values)
    fitted = hat @ y
    curvature = curvature_of_values @ fitted
    gcv = n * np.sum((y - fitted) ** 2) / (n - np.trace(hat)) ** 2
    place = np.searchsorted(x, points, side="right") - 1
    after = (place + 1) % n
    right = ((points - x[place]) % 1.0) / h[place]
    left = 1.0 - right
    bend = (left**3 - left) * curvature[place] + (right**3 - right) * curvature[after]
    return left * fitted[place] + right * fitted[after] + bend * h[place] ** 2 / 6, gcv


@settings(max_examples=40)
@given(seeds, st.integers(5, 90), st.sampled_from([0.001, 0.03, 0.3]))
def test_robust_is_the_periodic_smoothing_spline(seed, n_epochs, noise):
    rng = np.random.default_rng(seed)
    phase = (rng.choice(1000, n_epochs, replace=False) + rng.random()) / 1000
    mag = sawtooth(phase) + rng.normal(0.0, noise, n_epochs)
    curve = smooth_star(phase, mag)
    expected, gcv = periodic_fit(phase, mag, curve.smoothing[0], curve.phase[0])
    assert_allclose(curve.mag[0], expected, rtol=0, atol=1e-5)
    assert_allclose(curve.gcv[0], gcv, rtol=1e-4)


@pytest.mark.parametrize("n_epochs", [8, 12, 25, 40, 60])
@pytest.mark.parametrize("noise", [0.01, 0.1, 1.0])
def test_robust_takes_the_lowest_criterion_between_floor_and_ceiling(n_epochs, noise):
    phase, mag = draw_star(np.random.default_rng(n_epochs), n_epochs, noise)
    chosen = smooth_star(phase, mag)
    floor = n_epochs / (20 * np.pi) ** 4
    assert floor * 0.999 <= chosen.smoothing[0] <= n_epochs * 1.001
    criteria = [
        periodic_fit(phase, mag, smoothing, chosen.phase[0])[1]
        for smoothing in np.geomspace(floor, n_epochs, 100)
    ]
    assert chosen.gcv[0] <= min(criteria) * (1 + 1e-3)


@settings(max_examples=30)
@given(seeds, methods, st.floats(-30, 30))
def test_a_constant_added_shifts_the_curve(seed, method, constant):
    phase, mag = draw_star(np.random.default_rng(seed), 35)
    curve = smooth_star(phase, mag, method)
    shifted = smooth_star(phase, mag + constant, method)
    assert_allclose(shifted.mag, curve.mag + constant, rtol=0, atol=SEARCH_ATOL)


@settings(max_examples=30)
@given(seeds, methods, st.floats(0.01, 100))
def test_scaled_magnitudes_scale_the_curve(seed, method, scale):
    phase, mag = draw_star(np.random.default_rng(seed), 35)
    curve = smooth_star(phase, mag, method)
    scaled = smooth_star(phase, mag * scale, method)
    assert_allclose(scaled.mag, curve.mag * scale, rtol=0, atol=SEARCH_ATOL * scale)


@settings(max_examples=30)
@given(seeds, methods)
def test_the_order_of_epochs_is_irrelevant(seed, method):
    rng = np.random.default_rng(seed)
    phase, mag = draw_star(rng, 40)
    phase[:4] = phase[4:8]
    order = rng.permutation(40)
    assert_allclose(
        smooth_star(phase[order], mag[order], method).mag,
        smooth_star(phase, mag, method).mag,
        rtol=0,
        atol=SEARCH_ATOL,
    )


@settings(max_examples=30)
@given(seeds, st.integers(1, N_POINTS - 1))
def test_robust_turns_with_the_phases(seed, steps):
    phase, mag = draw_star(np.random.default_rng(seed), 40)
    turned = smooth_star((phase + steps / N_POINTS) % 1.0, mag)
    expected = np.roll(smooth_star(phase, mag).mag[0], steps)
    assert_allclose(turned.mag[0], expected, rtol=0, atol=SEARCH_ATOL)


@settings(max_examples=30)
@given(
    seeds,
    methods,
    st.lists(st.integers(0, 30), min_size=1, max_size=150),
    st.lists(st.integers(0, 150), max_size=4),
)
def test_any_partition_gives_the_same_curves(seed, method, lengths, cuts):
    phase, mag, offsets = draw_batch(np.random.default_rng(seed), lengths)
    whole = smooth(phase, mag, offsets, N_POINTS, method)
    edges = [0, *sorted(min(cut, len(lengths)) for cut in cuts), len(lengths)]
    parts = []
    for low, high in pairwise(edges):
        epochs = slice(offsets[low], offsets[high])
        own = offsets[low : high + 1] - offsets[low]
        parts.append(smooth(phase[epochs], mag[epochs], own, N_POINTS, method))
    for field, pieces in zip(whole, zip(*parts, strict=True), strict=True):
        assert_array_equal(field, np.concatenate(pieces))


@settings(max_examples=200)
@given(
    methods,
    st.lists(
        st.tuples(st.integers(0, 999), st.sampled_from([0.0, 1e-9, 1e-7, 2e-6, 1e-4])),
        min_size=5,
        max_size=60,
        unique_by=lambda epoch: epoch[0],
    ),
    st.sampled_from([1.0, 0.1]),
    st.data(),
)
def test_any_clean_star_of_five_phases_gets_a_finite_curve(method, epochs, width, data):
    base = np.array([place for place, _ in epochs]) / 1000 * width
    phase = np.concatenate([base, base + [gap for _, gap in epochs]])
    magnitudes = st.floats(-1e3, 1e3) | st.sampled_from([12.0, 21.0])
    mag = np.array(data.draw(st.lists(magnitudes, min_size=len(phase), max_size=len(phase))))
    curve = smooth_star(phase, mag, method)
    assert all(np.isfinite(field).all() for field in curve)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_epochs", [25, 40, 137])
def test_a_sine_without_noise_is_recovered(method, n_epochs):
    phase = np.random.default_rng(1).permutation((np.arange(n_epochs) + 0.3) / n_epochs)
    curve = smooth_star(phase, 16.0 + 0.4 * np.sin(2 * np.pi * phase), method)
    assert_allclose(curve.mag, 16.0 + 0.4 * np.sin(2 * np.pi * curve.phase), rtol=0, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_equal_phases_are_the_limit_of_close_ones(method):
    rng = np.random.default_rng(5)
    phase, mag = draw_star(rng, 30)
    doubled = np.concatenate([mag, mag + rng.normal(0, 0.05, 30)])
    tied = smooth_star(np.concatenate([phase, phase]), doubled, method)
    close = smooth_star(np.concatenate([phase, phase + 3 * MERGE_WITHIN]), doubled, method)
    assert_allclose(tied.mag, close.mag, rtol=0, atol=1e-4)
    assert_allclose(tied.gcv, close.gcv, rtol=1e-2)


def test_grids_of_the_two_methods():
    phase, mag = draw_star(np.random.default_rng(2), 20)
    assert_array_equal(smooth_star(phase, mag).phase[0], np.arange(N_POINTS) / N_POINTS)
    assert_allclose(
        smooth_star(phase, mag, "scipy").phase[0],
        np.linspace(phase.min(), phase.max(), N_POINTS),
        rtol=1e-15,
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_star_of_four_phases_gets_nan_and_its_neighbours_a_curve(method):
    rng = np.random.default_rng(3)
    few, mags = draw_star(rng, 4)
    good, good_mag = draw_star(rng, 20)
    phase = np.concatenate([good, few, few, few, good])
    mag = np.concatenate([good_mag, mags, mags, mags, good_mag])
    curves = smooth(phase, mag, np.array([0, 20, 32, 32, 52]), N_POINTS, method)
    assert_array_equal(np.isnan(curves.mag).all(axis=1), [False, True, True, False])
    assert_array_equal(np.isnan(curves.smoothing), [False, True, True, False])
    assert_array_equal(np.isnan(curves.gcv), [False, True, True, False])
    assert_array_equal(curves.mag[0], curves.mag[3])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("field", [0, 1])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_star_that_is_not_finite_gets_nan_and_its_neighbours_a_curve(method, field, value):
    star = draw_star(np.random.default_rng(6), 20)
    bad = (star[0].copy(), star[1].copy())
    bad[field][7] = value
    phase, mag = np.concatenate([bad, star], axis=1)
    curves = smooth(phase, mag, np.array([0, 20, 40]), N_POINTS, method)
    assert np.isnan([curves.smoothing[0], curves.gcv[0], *curves.mag[0]]).all()
    assert_array_equal(curves.mag[1], smooth_star(*star, method).mag[0])


def test_float32_and_read_only_input():
    phase, mag = draw_star(np.random.default_rng(4), 25)
    mag = mag.astype(np.float32)
    expected = smooth_star(phase, mag.astype(np.float64)).mag
    phase.setflags(write=False)
    mag.setflags(write=False)
    assert_array_equal(smooth_star(phase, mag).mag, expected)


def test_no_stars():
    curves = smooth(np.empty(0), np.empty(0), np.zeros(1, dtype=np.int64), N_POINTS)
    assert curves.mag.shape == (0, N_POINTS)


@pytest.mark.parametrize("offsets", [[0, 9], [1, 10], [0, 7, 5, 10], [0, 12]])
def test_offsets_that_do_not_fit_are_refused(offsets):
    phase, mag = draw_star(np.random.default_rng(0), 10)
    with pytest.raises(ValueError, match="offsets must rise"):
        smooth(phase, mag, np.array(offsets, dtype=np.int64), N_POINTS)


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="'cubic'"):
        smooth_star(*draw_star(np.random.default_rng(0), 10), method="cubic")
