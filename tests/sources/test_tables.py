"""Star tables and labels in every format, and what is said about those that are wrong."""

import gzip
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from astropy.table import Table

from rrl_batch.contracts import STARS, Column, Contract
from rrl_batch.errors import UserError
from rrl_batch.sources.tables import SUFFIXES, read_labels, read_pieces, read_stars, read_table

Writer = Callable[[pa.Table, Path], Path]

SOURCE_ID = 5853498713190525696


every_format = pytest.mark.parametrize("suffix", SUFFIXES)


def _stars(**columns: list | pa.Array) -> pa.Table:
    return pa.table(
        {
            "source_id": [SOURCE_ID, SOURCE_ID + 1, SOURCE_ID + 2],
            "ra": [10.0, None, 30.0],
            "dec": [-10.0, None, 30.0],
            "best_classification": ["RRab", "RRc", "RRd"],
            "period": [0.5, 0.3, 0.4],
        }
        | columns
    )


def _labels(**columns: list | pa.Array) -> pa.Table:
    table = {
        "source_id": [1, 2, 3],
        "feh": [-1.0, -1.5, -2.0],
        "feh_error": [0.1, None, 0.2],
        "scale": ["crestani2021"] * 3,
    }
    return pa.table(table | columns)


@every_format
def test_every_format_gives_the_same_table(
    tmp_path: Path, write_table: Writer, suffix: str
) -> None:
    table = _stars(flag=[True, False, True], count=pa.array([1, None, 3], pa.int32()))
    read = read_table(write_table(table, tmp_path / f"stars{suffix}"))
    assert read.column_names == table.column_names
    assert read.to_pydict() == table.to_pydict()
    assert read.schema.field("source_id").type == pa.int64()


@every_format
def test_every_format_gives_the_same_stars(
    tmp_path: Path, write_table: Writer, suffix: str
) -> None:
    stars = read_stars(write_table(_stars(), tmp_path / f"stars{suffix}"))
    expected = STARS.conform(_stars(), "").to_pandas()
    pd.testing.assert_frame_equal(stars, expected)


@every_format
def test_every_format_comes_in_the_same_pieces(
    tmp_path: Path, write_table: Writer, suffix: str
) -> None:
    path = write_table(_stars(extra=[1, 2, 3]), tmp_path / f"stars{suffix}")
    pieces = list(read_pieces(path, STARS))
    assert pa.concat_tables(pieces).to_pydict() == _stars().to_pydict()


@every_format
def test_table_without_rows_is_refused(tmp_path: Path, write_table: Writer, suffix: str) -> None:
    path = tmp_path / f"stars{suffix}"
    write_table(_stars().slice(0, 0), path)
    with pytest.raises(UserError, match=rf"stars{suffix} is empty"):
        read_table(path)


