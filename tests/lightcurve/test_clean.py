import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rrl_batch.lightcurve.clean import clean

NUMBERS = st.one_of(
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.01]), st.floats(0.001, 30.0)
)
STAR = st.tuples(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), max_size=6), st.booleans())


def usable(time: float, mag: float, error: float, has_error: bool) -> bool:
    good_error = not has_error or (math.isfinite(error) and error > 0)
    return math.isfinite(time) and math.isfinite(mag) and good_error


@given(st.lists(STAR, max_size=6), st.sampled_from([np.float32, np.float64]))
def test_same_as_epoch_by_epoch(stars, dtype):
    epochs = [epoch for star, _ in stars for epoch in star]
    columns = np.array(epochs, dtype=dtype).reshape(-1, 3)
    offsets = np.cumsum([0, *(len(star) for star, _ in stars)])
    has_error = np.array([flag for _, flag in stars], dtype=bool)

    got = clean(columns[:, 0], columns[:, 1], columns[:, 2], offsets, has_error)

    assert got.offsets.dtype == np.int64
    assert got.num_rejected.dtype == np.int32
    assert len(got.offsets) == len(stars) + 1
    assert got.time.dtype == got.mag.dtype == got.mag_error.dtype == np.float64
    for i, (star, flag) in enumerate(stars):
        expected = [epoch for epoch in star if usable(*epoch, flag)]
        own = slice(got.offsets[i], got.offsets[i + 1])
        assert got.num_rejected[i] == len(star) - len(expected)
        np.testing.assert_array_equal(got.time[own], [dtype(epoch[0]) for epoch in expected])
        np.testing.assert_array_equal(got.mag[own], [dtype(epoch[1]) for epoch in expected])
        errors = [dtype(epoch[2]) if flag else math.nan for epoch in expected]
        np.testing.assert_array_equal(got.mag_error[own], errors)


def test_reads_read_only_buffers_and_leaves_them_alone():
    time, mag = np.array([1.0, np.nan, 3.0]), np.array([15.0, 15.1, 15.2])
    error = np.full(3, 0.01)
    for array in (time, mag, error):
        array.setflags(write=False)

    got = clean(time, mag, error, np.array([0, 3]), np.array([True]))

    assert got.time.tolist() == [1.0, 3.0]
    assert got.num_rejected.tolist() == [1]
