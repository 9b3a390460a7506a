"""What a search tries next, and which trials are worth another fold; without any fit."""

import json

import pytest

from rrl_batch.training.search import Search

pytest.importorskip("optuna")

SPACE = {"training.learning_rate": [0.001, 0.01, 0.1], "training.batch_size": [32, 64]}


def searched(path, method="tpe", n_trials=40, *, prune=True, seed=0, space=SPACE):
    return Search(path / "trials.json", space, method, n_trials, prune, seed)


def error(settings):
    """An error that is least at the middle learning rate, and a little less in small batches."""
    rate, size = (settings[name] for name in SPACE)
    return 0.2 + 0.1 * (rate != 0.01) + 0.001 * size


def run(search, n=None):
    """Make trials to their end; return the settings of each."""
    made = []
    while (n is None or len(made) < n) and (trial := search.ask()):
        made.append(search.end(trial, [error(trial.params)] * 2, "complete").settings)
    return made


def test_a_grid_is_every_combination_once_and_ends(tmp_path):
    search = searched(tmp_path, "grid")
    made = run(search)
    assert len(made) == 6
    assert {tuple(settings.values()) for settings in made} == {
        (rate, size) for rate in SPACE["training.learning_rate"] for size in (32, 64)
    }
    assert search.best().settings == {"training.learning_rate": 0.01, "training.batch_size": 32}
    assert searched(tmp_path, "grid").ask() is None


def test_a_search_that_was_stopped_makes_what_is_missing(tmp_path):
    before = run(searched(tmp_path, "grid"), 4)
    rest = searched(tmp_path, "grid")
    assert [trial.settings for trial in rest.trials] == before
    after = run(rest)
    assert len(after) == 2
    assert not [settings for settings in after if settings in before]
    assert len(json.loads((tmp_path / "trials.json").read_text())) == 6


def test_trials_are_as_many_as_asked_for_those_of_before_included(tmp_path):
    assert len(run(searched(tmp_path, n_trials=5))) == 5
    assert len(run(searched(tmp_path, n_trials=12))) == 7
    assert run(searched(tmp_path, n_trials=12)) == []


def test_the_sampler_learns_from_trials_also_from_those_of_before(tmp_path):
    """It draws at random at first, so that a third of the trials have the best learning rate."""
    space = SPACE | {"model.dropout": [0.1, 0.2, 0.4, 0.6]}
    run(searched(tmp_path, n_trials=16, space=space))
    later = run(searched(tmp_path, n_trials=40, space=space))
    assert len(later) == 24
    assert sum(settings["training.learning_rate"] == 0.01 for settings in later) > 12


@pytest.mark.parametrize("stopped", [False, True], ids=["at once", "after a stop"])
def test_a_trial_goes_on_while_it_is_among_the_better_half(tmp_path, stopped):
    search = searched(tmp_path)
    for rmse in ([0.20, 0.21], [0.22, 0.23], [0.26, 0.27]):
        trial = search.ask()
        assert search.goes_on(trial, rmse[:1]) or len(search.trials) >= 2
        search.end(trial, rmse, "complete")
    if stopped:
        search = searched(tmp_path)
    good, bad = search.ask(), search.ask()
    assert search.goes_on(good, [0.21])
    assert not search.goes_on(bad, [0.23])
    assert search.end(bad, [0.23], "pruned").state == "pruned"
    assert search.best().rmse == [0.20, 0.21]


def test_without_pruning_every_trial_goes_on(tmp_path):
    search = searched(tmp_path, prune=False)
    for rmse in (0.2, 0.2, 0.2):
        search.end(search.ask(), [rmse, rmse], "complete")
    assert search.goes_on(search.ask(), [9.9])


def test_a_trial_that_diverged_is_kept_and_never_the_best(tmp_path):
    search = searched(tmp_path)
    ended = search.end(search.ask(), [], "diverged")
    assert search.best() is None
    again = searched(tmp_path)
    assert again.trials == [ended]
    assert again.best() is None
    run(again, 1)
    assert again.best().state == "complete"
