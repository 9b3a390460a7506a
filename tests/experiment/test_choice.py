"""The choice for a fold is made without it, and is the one of least error on the others."""

import json
from dataclasses import asdict
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrl_batch.experiment.choice import Stretch, choose

N_STARS, N_FOLDS = 60, 4
FOLD = np.arange(N_STARS) % N_FOLDS
CANDIDATES = {"a": ("a",), "b": ("b",), "mean": ("a", "b")}


@pytest.fixture
def feh():
    values = np.random.default_rng(0).normal(-1.5, 0.4, N_STARS)
    return pd.Series(values, index=1000 + np.arange(N_STARS))


def pairs_of(feh, cases, scatter, seed=1):
    """Predictions of the members of each pair of folds, for the stars of both."""
    rng = np.random.default_rng(seed)
    tables = []
    for case in cases:
        for pair in combinations(range(N_FOLDS), 2):
            rows = np.flatnonzero(np.isin(FOLD, pair))
            tables.append(
                pd.DataFrame(
                    {"case": case, "source_id": feh.index[rows], "fold": FOLD[rows],
                     "other": sum(pair) - FOLD[rows],
                     "predicted": feh.to_numpy()[rows] + rng.normal(0, scatter[case], len(rows))}
                )
            )  # fmt: skip
    return pd.concat(tables, ignore_index=True).sample(frac=1, random_state=seed)


def sides(values, centre):
    """Root mean square deviations below and above a centre; 0 counts for the other side."""
    deviations = [value - centre for value in values]
    return [
        np.sqrt(sum(d**2 for d in deviations if d * sign > 0) / len(deviations)) for sign in (-1, 1)
    ]


def test_the_choice_is_that_of_a_plain_computation(feh):
    pairs = pairs_of(feh, "ab", {"a": 0.2, "b": 0.21})
    choices = choose(CANDIDATES, pairs, feh)
    assert sorted(choices) == list(range(N_FOLDS))
    for scored, choice in choices.items():
        values = {}
        for name, cases in CANDIDATES.items():
            errors, predicted = [], []
            for star in feh.index[scored != FOLD]:
                found = [
                    row.predicted
                    for row in pairs.itertuples()
                    if (row.source_id, row.other) == (star, scored) and row.case in cases
                ]
                assert len(found) == len(cases)
                predicted.append(sum(found) / len(found))
                errors.append(predicted[-1] - feh[star])
            values[name] = np.sqrt(np.mean(np.square(errors))), predicted
        assert choice.rmse == pytest.approx({name: rmse for name, (rmse, _) in values.items()})
        assert choice.candidate == min(values, key=lambda name: values[name][0])
        stretched = choice.stretch(pd.Series(values[choice.candidate][1]))
        labels = feh[scored != FOLD]
        assert sides(stretched, labels.mean()) == pytest.approx(sides(labels, labels.mean()))
    assert {choice.candidate for choice in choices.values()} == {"mean"}


def with_a_winner_by_the_scored_fold(feh):
    """b is worse than a by a twentieth, but perfect on the stars of fold 0."""
    first = pairs_of(feh, "a", {"a": 0.1})
    label = feh[first["source_id"]].to_numpy()
    error = np.where(first["fold"] == 0, 0, 1.05 * (first["predicted"] - label))
    return pd.concat([first, first.assign(case="b", predicted=label + error)])


def test_what_wins_only_with_the_labels_of_the_scored_fold_is_not_chosen(feh):
    pairs = with_a_winner_by_the_scored_fold(feh)
    choices = choose({"a": ("a",), "b": ("b",)}, pairs, feh)
    assert [choices[scored].candidate for scored in range(N_FOLDS)] == ["a", "b", "b", "b"]
    spoilt = feh.where(FOLD != 0, feh + 5)
    assert choose({"a": ("a",), "b": ("b",)}, pairs, spoilt)[0] == choices[0]


def test_a_leak_would_be_seen(feh):
    """Plant one: count the scored fold's own stars among those that choose."""
    pairs = with_a_winner_by_the_scored_fold(feh)
    own = pairs["fold"].eq(0) & pairs["other"].eq(1)
    leaky = pairs.assign(other=pairs["other"].where(~own, 0))
    assert choose({"a": ("a",), "b": ("b",)}, leaky, feh)[0].candidate == "b"


def test_a_candidate_with_a_member_that_diverged_is_not_chosen(feh):
    pairs = pairs_of(feh, "ab", {"a": 0.1, "b": 0.2})
    lost = (pairs["case"] == "a") & (pairs["fold"] + pairs["other"] == 1)  # of folds 0 and 1
    pairs.loc[lost, "predicted"] = np.nan
    choices = choose(CANDIDATES, pairs, feh)
    assert [choices[scored].candidate for scored in range(N_FOLDS)] == ["b", "b", "a", "a"]
    assert choices[0].rmse["a"] is choices[0].rmse["mean"] is None
    json.dumps([asdict(choice) for choice in choices.values()], allow_nan=False)


def test_a_fold_for_which_every_candidate_diverged_has_no_choice(feh):
    pairs = pairs_of(feh, "ab", {"a": 0.1, "b": 0.2})
    pairs.loc[pairs["fold"] + pairs["other"] == 1, "predicted"] = np.nan
    assert sorted(choose(CANDIDATES, pairs, feh)) == [2, 3]


@given(st.integers(0, 10_000), st.integers(2, 50), st.floats(0.1, 3), st.floats(-3, 3))
def test_stretched_predictions_spread_as_the_labels_do_on_either_side(seed, n, spread, offset):
    predicted, label = np.random.default_rng(seed).normal(size=(2, n))
    values = Stretch.of(predicted, label)(pd.Series(predicted))
    expected = sides(label, label.mean())
    assert sides(values, label.mean()) == pytest.approx(expected, abs=1e-9)
    # the order stays, and predictions that are stretched already are not changed
    assert np.array_equal(np.argsort(values), np.argsort(predicted))
    again = Stretch.of(spread * predicted + offset, label)
    np.testing.assert_allclose(again(pd.Series(spread * predicted + offset)), values, atol=1e-8)


def test_predictions_that_lag_at_one_end_are_stretched_there():
    """Labels with a tail; predictions that follow it but half of the way."""
    label = np.concatenate([np.linspace(-2, -1, 90), np.linspace(-1, 0.5, 10)])
    predicted = np.where(label < -1, label, -1 + 0.5 * (label + 1))
    stretch = Stretch.of(predicted, label)
    assert stretch.above > 1.3
    assert stretch.below < 1.1
    values = stretch(pd.Series(predicted))
    assert abs(values[99] - label[99]) < 0.5 * abs(predicted[99] - label[99])
