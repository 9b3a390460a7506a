"""Folds are drawn or given, and it is said what cannot be learnt or judged with them."""

import logging

import numpy as np
import pandas as pd
import pytest
from helpers import curve_errors

from rrl_batch.errors import UserError
from rrl_batch.lightcurve.prepare import PreparedStars
from rrl_batch.training.fit import FOLDS_FILE
from rrl_batch.training.folds import assign_folds
from rrl_batch.training.selection import Selection
from rrl_batch.training.shards import write_shard
from rrl_batch.training.start import assign_training_folds, store_labels

N_STARS = 40
SELECTION = Selection(("RRab",), "num_epochs_used >= 50 and phi31_error <= 0.1")


@pytest.fixture
def labels():
    feh = np.random.default_rng(0).uniform(-1.9, -0.6, N_STARS)
    return pd.DataFrame({"source_id": np.arange(N_STARS), "feh": feh, "feh_error": np.nan})


def training_set(root, labels, without=()):
    """Write a training set of all labelled stars but some, as if their curves were poor."""
    store_labels(root, labels)
    table = pd.DataFrame(
        {"source_id": np.arange(N_STARS), "best_classification": "RRab", "period": 0.55,
         "num_epochs_used": 60, "phi31": 2.0, "phi31_error": 0.05, "amplitude": 0.8,
         "mean_mag": 15.0, "max_phase_gap": 0.1}
    )  # fmt: skip
    table.loc[list(without), "num_epochs_used"] = 10
    sequences, shape = np.zeros((N_STARS, 8, 2), "f4"), np.zeros((N_STARS, 16), "f4")
    stars = PreparedStars(table, sequences, shape, curve_errors(N_STARS))
    return [write_shard([stars], 0, root, SELECTION, "m")]


def folds_of(root):
    return pd.read_parquet(root / FOLDS_FILE).set_index("source_id")


def test_each_repeat_divides_the_stars_otherwise(labels, tmp_path):
    receipts = training_set(tmp_path, labels)
    assert assign_training_folds({tmp_path: receipts}, labels, 4, 3, 7) == 4
    folds = folds_of(tmp_path)
    assert list(folds) == ["fold_0", "fold_1", "fold_2"]
    for repeat in range(3):
        expected = assign_folds(labels["feh"].to_numpy(), 4, 7 + repeat)
        assert folds[f"fold_{repeat}"].tolist() == expected.tolist()
    assert not folds["fold_0"].equals(folds["fold_1"])


def test_training_sets_of_an_experiment_share_their_stars_and_folds(labels, tmp_path):
    sets = {
        tmp_path / "a": training_set(tmp_path / "a", labels, without=[3]),
        tmp_path / "b": training_set(tmp_path / "b", labels, without=[3, 5, 8]),
    }
    assign_training_folds(sets, labels, 2, 1, 0)
    first, second = (folds_of(root) for root in sets)
    assert first.equals(second)
    assert set(first.index) == set(range(N_STARS)) - {3, 5, 8}


def test_folds_that_are_given_are_kept_whatever_their_numbers(labels, tmp_path):
    labels = labels.assign(fold=np.array([7, 2, 11])[np.arange(N_STARS) % 3])
    receipts = training_set(tmp_path, labels, without=[0])
    shuffled = labels.sample(frac=1, random_state=1)
    assert assign_training_folds({tmp_path: receipts}, shuffled, 5, 2, 0) == 3
    folds = folds_of(tmp_path)
    expected = np.array([1, 0, 2])[np.arange(1, N_STARS) % 3]
    assert folds["fold_0"].tolist() == folds["fold_1"].tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("fold", "sentence"),
    [
        (lambda i: None if i == 5 else i % 3, "Star 5 has a label but no fold; give each labelled"),
        (lambda _: 3, "Folds that are given must be two or more, of two stars or more each."),
        (lambda i: int(i == 0), "Folds that are given must be two or more, of two stars or more"),
    ],
    ids=["no fold", "one fold", "a fold of one star"],
)
def test_given_folds_that_do_not_divide_the_stars_are_refused(fold, sentence, labels, tmp_path):
    labels = labels.assign(fold=pd.array([fold(i) for i in range(N_STARS)], "Int32"))
    receipts = training_set(tmp_path, labels, without=[7])
    with pytest.raises(UserError) as refusal:
        assign_training_folds({tmp_path: receipts}, labels, 5, 1, 0)
    assert sentence in str(refusal.value)
    assert "num_epochs_used >= 50 left out 1;" in str(refusal.value)


def test_folds_without_a_tail_of_the_metallicities_are_named(labels, tmp_path, caplog):
    third = np.arange(N_STARS) % 3
    feh = labels["feh"].to_numpy().copy()
    feh[third == 1] = -1.2
    feh[[0, 2]], feh[[3, 4]] = -0.2, -2.4
    labels = labels.assign(feh=feh, fold=third)
    receipts = training_set(tmp_path, labels)
    with caplog.at_level(logging.WARNING):
        assign_training_folds({tmp_path: receipts}, labels, 5, 2, 0)
    poor, rich = caplog.messages
    assert poor.startswith("Folds 2 have no star with [Fe/H] < -2:")
    assert rich.startswith("Folds 1 have no star with [Fe/H] > -0.5:")
    assert "use fewer folds, or draw them" in poor


def test_where_no_fold_has_a_tail_there_is_nothing_to_say(labels, tmp_path, caplog):
    receipts = training_set(tmp_path, labels)
    assign_training_folds({tmp_path: receipts}, labels, 2, 1, 0)
    assert caplog.messages == []
