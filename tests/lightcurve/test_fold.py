import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rrl_batch.lightcurve.fold import fold, maximum_light, shift

times = st.floats(0, 3000)
periods = st.floats(0.2, 1.0)


@given(time=st.lists(times, min_size=1, max_size=20), period=periods, epoch=times)
def test_phases_are_fractions_of_a_cycle(time, period, epoch):
    phase = fold(np.array(time), np.array([0, len(time)]), np.array([period]), np.array([epoch]))
    assert np.all((phase >= 0) & (phase < 1))
    turns = np.exp(2j * np.pi * (np.array(time) - epoch) / period)
    assert np.allclose(np.exp(2j * np.pi * phase), turns, atol=1e-7)


@given(time=times, period=periods, epoch=times, cycles=st.integers(-5000, 5000))
def test_whole_cycles_make_no_difference_but_for_the_rounding_of_times(time, period, epoch, cycles):
    moved = np.array([time, time + cycles * period])
    phase = fold(moved, np.array([0, 2]), np.array([period]), np.array([epoch]))
    distance = abs(phase[0] - phase[1])
    # of the product, the sum and both differences from the epoch
    rounding = sum(np.spacing(abs(t)) for t in (cycles * period, *moved, *(moved - epoch)))
    assert min(distance, 1 - distance) <= rounding / period + 2e-16


@given(
    time=st.lists(st.integers(0, 3000 << 20), min_size=1, max_size=20),
    period=st.integers(200_000, 1 << 20),
    epoch=st.integers(0, 3000 << 20),
    cycles=st.integers(-5000, 5000),
)
def test_whole_cycles_make_no_difference_at_all_where_times_are_exact(time, period, epoch, cycles):
    """In units of 2^-20 d, 0.08 s, floats hold all sums and products."""
    offsets, unit = np.array([0, len(time)]), 2.0**-20
    about = np.array([period * unit]), np.array([epoch * unit])
    moved = [(t + cycles * period) * unit for t in time]
    phase = fold(np.array(time) * unit, offsets, *about)
    assert np.array_equal(fold(np.array(moved), offsets, *about), phase)


def test_a_time_just_before_the_epoch_stays_below_one():
    phase = fold(np.array([-1e-300]), np.array([0, 1]), np.array([0.5]), np.array([0.0]))
    assert phase[0] == 0.0


@given(phase=st.lists(st.floats(0, 1, exclude_max=True), min_size=1), origin=st.floats(0, 1))
def test_shifted_phases_count_from_their_origin(phase, origin):
    offsets = np.array([0, len(phase), len(phase) + 1])
    both = np.array([*phase, 0.3])
    shifted = shift(both, offsets, np.array([origin, np.nan]))
    assert np.all((shifted >= 0) & (shifted < 1))
    turns = np.exp(2j * np.pi * (both[:-1] - origin))
    assert np.allclose(np.exp(2j * np.pi * shifted[:-1]), turns, atol=1e-9)
    assert shifted[-1] == 0.3  # without an origin, phases stay


def test_maximum_light_is_found_where_it_is_and_missing_where_there_is_no_curve():
    rng = np.random.default_rng(5)
    period, maximum = np.array([0.55, 0.55]), 0.2
    time = np.sort(rng.uniform(0, 1000, 60))
    mag = 15 - 0.4 * np.cos(2 * np.pi * (time - maximum) / 0.55) + rng.normal(0, 0.005, 60)
    found = maximum_light(
        np.concatenate([time, time[:3]]),
        np.concatenate([mag, mag[:3]]),
        np.array([0, 60, 63]),
        period,
    )
    assert abs(found[0] - maximum) < 0.02 * 0.55
    assert np.isnan(found[1])
