"""Every format gives back every value, bit for bit, and says what it is."""

import csv
import io
import json
import re
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from astropy.io import ascii, fits, votable
from astropy.table import Table
from astropy.units import Unit
from helpers import catalogue_rows, provenance, write_catalogue
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rrl_batch.catalogue.export import ENDINGS, export
from rrl_batch.catalogue.verify import read_catalogue
from rrl_batch.contracts import CATALOGUE, Column, Flag
from rrl_batch.errors import UserError
from rrl_batch.sources.tables import read_table
from rrl_batch.storage.manifest import Manifest
from rrl_batch.storage.sky import INDEX_COLUMN, Pixel

NUMBERS = [c.name for c in CATALOGUE.columns if not pa.types.is_string(c.type)]
STILTS = shutil.which("stilts")
VOPARQUET = b"IVOA.VOTable-Parquet.content"
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
    for suffix in ENDINGS:
        export(root / "catalogue", root / f"out{suffix}")
    assert fits.getdata(root / "out.fits", "CATALOGUE")["source_id"].tolist() == expected
    assert _read_cds(root / "out.cds")["source_id"].tolist() == expected
    assert _read_hats(root / "out.hats")["source_id"].to_pylist() == expected
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
    assert header["FEHSCALE"] == HOSTILE["scale"]
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
    assert target.read_text().splitlines()[lone + 1].startswith('7,,,"RR')


def test_csv_has_a_readme(catalogue: Path, tmp_path: Path) -> None:
    export(catalogue, tmp_path / "out.csv")
    text = (tmp_path / "out.README.md").read_text()
    for column in CATALOGUE.columns:
        row = f"| `{column.name}` | {column.type} | {column.unit or ''} | {column.ucd} |"
        assert f"{row} {column.description} |" in text
    for flag in Flag:
        assert f"| {flag.value} | {flag.name} |" in text
    assert "on the scale `]]>`" in text
    assert "    made_from.model: b2" in text


