"""A search on a real cluster: what becomes of its trials, and how it goes on where it was."""

import json

import numpy as np
import pytest

from rrl_batch import experiments
from rrl_batch.errors import RunError
from rrl_batch.experiment.write import FITS
from rrl_batch.job import make_job
from rrl_batch.sources.tables import read_labels
from rrl_batch.survey.read import open_survey

pytest.importorskip("optuna")

FOLDS = 3
GOOD, BAD = (1.0, 0.9), (0.1, 0.08)


@pytest.fixture(scope="module")
def labels(run):
    return read_labels(run.labels, "true")


def job_of(run, architecture, **section):
    """Return the job of a search."""
    training = run.job.training.model_dump() | {"folds": FOLDS, "epochs": 1}
    content = {"preprocess": {"points": 8}, "training": training}
    return make_job(
        content | {"model": {"architecture": architecture}, "search": section}, "test"
    )  # fmt: skip


def trials(out):
    return json.loads((out / "trials.json").read_text())


def fits(out):
    """Return the records of all fitted members, with the times at which they were written."""
    return {path: path.stat().st_mtime_ns for path in out.glob(f"{FITS}/*/*.json")}


def test_the_fold_that_scores_a_search_is_seen_by_no_trial(client, run, labels, tmp_path):
    """Also where trials diverge; and the same search again fits nothing."""
    space = {"training.learning_rate": [0.01, 1e30], "training.fraction": [0.5, 1.0]}
    job, out = job_of(run, "mlp", method="grid", prune=False, space=space), tmp_path / "search"
    found = experiments.search(client, open_survey(run.survey), labels, out, job)
    assert found.trials == 4
    assert found.settings["training.learning_rate"] == 0.01
    assert sorted(t["state"] for t in trials(out)) == ["complete"] * 2 + ["diverged"] * 2
    complete = [trial for trial in trials(out) if trial["state"] == "complete"]
    assert found.inner_rmse == min(np.mean(trial["rmse"]) for trial in complete)
    held_out = [path.name.partition(".")[0] for path in fits(out)]
    assert set(held_out) == {"mlp_0_0", "mlp_0_0_1", "mlp_0_0_2"}
    assert held_out.count("mlp_0_0") == (1 if found.settings["training.fraction"] == 1 else 2)
    before = fits(out)
    assert experiments.search(client, open_survey(run.survey), labels, out, job) == found
    assert fits(out) == before


def test_a_search_goes_on_and_gives_up_trials_that_are_behind(
    client, run, labels, tmp_path, caplog
):
    space = {"training.fraction": [*GOOD, *BAD]}  # a grid is taken in its order
    survey, out = open_survey(run.survey), tmp_path / "search"

    def search(n_trials):
        job = job_of(run, "ridge", method="grid", trials=n_trials, space=space)
        return experiments.search(client, survey, labels, out, job)

    found = search(2)
    first = trials(out)
    assert {trial["settings"]["training.fraction"] for trial in first} == set(GOOD)
    assert [(trial["state"], len(trial["rmse"])) for trial in first] == [("complete", 2)] * 2

    # as after a crash: the second is not recorded, and nothing has been found
    (out / "trials.json").write_text(json.dumps(first[:1]))
    (out / "search.json").unlink()
    before = fits(out)
    assert search(2) == found
    assert trials(out) == first
    assert fits(out) == before

    assert search(4).settings == found.settings
    assert trials(out)[:2] == first
    late = trials(out)[2:]
    assert {trial["settings"]["training.fraction"] for trial in late} == set(BAD)
    assert [(trial["state"], len(trial["rmse"])) for trial in late] == [("pruned", 1)] * 2
    assert caplog.text.count("in 1 of 2 folds, pruned") == 2
    assert search(60).trials == 4  # a grid ends when it is done


def test_a_search_all_of_whose_trials_diverge_says_so(client, run, labels, tmp_path):
    job = job_of(run, "mlp", trials=1, space={"training.learning_rate": [1e30]})
    with pytest.raises(RunError, match=r"None of 1 trials was completed; see .*trials\.json: give"):
        experiments.search(client, open_survey(run.survey), labels, tmp_path / "search", job)
    assert [trial["state"] for trial in trials(tmp_path / "search")] == ["diverged"]
