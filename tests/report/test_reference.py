"""A catalogue is compared with tables of other origin, by identifier or position, and says how."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers import catalogue_rows, write_catalogue
from pages import Page

from rrl_batch.cli import main
from rrl_batch.errors import UserError
from rrl_batch.report.reference import compare_with_reference

FILES = ["index.html", "metrics.json", "predicted_against_reference.png", "residuals.png"]


def _reference(rows: pd.DataFrame, **changed: Any) -> pd.DataFrame:
    """Spectroscopic values: the catalogue's own stretched and shifted, with errors in both."""
    rng = np.random.default_rng(2)
    feh = -1.4 + 0.06 + (rows["feh"].fillna(-1.5) + 1.4) / 0.9 + rng.normal(0, 0.1, len(rows))
    columns = {"source_id": rows["source_id"], "ra": rows["ra"], "dec": rows["dec"]}
    return pd.DataFrame(columns | {"feh": feh, "feh_error": 0.1, "scale": "crestani2021"} | changed)


def _compare(
    tmp_path: Path, reference: pd.DataFrame, about: dict[str, Any] | None = None, **options: Any
) -> dict[str, Any]:
    write_catalogue(tmp_path / "catalogue", catalogue_rows(), **(about or {}))
    reference.to_csv(tmp_path / "reference.csv", index=False)
    options = {"columns": {}, **options}
    return compare_with_reference(
        tmp_path / "catalogue", tmp_path / "reference.csv", tmp_path / "out", **options
    )


def test_by_identifier(tmp_path: Path) -> None:
    rows = catalogue_rows()
    found = _compare(tmp_path, pd.concat([_reference(rows), _reference(catalogue_rows(20, 9))]))
    assert (found["n_reference"], found["n_in_catalogue"], found["n_compared"]) == (220, 200, 180)
    assert found["match"]["by"] == "source_id"
    network = found["network"]
    low, high = network["slope"]["interval_95"]
    assert low < 0.9 < high
    known = rows.dropna(subset=["feh"])
    difference = known["feh"].astype(np.float32) - _reference(rows).loc[known.index, "feh"]
    assert network["offset"]["value"] == pytest.approx(difference.mean(), abs=1e-6)
    assert network["scatter"]["value"] == pytest.approx(difference.std(), abs=1e-6)
    assert network["error_ratio"] == pytest.approx(
        np.mean(known["feh_error"] ** 2) / 0.01, rel=1e-5
    )
    assert found["baseline"]["error_ratio"] is None
    assert sum(b["n"] for b in found["bins"]["feh_label"]) == 180
    assert sum(b["n"] for b in found["modes"].values()) == 180

    out = tmp_path / "out"
    assert sorted(file.name for file in out.iterdir()) == FILES
    assert json.loads((out / "metrics.json").read_text()) == found
    page = Page((out / "index.html").read_text())
    assert (
        "Of 220 stars of the reference, 200 were found in the catalogue, by source_id" in page.text
    )
    assert len(page.all("img")) == 2


def test_by_position_with_other_names_of_columns_and_little_known(tmp_path: Path) -> None:
    reference = _reference(catalogue_rows()).drop(columns=["source_id", "scale", "feh_error"])
    reference["dec"] += 0.5 / 3600
    reference = reference.rename(columns={"ra": "RAJ2000", "dec": "DEJ2000", "feh": "[Fe/H]"})
    columns = {"ra": "RAJ2000", "dec": "DEJ2000", "feh": "[Fe/H]"}
    found = _compare(tmp_path, reference, columns=columns, scale="other")
    assert found["match"]["by"] == "position"
    assert found["match"]["radius"] == 1.0
    assert found["match"]["median_separation"] == pytest.approx(0.5, abs=1e-3)
    assert found["n_compared"] == 180
    assert found["network"]["pull"] is None
    assert found["calibrated"] is None
    text = Page((tmp_path / "out/index.html").read_text()).text
    assert "by position within 1 arcsec (median separation 0.50 arcsec" in text
    assert "takes both errors as equal" in text
    assert "without a calibration between the two" in text
    assert "SYNTHETIC" not in text