def test_parquet(catalogue: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.parquet"
    assert export(catalogue, target) == 200
    found = pq.read_table(target)
    assert found.equals(_expected(catalogue))
    for column in CATALOGUE.columns:
        assert column.field.metadata.items() <= found.schema.field(column.name).metadata.items()
    assert json.loads(found.schema.metadata[b"provenance"]) == provenance(200, **HOSTILE)
    assert found.schema.metadata[b"scale"].decode() == HOSTILE["scale"]


def _assert_described(document: votable.tree.VOTableFile, columns: list[Column]) -> None:
    """Check that the fields of a VOTable are some columns, with all that is known of them."""
    fields = document.get_first_table().fields
    assert [field.name for field in fields] == [column.name for column in columns]
    for field, column in zip(fields, columns, strict=True):
        assert str(field.unit or "") == (column.unit or "")
        assert field.ucd == column.ucd
        assert " ".join(field.description.split()) == column.description


@pytest.mark.filterwarnings("ignore:No table..len..best_classification")  # a key of astropy's own
def test_parquet_is_voparquet(tmp_path: Path) -> None:
    # astropy's reader knows no missing text
    write_catalogue(tmp_path / "catalogue", catalogue_rows())
    export(tmp_path / "catalogue", tmp_path / "out.parquet")
    found = Table.read(tmp_path / "out.parquet", format="parquet.votable")
    _assert_same_numbers(found, _expected(tmp_path / "catalogue"))
    for column in CATALOGUE.columns:
        assert str(found[column.name].unit or "") == (column.unit or "")
        assert found[column.name].meta["ucd"] == column.ucd
    content = pq.read_metadata(tmp_path / "out.parquet").metadata[VOPARQUET]
    assert votable.validate(io.BytesIO(content), output=None)
    _assert_described(votable.parse(io.BytesIO(content)), list(CATALOGUE.columns))


def _read_hats(folder: Path) -> pa.Table:
    """Read the partitions in the order in which they are on the sky."""
    files = sorted(folder.glob("dataset/Norder=*/*/*.parquet"), key=_first_index)
    return pa.concat_tables(pq.read_table(file, partitioning=None) for file in files)


def _first_index(file: Path) -> int:
    return Pixel.from_path(str(file)).span[0]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # LSDB uses pandas options of old
def test_hats(catalogue: Path, tmp_path: Path) -> None:
    """LSDB reads it, with units and UCDs, and finds its stars in another catalogue."""
    import lsdb

    target = tmp_path / "out.hats"
    assert export(catalogue, target) == 200
    opened = lsdb.open_catalog(target, columns="all")
    schema = opened.hc_structure.original_schema
    for column in CATALOGUE.columns:
        assert column.field.metadata.items() <= schema.field(column.name).metadata.items()
    for file in (*target.glob("dataset/Norder=*/*/*.parquet"), target / "dataset/_common_metadata"):
        document = votable.parse(io.BytesIO(pq.read_metadata(file).metadata[VOPARQUET]))
        _assert_described(document, [INDEX_COLUMN, *CATALOGUE.columns])
    found = pa.Table.from_pandas(opened.compute().reset_index(), preserve_index=False)
    expected = _expected(catalogue)
    assert found.select(CATALOGUE.names).cast(CATALOGUE.schema).equals(expected)

    others = expected.select(["source_id", "ra", "dec"]).slice(20, 30).to_pandas()
    others["dec"] += 0.5 / 3600
    other = lsdb.from_dataframe(
        others, margin_threshold=10, should_generate_moc=False, drop_empty_siblings=False
    )
    matches = opened.crossmatch(
        other, radius_arcsec=1, suffixes=("", "_other"), suffix_method="overlapping_columns"
    )
    matched = matches.compute()
    assert sorted(matched["source_id"]) == sorted(others["source_id"])
    assert (matched["source_id"] == matched["source_id_other"]).all()


def _read_cds(folder: Path) -> Table:
    """Read the package by astropy's reader, which knows nothing of how it was written."""
    return ascii.read(folder / "catalog.dat", format="cds", readme=str(folder / "ReadMe"))


def test_cds(catalogue: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.cds"
    expected = _expected(catalogue)
    assert export(catalogue, target) == 200
    assert sorted(file.name for file in target.iterdir()) == ["ReadMe", "catalog.dat"]
    found = _read_cds(target)
    assert found.colnames == CATALOGUE.names
    for column in CATALOGUE.columns:
        assert found[column.name].unit == (Unit(column.unit) if column.unit else None)
        assert f"{column.description} (ucd={column.ucd})" in found[column.name].description
    for name in NUMBERS:
        known = expected[name].is_valid().to_numpy()
        values = expected[name].to_numpy()[known]
        assert (np.ma.getmaskarray(found[name]) == ~known).all()
        assert np.asarray(found[name])[known].astype(values.dtype).tobytes() == values.tobytes()
    text = found["best_classification"].filled("")
    assert list(text) == [(t or "").replace("é", r"\xe9") for t in expected[3].to_pylist()]
    readme = (target / "ReadMe").read_text(encoding="ascii")
    lines = (target / "catalog.dat").read_text(encoding="ascii").splitlines()
    assert max(map(len, readme.splitlines())) <= 80
    assert f" {len(lines[0]):>6}      200   The catalogue" in readme
    assert {len(line) for line in lines} == {len(lines[0])}
    assert "the scale ']]>'" in " ".join(readme.split())
    assert "made_from.model = b2" in readme


def test_numbers_of_the_cds_format_have_their_decimal_point(
    catalogue: Path, tmp_path: Path
) -> None:
    """Fortran would read "-1" in a field of F6.3 as -0.001."""
    export(catalogue, tmp_path / "out.cds")
    fields = {}
    for line in (tmp_path / "out.cds/ReadMe").read_text().splitlines():
        if match := re.match(r" *(\d+)- *(\d+) ([A-Z][\d.]+) +\S+ +(\w+)", line):
            fields[match[4]] = (int(match[1]) - 1, int(match[2]), match[3])
    assert fields["feh"][2].startswith("F")
    assert fields["feh_lo"][2].startswith("E")  # one of them is 1e-38
    start, end, _ = fields["feh"]
    values = [
        line[start:end] for line in (tmp_path / "out.cds/catalog.dat").read_text().splitlines()
    ]
    assert "-0.0" in [value.strip() for value in values]
    assert all("." in value or not value.strip() for value in values)


class Counts:
    """A whole number for some stars, as an addition to the catalogue."""

    columns = (Column("n_spectra", pa.int32(), None, "meta.number", "Number of spectra"),)
    about: ClassVar = {"of": "a test"}

    def compute(self, table: pa.Table) -> list[pa.Array]:
        return [pa.array([None if i % 3 else i for i in range(len(table))], pa.int32())]


@pytest.mark.parametrize("suffix", ENDINGS)
def test_columns_that_are_added_are_in_every_format(
    catalogue: Path, tmp_path: Path, suffix: str
) -> None:
    target = tmp_path / f"out{suffix}"
    export(catalogue, target, spectra=Counts())
    expected = [
        None if i % 3 else i
        for receipt in Manifest.read(catalogue).partitions
        for i in range(receipt.rows)
    ]
    if suffix == ".fits":
        assert fits.getheader(target, 1)[f"TNULL{len(CATALOGUE.columns) + 1}"] == -(2**31)
        column = Table.read(target, unit_parse_strict="silent")["n_spectra"]
    elif suffix == ".cds":
        column = _read_cds(target)["n_spectra"]
    elif suffix == ".hats":
        column = _read_hats(target)["n_spectra"]
    else:
        column = read_table(target)["n_spectra"]
    found = column.to_pylist() if isinstance(column, pa.ChunkedArray) else column.tolist()
    assert found == expected


def test_provenance_tells_of_columns_that_are_added(catalogue: Path, tmp_path: Path) -> None:
    export(catalogue, tmp_path / "out.fits", spectra=Counts())
    assert "spectra.of = a test" in fits.getheader(tmp_path / "out.fits", 1)["COMMENT"]


@pytest.mark.skipif(STILTS is None, reason="STILTS (the library of TOPCAT) is not installed")
def test_stilts_reads_it(catalogue: Path, tmp_path: Path) -> None:
    """TOPCAT's library finds nothing to complain of, and reads units, UCDs and identifiers."""
    for suffix in (".fits", ".vot"):
        export(catalogue, tmp_path / f"out{suffix}")
    assert _stilts("votlint", tmp_path / "out.vot") == ""
    for suffix, form in ((".fits", "fits"), (".vot", "votable")):
        source = [f"in={tmp_path}/out{suffix}", f"ifmt={form}"]
        described = _stilts(
            "tpipe", *source, "cmd=meta Name Units UCD Description", "ofmt=csv", "omode=out"
        )
        rows = {row["Name"]: row for row in csv.DictReader(io.StringIO(described))}
        for column in CATALOGUE.columns:
            row = rows[column.name]
            assert row["Units"].strip("'") == (column.unit or "")
            assert row["UCD"] == column.ucd
            assert row["Description"] == column.description
        ids = _stilts("tpipe", *source, "cmd=keepcols 'source_id feh'", "ofmt=csv")
        values = list(csv.reader(io.StringIO(ids)))[1:]
        expected = _expected(catalogue)
        assert [int(row[0]) for row in values] == expected["source_id"].to_pylist()
        assert [row[1] == "" for row in values] == expected["feh"].is_null().to_pylist()


def _stilts(*words: object) -> str:
    done = subprocess.run([STILTS, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("suffix", [".fits", ".vot", ".csv", ".parquet"])
def test_file_is_replaced(catalogue: Path, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"out{suffix}"
    target.write_text("an older file")
    export(catalogue, target)
    assert b"an older file" not in target.read_bytes()
    beside = {"catalogue", target.name, *(["out.README.md"] if suffix == ".csv" else [])}
    assert {p.name for p in tmp_path.iterdir()} == beside


@pytest.mark.parametrize("suffix", [".hats", ".cds"])
def test_folder_is_not(catalogue: Path, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"out{suffix}"
    target.mkdir()
    with pytest.raises(UserError, match="is there already; name another folder, or delete it"):
        export(catalogue, target)
    assert not list(target.iterdir())


@pytest.mark.parametrize("suffix", [".hats", ".cds"])
def test_folder_that_cannot_be_completed_is_not_there(
    catalogue: Path, tmp_path: Path, suffix: str
) -> None:
    last = sorted((catalogue / "dataset").rglob("Npix=*"))[-1]
    last.write_bytes(b"PAR1")
    with pytest.raises(UserError, match="is damaged"):
        export(catalogue, tmp_path / f"out{suffix}")
    assert {p.name for p in tmp_path.iterdir()} == {"catalogue"}


@pytest.mark.parametrize("name", ["out.txt", "out", "out.fits.gz"])
def test_other_endings_are_refused(catalogue: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"exported as one of: \.fits, .*, \.cds\."):
        export(catalogue, tmp_path / name)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["out.fits", "dataset/out.hats", "elsewhere/../out.csv"])
def test_no_file_is_added_to_the_catalogue(catalogue: Path, name: str) -> None:
    before = set(catalogue.rglob("*"))
    with pytest.raises(UserError, match="is within the catalogue, to which no file is added"):
        export(catalogue, catalogue / name)
    assert set(catalogue.rglob("*")) == before


def test_a_folder_is_no_file(catalogue: Path, tmp_path: Path) -> None:
    (tmp_path / "out.fits").mkdir()
    with pytest.raises(UserError, match=r"out\.fits is a folder; name a file, or delete it"):
        export(catalogue, tmp_path / "out.fits")


def test_folder_without_a_catalogue_leaves_the_target_alone(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("an older file")
    with pytest.raises(UserError, match="holds no dataset"):
        export(tmp_path, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "an older file"