@every_format
def test_file_cut_short_is_named(tmp_path: Path, write_table: Writer, suffix: str) -> None:
    table = _stars()
    path = write_table(pa.concat_tables([table] * 50), tmp_path / f"stars{suffix}")
    content = path.read_bytes()
    # the cut is within a row, where the format itself can tell
    path.write_bytes(content[: len(content) * 2 // 3 if suffix != ".csv" else content.rindex(b",")])
    with pytest.raises(UserError, match=rf"stars{suffix} cannot be read as .*cut short"):
        read_table(path)


@every_format
def test_file_of_another_format_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"stars{suffix}"
    path.write_bytes(bytes(range(256)) * 20)
    with pytest.raises(UserError, match=rf"stars{suffix} cannot be read as"):
        read_table(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no file .*stars\.csv\."):
        read_stars(tmp_path / "stars.csv")


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder; give one file"):
        read_stars(tmp_path)


@pytest.mark.parametrize("name", ["stars.txt", "stars", "stars.fits", "stars.parquet.gz"])
def test_unknown_ending_lists_the_known(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    with pytest.raises(UserError, match=r"tables end in one of: \.parquet, \.csv,"):
        read_table(tmp_path / name)


@pytest.mark.parametrize("null", ["", "null", "NULL", "NaN", "nan", "--"])
def test_every_way_to_write_null_in_csv(tmp_path: Path, null: str) -> None:
    path = tmp_path / "stars.csv"
    path.write_text(f"source_id,period\n{SOURCE_ID},{null}\n{SOURCE_ID + 1},0.5\n")
    assert read_table(path).to_pydict() == {
        "source_id": [SOURCE_ID, SOURCE_ID + 1],
        "period": [None, 0.5],
    }


def test_type_does_not_depend_on_the_first_rows_of_a_csv(tmp_path: Path) -> None:
    """The first piece of megabytes shows nulls and integers where fractions follow."""
    contract = Contract(
        "sample",
        (
            Column("source_id", pa.int64(), None, "meta.id", "Identifier", nullable=False),
            Column("mag", pa.float64(), "mag", "phot.mag", "Magnitude"),
        ),
    )
    path = tmp_path / "x.csv"
    rows = 1 << 20
    path.write_text("source_id,mag,extra\n" + f"{SOURCE_ID},,\n" * rows + "2,0.5,word\n")
    pieces = list(read_pieces(path, contract))
    assert len(pieces) > 1
    assert sum(piece.num_rows for piece in pieces) == rows + 1
    assert pieces[-1].slice(pieces[-1].num_rows - 1).to_pydict() == {
        "source_id": [2],
        "mag": [0.5],
    }


def test_csv_in_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "stars.csv"
    path.write_bytes("source_id,best_classification\n1,étoile\n".encode("latin-1"))
    columns = STARS.select(["source_id", "best_classification"])
    with pytest.raises(UserError, match=r"stars\.csv .* column 'best_classification'.*UTF-?8"):
        list(read_pieces(path, columns))


def test_ecsv_named_csv_as_in_gaia_s_bulk_files(tmp_path: Path, write_table: Writer) -> None:
    write_table(_stars(), tmp_path / "stars.ecsv")
    content = (tmp_path / "stars.ecsv").read_bytes().replace(b'""', b"null")
    assert b"null" in content
    (tmp_path / "stars.csv").write_bytes(content)
    (tmp_path / "stars.csv.gz").write_bytes(gzip.compress(content))
    for name in ("stars.csv", "stars.csv.gz"):
        assert read_table(tmp_path / name).to_pydict() == _stars().to_pydict()


def test_real_bulk_file(shared_data: Path) -> None:
    table = read_table(
        shared_data / "fixtures/gaia_dr3_bulk_epoch_photometry_5rows.ecsv.gz",
    )
    assert table.num_rows == 5
    assert table.schema.field("g_transit_mag").metadata == {b"unit": b"mag"}
    lengths = table["g_transit_mag"].combine_chunks().value_lengths()
    assert lengths.to_pylist() == table["n_transits"].to_pylist()


@pytest.mark.parametrize("kind", ["votable", "ascii.ecsv"])
def test_unit_that_a_file_states_is_checked(tmp_path: Path, kind: str) -> None:
    path = tmp_path / {"votable": "stars.vot", "ascii.ecsv": "stars.ecsv"}[kind]
    table = Table(_stars(ra=[1.0, 2.0, 3.0], dec=[1.0, 2.0, 3.0]).to_pydict())
    table["period"].unit = "d"
    table.write(path, format=kind)
    assert read_stars(path)["period"].tolist() == [0.5, 0.3, 0.4]
    table["period"].unit = "h"
    table.write(path, format=kind, overwrite=True)
    with pytest.raises(UserError, match=r"stars\..*: column 'period' has the unit 'h'"):
        read_stars(path)


def test_masked_text_and_bytes_of_a_votable(tmp_path: Path) -> None:
    table = Table({"source_id": [1, 2], "name": np.array([b"RRab", b"RRc"])})
    table.write(tmp_path / "x.vot", format="votable")
    assert read_table(tmp_path / "x.vot")["name"].to_pylist() == ["RRab", "RRc"]


@every_format
def test_archive_periods_follow_the_mode(tmp_path: Path, write_table: Writer, suffix: str) -> None:
    table = _stars(pf=[0.5, None, 0.53], p1_o=[None, 0.3, 0.4]).drop_columns("period")
    stars = read_stars(write_table(table, tmp_path / f"stars{suffix}"))
    assert stars["period"].tolist() == [0.5, 0.3, 0.4]


def test_archive_table_with_one_period_leaves_the_others_unknown(
    tmp_path: Path, write_table: Writer
) -> None:
    table = _stars(pf=[0.5, 0.6, 0.53]).drop_columns("period")
    stars = read_stars(write_table(table, tmp_path / "stars.parquet"))
    np.testing.assert_array_equal(stars["period"], [0.5, np.nan, np.nan])


def test_period_is_preferred_to_the_archive_s_columns(tmp_path: Path, write_table: Writer) -> None:
    stars = read_stars(write_table(_stars(pf=[9.0] * 3, p1_o=[9.0] * 3), tmp_path / "stars.csv"))
    assert stars["period"].tolist() == [0.5, 0.3, 0.4]


def test_impossible_periods_are_kept_for_a_flag(tmp_path: Path, write_table: Writer) -> None:
    path = write_table(_stars(period=[0.0, -1.0, None]), tmp_path / "stars.csv")
    np.testing.assert_array_equal(read_stars(path)["period"], [0, -1, np.nan])


@pytest.mark.parametrize("name", ["source_id", "ra", "dec", "best_classification", "period"])
def test_missing_column_of_stars_is_named(tmp_path: Path, write_table: Writer, name: str) -> None:
    path = write_table(_stars().drop_columns(name), tmp_path / "stars.csv")
    with pytest.raises(UserError, match=rf"stars\.csv has no column '{name}'"):
        read_stars(path)


@every_format
def test_wrong_type_is_named(tmp_path: Path, write_table: Writer, suffix: str) -> None:
    path = write_table(_stars(period=["long", "short", "short"]), tmp_path / f"stars{suffix}")
    with pytest.raises(UserError, match=rf"stars{suffix}: column 'period' has the type"):
        read_stars(path)


def test_wrong_type_of_a_piece_is_named(tmp_path: Path, write_table: Writer) -> None:
    path = write_table(_stars(period=["long", "short", "short"]), tmp_path / "stars.csv")
    with pytest.raises(UserError, match=r"stars\.csv .*long"):
        list(read_pieces(path, STARS))


@every_format
def test_star_listed_twice_is_named(tmp_path: Path, write_table: Writer, suffix: str) -> None:
    table = _stars(source_id=[SOURCE_ID, 7, SOURCE_ID])
    path = write_table(table, tmp_path / f"stars{suffix}")
    with pytest.raises(UserError, match=rf"star {SOURCE_ID} occurs in 2 rows .*\(1 such .*remove"):
        read_stars(path)


@every_format
def test_star_without_identifier_is_named(tmp_path: Path, write_table: Writer, suffix: str) -> None:
    path = write_table(_stars(source_id=[1, None, 3]), tmp_path / f"stars{suffix}")
    with pytest.raises(UserError, match="column 'source_id' has no value in row 1 "):
        read_stars(path)


@every_format
def test_labels_of_the_only_scale(tmp_path: Path, write_table: Writer, suffix: str) -> None:
    path = write_table(_labels(), tmp_path / f"labels{suffix}")
    for scale in (None, "crestani2021"):
        labels = read_labels(path, scale)
        assert list(labels.columns) == ["source_id", "feh", "feh_error", "scale"]
        assert labels["source_id"].tolist() == [1, 2, 3]
        assert labels["feh"].tolist() == [-1.0, -1.5, -2.0]
        np.testing.assert_array_equal(labels["feh_error"], [0.1, np.nan, 0.2])
        assert set(labels["scale"]) == {"crestani2021"}


def test_scales_are_never_mixed(tmp_path: Path, write_table: Writer) -> None:
    path = write_table(_labels(scale=["zw84", "crestani2021", "zw84"]), tmp_path / "labels.csv")
    message = r"2 metallicity scales.*: zw84 \(2 stars\), crestani2021 \(1 stars\); name one"
    with pytest.raises(UserError, match=message):
        read_labels(path, None)
    assert read_labels(path, "zw84")["source_id"].tolist() == [1, 3]


def test_unknown_scale_is_answered_with_the_nearest(tmp_path: Path, write_table: Writer) -> None:
    path = write_table(_labels(scale=["zw84", "crestani2021", "zw84"]), tmp_path / "labels.csv")
    with pytest.raises(UserError, match="no labels on the scale 'crestani'; did you mean 'cresta"):
        read_labels(path, "crestani")


def test_same_star_on_two_scales_is_labelled_once_on_each(
    tmp_path: Path, write_table: Writer
) -> None:
    path = write_table(_labels(source_id=[1, 1, 2], scale=["a", "b", "a"]), tmp_path / "labels.csv")
    assert read_labels(path, "a")["source_id"].tolist() == [1, 2]


def test_star_labelled_twice_on_a_scale_is_named(tmp_path: Path, write_table: Writer) -> None:
    path = write_table(_labels(source_id=[1, 2, 1]), tmp_path / "labels.csv")
    with pytest.raises(UserError, match=r"star 1 occurs in 2 rows .*keep one label"):
        read_labels(path, None)


def test_labels_without_scale_are_on_the_one_that_is_named(
    tmp_path: Path, write_table: Writer
) -> None:
    path = write_table(_labels().drop_columns("scale"), tmp_path / "labels.csv")
    assert set(read_labels(path, "mine")["scale"]) == {"mine"}
    with pytest.raises(UserError, match="does not say on which metallicity scale"):
        read_labels(path, None)


def test_labels_without_errors(tmp_path: Path, write_table: Writer) -> None:
    labels = read_labels(write_table(_labels().drop_columns("feh_error"), tmp_path / "l.csv"), None)
    assert labels["feh_error"].isna().all()
    assert labels["feh_error"].dtype == float


def test_labels_without_value_are_left_out_and_counted(
    tmp_path: Path, write_table: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "labels.parquet"
    table = _labels(source_id=[1, 1, 1, 2], feh=[None, float("nan"), float("inf"), -1.0],
                    feh_error=[0.1] * 4, scale=["a"] * 4)  # fmt: skip
    with caplog.at_level(logging.WARNING):
        labels = read_labels(write_table(table, path), None)
    assert labels["source_id"].tolist() == [2]
    assert "3 of 4 rows have no metallicity" in caplog.text


@pytest.mark.parametrize("mark", [9.99, 99.99, -9.99, -99.9, -9999.0, 1e30])
def test_marks_of_no_value_are_no_metallicities_and_no_errors(
    tmp_path: Path, write_table: Writer, caplog: pytest.LogCaptureFixture, mark: float
) -> None:
    table = _labels(source_id=[1, 2, 3], feh=[-1.5, mark, 0.3], feh_error=[mark, 0.1, 0.2],
                    scale=["a"] * 3)  # fmt: skip
    with caplog.at_level(logging.WARNING):
        labels = read_labels(write_table(table, tmp_path / "labels.parquet"), None)
    assert labels["source_id"].tolist() == [1, 3]
    assert labels["feh"].tolist() == [-1.5, 0.3]
    assert np.array_equal(labels["feh_error"], [np.nan, 0.2], equal_nan=True)
    assert "1 of 3 rows have no metallicity within 5 dex of zero" in caplog.text
    assert "1 errors of metallicities are not between 0 and 5 dex" in caplog.text


@pytest.mark.parametrize("error", [0.0, -0.1, float("inf")])
def test_an_error_that_is_none_is_unknown(
    tmp_path: Path, write_table: Writer, error: float
) -> None:
    path = write_table(_labels(feh_error=[error, 0.1, 0.2]), tmp_path / "labels.parquet")
    known = read_labels(path, None)["feh_error"]
    assert np.array_equal(known, [np.nan, 0.1, 0.2], equal_nan=True)


def test_no_label_left_is_refused(tmp_path: Path, write_table: Writer) -> None:
    path = write_table(_labels(feh=[float("nan")] * 3), tmp_path / "labels.parquet")
    with pytest.raises(UserError, match="no label has a metallicity in the column 'feh'"):
        read_labels(path, None)


@pytest.mark.parametrize(
    ("scale", "count"), [("dekany2022", 122), ("inaf", 71), ("gaia_sos", 36), ("pseudo", 2280)]
)
def test_real_labels(shared_data: Path, scale: str, count: int) -> None:
    assert len(read_labels(shared_data / "gaia_dr3/labels.parquet", scale)) == count


@pytest.mark.parametrize(("folder", "count"), [("gaia_dr3", 3463), ("dekany2022", 3860)])
def test_real_stars(shared_data: Path, folder: str, count: int) -> None:
    stars = read_stars(shared_data / folder / "stars.parquet")
    assert list(stars.columns) == STARS.names
    assert len(stars) == count