def test_another_scale_is_calibrated_where_it_is_known_how(tmp_path: Path) -> None:
    """A radius asks for positions, although there are identifiers, which are others."""
    rows = catalogue_rows()
    reference = _reference(rows, scale="zinnwest1984", source_id=np.arange(200))
    about = {"scale": "carretta2009", "synthetic": True}
    found = _compare(tmp_path, reference, about, radius=1.0)
    assert found["calibrated"]["to"] == "carretta2009"
    within = reference["feh"].between(-2.15, -0.58)
    assert found["calibrated"]["beyond_range"] == (~within).sum() > 0
    assert found["n_reference"] == within.sum()
    known = rows["feh"].notna() & within
    feh = reference.loc[known, "feh"]
    expected = rows.loc[known, "feh"] - (-0.413 + 0.130 * feh - 0.356 * feh**2)
    assert found["network"]["offset"]["value"] == pytest.approx(expected.mean(), abs=1e-5)
    text = Page((tmp_path / "out/index.html").read_text()).text
    assert "from the scale 'zinnwest1984' to the catalogue's, 'carretta2009'" in text
    assert "Carretta et al. (2009), A&A 508, 695" in text
    assert "SYNTHETIC" in text


def _drop(*names: str) -> Any:
    return lambda table: table.drop(columns=list(names))


@pytest.mark.parametrize(
    ("change", "options", "sentence"),
    [
        (_drop("source_id", "ra"), {}, "has neither a column 'source_id' nor 'ra' and 'dec'"),
        (_drop("scale"), {}, "does not say on which metallicity scale its values are"),
        (_drop("feh"), {}, "has no column 'feh'"),
        (_drop("ra", "dec"), {"radius": 1.0}, "has no positions to match by"),
        (lambda t: t.assign(source_id=1), {}, "star 1 occurs in several rows"),
        (lambda t: t.assign(source_id=np.arange(200)), {}, "None of the 200 stars"),
        (lambda t: t.assign(dec=-t["dec"]), {"radius": 0.1}, "is within 0.1 arcsec of"),
        (lambda t: t.assign(feh=np.nan), {}, "no row has a metallicity"),
        (lambda t: t.assign(feh=-9999.0), {}, "no row has a metallicity"),
        (lambda t: t, {"scale": "crestani"}, "did you mean 'crestani2021'?"),
        (lambda t: t, {"columns": {"fe": "feh"}}, "has no column 'fe'; did you mean 'feh'?"),
        (lambda t: t, {"columns": {"feh": "FeH"}}, "has no column 'FeH' for 'feh'"),
    ],
)
def test_mistakes_are_one_sentence(
    tmp_path: Path, change: Any, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence.replace("?", r"\?")):
        _compare(tmp_path, change(_reference(catalogue_rows())), **options)
    assert not (tmp_path / "out").exists()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = catalogue_rows()
    write_catalogue(tmp_path / "catalogue", rows)
    table = _reference(rows).rename(columns={"source_id": "gaia"})
    table.to_csv(tmp_path / "reference.csv", index=False)
    words = ["evaluate", "--catalogue", str(tmp_path / "catalogue"), "--out", str(tmp_path / "out")]
    reference = ["--reference", str(tmp_path / "reference.csv")]
    assert main([*words, *reference, "--column", "source_id=gaia"]) == 0
    assert "network  on 180 stars: offset" in capsys.readouterr().out
    known = set(rows.loc[rows["feh"].notna(), "source_id"])
    table[table["gaia"].isin(known)].head(1).to_csv(tmp_path / "reference.csv", index=False)
    assert main([*words[:-1], str(tmp_path / "one"), *reference, "--column", "source_id=gaia"]) == 0
    assert "network  on 1 stars: too few to say more" in capsys.readouterr().out
    for wrong, sentence in (
        ([*reference, "--proper-motions", "x"], "--proper-motions is not for --reference."),
        (["--labels", "x", "--column", "a=b"], "--column is not for --labels."),
        (["--clusters", "--radius", "1"], "--radius is not for --clusters."),
    ):
        assert main([*words, *wrong]) == 2
        assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("dec", -999.0, "column 'dec' has the value -999"),
        ("ra", np.inf, "column 'ra' has the value inf"),
        ("scale", None, "no row names a metallicity scale in the column 'scale'"),
    ],
)
def test_impossible_positions_and_unnamed_scales_are_refused(
    tmp_path: Path, column: str, value: object, sentence: str
) -> None:
    reference = _reference(catalogue_rows())
    rows = slice(None) if column == "scale" else slice(0, 0)
    reference.loc[rows, column] = value
    with pytest.raises(UserError, match=sentence):
        _compare(tmp_path, reference.drop(columns="source_id"))


@pytest.mark.parametrize("radius", ["0", "-1", "nan", "inf", "1e9"])
def test_a_radius_that_is_none_is_refused(radius: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", "--catalogue", "c", "--reference", "r.csv", "--out", "o"]
    with pytest.raises(SystemExit):
        main([*words, f"--radius={radius}"])
    assert "is no radius" in capsys.readouterr().err
