"""Transits from files become light curves, whatever their order, files and format."""

import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrl_batch.contracts import STARS
from rrl_batch.errors import RunError, UserError
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.clean import clean
from rrl_batch.sources.files import stage_transits
from rrl_batch.sources.tables import SUFFIXES, read_stars
from rrl_batch.sources.transits import StagedLightCurves, TransitCounts
from rrl_batch.storage.sky import Partition
from rrl_batch.survey.write import plan_partitions

Writer = Callable[[pa.Table, Path], Path]

STAR = 5853498713190525696
"""A Gaia identifier, which a float64 cannot hold."""

SCHEMA = pa.schema(
    [
        ("source_id", pa.int64()),
        ("transit_id", pa.int64()),
        ("band", pa.string()),
        ("time", pa.float64()),
        ("mag", pa.float64()),
        ("flux_over_error", pa.float64()),
        ("rejected_by_photometry", pa.bool_()),
        ("rejected_by_variability", pa.bool_()),
    ]
)


def _stars(source_ids: list[int]) -> pd.DataFrame:
    table = pa.table(
        {
            "source_id": pa.array(source_ids, pa.int64()),
            "ra": np.linspace(0, 350, len(source_ids)),
            "dec": np.linspace(-80, 80, len(source_ids)),
            "best_classification": ["RRab"] * len(source_ids),
            "period": [0.5] * len(source_ids),
        }
    )
    return STARS.conform(table, "stars").to_pandas()


def _transits(**columns: list) -> pa.Table:
    """Return transits of one star; what is not given is the same for all."""
    rows = len(next(iter(columns.values())))
    usual = {
        "source_id": [STAR] * rows,
        "transit_id": list(range(rows)),
        "band": ["G"] * rows,
        "time": list(map(float, range(rows))),
        "mag": [17.0] * rows,
        "flux_over_error": [100.0] * rows,
        "rejected_by_photometry": [False] * rows,
        "rejected_by_variability": [False] * rows,
    }
    return pa.table(usual | columns, schema=SCHEMA)


def _ingest(
    photometry: Path, stars: pd.DataFrame, folder: Path, max_rows: int = 2
) -> tuple[TransitCounts, dict[int, pd.DataFrame], dict[int, bool]]:
    """Return counts, light curves by star, and whether each star has errors."""
    stars, partitions = plan_partitions(stars, max_rows)
    counts = stage_transits(photometry, stars, partitions, folder)
    curves, has_error = {}, {}
    for number, (_, start, stop) in enumerate(partitions):
        batch = StagedLightCurves(folder)(stars.iloc[start:stop], number)
        batch = LightCurveBatch.from_arrow(batch.to_arrow())
        assert batch.stars["source_id"].tolist() == stars["source_id"][start:stop].tolist()
        for i, star in enumerate(batch.stars["source_id"]):
            own = slice(batch.offsets[i], batch.offsets[i + 1])
            curves[star] = pd.DataFrame(
                {"time": batch.time[own], "mag": batch.mag[own], "mag_error": batch.mag_error[own]}
            )
            has_error[star] = bool(batch.has_error[i])
    return counts, curves, has_error


def _ingest_table(
    table: pa.Table, tmp_path: Path, stars: list[int] | None = None
) -> tuple[TransitCounts, dict[int, pd.DataFrame], dict[int, bool]]:
    pq.write_table(table, tmp_path / "photometry.parquet")
    return _ingest(tmp_path / "photometry.parquet", _stars(stars or [STAR]), tmp_path / "staged")


def _naive(table: pa.Table, source_ids: list[int]) -> dict[int, pd.DataFrame]:
    """Do the same the slow and obvious way."""
    rows = table.to_pandas()
    rejected = rows["rejected_by_photometry"].eq(True) | rows["rejected_by_variability"].eq(True)
    rows = rows[rows["band"].eq("G") & ~rejected & ~(rows["time"].isna() & rows["mag"].isna())]
    rows["mag_error"] = (2.5 / np.log(10) / rows["flux_over_error"]).astype(np.float32)
    rows["mag"] = rows["mag"].astype(np.float32)
    rows = rows.drop_duplicates(["source_id", "time", "mag", "mag_error"])
    rows = rows.sort_values(["time", "mag", "mag_error"])
    columns = ["time", "mag", "mag_error"]
    curves = dict(list(rows.groupby("source_id")[columns]))
    empty = rows.iloc[:0][columns]
    return {star: curves.get(star, empty).reset_index(drop=True) for star in source_ids}


