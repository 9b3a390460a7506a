"""Tables of an experiment are those of scikit-learn and pandas, and leave nothing out silently."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from experiments import CASES, FOLDS, REPEATS, RIVAL, about, tables_of, write_experiment
from numpy.testing import assert_allclose
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from rrl_batch.experiment import tables as of
from rrl_batch.experiment.folder import Experiment, read_experiment
from rrl_batch.training.weights import density_weights

NAMES = [*CASES, RIVAL]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return read_experiment(write_experiment(tmp_path_factory.mktemp("experiment")))


@pytest.fixture(scope="module")
def holed(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """An experiment in which a member diverged, and a case has no prediction for some stars."""
    made = tables_of()
    rows = made["out_of_fold"]
    diverged = (rows["case"] == "poor") & (rows["repeat"] == 1) & (rows["fold"] == 2)
    missing = (rows["case"] == "gp") & rows["source_id"].isin(made["stars"]["source_id"][:40])
    rows.loc[diverged | missing, "predicted"] = np.nan
    made["out_of_fold"] = rows[~((rows["case"] == "linear") & (rows["repeat"] == 1))]
    changed = about()
    changed["cases"]["poor"]["diverged"] = [[1, 2, "the loss became NaN"]]
    folder = write_experiment(tmp_path_factory.mktemp("holed"), made, **changed)
    return read_experiment(folder)


def _oracle(true: pd.Series, predicted: pd.Series, weight: np.ndarray) -> dict[str, float]:
    return {
        "rmse": root_mean_squared_error(true, predicted),
        "mae": mean_absolute_error(true, predicted),
        "r2": r2_score(true, predicted),
        "wrmse": root_mean_squared_error(true, predicted, sample_weight=weight),
        "wmae": mean_absolute_error(true, predicted, sample_weight=weight),
    }


def _wide(experiment: Experiment, case: str) -> pd.DataFrame:
    """Predictions of a case, a row a star as in the star table, a column a repeat."""
    rows = experiment.out_of_fold
    rows = rows[rows["case"] == case]
    return rows.pivot_table("predicted", "source_id", "repeat").loc[experiment.stars["source_id"]]


def test_scores_are_those_of_scikit_learn(experiment: Experiment) -> None:
    found = of.scores(experiment).set_index(["of", "case"])
    assert list(found.loc["ensemble"].index) == NAMES
    assert list(found.loc["single"].index) == list(CASES)
    stars = experiment.stars
    weight = density_weights(stars["feh"], stars["feh_error"])
    for case in NAMES:
        wide = stars[["rival"]] if case == RIVAL else _wide(experiment, case)
        expected = {"ensemble": _oracle(stars["feh"], wide.mean(axis=1), weight)}
        if case != RIVAL:
            single = [_oracle(stars["feh"], wide[repeat], weight) for repeat in wide]
            expected["single"] = pd.DataFrame(single).mean().to_dict()
        for kind, values in expected.items():
            row = found.loc[kind, case]
            assert row["n"] == len(stars)
            for metric, value in values.items():
                assert row[metric] == pytest.approx(value, rel=1e-10)
                assert row[f"{metric}_low"] < value < row[f"{metric}_high"]


def test_scores_of_a_fold_are_of_its_stars_alone(experiment: Experiment) -> None:
    found = of.folds(experiment).set_index("case")
    stars = experiment.stars.set_index("source_id")
    weight = pd.Series(density_weights(stars["feh"], stars["feh_error"]), stars.index)
    rows = experiment.out_of_fold
    expected = pd.DataFrame(
        _oracle(stars["feh"][fold["source_id"]], fold["predicted"], weight[fold["source_id"]])
        for _, fold in rows[rows["case"] == "gp"].groupby(["repeat", "fold"])
    )
    assert list(found.index) == list(CASES)
    assert found.loc["gp", "n_folds"] == len(expected) == FOLDS * REPEATS
    for metric in of.METRICS:
        assert found.loc["gp", metric] == pytest.approx(expected[metric].mean(), rel=1e-9)
        assert found.loc["gp", f"{metric}_sd"] == pytest.approx(expected[metric].std(), rel=1e-9)


def test_differences_say_in_words_what_the_interval_shows(experiment: Experiment) -> None:
    found = of.differences(experiment)
    rmse = of.scores(experiment).query("of == 'ensemble'").set_index("case")["rmse"]
    assert_allclose(
        found["difference"], rmse[found["case"]].to_numpy() - rmse[found["other"]].to_numpy(),
        atol=1e-12,
    )  # fmt: skip
    words = found.set_index(["case", "kind"])["verdict"]
    assert words["gp", "baseline"] == "beats the baseline"
    assert words["poor", "baseline"] == "worse than the baseline"
    assert words["poor", "rival"] == f"worse than {RIVAL}"
    assert words["gru", "regressor"] == "worse than gp"
    assert words[RIVAL, "baseline"].endswith("the baseline")
    assert not (found["case"] == found["other"]).any()

    twin = found.set_index(["case", "kind"]).loc[("twin", "reference")]
    assert (twin["difference"], twin["low"], twin["high"]) == (0, 0, 0)
    assert twin["verdict"] == "no different from gru"


def test_opponents_are_baseline_reference_best_regressor_and_rival(experiment: Experiment) -> None:
    assert of.opponents(experiment) == {
        "baseline": "linear", "reference": "gru", "regressor": "gp", "rival": RIVAL,
    }  # fmt: skip
    assert of.best(experiment, list(CASES)) == "gp"


def test_what_is_missing_is_counted(holed: Experiment) -> None:
    found = of.overview(holed).set_index("case")
    n = len(holed.stars)
    rows = holed.out_of_fold
    lost = int(((rows["case"] == "poor") & rows["predicted"].isna()).sum())
    assert lost == n // FOLDS
    columns = ["repeats", "n_diverged", "n", "n_without_prediction", "n_lost"]
    assert found.loc["gru", columns].tolist() == [2, 0, n, 0, 0]
    assert found.loc["poor", columns].tolist() == [2, 1, n, 0, lost]
    assert found.loc["gp", columns].tolist() == [2, 0, n - 40, 40, 80]
    assert found.loc["linear", columns].tolist() == [1, 0, n, 0, 0]


def test_a_member_that_diverged_is_left_out_of_the_mean(holed: Experiment) -> None:
    wide = _wide(holed, "poor")
    assert wide[1].isna().any()
    assert_allclose(holed.ensemble["poor"], wide.mean(axis=1))
    folds = of.folds(holed).set_index("case")["n_folds"]
    assert (folds["poor"], folds["linear"]) == (FOLDS * REPEATS - 1, FOLDS)


def test_differences_are_of_the_stars_that_both_have(holed: Experiment) -> None:
    row = of.differences(holed).set_index(["case", "kind"]).loc[("gp", "baseline")]
    common = holed.stars.index >= 40
    feh = holed.stars["feh"][common]
    expected = root_mean_squared_error(feh, holed.ensemble["gp"][common]) - root_mean_squared_error(
        feh, holed.ensemble["linear"][common]
    )
    assert row["n"] == common.sum()
    assert row["difference"] == pytest.approx(expected, rel=1e-9)
    # too few of its stars are predicted for gp to be called the best
    assert of.best(holed, ["gp", "linear"]) == "linear"


def test_bias_is_the_mean_error_of_a_bin(experiment: Experiment) -> None:
    found = of.bias(experiment).set_index("case")
    error = experiment.errors["gru"]
    inside = experiment.stars["feh"].between(-2.0, -1.5, inclusive="left")
    row = found.loc["gru"].iloc[1]
    assert (row["feh_min"], row["feh_max"], row["n"]) == (-2.0, -1.5, inside.sum())
    assert row["bias"] == pytest.approx(error[inside].mean())
    assert row["bias_error"] == pytest.approx(error[inside].sem())
    assert (found.groupby("case")["n"].sum() == len(error)).all()
    assert np.isnan(found.loc[RIVAL, "feh_min"].iloc[0])


def test_quintiles_of_noise_divide_the_stars_that_have_one(tmp_path: Path) -> None:
    made = tables_of()
    made["stars"].loc[:6, "noise"] = np.nan
    experiment = read_experiment(write_experiment(tmp_path, made))
    found = of.noise(experiment)
    noise = experiment.stars["noise"]
    for _, rows in found.groupby("case"):
        assert rows["quintile"].tolist() == [1, 2, 3, 4, 5]
        assert rows["n"].sum() == noise.notna().sum() == len(noise) - 7
        assert np.ptp(rows["n"]) <= 1
        assert (rows["noise_max"].to_numpy()[:-1] < rows["noise_min"].to_numpy()[1:]).all()
    row = found[(found["case"] == "gp") & (found["quintile"] == 2)].iloc[0]
    inside = noise.between(row["noise_min"], row["noise_max"])
    assert row["rmse"] == pytest.approx(np.sqrt(np.mean(experiment.errors["gp"][inside] ** 2)))
    assert row["low"] < row["rmse"] < row["high"]


def test_a_learning_curve_joins_cases_that_differ_in_the_fraction_alone(
    experiment: Experiment,
) -> None:
    found = of.learning(experiment)
    assert found["series"].tolist() == ["gru", "gru"]
    assert found["case"].tolist() == ["gru, half", "gru"]
    assert found["fraction"].tolist() == [0.5, 1.0]
    assert found["n_training"].tolist() == [100, 200]
    rmse = of.scores(experiment).query("of == 'ensemble'").set_index("case")["rmse"]
    assert_allclose(found["rmse"], rmse[found["case"]])


def test_training_scores_are_means_over_the_members(experiment: Experiment) -> None:
    found = of.training(experiment).set_index("case")
    assert found.loc["gru", ["n_members", "epochs", "rmse"]].tolist() == pytest.approx([6, 3, 0.1])
    assert np.isnan(found.loc["gp", "epochs"])


def test_an_experiment_of_one_case_without_noise_or_predictions_has_tables(tmp_path: Path) -> None:
    made = tables_of(20)
    made = {name: rows[rows["case"] == "gru"] if "case" in rows else rows.drop(columns="rival")
            for name, rows in made.items()}  # fmt: skip
    made["stars"]["noise"] = np.nan
    cases = {"gru": about()["cases"]["gru"]}
    whole = write_experiment(tmp_path / "whole", made, cases=cases, rival=None)
    found = of.tables(read_experiment(whole))
    assert len(found["differences"]) == len(found["learning"]) == len(found["noise"]) == 0
    assert found["scores"]["rmse"].notna().all()

    made["out_of_fold"] = made["out_of_fold"].assign(predicted=np.nan)
    empty = write_experiment(tmp_path / "empty", made, cases=cases, rival=None)
    found = of.tables(read_experiment(empty))
    assert found["scores"]["rmse"].isna().all()
    assert found["overview"]["n_without_prediction"].tolist() == [20]
    assert len(found["folds"]) == len(found["bias"]) == 0
