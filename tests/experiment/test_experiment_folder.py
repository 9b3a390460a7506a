"""An experiment that is not whole is refused in a sentence that names file and remedy."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from experiments import RIVAL, about, tables_of, write_experiment

from rrl_batch.errors import UserError
from rrl_batch.experiment.folder import read_experiment

FILES = ["stars.parquet", "out_of_fold.parquet", "members.parquet", "history.parquet"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_experiment(tmp_path / "experiment", tables_of(12))


def _refused(folder: Path, *parts: str) -> None:
    with pytest.raises(UserError) as error:
        read_experiment(folder)
    for part in parts:
        assert part in str(error.value)


def test_predictions_find_their_star_case_and_repeat(folder: Path) -> None:
    made = tables_of(12)
    shuffled = made["out_of_fold"].sample(frac=1, random_state=1)
    shuffled.to_parquet(folder / "out_of_fold.parquet", index=False)
    experiment = read_experiment(folder)
    rows = made["out_of_fold"]
    row = rows[(rows["case"] == "gp") & (rows["repeat"] == 1)].iloc[5]
    star = made["stars"].index[made["stars"]["source_id"] == row["source_id"]][0]
    assert experiment.single[list(about()["cases"]).index("gp"), 1, star] == row["predicted"]
    assert list(experiment.ensemble) == [*about()["cases"], RIVAL]
    assert experiment.ensemble[RIVAL].tolist() == made["stars"]["rival"].tolist()
    both = rows[(rows["case"] == "gp") & (rows["source_id"] == row["source_id"])]
    assert experiment.fitted["gp"][star] == pytest.approx(both["fitted"].mean())
    assert list(experiment.fitted) == list(about()["cases"])


def test_without_fitted_values_the_experiment_is_read_all_the_same(folder: Path) -> None:
    made = tables_of(12)["out_of_fold"].drop(columns="fitted")
    made.to_parquet(folder / "out_of_fold.parquet", index=False)
    experiment = read_experiment(folder)
    assert experiment.fitted.isna().all(axis=None)
    assert experiment.ensemble["gp"].notna().all()


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    _refused(tmp_path, str(tmp_path), "no experiment.json", "give the folder")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_or_damaged_file_is_named(folder: Path, name: str) -> None:
    path = folder / name
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    _refused(folder, str(path), "cannot be read as Parquet", "run the experiment's job again")
    path.unlink()
    _refused(folder, f"There is no file {path}", "run the experiment's job again")


@pytest.mark.parametrize(
    ("name", "column"), list(zip(FILES, ["feh", "fold", "rmse", "epoch"], strict=True))
)
def test_a_missing_column_is_named(folder: Path, name: str, column: str) -> None:
    rows = pd.read_parquet(folder / name)
    rows.drop(columns=column).to_parquet(folder / name, index=False)
    _refused(folder, name, f"no column '{column}'")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"folds": "five"}, "folds: "),
        ({"cases": {}}, "cases: "),
        ({"reference": "grv"}, "the reference 'grv' is none of the cases"),
        ({"rival": "gru"}, "the rival and a case are both named 'gru'"),
        ({"extra": 1}, "extra: "),
    ],
)
def test_a_description_that_is_wrong_is_refused(
    folder: Path, changed: dict[str, object], expected: str
) -> None:
    path = folder / "experiment.json"
    path.write_text(json.dumps(about(**changed)))
    _refused(folder, str(path), expected, "run the experiment's job again")
    path.write_text("{")
    _refused(folder, str(path), "does not describe an experiment")


def _set(column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows.astype({column: object}) if column == "case" else rows
        rows.loc[3, column] = value
        return rows

    return change


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("stars", lambda rows: pd.concat([rows, rows[:1]]), "occurs more than once"),
        ("stars", _set("feh", float("inf")), "no finite label in the column 'feh'"),
        ("stars", lambda rows: rows[:0], "is empty"),
        ("stars", lambda rows: rows.drop(columns="rival"), "no value in the column 'rival'"),
        ("out_of_fold", _set("source_id", 77), "star 77 is not in stars.parquet"),
        ("out_of_fold", _set("repeat", 2), "repeat that is not within 0 to 1"),
        ("out_of_fold", _set("fold", -1), "fold that is not within 0 to 2"),
        ("out_of_fold", _set("case", "gru2"), "the case 'gru2' in the column 'case'"),
        ("out_of_fold", lambda rows: pd.concat([rows, rows[:1]]), "is predicted twice"),
        ("members", _set("case", "gru2"), "the case 'gru2' in the column 'case'"),
    ],
)
def test_files_that_contradict_each_other_are_refused(
    folder: Path, name: str, change: Callable[[pd.DataFrame], pd.DataFrame], expected: str
) -> None:
    path = folder / f"{name}.parquet"
    change(pd.read_parquet(path)).to_parquet(path, index=False)
    _refused(folder, str(path), expected, "run the experiment's job again")
