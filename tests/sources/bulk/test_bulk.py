"""Surveys from a mirror of Gaia's bulk files: the stars that are wanted, whole, or a sentence."""

import csv
import gzip
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bulk_files import SHIFT, row, write_bulk_file, write_checksums, write_mirror
from hypothesis import given, settings
from hypothesis import strategies as st

from rrl_batch import flow
from rrl_batch.cli import main
from rrl_batch.errors import UserError
from rrl_batch.sources.bulk.mirror import BulkFile, files_for
from rrl_batch.sources.bulk.read import Reader

RANGES = [(0, 199_999), (200_000, 499_999), (500_000, 786_431)]
"""HEALPix cells of level 8, the whole sky."""

COLUMNS = ["time", "mag", "flux_over_error"]


def light_curve(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    curve = pd.DataFrame(
        {
            "time": 1700 + np.sort(rng.uniform(0, 900, n)),
            "mag": rng.normal(17, 0.3, n),
            "flux_over_error": rng.uniform(20, 300, n),
            "reject": rng.random(n) < 0.1,
        }
    )
    curve.loc[rng.random(n) < 0.1, "mag"] = np.nan
    return curve


@pytest.fixture(scope="module")
def curves() -> dict[int, pd.DataFrame]:
    """Light curves of 60 sources all over the sky."""
    cells = np.random.default_rng(0).choice(12 * 4**8, 60, replace=False)
    return {
        (int(cell) << SHIFT) + 7 + i: light_curve(n=i % 40, seed=i) for i, cell in enumerate(cells)
    }


@pytest.fixture(scope="module")
def mirror(curves, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("epoch_photometry")
    write_mirror(folder, curves, RANGES)
    return folder


def star_table(source_ids: list[int], path: Path) -> Path:
    ids = np.array(source_ids)
    table = {
        "source_id": ids,
        "ra": np.nan,
        "dec": np.nan,
        "best_classification": "RRab",
        "period": 0.5,
    }
    pd.DataFrame(table).to_parquet(path, index=False)
    return path


def wanted_of(curves: dict[int, pd.DataFrame]) -> list[int]:
    """Every third source, and one that the mirror does not have."""
    return [*list(curves)[::3], (300_000 << SHIFT) + 1]


def transits_of(path: Path, *source_ids: int, md5: str | None = None) -> tuple[pa.Table, Reader]:
    reader = Reader(BulkFile(path, 0, 786_431, md5), pa.array(source_ids, pa.int64()))
    return pa.concat_tables(reader.pieces()), reader


def survey_of(folder: Path) -> pd.DataFrame:
    files = sorted((folder / "dataset").rglob("*.parquet"))
    stars = pd.concat([pq.read_table(file).to_pandas() for file in files])
    return stars.sort_values("source_id", ignore_index=True)


def test_a_mirror_gives_the_survey_that_a_table_of_its_transits_gives(
    client, mirror, curves, tmp_path
):
    wanted = wanted_of(curves)
    stars = star_table(wanted, tmp_path / "stars.parquet")
    rows = [curve.assign(source_id=star) for star, curve in curves.items() if star in wanted]
    table = pd.concat(rows).rename(columns={"reject": "rejected_by_variability"})
    table["rejected_by_photometry"] = table["mag"].isna()
    table.to_parquet(tmp_path / "transits.parquet", index=False)
    flow.ingest_files(client, tmp_path / "transits.parquet", stars, tmp_path / "from_table")

    manifest = flow.ingest_bulk(client, mirror, stars, tmp_path / "from_mirror")

    pd.testing.assert_frame_equal(
        survey_of(tmp_path / "from_mirror"), survey_of(tmp_path / "from_table")
    )
    found = manifest.provenance
    assert found["sources_read"] == len(curves)
    assert found["unreadable_stars"] == []
    transits = found["transits"]
    assert transits["read"] == len(table)
    assert transits["rejected_by_photometry"] == table["mag"].isna().sum()
    assert transits["stars"] == len(wanted)
    # the first source has no transits, and the last is not in the mirror
    assert transits["stars_without_transits"] == 2


def test_a_real_file_reads_as_astropy_reads_it(shared_data):
    from astropy.table import Table

    path = shared_data / "fixtures/gaia_dr3_bulk_epoch_photometry_5rows.ecsv.gz"
    table = Table.read(path, format="ascii.ecsv")
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    found, reader = transits_of(path, *table["source_id"].tolist())
    assert reader.sources == len(table) == 5
    start = 0
    for source, text in zip(table, rows, strict=True):
        own = found.slice(start, len(source["g_transit_time"])).to_pandas()
        start += len(own)
        assert set(own["source_id"]) == {source["source_id"]}
        for name, column in [
            ("time", "g_transit_time"),
            ("mag", "g_transit_mag"),
            ("flux_over_error", "g_transit_flux_over_error"),
        ]:
            expected = np.ma.filled(np.ma.asarray(source[column], float), np.nan)
            np.testing.assert_allclose(own[name], expected, rtol=1e-6)
        # astropy takes the text "False" for true
        flags = json.loads(text["variability_flag_g_reject"])
        assert own["rejected_by_variability"].tolist() == [flag == "True" for flag in flags]
    assert start == found.num_rows


numbers = st.none() | st.floats(-1e3, 1e4)
epochs = st.lists(
    st.fixed_dictionaries(
        {
            "time": numbers,
            "mag": numbers,
            "flux_over_error": numbers,
            "reject": st.none() | st.booleans(),
        }
    ),
    max_size=6,
)


@given(st.lists(epochs, min_size=1, max_size=5))
@settings(max_examples=30)
def test_every_number_of_a_wanted_star_arrives(tmp_path_factory, light_curves):
    path = tmp_path_factory.getbasetemp() / "EpochPhotometry_000000-786431.csv"
    columns = [*COLUMNS, "reject"]
    made = {i: pd.DataFrame(curve, columns=columns, dtype=object)
            for i, curve in enumerate(light_curves)}  # fmt: skip
    write_bulk_file(path, [row(star, curve) for star, curve in made.items()])
    found, _ = transits_of(path, *range(0, len(made), 2))
    expected = [
        {"source_id": star, **epoch} for star in list(made)[::2] for epoch in light_curves[star]
    ]
    assert found.num_rows == len(expected)
    for name in COLUMNS:
        assert found[name].to_pylist() == [epoch[name] for epoch in expected]
    assert found["source_id"].to_pylist() == [epoch["source_id"] for epoch in expected]
    rejected = found["rejected_by_variability"].to_pylist()
    assert rejected == [epoch["reject"] for epoch in expected]
    assert found["rejected_by_photometry"].to_pylist() == [epoch["mag"] is None
                                                           for epoch in expected]  # fmt: skip


@pytest.mark.parametrize("cell", [
    "[1.0,2.0]", "1.0,2.0,3.0", "[1.0,x,3.0]", "[1.0,2.0,3.0", "[[1.0,2.0,3.0]]",
])  # fmt: skip
def test_a_star_whose_arrays_cannot_be_read_is_named_and_the_others_are_read(cell, tmp_path):
    rows = [row(star, light_curve(3, star)) for star in (1, 2, 3)]
    rows[1]["g_transit_mag"] = cell
    write_bulk_file(tmp_path / "a.csv", rows)
    found, reader = transits_of(tmp_path / "a.csv", 1, 2, 3)
    assert reader.unreadable == [2]
    assert found["source_id"].to_pylist() == [1, 1, 1, 3, 3, 3]


def test_a_star_with_empty_cells_has_no_transits(tmp_path):
    rows = [row(star, light_curve(3, star)) for star in (1, 2)]
    rows[0] |= dict.fromkeys([name for name in rows[0] if name[0] in "gv"], "")
    write_bulk_file(tmp_path / "a.csv", rows)
    found, reader = transits_of(tmp_path / "a.csv", 1, 2)
    assert reader.unreadable == []
    assert found["source_id"].to_pylist() == [2, 2, 2]


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def with_another_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def with_a_page_of_errors(path: Path) -> None:
    path.write_text("<html>503 Service Unavailable</html>")


def with_another_table(path: Path) -> None:
    path.write_bytes(gzip.compress(b"# %ECSV 1.0\nsource_id,ra,dec\n1,2,3\n"))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [
    cut_short, with_another_byte, with_a_page_of_errors, with_another_table, emptied,
])  # fmt: skip
def test_a_damaged_file_is_named_with_and_without_checksums(damage, mirror, curves, tmp_path):
    path = Path(shutil.copy(next(mirror.glob("Epoch*")), tmp_path))
    damage(path)
    for md5 in (None, "0" * 32):
        with pytest.raises(UserError, match=path.name):
            transits_of(path, next(iter(curves)), md5=md5)


def test_a_file_that_differs_from_its_checksum_is_refused(mirror, curves):
    path = next(mirror.glob("Epoch*"))
    with pytest.raises(UserError, match=r"damaged: its MD5 is [0-9a-f]{32}, and _MD5SUM.txt says"):
        transits_of(path, next(iter(curves)), md5="0" * 32)


def test_a_run_that_met_a_damaged_file_goes_on_when_it_is_there_again(
    client, mirror, curves, tmp_path
):
    own = shutil.copytree(mirror, tmp_path / "mirror")
    stars = star_table(wanted_of(curves), tmp_path / "stars.parquet")
    *_, last = sorted(own.glob("Epoch*"))
    whole = last.read_bytes()
    cut_short(last)
    with pytest.raises(UserError, match=last.name):
        flow.ingest_bulk(client, own, stars, tmp_path / "survey")
    records = tmp_path / "survey/staging/files"
    before = {path.name: path.stat().st_mtime_ns for path in records.iterdir()}
    last.write_bytes(whole)
    for path in own.glob("Epoch*"):
        if path != last and f"{path.name}.json" in before:
            # nothing can be read of it a second time
            stat = path.stat()
            path.write_bytes(b"\0" * stat.st_size)

            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    flow.ingest_bulk(client, own, stars, tmp_path / "survey")
    flow.ingest_bulk(client, mirror, stars, tmp_path / "undisturbed")
    assert before
    pd.testing.assert_frame_equal(
        survey_of(tmp_path / "survey"), survey_of(tmp_path / "undisturbed")
    )


def test_only_the_files_of_the_stars_are_needed(mirror, curves):
    stars = np.array([star for star in curves if star >> SHIFT < RANGES[1][0]])
    assert [file.first for file in files_for(mirror, stars)] == [0]


@pytest.mark.parametrize("listed", [True, False])
def test_missing_files_are_listed(listed, mirror, curves, tmp_path, capfd):
    own = shutil.copytree(mirror, tmp_path / "mirror")
    (own / "EpochPhotometry_200000-499999.csv.gz").unlink()
    if not listed:
        (own / "_MD5SUM.txt").unlink()
    stars = star_table(list(curves), tmp_path / "stars.parquet")
    out = str(tmp_path / "survey")
    assert main(["ingest", "bulk", str(own), "--stars", str(stars), "--out", out]) == 2
    message = capfd.readouterr().err
    shown = "EpochPhotometry_200000-499999.csv.gz" if listed else "200000-499999"
    assert f": {shown}; get what is missing" in message
    assert message.splitlines()[-1].startswith("rrl-batch: ")
    assert not (tmp_path / "survey").exists()


def test_files_of_the_same_part_of_the_sky_are_refused(mirror, curves, tmp_path):
    own = shutil.copytree(mirror, tmp_path / "mirror")
    shutil.copy(next(own.glob("Epoch*")), own / "EpochPhotometry_000100-000200.csv.gz")
    with pytest.raises(UserError, match="the same part of the sky"):
        files_for(own, np.array(list(curves)))


def test_a_folder_that_is_no_mirror_is_refused(tmp_path):
    with pytest.raises(UserError, match="There is no folder"):
        files_for(tmp_path / "none", np.array([1]))
    with pytest.raises(UserError, match="holds no files EpochPhotometry_"):
        files_for(tmp_path, np.array([1]))


def test_a_list_of_checksums_of_other_files_is_refused(mirror, tmp_path):
    own = shutil.copytree(mirror, tmp_path / "mirror")
    write_checksums(own)
    (own / "_MD5SUM.txt").write_text("<html>not found</html>")
    with pytest.raises(UserError, match="lists no bulk files"):
        files_for(own, np.array([1]))
