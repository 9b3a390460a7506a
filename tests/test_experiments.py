"""Experiments on a real cluster: the same stars and folds for all cases, nothing fitted twice."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from rrl_batch import experiments
from rrl_batch.errors import UserError
from rrl_batch.experiment.folder import read_experiment
from rrl_batch.experiment.write import CHOSEN, FITS, STRETCHED
from rrl_batch.job import make_job
from rrl_batch.sources.tables import read_labels
from rrl_batch.survey.read import open_survey

FOLDS = 3
SMALL = "num_epochs_used >= 12 and amplitude <= 0.9 and phi31_error <= 1.0"
CASES = {
    "linear": {"model.architecture": "linear"},
    "svr": {"model.architecture": "svr"},
    "ridge": {"model.architecture": "ridge"},
    "ridge again": {"model.architecture": "ridge"},
    "mlp": {"model.architecture": "mlp", "training.select": SMALL},
    "wild": {"model.architecture": "mlp", "training.learning_rate": 1e30},
}
NESTED = ("svr", "ridge", "wild")


def job_of(run, **experiment):
    """Return the job of an experiment."""
    training = run.job.training.model_dump() | {"folds": FOLDS, "repeats": 2, "epochs": 2}
    section = {
        "cases": CASES, "reference": "mlp", "blends": {"both": ["svr", "ridge"]},
        "choose_from": ["wild", "both", "ridge"],
    }  # fmt: skip
    content = {"preprocess": {"points": 8}, "training": training}
    return make_job(content | {"experiment": section | experiment}, "test")


@pytest.fixture(scope="module")
def labels(run):
    found = read_labels(run.labels, "true")
    return found.assign(rival=found["feh"] + 0.1)


@pytest.fixture(scope="module")
def folder(client, run, labels, tmp_path_factory):
    """What an experiment has left behind."""
    out = tmp_path_factory.mktemp("experiments") / "kinds"
    job = job_of(run).model_copy(update={"labels": make_job(
        {"labels": {"rival": "other work"}}, "test").labels})  # fmt: skip
    page = experiments.compare(client, open_survey(run.survey), labels, out, job)
    assert page.parent == out
    return out


@pytest.fixture(scope="module")
def experiment(folder):
    return read_experiment(folder)


def fits(folder):
    """Return the records of all fitted members, with the times at which they were written."""
    return {path: path.stat().st_mtime_ns for path in folder.glob(f"{FITS}/*/*.json")}


def test_every_case_predicts_the_same_stars_in_the_same_folds(experiment):
    rows, stars = experiment.out_of_fold, experiment.stars
    assert list(experiment.about.cases) == [*CASES, "both", CHOSEN, STRETCHED]
    assert len(stars) > 50
    division = {}
    for case, some in rows.groupby("case", observed=True):
        assert sorted(some["repeat"].unique()) == [0, 1], case
        for repeat, one in some.groupby("repeat"):
            folds = one.set_index("source_id")["fold"].sort_index()
            assert set(folds.index) == set(stars["source_id"])
            assert folds.is_unique is False
            assert division.setdefault(repeat, folds).equals(folds)
    assert not division[0].equals(division[1])


def test_what_each_selection_has_removed_is_kept(experiment):
    others, mlp = experiment.about.selected
    assert mlp.cases == ("mlp",)
    assert others.cases == tuple(name for name in CASES if name != "mlp")
    assert [str(c.cut) for c in mlp.stars.cuts][-3:] == SMALL.split(" and ")
    for selected in (others, mlp):
        stars = selected.stars
        assert stars.trained_on + sum(c.removed for c in stars.cuts) == stars.labels
    assert len(experiment.stars) == mlp.stars.trained_on < others.stars.trained_on


def test_stars_are_those_that_every_case_selects(experiment):
    assert experiment.stars["amplitude"].between(0.7, 0.9).any()
    assert experiment.stars["amplitude"].max() <= 0.9
    np.testing.assert_allclose(experiment.stars["rival"], experiment.stars["feh"] + 0.1)
    assert experiment.about.rival == "other work"
    assert experiment.about.synthetic
    assert (experiment.about.folds, experiment.about.repeats) == (FOLDS, 2)


def test_predictions_are_those_of_the_members_that_have_not_seen_the_star(experiment, folder):
    rows = experiment.out_of_fold
    for case in ("svr", "linear", "mlp"):
        kind = CASES[case]["model.architecture"]
        records = folder.glob(f"{FITS}/*/{kind}_0_1.*.json")
        (fitted,) = [p for p in records if not json.loads(p.read_text())["failure"]]
        member = pd.read_parquet(fitted.with_suffix(".parquet"))
        member = member[member["part"] == "held_out"].set_index("source_id")
        assert (member["fold"] == 1).all()
        ours = rows[rows["case"].eq(case) & rows["repeat"].eq(0) & rows["fold"].eq(1)]
        ours = ours.set_index("source_id")["predicted"]
        assert ours.sort_index().equals(member["predicted"].sort_index())
        assert ours.notna().all()


def test_stars_are_fitted_by_all_members_of_a_repeat_that_have_learnt_from_them(experiment, folder):
    rows = experiment.out_of_fold
    ours = rows[rows["case"].eq("svr") & rows["repeat"].eq(1)].set_index("source_id")
    (fitted,) = {path.parent for path in folder.glob(f"{FITS}/*/svr_1_0.*.json")}
    total = pd.Series(0.0, ours.index)
    for fold in range(FOLDS):
        (path,) = fitted.glob(f"svr_1_{fold}.*.parquet")
        member = pd.read_parquet(path).set_index("source_id")
        total += member["predicted"].where(member["part"] != "held_out", 0.0)[ours.index]
    np.testing.assert_allclose(ours["fitted"], total / (FOLDS - 1))
    assert not np.allclose(ours["fitted"], ours["predicted"], atol=1e-3)


def test_a_blend_is_the_mean_of_its_cases(experiment):
    for column in ("predicted", "fitted"):
        wide = experiment.out_of_fold.pivot_table(
            column, ["source_id", "repeat"], "case", observed=False
        )
        np.testing.assert_allclose(wide["both"], (wide["svr"] + wide["ridge"]) / 2)
    assert experiment.about.cases["both"].architecture == ("svr", "ridge")


def test_a_case_that_diverges_is_recorded_and_the_others_are_reported(experiment, folder):
    wild = experiment.about.cases["wild"]
    assert [(repeat, fold) for repeat, fold, _ in wild.diverged] == [
        (repeat, fold) for repeat in (0, 1) for fold in range(FOLDS)
    ]
    assert all("set training.learning_rate below 1e+30" in why for *_, why in wild.diverged)
    rows = experiment.out_of_fold
    assert rows.loc[rows["case"] == "wild", "predicted"].isna().all()
    scores = json.loads((folder / "scores.json").read_text())["tables"]["scores"]
    rmse = {row["case"]: row["rmse"] for row in scores if row["of"] == "ensemble"}
    assert rmse["wild"] is None
    errors = experiment.ensemble["svr"] - experiment.stars["feh"]
    assert rmse["svr"] == pytest.approx(np.sqrt(np.mean(errors**2)))
    assert set(rmse) == {*CASES, "both", CHOSEN, STRETCHED, "other work"}
    assert (folder / "index.html").stat().st_size > 10_000


def test_members_and_histories_are_told_of_every_case(experiment):
    members = experiment.members
    assert members.groupby("case", observed=True).size().to_dict() == dict.fromkeys(
        CASES, 2 * FOLDS
    )
    history = experiment.history
    assert set(history["case"].unique()) == {"mlp", "wild"}
    mlp = history[history["case"] == "mlp"]
    assert (mlp.groupby(["repeat", "fold"]).size() == 2).all()
    assert np.isfinite(mlp[["training_loss", "stopping_loss"]]).all(axis=None)


def test_what_was_chosen_for_a_fold_predicts_it_plain_and_stretched(experiment, folder, labels):
    feh = labels.set_index("source_id")["feh"]
    rows = experiment.out_of_fold
    predicted = rows.pivot_table("predicted", ["source_id", "repeat"], "case", observed=False)
    division = rows[rows["case"].eq("svr") & rows["repeat"].eq(0)].set_index("source_id")["fold"]
    chosen = experiment.about.chosen
    assert sorted(chosen) == ["0", "1", "2"]
    for scored in range(FOLDS):
        inner = {}
        for case in ("svr", "ridge"):
            pieces = []
            for other in set(range(FOLDS)) - {scored}:
                first, second = sorted((scored, other))
                (path,) = folder.glob(f"{FITS}/*/{case}_0_{first}_{second}.*.parquet")
                table = pd.read_parquet(path)
                pieces.append(table[table["part"].eq("held_out") & table["fold"].eq(other)])
            inner[case] = pd.concat(pieces).set_index("source_id")["predicted"]
        inner["both"] = (inner["svr"] + inner["ridge"]) / 2
        rmse = {
            name: np.sqrt(np.mean((inner[name] - feh[inner[name].index]) ** 2))
            for name in ("both", "ridge")
        }
        choice = chosen[str(scored)]
        best = min(rmse, key=rmse.get)
        assert choice["candidate"] == best
        assert choice["rmse"] == pytest.approx(rmse | {"wild": None})
        # whatever their fold in the other repeat is
        own = [(star, repeat) for star in division.index[division == scored] for repeat in (0, 1)]
        np.testing.assert_allclose(predicted.loc[own, CHOSEN], predicted.loc[own, best])
        labels_within = feh[inner[best].index]
        from_mean = labels_within - labels_within.mean(), inner[best] - inner[best].mean()
        below, above = (
            np.sqrt(np.square(side[0]).mean() / np.square(side[1]).mean())
            for side in zip(*((d.clip(upper=0), d.clip(lower=0)) for d in from_mean), strict=True)
        )
        deviation = predicted.loc[own, best] - inner[best].mean()
        stretched = labels_within.mean() + deviation * np.where(deviation < 0, below, above)
        np.testing.assert_allclose(predicted.loc[own, STRETCHED], stretched)


def test_the_same_experiment_again_fits_nothing(client, run, labels, folder):
    before, tables = fits(folder), (folder / "out_of_fold.parquet").read_bytes()
    # of each fold two repeats, and the pairs of what is chosen from; "ridge again" has the same
    pairs = FOLDS * (FOLDS - 1) // 2
    assert len(before) == (len(CASES) - 1) * 2 * FOLDS + len(NESTED) * pairs
    experiments.compare(client, open_survey(run.survey), labels, folder, job_of(run))
    assert fits(folder) == before
    assert (folder / "out_of_fold.parquet").read_bytes() == tables


def test_a_case_that_is_added_keeps_the_others(client, run, labels, folder, tmp_path):
    out = shutil.copytree(folder, tmp_path / "kinds", copy_function=shutil.copy2)
    before = fits(out)
    half = {"model.architecture": "ridge", "training.fraction": 0.5}
    job = job_of(run, cases=CASES | {"half": half}, choose_from=[])
    experiments.compare(client, open_survey(run.survey), labels, out, job)
    after = fits(out)
    assert {path: after[path] for path in before} == before
    assert len(after) == len(before) + 2 * FOLDS
    found = read_experiment(out)
    assert list(found.about.cases) == [*CASES, "half", "both"]
    assert found.about.chosen is None
    n_training = found.members.groupby("case", observed=True)["n_training"].mean()
    assert n_training["half"] == pytest.approx(n_training["ridge"] / 2, abs=1)


def test_an_experiment_with_other_folds_does_not_go_into_the_same_folder(
    client, run, labels, folder
):
    job = job_of(run)
    folds = {"folds": FOLDS + 1}
    other = job.model_copy(update={"training": job.training.model_copy(update=folds)})
    with pytest.raises(UserError, match=r"a finished experiment of another .*: training\.folds\)"):
        experiments.compare(client, open_survey(run.survey), labels, folder, other)


def test_two_folds_are_too_few_to_choose_within(client, run, labels, tmp_path):
    fold = np.arange(len(labels)) % 2
    survey = open_survey(run.survey)
    with pytest.raises(UserError, match=r"takes three folds or more, not 2; set training\.folds"):
        experiments.compare(client, survey, labels.assign(fold=fold), tmp_path / "e", job_of(run))
