"""Addressed random numbers: distribution, independence and indifference to order."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rrl_batch.sources.synthetic import draws
from rrl_batch.sources.synthetic.draws import Stream

STAR = np.repeat(np.arange(2_000, dtype=np.int64) << 35, 50)
COUNTER = np.tile(np.arange(50, dtype=np.int64), 2_000)


def test_numbers_are_uniform_and_normal() -> None:
    assert stats.kstest(draws.uniform(3, Stream.NOISE, STAR, COUNTER), "uniform").pvalue > 1e-3
    assert stats.kstest(draws.normal(3, Stream.NOISE, STAR, COUNTER), "norm").pvalue > 1e-3


def test_neighbours_in_every_part_of_the_address_are_uncorrelated() -> None:
    reference = draws.normal(3, Stream.NOISE, STAR, COUNTER)
    others = (
        draws.normal(4, Stream.NOISE, STAR, COUNTER),
        draws.normal(3, Stream.OUTLIER, STAR, COUNTER),
        draws.normal(3, Stream.NOISE, STAR + 2, COUNTER),
        draws.normal(3, Stream.NOISE, STAR, COUNTER + 1),
    )
    for other in others:
        assert abs(np.corrcoef(reference, other)[0, 1]) < 5.0 / np.sqrt(len(STAR))


@given(seed=st.integers(0, 2**63), order=st.permutations(range(30)))
def test_order_does_not_change_a_number(seed: int, order: list[int]) -> None:
    star, counter = STAR[:: len(STAR) // 30][:30], COUNTER[:30]
    np.testing.assert_array_equal(
        draws.uniform(seed, Stream.NOISE, star, counter)[order],
        draws.uniform(seed, Stream.NOISE, star[order], counter[order]),
    )
