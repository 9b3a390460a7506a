from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rrl_batch.lightcurve.sequences import PADDING, raw_sequences, smoothed_sequences


def naive_raw(phase, mag, offsets, period, n_points):
    """One star after the other, as the paper's description reads."""
    rows = np.full((len(period), n_points, 2), PADDING, np.float32)
    for star, (start, stop) in enumerate(pairwise(offsets)):
        epochs = sorted(zip(phase[start:stop], mag[start:stop], strict=True), key=lambda e: e[0])
        if len(epochs) > n_points:
            epochs = [epochs[i * len(epochs) // n_points] for i in range(n_points)]
        for step, (x, y) in enumerate(epochs):
            rows[star, step] = y, x * period[star]
    return rows


@given(
    counts=st.lists(st.integers(0, 15), min_size=1, max_size=6),
    n_points=st.integers(1, 10),
    seed=st.integers(0, 1000),
)
def test_raw_sequences_are_the_epochs_in_order_padded(counts, n_points, seed):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    phase, mag = rng.random(offsets[-1]), rng.normal(15, 1, offsets[-1])
    period = rng.uniform(0.3, 0.9, len(counts))
    found = raw_sequences(phase, mag, offsets, period, n_points)
    assert np.array_equal(found, naive_raw(phase, mag, offsets, period, n_points))


def test_smoothed_sequences_are_magnitude_and_phase_times_period():
    phase = np.tile(np.arange(8) / 8, (2, 1))
    mag = np.stack([15 + np.sin(2 * np.pi * phase[0]), np.full(8, np.nan)])
    period = np.array([0.5, 0.6])
    kept = smoothed_sequences(phase, mag, period, centred=False)
    centred = smoothed_sequences(phase, mag, period, centred=True)
    assert kept.dtype == np.float32
    assert np.array_equal(kept[0, :, 0], mag[0].astype(np.float32))
    assert np.allclose(centred[0, :, 0], np.sin(2 * np.pi * phase[0]), atol=1e-6)
    assert np.allclose(kept[:, :, 1], phase * period[:, None])
    assert np.isnan(kept[1, :, 0]).all()


def test_a_constant_added_to_the_magnitudes_changes_no_preprocessed_sequence():
    phase = np.tile(np.arange(16) / 16, (3, 1))
    mag = np.random.default_rng(0).normal(15, 0.3, (3, 16))
    original, moved = (
        smoothed_sequences(phase, m, np.full(3, 0.5), centred=True) for m in (mag, mag + 3.25)
    )
    assert np.allclose(original, moved, atol=1e-6)
