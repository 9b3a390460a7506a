"""Labels come from published tables and from files, each on its scale and with what it was."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from vizier import Vizier, serving

from rrl_batch.cli import main
from rrl_batch.errors import RunError, UserError
from rrl_batch.sources.labels import from_file, from_vizier
from rrl_batch.sources.tables import read_labels
from rrl_batch.sources.vizier.published import Published

TABLE = "J/ApJS/261/33/table4"
IDS = np.array([4_295_806_720, 5_853_498_713_190_525_697, 6_917_528_997_577_384_321], np.int64)


def published_table(**columns):
    """Return a table with names and units as the CDS gives them."""
    table = pd.DataFrame(
        {"GaiaDR2": IDS, "Per": [0.5, 0.6, 0.7], "[Fe/H]": [-1.5, -0.25, -2.125],
         "e_[Fe/H]": [0.1, np.nan, 0.3]}
    )  # fmt: skip
    table = table.assign(**columns)
    table.attrs["units"] = {"[Fe/H]": "[Sun]", "e_[Fe/H]": "[Sun]", "Per": "d"}
    return table


@pytest.fixture(scope="module")
def server(certificates):
    with serving(Vizier({}), certificates / "scheduler") as vizier:
        yield vizier


@pytest.fixture
def vizier(server, certificates, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates / "client/ca.crt"))
    server.tables, server.fault = {TABLE: published_table()}, ""
    server.asked.clear()
    return server


@pytest.fixture
def published(vizier):
    known = Published.read(None)
    return known.model_copy(update={"server": vizier.address, "silence": 30.0})


def test_a_published_table_comes_with_its_scale_and_to_the_last_digit(vizier, published):
    made = from_vizier("dekany2022", published, {})
    assert made.table["source_id"].to_pylist() == IDS.tolist()
    assert made.table["feh"].to_pylist() == [-1.5, -0.25, -2.125]
    assert made.table["feh_error"].to_pylist() == [0.1, None, 0.3]
    assert set(made.table["scale"].to_pylist()) == {"dekany2022"}
    assert made.summary == "3 labels, 3 on the scale 'dekany2022'"
    assert made.made_from["table"] == TABLE
    assert made.made_from["release"] == "Gaia DR2"
    (asked,) = vizier.asked
    assert asked["path"] == "/viz-bin/votable"
    assert asked["-out.max"] == "unlimited"
    assert "-out.all" in asked


def test_labels_that_were_written_are_read_by_a_job(published, tmp_path):
    made = from_vizier("dekany2022", published, {})
    made.write(tmp_path / "labels.parquet")
    labels = read_labels(tmp_path / "labels.parquet", None)
    assert labels["source_id"].tolist() == IDS.tolist()
    assert set(labels["scale"]) == {"dekany2022"}
    about = json.loads(pq.read_schema(tmp_path / "labels.parquet").metadata[b"made_from"])
    assert about == made.made_from
    assert about["reference"].startswith("Dékány & Grebel (2022)")


def test_of_a_catalogue_the_one_table_with_labels_is_taken(vizier, published):
    others = pd.DataFrame({"Name": ["a"], "Ks": [12.5]})
    own = published_table().rename(columns={"GaiaDR2": "GaiaDR3"})
    vizier.tables = {"J/A+A/702/A148/refs": others, "J/A+A/702/A148/catalog": own}
    made = from_vizier("monti2025", published, {})
    assert made.made_from["table"] == "J/A+A/702/A148/catalog"
    assert set(made.table["scale"].to_pylist()) == {"monti2025"}
    vizier.tables |= {"J/A+A/702/A148/training": own}
    with pytest.raises(UserError, match=r"2 tables of J/A\+A/702/A148 have labels: .*; name the"):
        from_vizier("monti2025", published, {})


def test_other_columns_are_named_by_the_user_or_in_a_file(vizier, published, tmp_path):
    vizier.tables = {TABLE: published_table().rename(columns={"[Fe/H]": "MH", "GaiaDR2": "ID"})}
    sentence = (
        rf"{TABLE} has no column 'GaiaDR3' or .* for 'source_id'; it has: ID, Per, MH, "
        r"e_\[Fe/H\]\. Name the right one with --column source_id=NAME\."
    )
    with pytest.raises(UserError, match=sentence):
        from_vizier("dekany2022", published, {})
    made = from_vizier("dekany2022", published, {"source_id": "ID", "feh": "MH"})
    assert made.table["feh"].to_pylist() == [-1.5, -0.25, -2.125]
    assert made.table["feh_error"].null_count == 1
    text = (
        f'server = "{vizier.address}"\nsilence = 20\n[columns]\nsource_id = ["ID"]\n'
        f'feh = ["[Fe/H]"]\n[tables.mine]\nreference = "r"\ntable = "{TABLE}"\n'
        f'release = "Gaia DR3"\nscale = "s"\ncolumns.feh = ["MH"]\n'
    )
    (tmp_path / "own.toml").write_text(text)
    made = from_vizier("mine", Published.read(tmp_path / "own.toml"), {})
    assert made.summary == "3 labels, 3 on the scale 's'"
    assert made.table["feh_error"].null_count == 3


def test_identifiers_that_are_written_out_are_read_and_rows_without_are_left_out(
    vizier, published, caplog
):
    names = [f"Gaia DR2 {IDS[0]}", "", f" {IDS[2]}"]
    vizier.tables = {TABLE: published_table(GaiaDR2=names)}
    made = from_vizier("dekany2022", published, {})
    assert made.table["source_id"].to_pylist() == [IDS[0], IDS[2]]
    assert "1 rows without an identifier are left out" in caplog.text
    vizier.tables = {TABLE: published_table(**{"[Fe/H]": [-1.0, np.nan, np.nan]})}
    assert from_vizier("dekany2022", published, {}).table.num_rows == 1
    assert "2 of 3 rows have no metallicity" in caplog.text
    vizier.tables = {TABLE: published_table(GaiaDR2=["RR Lyr", "X Ari", "V Ind"])}
    with pytest.raises(UserError, match=r"column 'source_id' has the type .*string"):
        from_vizier("dekany2022", published, {})


def test_two_labels_of_a_star_are_refused(vizier, published):
    vizier.tables = {TABLE: published_table(GaiaDR2=IDS[[0, 1, 1]])}
    with pytest.raises(UserError, match=rf"star {IDS[1]} has 2 labels on the scale 'dekany2022'"):
        from_vizier("dekany2022", published, {})


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("500", r"could not be asked for J/ApJS/261/33/table4: 500 Server Error"),
        ("page", r"has answered with no VOTable, .*it begins with '<html>"),
        ("truncated", r"has answered with no VOTable, or with a part of one"),
        ("reset", r"could not be asked for J/ApJS/261/33/table4: .*; try again later, or give"),
        ("stall", r"could not be asked for .*timed out"),
        ("overflow", r"has cut 'J/ApJS/261/33/table4' short; try again later"),
    ],
)
@pytest.mark.filterwarnings("ignore:VOTABLE parsing raised")
def test_what_goes_wrong_at_vizier_is_a_sentence(vizier, published, fault, sentence):
    vizier.fault = fault
    if fault == "stall":
        published = published.model_copy(update={"silence": 0.5})
    with pytest.raises(RunError, match=sentence):
        from_vizier("dekany2022", published, {})
    vizier.fault = ""
    assert from_vizier("dekany2022", published, {}).table.num_rows == 3


def test_a_table_that_vizier_lacks_is_named(vizier, published):
    vizier.tables = {}
    with pytest.raises(UserError, match=rf"has no table '{TABLE}' \(No table .*--published"):
        from_vizier("dekany2022", published, {})


def test_a_server_that_is_not_there_is_a_sentence(published):
    gone = published.model_copy(update={"server": "127.0.0.1:1"})
    with pytest.raises(RunError, match=r"127\.0\.0\.1:1 could not be asked for .*refused"):
        from_vizier("dekany2022", gone, {})


def write(path, **columns):
    pd.DataFrame({"source_id": IDS, "feh": [-1.0, -2.0, -0.5]} | columns).to_csv(path, index=False)
    return path


def test_a_file_needs_a_scale_and_may_call_its_columns_otherwise(tmp_path):
    path = tmp_path / "mine.csv"
    pd.DataFrame({"id": IDS, "FeH": [-1.0, np.nan, -0.5], "cv": [1, 2, 3]}).to_csv(path)
    columns = {"source_id": "id", "feh": "FeH", "fold": "cv"}
    with pytest.raises(UserError, match=r"mine\.csv does not say on which metallicity scale"):
        from_file(path, None, columns)
    made = from_file(path, "mine", columns)
    assert made.table.column_names == ["source_id", "feh", "feh_error", "scale", "fold"]
    assert made.table["fold"].to_pylist() == [1, 3]
    assert made.made_from["columns"] == columns


def test_scales_of_a_file_stay_apart(tmp_path):
    path = write(tmp_path / "several.csv", scale=["a", "b", "a"])
    made = from_file(path, None, {})
    assert made.table["scale"].to_pylist() == ["a", "b", "a"]
    assert made.summary == "3 labels, 2 on the scale 'a' and 1 on the scale 'b'"
    assert from_file(path, "b", {}).table["source_id"].to_pylist() == [IDS[1]]
    with pytest.raises(UserError, match=r"no labels on the scale 'c'; it has: a, b\."):
        from_file(path, "c", {})


def test_marks_of_no_value_are_left_out(tmp_path, caplog):
    made = from_file(write(tmp_path / "a.csv", feh=[-1.0, 99.99, -9999.0]), "s", {})
    assert made.table["feh"].to_pylist() == [-1.0]
    assert "2 of 3 rows have no metallicity" in caplog.text


def test_a_scale_may_be_a_number(tmp_path):
    path = write(tmp_path / "several.csv", scale=[5, 6, 5])
    assert from_file(path, "5", {}).summary == "2 labels, 2 on the scale '5'"


def test_two_columns_of_a_name_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text(f"source_id,feh,feh,note,note\n{IDS[0]},-1.0,-2.0,a,b\n")
    with pytest.raises(UserError, match=r"a\.csv has 2 columns named 'feh'; keep one of them"):
        from_file(tmp_path / "a.csv", "s", {})


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing.csv"], "There is no file nothing.csv."),
        (["muraveva"], "'muraveva' is no file, and no published table that is known; did you mean"),
        (["dekany2022", "--scale", "x"], "--scale is for files"),
        (["dekany2022", "--column", "feh"], "--column takes OURS=THEIRS"),
        (["a.csv", "--scale", "x", "--column", "fehh=y"], "no column 'fehh'; did you mean 'feh'?"),
        (["a.csv", "--scale", "x", "--column", "feh=y"], "a.csv has no column 'y' for 'feh'; it"),
        (["a.csv", "--scale", "x", "--out", "b.csv"], "--out NAME.parquet, not b.csv"),
        (["dekany2022", "--published", "no.toml"], "no.toml cannot be read"),
        (["dekany2022", "--published", "a.csv"], "a.csv is not TOML"),
        (["dekany2022", "--published", "own.toml"], "does not describe published tables (server:"),
    ],
)
def test_a_mistake_is_a_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.csv")
    (tmp_path / "own.toml").write_text("silence = 3\n")
    out = [] if "--out" in arguments else ["--out", "labels.parquet"]
    assert main(["ingest", "labels", *arguments, *out]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "labels.parquet").exists()


def test_the_command_says_what_it_has_made(vizier, tmp_path, capsys):
    text = (
        f'server = "{vizier.address}"\nsilence = 20\n[columns]\nsource_id = ["GaiaDR2"]\n'
        f'feh = ["[Fe/H]"]\n[tables.mine]\nreference = "Somebody (2030)"\ntable = "{TABLE}"\n'
        f'release = "Gaia DR2"\nscale = "s"\n'
    )
    (tmp_path / "own.toml").write_text(text)
    out = tmp_path / "labels.parquet"
    words = ["ingest", "labels", "mine", "--published", tmp_path / "own.toml", "--out", out]
    assert main([str(word) for word in words]) == 0
    said = capsys.readouterr().out
    assert f"from {TABLE}: Somebody (2030)" in said
    assert "those of Gaia DR2; a survey of another release has others" in said
    assert f"labels     {out}: 3 labels, 3 on the scale 's'" in said


def test_real_labels_of_a_file(shared_data, tmp_path):
    path = shared_data / "gaia_dr3/labels.parquet"
    made = from_file(path, "dekany2022", {})
    assert made.table.num_rows == 122
    made.write(tmp_path / "labels.parquet")
    pd.testing.assert_frame_equal(
        read_labels(tmp_path / "labels.parquet", None), read_labels(path, "dekany2022")
    )