def _assert_same(found: dict[int, pd.DataFrame], expected: dict[int, pd.DataFrame]) -> None:
    assert found.keys() == expected.keys()
    for star, curve in expected.items():
        pd.testing.assert_frame_equal(found[star], curve, check_exact=False, rtol=1e-6)


maybe_flag = st.sampled_from([True, False, False, None])
number = st.none() | st.integers(0, 200).map(lambda n: n / 8)
transits = st.fixed_dictionaries(
    {
        "source_id": st.integers(STAR, STAR + 5),
        "transit_id": st.integers(0, 2**62),
        "band": st.sampled_from(["G", "G", "BP", "RP"]),
        "time": number,
        "mag": number,
        "flux_over_error": st.none() | st.integers(1, 400).map(float),
        "rejected_by_photometry": maybe_flag,
        "rejected_by_variability": maybe_flag,
    }
)
anchor = _transits(time=[1.0]).to_pylist()
tables = st.lists(transits, max_size=30).map(lambda rows: anchor + rows)
KNOWN = [STAR, STAR + 1, STAR + 2, STAR + 3]


@settings(max_examples=40)
@given(tables, st.randoms(use_true_random=False), st.data())
def test_light_curves_depend_on_nothing_but_the_transits(
    write_table: Writer, rows: list[dict], random: object, data: st.DataObject
) -> None:
    """Any order of the rows, any split into files, and any formats give what is expected."""
    expected = _naive(pa.Table.from_pylist(rows, SCHEMA), KNOWN)
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "photometry"
        for i, (start, stop) in enumerate(
            zip([0, *cuts], [*cuts, len(rows)], strict=True)
        ):  # empty pieces are among them
            suffix = data.draw(st.sampled_from(SUFFIXES))
            path = folder / f"{i}" / f"part{suffix}"
            path.parent.mkdir(parents=True)
            write_table(pa.Table.from_pylist(shuffled[start:stop], SCHEMA), path)
        counts, curves, has_error = _ingest(folder, _stars(KNOWN), Path(name) / "staged")
    _assert_same(curves, expected)
    assert has_error == {star: bool(c["mag_error"].notna().any()) for star, c in expected.items()}
    assert counts == _naive_counts(rows, expected)


def _naive_counts(rows: list[dict], expected: dict[int, pd.DataFrame]) -> TransitCounts:
    fates = []
    for row in rows:
        if row["band"] != "G":
            fates.append("other band")
        elif row["source_id"] not in KNOWN:
            fates.append("unknown")
        elif row["rejected_by_photometry"]:
            fates.append("photometry")
        elif row["rejected_by_variability"]:
            fates.append("variability")
        elif row["time"] is None and row["mag"] is None:
            fates.append("empty")
        else:
            fates.append("kept")
    unknown = {r["source_id"] for r, fate in zip(rows, fates, strict=True) if fate == "unknown"}
    return TransitCounts(
        read=len(rows),
        kept=fates.count("kept"),
        other_bands=fates.count("other band"),
        unknown_star=fates.count("unknown"),
        rejected_by_photometry=fates.count("photometry"),
        rejected_by_variability=fates.count("variability"),
        empty=fates.count("empty"),
        unknown_stars=len(unknown),
        unknown_examples=tuple(sorted(unknown)[:3]),
        stars=len(KNOWN),
        stars_without_transits=sum(curve.empty for curve in expected.values()),
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format(tmp_path: Path, write_table: Writer, suffix: str) -> None:
    table = _transits(time=[3.0, None, 1.0, 2.0], mag=[17.0, 17.1, None, 17.2])
    path = write_table(table, tmp_path / f"photometry{suffix}")
    _, curves, _ = _ingest(path, _stars([STAR]), tmp_path / "staged")
    _assert_same(curves, _naive(table, [STAR]))


def test_layout_of_several_pieces(tmp_path: Path, write_table: Writer) -> None:
    """A star's transits are gathered from all pieces of a file that is read in several."""
    rows = 400_000
    table = _transits(time=list(np.arange(rows, 0.0, -1.0)))
    table = table.set_column(0, "source_id", pa.array(STAR + np.arange(rows) % 3))
    for suffix in (".parquet", ".csv"):
        path = write_table(table, tmp_path / f"photometry{suffix}")
        counts, curves, _ = _ingest(path, _stars(KNOWN), tmp_path / "staged")
        assert counts.kept == rows
        _assert_same(curves, _naive(table, KNOWN))


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]])
def test_transits_at_one_time_are_ordered_by_magnitude(tmp_path: Path, order: list[int]) -> None:
    table = _transits(
        time=[2.0, 2.0, 2.0, 1.0],
        mag=[17.0, 18.0, 17.0, 19.0],
        flux_over_error=[200.0, 400.0, 100.0, 10.0],
    ).take(order)
    _, curves, _ = _ingest_table(table, tmp_path)
    assert curves[STAR]["mag"].tolist() == [19.0, 17.0, 17.0, 18.0]
    errors = 1.0857362 / np.array([10, 200, 100, 400])
    np.testing.assert_allclose(curves[STAR]["mag_error"], errors, rtol=1e-6)


