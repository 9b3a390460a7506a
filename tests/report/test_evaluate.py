"""An evaluation compares network and baseline with the labels on the same stars, and says so."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers import catalogue_rows, provenance, write_catalogue, write_labels

from rrl_batch.contracts import Flag
from rrl_batch.errors import UserError
from rrl_batch.report.evaluate import evaluate
from rrl_batch.storage.commit import checksum

FILES = [
    "distribution.png", "index.html", "metrics.json", "predicted_against_true.png", "pulls.png",
]  # fmt: skip


def _rows() -> pd.DataFrame:
    """A catalogue in which some stars have a value of only one of the two predictors."""
    rows = catalogue_rows()
    rows.loc[[0, 1, 2], "feh_baseline"] = np.nan
    rows.loc[19, "feh_baseline"] = -1.0
    return rows


def _evaluate(
    tmp_path: Path, rows: pd.DataFrame, labelled: pd.DataFrame | None = None, **changed: Any
) -> dict[str, Any]:
    write_catalogue(tmp_path / "catalogue", rows, **changed)
    labels = write_labels(tmp_path / "labels.parquet", rows if labelled is None else labelled)
    return evaluate(tmp_path / "catalogue", labels, None, tmp_path / "out")


def test_scores_are_those_of_the_stars_that_both_have_a_value_for(tmp_path: Path) -> None:
    rows = _rows()
    absent = catalogue_rows(30, seed=5)
    found = _evaluate(tmp_path, rows, pd.concat([rows[:150], absent], ignore_index=True))

    labels = pd.read_parquet(tmp_path / "labels.parquet").set_index("source_id")["feh"]
    rows = rows[:150]
    both = rows[rows["feh"].notna() & rows["feh_baseline"].notna()]
    true = both["source_id"].map(labels).to_numpy()
    assert (found["n_labels"], found["n_in_catalogue"]) == (180, 150)
    assert found["n_without_prediction"] == 15
    assert found["without_prediction"]["TOO_FEW_EPOCHS"] == 15
    assert found["without_prediction"]["NO_PERIOD"] == 0
    assert (found["n_network_only"], found["n_baseline_only"]) == (3, 1)
    assert found["n_compared"] == len(both) == 132
    errors = {}
    for name, column in (("network", "feh"), ("baseline", "feh_baseline")):
        errors[name] = both[column].to_numpy(np.float32) - true
        rmse = np.sqrt(np.mean(errors[name] ** 2))
        assert found[name]["n"] == len(both)
        assert found[name]["rmse"] == pytest.approx(rmse, rel=1e-6)
        assert found[name]["bias"] == pytest.approx(errors[name].mean(), abs=1e-6)
    inside = (true >= both["feh_lo"]) & (true <= both["feh_hi"])
    assert found["intervals"]["all"]["coverage"][0] == pytest.approx(inside.mean(), abs=1e-9)
    assert found["paired"]["rmse_difference"] == pytest.approx(
        found["network"]["rmse"] - found["baseline"]["rmse"]
    )


def test_scores_by_flag_divide_the_stars(tmp_path: Path) -> None:
    found = _evaluate(tmp_path, _rows())
    compared = _rows().dropna(subset=["feh", "feh_baseline"])
    labels = pd.read_parquet(tmp_path / "labels.parquet").set_index("source_id")["feh"]
    squares = (compared["feh"] - compared["source_id"].map(labels)) ** 2
    assert list(found["by_flag"]) == [flag.name for flag in Flag]
    for flag in (Flag.SPARSE, Flag.PHASE_GAP):
        has = (compared["flags"] & int(flag)) != 0
        entry = found["by_flag"][flag.name]
        assert entry["n"] == has.sum() > 0
        assert entry["rmse_with"] == pytest.approx(np.sqrt(squares[has].mean()), rel=1e-6)
        assert entry["rmse_without"] == pytest.approx(np.sqrt(squares[~has].mean()), rel=1e-6)
    assert found["by_flag"]["OTHER_MODE"]["n"] == 0
    assert found["by_flag"]["OTHER_MODE"]["rmse_with"] is None
    unflagged = compared["flags"] == 0
    assert found["unflagged"]["network"]["n"] == unflagged.sum()
    assert found["unflagged"]["network"]["rmse"] == pytest.approx(
        np.sqrt(squares[unflagged].mean()), rel=1e-6
    )


def test_interval_of_the_difference_narrows_around_it_and_pairs_the_errors(tmp_path: Path) -> None:
    found = {}
    for n in (100, 3000):
        rows = catalogue_rows(n)
        found[n] = _evaluate(tmp_path / str(n), rows)["paired"]
        low, high = found[n]["interval_95"]
        assert low < found[n]["rmse_difference"] < high
    width = {n: np.ptp(found[n]["interval_95"]) for n in found}
    assert width[3000] == pytest.approx(width[100] * np.sqrt(100 / 3000), rel=0.3)

    rows = catalogue_rows()
    same = _evaluate(tmp_path / "same", rows.assign(feh_baseline=rows["feh"]))["paired"]
    assert same == {"rmse_difference": 0.0, "interval_95": [0.0, 0.0]}


def test_files_hold_what_is_returned_and_are_the_same_each_time(tmp_path: Path) -> None:
    found = _evaluate(tmp_path, _rows())
    out = tmp_path / "out"
    assert sorted(p.name for p in out.iterdir()) == FILES
    assert json.loads((out / "metrics.json").read_text()) == found
    before = [checksum(out / name) for name in FILES]
    evaluate(tmp_path / "catalogue", tmp_path / "labels.parquet", None, out)
    assert [checksum(out / name) for name in FILES] == before


def test_another_scale_is_noted(tmp_path: Path) -> None:
    assert not any("scale" in note for note in _evaluate(tmp_path / "same", _rows())["notes"])
    found = _evaluate(tmp_path / "other", _rows(), scale="dekany2022")
    assert (found["scale"], found["catalogue_scale"]) == ("crestani2021", "dekany2022")
    assert any("without a calibration" in note for note in found["notes"])
    assert "without a calibration" in (tmp_path / "other/out/index.html").read_text()


def test_simulated_stars_are_said_to_be(tmp_path: Path) -> None:
    assert _evaluate(tmp_path / "real", _rows())["synthetic"] is False
    assert "SYNTHETIC" not in (tmp_path / "real/out/index.html").read_text()
    assert _evaluate(tmp_path / "simulated", _rows(), synthetic=True)["synthetic"] is True
    assert "SYNTHETIC" in (tmp_path / "simulated/out/index.html").read_text()


def test_stars_trained_on_are_counted_where_the_model_is_still_the_one(tmp_path: Path) -> None:
    rows = _rows()
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.json").write_text("{}")
    seen = pd.concat([rows["source_id"][:40], pd.Series([1, 2])])
    seen.to_frame("source_id").to_parquet(model / "out_of_fold.parquet")
    about = provenance(len(rows))
    about["model"]["path"] = str(model)
    about["made_from"]["model"] = checksum(model / "model.json")
    found = _evaluate(tmp_path, rows, **about)
    compared = rows[:40].dropna(subset=["feh", "feh_baseline"])
    assert found["n_trained_on"] == len(compared)
    assert found["notes"] == []

    (model / "model.json").write_text("another model")
    found = evaluate(tmp_path / "catalogue", tmp_path / "labels.parquet", None, tmp_path / "out")
    assert found["n_trained_on"] is None
    assert any("no longer where it was" in note for note in found["notes"])


@pytest.mark.parametrize(("labelled", "n"), [([9], 0), ([9, 0], 1), ([0, 1], 2)])
def test_too_few_stars_give_nulls(tmp_path: Path, labelled: list[int], n: int) -> None:
    rows = catalogue_rows()
    found = _evaluate(tmp_path, rows, rows.loc[labelled])
    assert found["n_compared"] == found["network"]["n"] == n
    assert (found["paired"]["interval_95"] is None) == (n < 2)
    assert (found["network"]["r2"] is None) == (n < 2)
    assert (found["intervals"]["all"]["coverage"] is None) == (n == 0)
    assert any("Too few stars" in note for note in found["notes"]) == (n < 2)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == FILES


def test_labels_of_other_stars_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"None of the 5 stars .*'crestani2021'.*same data release"):
        _evaluate(tmp_path, _rows(), catalogue_rows(5, seed=9))
    assert not (tmp_path / "out").exists()
