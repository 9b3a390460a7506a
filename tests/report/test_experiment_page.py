"""The page of an experiment is whole in itself, and tells what its tables say."""

import json
from pathlib import Path

import numpy as np
import pytest
from experiments import CASES, RIVAL, about, tables_of, write_experiment
from pages import Page

from rrl_batch.experiment.folder import read_experiment
from rrl_batch.experiment.tables import METRICS, tables
from rrl_batch.report import experiment_page
from rrl_batch.report.experiment_page import write_report
from rrl_batch.storage.commit import checksum

HOSTILE = "<script>alert('x')</script>\"&"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    changed = about(title=HOSTILE, scale=HOSTILE, synthetic=True, chosen={"by fold": {"0": "gp"}})
    changed["cases"]["poor"]["diverged"] = [[1, 2, HOSTILE]]
    changed["provenance"] = {"survey": {HOSTILE: HOSTILE}}
    made = tables_of()
    rows = made["out_of_fold"]
    rows.loc[(rows["case"] == "gp") & (rows["fold"] == 0), "predicted"] = np.nan
    folder = write_experiment(tmp_path_factory.mktemp("experiment"), made, **changed)
    (folder / "network.png").write_bytes(b"\x89PNG")
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "index.html").read_text())


def test_page_is_closed_and_loads_nothing(page: Page) -> None:
    assert page.open == []
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in page.elements}
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "href"]
        assert (attributes.get("src") or "data:").startswith("data:")
    assert "default-src 'none'" in str(page.all("meta"))


def test_names_from_files_are_text(page: Page) -> None:
    assert page.text.count(HOSTILE) >= 5


def test_figures_are_described(page: Page) -> None:
    images = page.all("img")
    assert len(images) == 8
    assert images[-1]["src"] == "data:image/png;base64,iVBORw=="  # what the run has left
    assert all(len(str(image["alt"])) > 20 for image in images)


def test_predictions_are_drawn_of_training_and_of_validation_stars(tmp_path, monkeypatch) -> None:
    drawn = []
    monkeypatch.setattr(experiment_page, "png", lambda *_: b"")
    monkeypatch.setattr(
        experiment_page.figures, "prediction_chart", lambda sets, _: drawn.append(sets)
    )
    folder = write_experiment(tmp_path)
    write_report(folder)
    experiment = read_experiment(folder)
    for sets, case in zip(drawn, ("gru", "gp"), strict=True):  # the reference and the best
        assert list(sets) == ["Training", "Validation (out of fold)"]
        for (true, predicted), table in zip(
            sets.values(), (experiment.fitted, experiment.ensemble), strict=True
        ):
            np.testing.assert_array_equal(true, experiment.stars["feh"])
            np.testing.assert_array_equal(predicted, table[case])


def test_what_the_selection_removed_is_told_for_all_cases(page: Page) -> None:
    assert "Selection of gru; twin" in page.text
    assert "Selection of poor; gp; linear; gru, half" in page.text
    assert "phi31_error <= 0.1 230 235 7" in page.text
    assert "phi31_error <= 0.3 30 35 7" in page.text
    assert "600 labels, 40 of them of stars that are not in the survey; 530 stars" in page.text


def test_headers_of_tables_have_a_scope(page: Page) -> None:
    assert {header.get("scope") for header in page.all("th")} == {"col", "row"}
    ids = [heading["id"] for heading in page.all("h2") if "id" in heading]
    assert len(ids) == len(set(ids))
    assert {table["aria-labelledby"] for table in page.all("table")} <= set(ids)


def test_scores_verdicts_and_gaps_are_told(page: Page, folder: Path) -> None:
    found = tables(read_experiment(folder))
    rows = found["scores"].query("of == 'ensemble'").set_index("case")
    for name in (*CASES, RIVAL):
        values = " ".join(
            f"{rows.loc[name, m]:.3f} {rows.loc[name, f'{m}_low']:.3f} to "
            f"{rows.loc[name, f'{m}_high']:.3f}"
            for m in METRICS
        )
        assert f"{name} {rows.loc[name, 'n']} {values}".replace("-", "−") in page.text
    assert "These networks do not beat the baseline, linear: poor" in page.text
    assert "worse than the baseline" in page.text
    without = found["overview"].set_index("case").loc["gp", "n_without_prediction"]
    assert without > 0
    assert f"gp: {without} stars have no prediction and no score" in page.text
    assert f"on {300 - without} stars" in page.text
    assert f"poor 1 2 {HOSTILE}" in page.text
    assert "by fold.0 gp" in page.text
    assert "SYNTHETIC: the stars are simulated" in page.text


def test_settings_are_shared_or_by_case(page: Page) -> None:
    assert "training.epochs 4" in page.text
    assert "Case training.fraction training.seed gru – – twin – 1" in page.text


def test_numbers_are_those_of_the_tables(folder: Path) -> None:
    numbers = json.loads((folder / "scores.json").read_text())
    found = tables(read_experiment(folder))
    assert set(numbers["tables"]) == set(found)
    for name, table in found.items():
        assert [set(row) for row in numbers["tables"][name]] == [set(table)] * len(table)
    first = numbers["tables"]["scores"][0]
    assert first["rmse"] == found["scores"]["rmse"][0]
    assert numbers["tables"]["bias"][0]["feh_min"] is None
    assert numbers["n_stars"] == 300
    assert numbers["compared_with"]["rival"] == RIVAL


def test_the_same_folder_gives_the_same_files(folder: Path) -> None:
    names = ["index.html", "scores.json"]
    before = [checksum(folder / name) for name in names]
    write_report(folder)
    assert [checksum(folder / name) for name in names] == before


def test_an_experiment_of_one_case_is_told_too(tmp_path: Path) -> None:
    made = {
        name: rows[rows["case"] == "gp"] if "case" in rows else rows
        for name, rows in tables_of(30).items()
    }
    cases = {"gp": about()["cases"]["gp"]}
    folder = write_experiment(tmp_path, made, cases=cases, reference="gp", rival=None)
    text = Page(write_report(folder).read_text()).text
    assert "The linear baseline is not among the cases." in text
    assert "1 case on the same 30 stars" in text
