"""Members of globular clusters are found where they are, and move; their means are compared."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import SkyCoord
from astropy.units import deg
from helpers import catalogue_rows, write_catalogue
from pages import Page

from rrl_batch.cli import main
from rrl_batch.errors import UserError
from rrl_batch.report.clusters import compare_with_clusters, members_of
from rrl_batch.sources.reference import read_clusters

LIST = Path(__file__).parents[2] / "rrl_batch/catalogue/clusters.ecsv"
NAMES = ["NGC 5272", "NGC 5904", "NGC 3201", "NGC 7078"]
SHIFT, SCATTER = 0.05, 0.2


@pytest.fixture(scope="module")
def clusters() -> pd.DataFrame:
    return read_clusters(LIST)


def _sky(clusters: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A catalogue with 30 stars and 10 of the field in each of four clusters, and others."""
    rng = np.random.default_rng(5)
    parts, motions = [], []
    for cluster in clusters[clusters["name"].isin(NAMES)].itertuples():
        centre = SkyCoord(cluster.ra, cluster.dec, unit="deg")
        far = rng.uniform(0, cluster.radius, 40)
        at = centre.directional_offset_by(rng.uniform(0, 360, 40) * deg, far * deg)
        member = np.arange(40) < 30
        feh = np.where(member, cluster.feh + SHIFT + rng.normal(0, SCATTER, 40), -0.2)
        parts.append(pd.DataFrame({"ra": at.ra.deg, "dec": at.dec.deg, "feh": feh}))
        motion = np.array([[cluster.pmra, cluster.pmdec]]) + rng.normal(0, 0.1, (40, 2))
        motion[~member] += 5.0
        motions.append(motion)
    some = pd.concat(parts, ignore_index=True)
    rows = catalogue_rows(len(some) + 40)
    rows.loc[some.index, some.columns] = some
    motion = np.full((len(rows), 2), 3.0)
    motion[: len(some)] = np.concatenate(motions)
    pm = {"source_id": rows["source_id"], "pmra": motion[:, 0], "pmdec": motion[:, 1]}
    return rows, pd.DataFrame(pm).assign(pmra_error=0.05, pmdec_error=0.05)


def _compare(tmp_path: Path, known: pd.DataFrame, **options: Any) -> dict[str, Any]:
    rows, _ = _sky(known)
    write_catalogue(tmp_path / "catalogue", rows, scale="carretta2009")
    return compare_with_clusters(tmp_path / "catalogue", tmp_path / "out", **options)


def test_the_list_is_what_it_says(clusters: pd.DataFrame) -> None:
    assert clusters["name"].is_unique
    assert clusters["radius"].between(0.1, 1).all()
    assert clusters["feh"].between(-2.5, -0.3).all()
    assert set(clusters["scale"]) == {"carretta2009"}
    m3 = SkyCoord("13h42m11.62s +28d22m38.2s")  # Goldsbury et al. (2010)
    centre = clusters.set_index("name").loc["NGC 5272"]
    assert m3.separation(SkyCoord(centre["ra"], centre["dec"], unit="deg")).arcsec < 5


def test_members_by_position_and_motion(
    tmp_path: Path, clusters: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, motions = _sky(clusters)
    write_catalogue(tmp_path / "catalogue", rows, scale="carretta2009")
    motions.to_parquet(tmp_path / "motions.parquet")
    words = ["evaluate", "--catalogue", str(tmp_path / "catalogue"), "--clusters"]
    words += ["--proper-motions", str(tmp_path / "motions.parquet"), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    assert "120 members of 4 clusters: mean difference +0.0" in capsys.readouterr().out
    found = json.loads((tmp_path / "out/metrics.json").read_text())
    by_name = {cluster["name"]: cluster for cluster in found["clusters"]}
    assert sorted(by_name) == sorted(NAMES)
    assert [cluster["n"] for cluster in by_name.values()] == [30] * 4
    for cluster in by_name.values():
        assert cluster["difference"] == pytest.approx(SHIFT, abs=4 * SCATTER / np.sqrt(30))
        assert cluster["feh_error"] == pytest.approx(cluster["scatter"] / np.sqrt(30))
        assert cluster["feh"] - cluster["feh_literature"] == pytest.approx(cluster["difference"])
    assert found["n_members"] == 120
    assert found["scatter_within"] == pytest.approx(SCATTER, rel=0.2)
    assert found["between_clusters"]["offset"] == pytest.approx(SHIFT, abs=0.05)
    assert found["line"]["slope"]["value"] == pytest.approx(1, abs=0.15)
    out = tmp_path / "out"
    assert sorted(f.name for f in out.iterdir()) == ["clusters.png", "index.html", "metrics.json"]
    page = Page((out / "index.html").read_text())
    assert (
        "4 of 26 clusters have members in the catalogue, by position and proper motion" in page.text
    )
    assert "field stars are among the members" not in page.text


def test_a_motion_agrees_within_its_error(clusters: pd.DataFrame) -> None:
    cluster = clusters[clusters["name"] == "NGC 5272"]
    centre = cluster.iloc[0]
    pmra = centre["pmra"] + np.array([0.4, 0.6, 0.6])
    stars = pd.DataFrame(
        {"ra": centre["ra"], "dec": centre["dec"], "pmra": pmra,
         "pmdec": centre["pmdec"], "pmra_error": [0.0, 0.0, 0.3], "pmdec_error": [0.0, np.nan, 0.3]}
    )  # fmt: skip
    assert members_of(stars, cluster, by_motion=True).tolist() == [0, -1, 0]
    assert members_of(stars, cluster, by_motion=False).tolist() == [0, 0, 0]


def test_a_list_of_ones_own_by_position_alone(tmp_path: Path, clusters: pd.DataFrame) -> None:
    mine = clusters[clusters["name"] == "NGC 3201"].assign(name="mine", scale="other")
    mine.to_csv(tmp_path / "mine.csv", index=False)
    found = _compare(tmp_path, clusters, clusters=tmp_path / "mine.csv")
    (cluster,) = found["clusters"]
    assert (cluster["name"], cluster["n"]) == ("mine", 40)
    assert cluster["scatter"] > 2 * SCATTER  # by the field
    assert found["line"] is None
    page = (tmp_path / "out/index.html").read_text()
    assert "differences contain that of the scales" in page
    assert "field stars are among the members" in page


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"dec": -85.0}, "None of the 196 stars"),
        ({"radius": None}, "column 'radius' has no value"),
        ({"scale": ["a"] + ["b"] * 25}, "2 metallicity scales, which must not be mixed"),
    ],
)
def test_lists_that_cannot_be_used(
    tmp_path: Path, clusters: pd.DataFrame, changed: dict[str, Any], sentence: str
) -> None:
    clusters.assign(**changed).to_csv(tmp_path / "mine.csv", index=False)
    with pytest.raises(UserError, match=sentence):
        _compare(tmp_path, clusters, clusters=tmp_path / "mine.csv")
    assert not (tmp_path / "out").exists()
