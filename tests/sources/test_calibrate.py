"""Labels come to another scale by a relation that is stated, with its scatter, or stay apart."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from rrl_batch.cli import main
from rrl_batch.contracts.scales import Relation, Scales
from rrl_batch.errors import UserError
from rrl_batch.sources.calibrate import on_scale
from rrl_batch.sources.labels import from_file
from rrl_batch.sources.tables import read_labels

# globular clusters with both: UVES spectra of Carretta et al. (2009, Table 1), Zinn & West (1984)
CLUSTERS = {
    "NGC 104": (-0.768, -0.71), "NGC 288": (-1.305, -1.40), "NGC 1904": (-1.579, -1.69),
    "NGC 2808": (-1.151, -1.37), "NGC 3201": (-1.512, -1.56), "NGC 4590": (-2.265, -2.09),
    "NGC 5904": (-1.340, -1.40), "NGC 6121": (-1.168, -1.33), "NGC 6171": (-1.033, -0.99),
    "NGC 6218": (-1.330, -1.61), "NGC 6254": (-1.575, -1.60), "NGC 6388": (-0.441, -0.74),
    "NGC 6397": (-1.988, -1.91), "NGC 6441": (-0.430, -0.59), "NGC 6752": (-1.555, -1.54),
    "NGC 6809": (-1.934, -1.82), "NGC 6838": (-0.832, -0.58), "NGC 7078": (-2.320, -2.15),
    "NGC 7099": (-2.344, -2.13),
}  # fmt: skip


def _relation(source: str, to: str, coefficients: list[float]) -> dict[str, object]:
    return {
        "from": source, "to": to, "coefficients": coefficients, "range": [-2.5, 0.0],
        "scatter": 0.1, "reference": "a test",
    }  # fmt: skip


SCALES = Scales(
    scales={"a": "one", "b": "another", "c": "a third", "d": "a fourth"},
    relations=[_relation("a", "b", [0.1, 1.2]), _relation("c", "b", [0.0, 1.0, 0.1])],
)


def _labels(tmp_path: Path, rows: list[tuple[int, float, float | None, str]]) -> Path:
    path = tmp_path / "labels.csv"
    columns = ["source_id", "feh", "feh_error", "scale"]
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False)
    return path


def test_relation_of_carretta_fits_the_clusters_that_it_was_made_of() -> None:
    relation = Scales.read().relation("zinnwest1984", "carretta2009")
    uves, zinn_west = np.array(list(CLUSTERS.values())).T
    found, error = relation.apply(zinn_west, np.zeros(len(uves)))
    assert np.mean(uves - found) == pytest.approx(0, abs=0.01)
    assert np.std(uves - found, ddof=3) == pytest.approx(relation.scatter, abs=0.005)
    assert (error == relation.scatter).all()


def test_errors_follow_the_slope_of_the_relation() -> None:
    """The error is that of many draws about the value, and the relation's own scatter."""
    relation = SCALES.relation("c", "b")
    rng = np.random.default_rng(1)
    feh, error = relation.apply([-1.5], [0.15])
    drawn = rng.normal(-1.5, 0.15, 200_000)
    drawn = drawn + 0.1 * drawn**2 + rng.normal(0, relation.scatter, len(drawn))
    assert feh[0] == pytest.approx(-1.5 + 0.225)
    assert error[0] == pytest.approx(drawn.std(), rel=0.02)


def test_what_is_unknown_or_beyond_the_range_stays_so() -> None:
    relation = SCALES.relation("a", "b")
    feh, error = relation.apply([-1.0, -2.6, np.nan], [np.nan, 0.1, 0.1])
    assert feh[0] == pytest.approx(-1.1)
    assert np.isnan(error).all()
    assert np.isnan(feh[1:]).all()


def test_labels_are_calibrated_or_kept_apart(tmp_path: Path) -> None:
    path = _labels(tmp_path, [
        (1, -1.0, 0.2, "a"), (2, -2.6, 0.2, "a"), (3, -1.3, None, "a"),
        (4, -1.4, 0.1, "b"), (5, -1.5, 0.1, "d"), (6, -1.0, 0.1, "c"),
    ])  # fmt: skip
    made = on_scale(from_file(path, None, {}), "b", SCALES)
    found = made.table.to_pandas().set_index("source_id")
    assert found["scale"].to_dict() == {1: "b", 2: "a", 3: "b", 4: "b", 5: "d", 6: "b"}
    assert found["feh"].to_dict() == pytest.approx(
        {1: -1.1, 2: -2.6, 3: -1.46, 4: -1.4, 5: -1.5, 6: -0.9}
    )
    assert found.loc[1, "feh_error"] == pytest.approx(np.hypot(1.2 * 0.2, 0.1))
    assert made.table["feh_error"].null_count == 1
    assert found.loc[6, "feh_error"] == pytest.approx(np.hypot(0.8 * 0.1, 0.1))
    from_a, from_c = made.made_from["calibrated"]
    assert (from_a["stars"], from_a["kept_apart"]) == (2, 1)
    assert (from_c["stars"], from_c["kept_apart"]) == (1, 0)
    assert (from_a["from"], from_a["to"], from_a["reference"]) == ("a", "b", "a test")


