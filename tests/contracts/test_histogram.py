"""Counts of stars in bins of [Fe/H]."""

import numpy as np

from rrl_batch.contracts.histogram import LOWEST, N_BINS, WIDTH, feh_histogram


def test_every_star_with_a_metallicity_is_counted_once_in_its_bin():
    feh = np.random.default_rng(1).normal(-1.4, 0.6, 1000)
    edges = LOWEST + WIDTH * np.arange(N_BINS + 1)
    expected, _ = np.histogram(feh.clip(edges[0], None), edges)
    assert feh_histogram([*feh, np.nan, np.nan]) == expected.tolist()


def test_what_lies_beyond_is_in_the_outermost_bins():
    counts = feh_histogram(np.array([-9.0, -3.51, 5.0], np.float32))
    assert (counts[0], counts[-1], sum(counts)) == (2, 1, 3)
    assert feh_histogram([]) == [0] * N_BINS