@pytest.mark.parametrize("with_errors", [True, False])
def test_a_transit_that_was_given_twice_is_kept_once(tmp_path: Path, with_errors: bool) -> None:
    table = _transits(time=[2.0, 1.0], mag=[17.0, 19.0], flux_over_error=[200.0, 100.0])
    if not with_errors:
        table = table.drop_columns("flux_over_error")
    once = _ingest_table(table, tmp_path)[1][STAR]
    twice = _ingest_table(pa.concat_tables([table, table]), tmp_path)[1][STAR]
    pd.testing.assert_frame_equal(twice, once)
    assert len(once) == 2


def test_error_is_that_of_the_flux(tmp_path: Path) -> None:
    _, curves, has_error = _ingest_table(
        _transits(flux_over_error=[108.57362, 10.857362]), tmp_path
    )
    np.testing.assert_allclose(curves[STAR]["mag_error"], [0.01, 0.1], rtol=1e-6)
    assert has_error[STAR]


def test_error_in_magnitudes_is_preferred(tmp_path: Path) -> None:
    table = _transits(flux_over_error=[108.57362, 108.57362])
    table = table.append_column("mag_error", pa.array([0.5, None]))
    _, curves, _ = _ingest_table(table, tmp_path)
    np.testing.assert_allclose(curves[STAR]["mag_error"], [0.5, 0.01], rtol=1e-6)


def test_smallest_layout_is_all_g_without_errors(tmp_path: Path) -> None:
    table = _transits(time=[2.0, 1.0]).select(["source_id", "time", "mag"])
    counts, curves, has_error = _ingest_table(table, tmp_path)
    assert (counts.read, counts.kept) == (2, 2)
    assert curves[STAR]["time"].tolist() == [1.0, 2.0]
    assert curves[STAR]["mag_error"].isna().all()
    assert not has_error[STAR]


def test_row_without_band_is_not_taken_for_g(tmp_path: Path) -> None:
    counts, _, _ = _ingest_table(_transits(band=["G", None]), tmp_path)
    assert (counts.kept, counts.other_bands) == (1, 1)


@pytest.mark.parametrize(
    "columns",
    [
        {"time": [1.0, None]},
        {"time": [1.0, np.nan]},
        {"time": [1.0, np.inf]},
        {"mag": [17.0, None]},
        {"mag": [17.0, np.nan]},
        {"mag": [17.0, -np.inf]},
        {"flux_over_error": [100.0, None]},
        {"flux_over_error": [100.0, np.nan]},
        {"flux_over_error": [100.0, 0.0]},
        {"flux_over_error": [100.0, -5.0]},
        {"flux_over_error": [100.0, 1e-300]},
    ],
    ids=str,
)
def test_impossible_values_reach_the_cleaning_that_rejects_them(
    tmp_path: Path, columns: dict[str, list]
) -> None:
    counts, curves, _ = _ingest_table(_transits(**columns), tmp_path)
    assert counts.kept == 2
    curve = curves[STAR]
    cleaned = clean(
        *(curve[name].to_numpy() for name in ("time", "mag", "mag_error")),
        np.array([0, 2]),
        np.array([True]),
    )
    assert cleaned.num_rejected.tolist() == [1]


def test_star_that_is_not_in_the_star_table_is_counted(tmp_path: Path) -> None:
    table = _transits(source_id=[STAR, 9, 8, 7, 6, 9])
    counts, curves, _ = _ingest_table(table, tmp_path)
    assert list(curves) == [STAR]
    assert (counts.unknown_star, counts.unknown_stars) == (5, 4)
    assert counts.summary() == (
        "1 of 6 transits kept; left out: 5 whose stars are not in the star table "
        "(4 stars: 6, 7, 8, …)."
    )


