"""The page of a catalogue tells what is in it; light curves are there if survey and model are."""

import base64
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from helpers import catalogue_rows, write_catalogue
from pages import Page

from rrl_batch.catalogue.verify import read_catalogue, verify
from rrl_batch.cli import main
from rrl_batch.contracts import Flag
from rrl_batch.errors import UserError
from rrl_batch.report.catalogue_choice import ChosenStars
from rrl_batch.report.catalogue_counts import COLUMNS, CatalogueCounts
from rrl_batch.run import write_page

HOSTILE = "<script>alert('x')</script>\"&"


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    root = tmp_path_factory.mktemp("page") / "catalogue"
    survey = {"path": HOSTILE, "stars": 900, "description": HOSTILE}
    write_catalogue(root, catalogue_rows(900), synthetic=True, survey=survey)
    return root


@pytest.fixture(scope="module")
def page(catalogue):
    return Page(write_page(catalogue).read_text())


@pytest.fixture(scope="module")
def numbers(catalogue, page):
    assert page.open == []  # it is written with the page
    return json.loads((catalogue / "summary/summary.json").read_text())


def test_the_page_is_whole_in_itself(page):
    assert page.open == []
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in page.elements}
    places = {str(tag["id"]) for tag in page.all("h2") if "id" in tag}
    assert {str(link["href"]) for link in page.all("a")} == {f"#{place}" for place in places}
    for image in page.all("img"):
        assert base64.b64decode(str(image["src"]).removeprefix("data:image/png;base64,"))
        assert len(str(image["alt"])) > 20
    assert HOSTILE in page.text
    assert "SYNTHETIC: the stars are simulated" in page.text


def test_without_the_survey_it_has_no_light_curves_and_says_so(page):
    assert "No light curves are shown, since survey or model are not there." in page.text
    assert "There is no survey at" in page.text
    assert len(page.all("img")) == 8


def test_the_numbers_are_those_of_the_stars(catalogue, numbers):
    stars = read_catalogue(catalogue)
    assert numbers["stars"] == 900
    for row in numbers["modes"]:
        own = stars[stars["best_classification"] == row["mode"]]
        feh = own["feh"].dropna()
        assert row["stars"] == len(own)
        assert row["with_feh"] == len(feh)
        assert row["unflagged"] == (own["feh"].notna() & (own["flags"] == 0)).sum()
        assert row["median"] == pytest.approx(feh.median(), abs=0.05)
        assert row["median_error"] == pytest.approx(own["feh_error"].median(), abs=0.005)
    for row in numbers["flags"]:
        raised = (stars["flags"] & int(Flag[row["flag"]])) != 0
        assert row["stars"] == raised.sum()
        error = stars.loc[raised, "feh_error"].dropna()
        assert row["with_feh"] == len(error)
        if len(error):
            assert row["median_error_with"] == pytest.approx(error.median(), abs=0.005)
        else:
            assert row["median_error_with"] is None
    assert {row["column"]: row["stars"] for row in numbers["errors"]}["feh_error"] == 810


def test_the_baseline_and_the_commands_are_there(page):
    assert "Out of fold Model Baseline" in page.text
    assert "rrl-batch verify" in page.text
    assert "crestani2021" in page.text


def test_the_order_of_the_pieces_makes_no_difference():
    stars = catalogue_rows(400)[COLUMNS]
    whole, parts = CatalogueCounts(2), CatalogueCounts(2)
    some, others = ChosenStars(), ChosenStars()
    whole.add(stars)
    some.look_at(stars)
    for piece in (stars.iloc[250:], stars.iloc[:100], stars.iloc[100:250]):
        parts.add(piece)
        others.look_at(piece)
    for name, counts in vars(whole).items():
        if name != "order":
            assert (counts.table == vars(parts)[name].table).all(), name
    for one, other in zip(some.choices, others.choices, strict=True):
        assert one.stars["source_id"].tolist() == other.stars["source_id"].tolist()


def test_the_worst_stars_are_the_worst(catalogue):
    stars = read_catalogue(catalogue)
    chosen = ChosenStars()
    chosen.look_at(stars)
    found = {choice.place: choice.stars for choice in chosen.choices}
    unflagged = stars[(stars["flags"] == 0) & stars["feh"].notna()]
    off = (unflagged["feh"] - unflagged["feh_baseline"]).abs()
    assert set(found["off"]["source_id"]) == set(unflagged.loc[off.nlargest(3).index, "source_id"])
    assert found["rich"]["feh"].iloc[0] == unflagged["feh"].max()
    examples = found["examples"]
    assert not examples.duplicated("source_id").any()
    assert (examples["flags"] == 0).all()
    assert examples.groupby("best_classification").size().eq(4).all()


@pytest.mark.parametrize(
    "rows",
    [
        catalogue_rows(1), catalogue_rows(60).assign(feh=np.nan, feh_error=np.nan),
        catalogue_rows(60).assign(ra=np.nan, dec=np.nan, source_id=np.arange(60)),
        catalogue_rows(60).assign(period=np.nan, amplitude_g=np.nan, best_classification=None),
    ],
    ids=["one star", "no metallicities", "no positions", "no periods"],
)  # fmt: skip
def test_any_catalogue_has_a_page(rows, tmp_path):
    write_catalogue(tmp_path / "catalogue", rows)
    page = Page(write_page(tmp_path / "catalogue").read_text())
    assert page.open == []
    assert "SYNTHETIC" not in page.text


def test_the_command_knows_a_catalogue_and_shows_its_light_curves(run, tmp_path, capsys):
    root = shutil.copytree(run.catalogue, tmp_path / "catalogue")
    assert main(["report", str(root)]) == 0
    assert f"report     {root}/summary/index.html" in capsys.readouterr().out
    page = Page((root / "summary/index.html").read_text())
    curves = [img for img in page.all("img") if str(img["alt"]).startswith("Folded epochs of star")]
    shown = pd.Series([str(img["alt"]).split()[4] for img in curves]).astype("int64")
    assert len(curves) > 5
    assert shown.isin(read_catalogue(root)["source_id"]).all()
    # nothing of the catalogue itself has changed
    assert verify(root).faults == []


def test_a_survey_that_was_moved_is_named_and_another_one_refused(run, catalogue, tmp_path):
    moved = shutil.copytree(run.survey, tmp_path / "survey")
    root = shutil.copytree(run.catalogue, tmp_path / "catalogue")
    assert "Folded epochs of star" in write_page(root, survey=moved).read_text()
    with pytest.raises(UserError, match="is not the survey that the catalogue was made from"):
        write_page(catalogue, survey=moved)
