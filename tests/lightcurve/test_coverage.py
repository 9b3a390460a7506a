import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrl_batch.lightcurve.coverage import phase_gap

PHASES = st.lists(st.floats(0.0, 1.0, exclude_max=True), max_size=8)


def naive_gap(phases):
    if not phases:
        return np.nan
    ordered = sorted(phases)
    return max(np.diff([*ordered, ordered[0] + 1.0]))


@given(st.lists(PHASES, max_size=6))
def test_same_as_star_by_star(stars):
    phase = np.array([value for star in stars for value in star], dtype=np.float64)
    offsets = np.cumsum([0, *(len(star) for star in stars)])

    gap = phase_gap(phase, offsets)

    assert gap == pytest.approx([naive_gap(star) for star in stars], abs=1e-15, nan_ok=True)


def test_wraps_around_the_cycle():
    gap = phase_gap(np.array([0.9, 0.3, 0.4, 0.7, 0.7]), np.array([0, 3, 3, 4, 5]))

    assert gap == pytest.approx([0.5, np.nan, 1.0, 1.0], nan_ok=True)