def test_star_without_transits_stays(tmp_path: Path) -> None:
    counts, curves, _ = _ingest_table(_transits(time=[1.0]), tmp_path, KNOWN)
    assert [len(curves[star]) for star in KNOWN] == [1, 0, 0, 0]
    assert counts.stars_without_transits == 3
    assert counts.summary() == (
        "1 of 1 transits kept. 3 of 4 stars have no transits; they stay in the survey."
    )


def test_star_all_of_whose_transits_are_rejected_stays(tmp_path: Path) -> None:
    counts, curves, _ = _ingest_table(_transits(rejected_by_photometry=[True, True]), tmp_path)
    assert curves[STAR].empty
    assert (counts.kept, counts.stars_without_transits) == (0, 1)


def test_summary_names_every_reason(tmp_path: Path) -> None:
    table = _transits(
        source_id=[STAR] * 5 + [9],
        band=["G", "BP", "G", "G", "G", "G"],
        rejected_by_photometry=[False, False, True, False, False, False],
        rejected_by_variability=[False, False, True, True, False, False],
        time=[1.0, 2.0, 3.0, 4.0, None, 6.0],
        mag=[17.0, 17.0, 17.0, 17.0, None, 17.0],
    )
    counts, _, _ = _ingest_table(table, tmp_path)
    assert counts.summary() == (
        "1 of 6 transits kept; left out: 1 in other bands, 1 rejected by photometry, 1 rejected "
        "by variability, 1 without time and magnitude, 1 whose stars are not in the star table "
        "(1 star: 9)."
    )


def test_staging_again_does_not_double_the_transits(tmp_path: Path) -> None:
    first = _ingest_table(_transits(time=[1.0, 2.0]), tmp_path, KNOWN)
    again = _ingest_table(_transits(time=[1.0, 2.0]), tmp_path, KNOWN)
    assert again[0] == first[0]
    _assert_same(again[1], first[1])


def test_staging_after_an_interruption_leaves_nothing_of_before(tmp_path: Path) -> None:
    good = _transits(source_id=[STAR + 1], time=[1.0])
    bad = good.drop_columns("mag")
    folder = tmp_path / "photometry"
    folder.mkdir()
    pq.write_table(good, folder / "a.parquet")
    pq.write_table(bad, folder / "b.parquet")
    with pytest.raises(UserError, match=r"b\.parquet has no column 'mag'"):
        _ingest(folder, _stars(KNOWN), tmp_path / "staged")
    pq.write_table(good, folder / "b.parquet")
    (folder / "a.parquet").unlink()
    _, curves, _ = _ingest(folder, _stars(KNOWN), tmp_path / "staged")
    assert len(curves[STAR + 1]) == 1


def test_other_files_in_the_folder_are_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "photometry"
    folder.mkdir()
    pq.write_table(_transits(time=[1.0]), folder / "a.parquet")
    for name in ("_MD5SUM.txt", "README", "_partial.parquet", ".hidden.csv"):
        (folder / name).write_text("not a table")
    counts, _, _ = _ingest(folder, _stars([STAR]), tmp_path / "staged")
    assert counts.read == 1


def test_light_curves_can_be_sent_to_another_process(tmp_path: Path) -> None:
    source = StagedLightCurves(tmp_path)
    assert pickle.loads(pickle.dumps(source)) == source  # noqa: S301


@pytest.mark.parametrize("name", ["source_id", "time", "mag"])
@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".vot", ".ecsv"])
def test_missing_column_is_named(
    tmp_path: Path, write_table: Writer, name: str, suffix: str
) -> None:
    path = write_table(_transits(time=[1.0]).drop_columns(name), tmp_path / f"p{suffix}")
    with pytest.raises(UserError, match=rf"p{suffix} has no column '{name}' .* has: .*transit_id"):
        _ingest(path, _stars([STAR]), tmp_path / "staged")


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".vot", ".ecsv"])
def test_wrong_type_is_named(tmp_path: Path, write_table: Writer, suffix: str) -> None:
    table = _transits(time=[1.0]).drop_columns("mag").append_column("mag", pa.array(["bright"]))
    path = write_table(table, tmp_path / f"p{suffix}")
    with pytest.raises(UserError, match=rf"p{suffix}.* column 'mag'"):
        _ingest(path, _stars([STAR]), tmp_path / "staged")


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".vot", ".ecsv"])
def test_missing_identifier_is_named(tmp_path: Path, write_table: Writer, suffix: str) -> None:
    path = write_table(_transits(source_id=[STAR, None]), tmp_path / f"p{suffix}")
    with pytest.raises(UserError, match=rf"p{suffix}: column 'source_id' has no value in row 1"):
        _ingest(path, _stars([STAR]), tmp_path / "staged")


