"""Every format gives back every value, bit for bit, and says what it is."""

import json
import warnings
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from astropy.io import fits, votable
from astropy.table import Table
from helpers import catalogue_rows, provenance, write_catalogue
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rrl_batch.catalogue.export import export
from rrl_batch.catalogue.verify import read_catalogue
from rrl_batch.contracts import CATALOGUE
from rrl_batch.errors import UserError
from rrl_batch.sources.tables import read_table

NUMBERS = [c.name for c in CATALOGUE.columns if not pa.types.is_string(c.type)]
HOSTILE = {"description": 'of "é" & <b>\n\x01', "synthetic": True, "scale": "]]>"}


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    rows = catalogue_rows()
    rows.loc[3, ["ra", "dec", "period"]] = np.nan
    rows.loc[3, "source_id"] = 7  # not Gaia's, so that the position stays unknown
    rows.loc[4, "best_classification"] = None
    rows.loc[5, "best_classification"] = "RR,\"é'"
    rows.loc[6, ["feh", "feh_lo", "feh_hi"]] = -0.0, 1e-38, 0.1
    write_catalogue(tmp_path / "catalogue", rows, **HOSTILE)
    return tmp_path / "catalogue"


def _expected(catalogue: Path) -> pa.Table:
    rows = pa.Table.from_pandas(read_catalogue(catalogue), preserve_index=False)
    return CATALOGUE.conform(rows, "test")


def _assert_same_numbers(found: Table, expected: pa.Table) -> None:
    assert found.colnames == CATALOGUE.names
    for name in NUMBERS:
        known = expected[name].is_valid().to_numpy()
        wanted = expected[name].to_numpy()
        column = found[name]
        assert column.dtype.newbyteorder("=") == wanted.dtype
        mask = np.ma.getmaskarray(np.ma.masked_invalid(column))
        np.testing.assert_array_equal(~mask, known, err_msg=name)
        values = np.ascontiguousarray(np.asarray(column)[known], wanted.dtype)
        assert values.tobytes() == np.ascontiguousarray(wanted[known]).tobytes(), name


IDENTIFIERS = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=20, unique=True)


@settings(max_examples=4, derandomize=True)
@given(source_ids=IDENTIFIERS)
@example(source_ids=[2**63 - 1, -(2**63), 2**53 + 1])
def test_every_bit_of_an_identifier_goes_through_all_formats(
    tmp_path_factory: pytest.TempPathFactory, source_ids: list[int]
) -> None:
    root = tmp_path_factory.mktemp("identifiers")
    rows = catalogue_rows(len(source_ids)).assign(source_id=np.array(source_ids, np.int64))
    write_catalogue(root / "catalogue", rows)
    expected = read_catalogue(root / "catalogue")["source_id"].tolist()
    assert sorted(expected) == sorted(source_ids)
    for suffix in (".fits", ".vot", ".csv", ".parquet"):
        export(root / "catalogue", root / f"out{suffix}")
    assert fits.getdata(root / "out.fits", "CATALOGUE")["source_id"].tolist() == expected
    # as users would bring it back
    for suffix in (".vot", ".csv", ".parquet"):
        assert read_table(root / f"out{suffix}")["source_id"].to_pylist() == expected


@pytest.mark.parametrize("suffix", [".fits", ".FITS"])
def test_fits(catalogue: Path, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"out{suffix}"
    expected = _expected(catalogue)
    assert export(catalogue, target) == 200
    with fits.open(target) as file:
        file.verify("exception")
        header = file["CATALOGUE"].header
    found = Table.read(target, unit_parse_strict="silent")
    _assert_same_numbers(found, expected)
    text = list(found["best_classification"].filled(""))
    assert text == [(t or "").replace("é", r"\xe9") for t in expected[3].to_pylist()]
    for number, column in enumerate(CATALOGUE.columns, start=1):
        assert header[f"TTYPE{number}"] == column.name
        assert header.get(f"TUNIT{number}") == column.unit
        assert header[f"TUCD{number}"] == column.ucd
        assert header[f"TCOMM{number}"] == column.description
    assert header["SYNTHET"] is True
    assert "model.out_of_fold.rmse = 0.2" in header["COMMENT"]
    assert r"description = of \"\u00e9\" & <b>\n\u0001" in header["COMMENT"]


def test_votable(catalogue: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.vot"
    expected = _expected(catalogue)
    assert export(catalogue, target) == 200
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        content = votable.parse(target, verify="exception").get_first_table()
    assert votable.validate(target, output=None)
    _assert_same_numbers(content.to_table(), expected)
    text = content.to_table()["best_classification"].filled("")
    assert list(text) == [(t or "").replace("é", r"\xe9") for t in expected[3].to_pylist()]
    fields = {field.name: field for field in content.fields}
    for column in CATALOGUE.columns:
        field = fields[column.name]
        assert field.ucd == column.ucd
        assert " ".join(field.description.split()) == column.description
        assert str(field.unit or "") == (column.unit or "")
    infos = {info.name: info.value for info in content.infos}
    assert content.description == r"of \"\u00e9\" & <b>\n\u0001"
    assert infos["synthetic"] == "true"
    assert infos["scale"] == HOSTILE["scale"]
    assert infos["made_from.model"] == "b2"


def test_votable_quotes_units_that_the_standard_does_not_name(
    catalogue: Path, tmp_path: Path
) -> None:
    export(catalogue, tmp_path / "out.vot")
    root = ElementTree.parse(tmp_path / "out.vot").getroot()  # noqa: S314
    units = {f.get("name"): f.get("unit") for f in root.iter() if f.tag.endswith("FIELD")}
    assert (units["ra"], units["period"], units["feh"]) == ("deg", "d", "'dex'")
    assert units["flags"] is None


def test_csv(catalogue: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    expected = _expected(catalogue)
    assert export(catalogue, target) == 200
    assert target.read_text().splitlines()[0] == ",".join(CATALOGUE.names)
    found = pyarrow.csv.read_csv(
        target,
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=CATALOGUE.schema, null_values=[""], strings_can_be_null=True
        ),
    )
    assert found.equals(expected.replace_schema_metadata(None))
    lone = pc.index(expected["source_id"], 7).as_py()
    assert target.read_text().splitlines()[lone + 1].startswith("7,,,RR")


def test_parquet(catalogue: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.parquet"
    assert export(catalogue, target) == 200
    found = pq.read_table(target)
    assert found.equals(_expected(catalogue))
    for column in CATALOGUE.columns:
        assert column.field.metadata.items() <= found.schema.field(column.name).metadata.items()
    assert json.loads(found.schema.metadata[b"provenance"]) == provenance(200, **HOSTILE)


@pytest.mark.parametrize("suffix", [".fits", ".vot", ".csv", ".parquet"])
def test_target_is_replaced(catalogue: Path, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"out{suffix}"
    target.write_text("an older file")
    export(catalogue, target)
    assert b"an older file" not in target.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["catalogue", target.name]


@pytest.mark.parametrize("name", ["out.txt", "out", "out.fits.gz"])
def test_other_endings_are_refused(catalogue: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"exported as one of: \.fits, \.vot, \.csv, \.parquet\."):
        export(catalogue, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_folder_without_a_catalogue_leaves_the_target_alone(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("an older file")
    with pytest.raises(UserError, match="holds no dataset"):
        export(tmp_path, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "an older file"
