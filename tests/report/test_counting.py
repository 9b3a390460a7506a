"""Counts in bins add up, and give the medians of what was counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rrl_batch.report.counting import Bins, Counts, median, quantile

BINS = Bins(-3.0, 1.0, 200)
values = arrays.arrays(np.float64, st.integers(1, 60), elements=st.floats(-3, 1))


def counted(feh):
    counts = Counts(BINS.number)
    counts.add(BINS.cells(feh))
    return counts.table


@given(values, st.sampled_from([0.16, 0.5, 0.84]))
def test_a_quantile_is_within_a_bin_of_that_of_the_values(feh, part):
    found = quantile(counted(feh), BINS, part)
    expected = np.quantile(feh, part, method="inverted_cdf")
    assert abs(found - expected) <= BINS.width * (1 + 1e-9)


@given(values, values)
def test_pieces_add_up(some, others):
    both = counted(np.concatenate([some, others]))
    assert (counted(some) + counted(others) == both).all()


def test_no_value_is_counted_nowhere_and_one_far_out_at_the_end():
    cells = BINS.cells([np.nan, -np.inf, -99.0, 99.0, -3.0, 1.0])
    assert cells.tolist() == [-1, -1, 0, 199, 0, 199]
    counts = Counts(2, BINS.number)
    counts.add(1, cells)
    assert counts.table.sum(axis=1).tolist() == [0, 4]


def test_the_median_of_nothing_is_unknown():
    found = median(np.array([[0, 0, 0, 0], [0, 2, 0, 0]]), Bins(0.0, 4.0, 4))
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(1.5)