def test_identifiers_written_as_floats_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(f"source_id,time,mag\n{float(STAR)},1.0,17.0\n")
    with pytest.raises(UserError, match=r"p\.csv .*int64"):
        _ingest(path, _stars([STAR]), tmp_path / "staged")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_photometry_without_rows_is_refused(
    tmp_path: Path, write_table: Writer, suffix: str
) -> None:
    path = write_table(SCHEMA.empty_table(), tmp_path / f"p{suffix}")
    with pytest.raises(UserError, match=rf"p{suffix} is empty"):
        _ingest(path, _stars([STAR]), tmp_path / "staged")


def test_file_cut_short_is_named(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    pq.write_table(_transits(time=[1.0] * 500), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"p\.parquet cannot be read as Parquet"):
        _ingest(path, _stars([STAR]), tmp_path / "staged")


def test_damage_within_a_file_is_named(tmp_path: Path) -> None:
    """The footer is whole, so that the fault shows only while the transits are streamed."""
    path = tmp_path / "p.parquet"
    pq.write_table(_transits(mag=list(np.random.default_rng(0).normal(size=5000))), path)
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"p\.parquet cannot be read as Parquet"):
        _ingest(path, _stars([STAR]), tmp_path / "staged")


def test_missing_file_and_folder_without_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no file .*p\.csv"):
        _ingest(tmp_path / "p.csv", _stars([STAR]), tmp_path / "staged")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no photometry"):
        _ingest(tmp_path / "empty", _stars([STAR]), tmp_path / "staged")


def test_photometry_in_other_bands_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no transit in the band 'G' .*holds I, V"):
        _ingest_table(_transits(band=["V", "I"]), tmp_path)


def test_photometry_of_other_stars_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No transit of .* star table \(its first: 8\)"):
        _ingest_table(_transits(source_id=[9, 8]), tmp_path)


def test_disk_that_cannot_be_written_is_a_run_error(tmp_path: Path) -> None:
    pq.write_table(_transits(time=[1.0]), tmp_path / "p.parquet")
    (tmp_path / "file").write_text("")
    stars, partitions = plan_partitions(_stars([STAR]))
    with pytest.raises(RunError, match="could not be written"):
        stage_transits(tmp_path / "p.parquet", stars, partitions, tmp_path / "file/staged")


def test_partition_without_transits_is_empty(tmp_path: Path) -> None:
    stars, partitions = plan_partitions(_stars(KNOWN), 1)
    assert isinstance(partitions[0], Partition)
    batch = StagedLightCurves(tmp_path)(stars, 0)
    assert len(batch) == len(KNOWN)
    assert batch.offsets.tolist() == [0] * (len(KNOWN) + 1)
    assert batch.time.dtype == np.float64
    assert batch.mag.dtype == np.float32


def test_real_gaia_transits(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "gaia_dr3"
    stars = read_stars(folder / "stars.parquet")
    photometry = folder / "epoch_photometry.parquet"
    counts, curves, has_error = _ingest(photometry, stars, tmp_path, max_rows=500)
    assert (counts.read, counts.kept, counts.other_bands) == (450_117, 145_058, 300_078)
    assert (counts.rejected_by_photometry, counts.rejected_by_variability) == (2_039, 2_942)
    assert (counts.empty, counts.unknown_star, counts.stars_without_transits) == (0, 0, 0)
    clean_epochs = stars.set_index("source_id")["num_clean_epochs_g"]
    assert {star: len(curve) for star, curve in curves.items()} == clean_epochs.to_dict()
    assert all(has_error.values())
    _assert_same(curves, _naive(pq.read_table(photometry), list(stars["source_id"])))


def test_real_folded_transits(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "dekany2022"
    stars = read_stars(folder / "stars.parquet")
    counts, curves, has_error = _ingest(
        folder / "photometry.parquet", stars, tmp_path, max_rows=500
    )
    assert counts.kept == counts.read == 123_814
    assert len(curves) == 3_860
    assert not any(has_error.values())
