import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrl_batch.errors import UserError
from rrl_batch.training.folds import assign_folds, split_stopping_set, thin_out


@given(n=st.integers(10, 300), n_folds=st.integers(2, 5), seed=st.integers(0, 1000))
def test_every_star_is_held_out_once_and_folds_are_alike(n, n_folds, seed):
    feh = np.random.default_rng(seed).normal(-1.5, 0.4, n)
    folds = assign_folds(feh, n_folds, seed)
    sizes = np.bincount(folds, minlength=n_folds)
    assert sizes.sum() == n
    assert np.ptp(sizes) <= 1 + n // 20
    assert np.array_equal(folds, assign_folds(feh, n_folds, seed))


def test_folds_have_the_same_distribution():
    feh = np.random.default_rng(1).gamma(3.0, 0.3, 2000) - 2.5
    folds = assign_folds(feh, 5, 0)
    medians = [np.median(feh[folds == fold]) for fold in range(5)]
    assert np.ptp(medians) < 0.02  # a random split has a scatter of about 0.03


def test_too_few_stars_are_refused_with_the_remedy():
    with pytest.raises(UserError, match=r"9 labelled stars are too few for 5 folds"):
        assign_folds(np.linspace(-2, 0, 9), 5, 0)


@given(n=st.integers(5, 300), fraction=st.floats(0.02, 0.49), seed=st.integers(0, 1000))
def test_the_stopping_set_is_disjoint_from_the_training_set(n, fraction, seed):
    feh = np.random.default_rng(seed).normal(-1.5, 0.4, n)
    training, stopping = split_stopping_set(feh, fraction, seed)
    assert np.array_equal(np.sort(np.concatenate([training, stopping])), np.arange(n))
    assert len(stopping) == max(1, round(fraction * n))


def test_without_a_stopping_set_all_stars_are_learnt_from():
    training, stopping = split_stopping_set(np.linspace(-2, 0, 9), 0.0, 3)
    assert training.tolist() == list(range(9))
    assert stopping.tolist() == []


@given(n=st.integers(2, 300), fraction=st.floats(0.001, 1), seed=st.integers(0, 1000))
def test_a_part_of_the_stars_has_the_size_that_is_asked_for(n, fraction, seed):
    feh = np.random.default_rng(seed).normal(-1.5, 0.4, n)
    rows = thin_out(feh, fraction, seed)
    assert np.array_equal(np.unique(rows), rows)
    assert len(rows) == max(2, round(fraction * n))
    assert rows[-1] < n
    training, stopping = split_stopping_set(feh[rows], 0.15, seed)
    assert len(training) > 0
    assert len(stopping) > 0


def test_a_part_of_the_stars_has_their_distribution():
    feh = np.random.default_rng(1).gamma(3.0, 0.3, 2000) - 2.5
    deciles = np.quantile(feh, np.linspace(0.1, 0.9, 9))
    for seed in range(5):
        part = feh[thin_out(feh, 0.1, seed)]
        # of a random part, one decile in two is off by more than 0.02
        inside = np.searchsorted(np.sort(part), deciles) / len(part)
        np.testing.assert_allclose(inside, np.linspace(0.1, 0.9, 9), rtol=0, atol=0.006)


def test_labels_that_are_all_the_same_can_be_split_too():
    folds = assign_folds(np.full(20, -1.0), 5, 0)
    assert np.bincount(folds).tolist() == [4] * 5