def test_a_label_of_the_scale_itself_is_preferred_and_none_is_there_twice(tmp_path: Path) -> None:
    path = _labels(tmp_path, [
        (1, -1.0, 0.2, "a"), (1, -1.2, 0.1, "b"), (2, -1.0, 0.2, "a"), (2, -1.0, 0.2, "c"),
    ])  # fmt: skip
    found = on_scale(from_file(path, None, {}), "b", SCALES).table.to_pylist()
    on_b = {row["source_id"]: row["feh"] for row in found if row["scale"] == "b"}
    assert on_b == pytest.approx({1: -1.2, 2: -1.1})
    assert [(row["source_id"], row["scale"]) for row in found if row["scale"] != "b"] == [
        (1, "a"), (2, "c"),
    ]  # fmt: skip


def test_folds_come_through(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("source_id,feh,scale,fold\n1,-1.0,a,3\n2,-1.0,a,\n")
    made = on_scale(from_file(path, None, {"fold": "fold"}), "b", SCALES)
    assert made.table["fold"].to_pylist() == [3, None]


def test_a_scale_without_a_relation_is_refused(tmp_path: Path) -> None:
    path = _labels(tmp_path, [(1, -1.0, 0.2, "d")])
    with pytest.raises(
        UserError, match=r"no relation from the scale 'd' to 'b'; those known: a to"
    ):
        on_scale(from_file(path, None, {}), "b", SCALES)


def test_the_command_says_what_it_did_and_the_file_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _labels(tmp_path, [(1, -1.5, 0.1, "zinnwest1984"), (2, -2.3, 0.1, "zinnwest1984")])
    out = tmp_path / "out.parquet"
    words = ["ingest", "labels", str(path), "--to", "carretta2009", "--out", str(out)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "calibrated 1 labels from 'zinnwest1984' to 'carretta2009', 1 kept apart" in printed
    assert "Carretta et al. (2009), A&A 508, 695" in printed
    made_from = json.loads(pq.read_schema(out).metadata[b"made_from"])
    assert made_from["calibrated"][0]["coefficients"] == [-0.413, 0.13, -0.356]
    feh = pq.read_table(out)["feh"][0].as_py()
    assert feh == pytest.approx(-0.413 + 0.130 * -1.5 - 0.356 * 2.25)


def test_who_trains_on_them_is_told(tmp_path: Path) -> None:
    rows = [(1, -1.5, 0.1, "a"), (2, -1.4, 0.1, "b"), (3, -1.3, 0.1, "d")]
    made = on_scale(from_file(_labels(tmp_path, rows), None, {}), "b", SCALES)
    made.write(tmp_path / "out.parquet")
    (relation,) = read_labels(tmp_path / "out.parquet", "b").attrs["calibrated"]
    assert (relation["from"], relation["to"], relation["stars"]) == ("a", "b", 1)
    assert read_labels(tmp_path / "out.parquet", "d").attrs["calibrated"] == []
    assert read_labels(_labels(tmp_path, rows), "a").attrs["calibrated"] == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("scales = 3", "is not|does not describe"),
        ("[scales", "is not TOML"),
        ("[scales]\n[[relations]]\nfrom='a'\nto='b'\ncoefficients=[0,1]\nrange=[-2,0]\n"
         "scatter=0.1\nreference='r'", "does not say what a, b is"),
        ("[scales]\na='x'\nb='y'\n[[relations]]\nfrom='a'\nto='b'\ncoefficients=[0,1]\n"
         "range=[0,-2]\nscatter=0.1\nreference='r'", "from one scale to another, within a range"),
    ],
)  # fmt: skip
def test_a_faulty_file_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "scales.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=sentence):
        Scales.read(path)
    with pytest.raises(UserError, match="cannot be read"):
        Scales.read(tmp_path / "none.toml")


def test_relations_of_a_file_need_a_scale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _labels(tmp_path, [(1, -1.5, 0.1, "a")])
    words = [
        "ingest",
        "labels",
        str(path),
        "--relations",
        "x.toml",
        "--out",
        f"{tmp_path}/o.parquet",
    ]
    assert main(words) == 2
    assert "name the scale to end on by --to" in capsys.readouterr().err


def test_relation_leads_elsewhere() -> None:
    with pytest.raises(ValueError, match="from one scale to another"):
        Relation.model_validate(_relation("a", "a", [0.0, 1.0]))
