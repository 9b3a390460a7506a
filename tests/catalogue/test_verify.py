"""Verification finds whatever is wrong with a catalogue, and names it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import catalogue_rows, write_catalogue

from rrl_batch.catalogue.verify import read_catalogue, verify
from rrl_batch.contracts import CATALOGUE, Flag
from rrl_batch.errors import UserError
from rrl_batch.storage.commit import checksum
from rrl_batch.storage.manifest import MANIFEST, Manifest


def _files(root: Path) -> list[Path]:
    return sorted((root / "dataset").rglob("Npix=*.parquet"))


def _edit_manifest(root: Path, **changed: object) -> None:
    content = json.loads((root / MANIFEST).read_text())
    (root / MANIFEST).write_text(json.dumps(content | changed))


def _edit_receipt(root: Path, **changed: object) -> None:
    """Change what the manifest says of the first partition."""
    partitions = json.loads((root / MANIFEST).read_text())["partitions"]
    partitions[0] |= changed
    _edit_manifest(root, partitions=partitions)


def test_whole_catalogue_has_no_faults(tmp_path: Path) -> None:
    manifest = write_catalogue(tmp_path, catalogue_rows())
    found = verify(tmp_path)
    assert (found.rows, found.partitions, found.faults) == (200, len(manifest.partitions), [])
    assert found.partitions > 1


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    rows = catalogue_rows()
    write_catalogue(tmp_path, rows)
    found = read_catalogue(tmp_path).sort_values("source_id", ignore_index=True)
    numbers = [c for c in CATALOGUE.columns if not pa.types.is_string(c.type)]
    types = {column.name: column.type.to_pandas_dtype() for column in numbers}
    expected = rows[CATALOGUE.names].astype(types).sort_values("source_id", ignore_index=True)
    pd.testing.assert_frame_equal(found, expected)


def test_changed_byte_is_found(tmp_path: Path) -> None:
    write_catalogue(tmp_path, catalogue_rows())
    content = bytearray(_files(tmp_path)[0].read_bytes())
    content[len(content) // 2] ^= 1
    _files(tmp_path)[0].write_bytes(content)
    (fault,) = verify(tmp_path).faults
    assert "checksum differs" in fault
    assert _files(tmp_path)[0].name in fault


def test_missing_file_is_found(tmp_path: Path) -> None:
    write_catalogue(tmp_path, catalogue_rows())
    missing = _files(tmp_path)[-1]
    missing.unlink()
    assert verify(tmp_path).faults == [f"{missing.relative_to(tmp_path)} is missing."]


@pytest.mark.parametrize("name", ["feh", "flags"])
def test_missing_column_is_found(tmp_path: Path, name: str) -> None:
    write_catalogue(tmp_path, catalogue_rows())
    path = tmp_path / Manifest.read(tmp_path).partitions[0].path
    pq.write_table(pq.read_table(path, partitioning=None).drop_columns([name]), path)
    _edit_receipt(tmp_path, sha256=checksum(path))
    (fault,) = verify(tmp_path).faults
    assert f"no column '{name}' of type {CATALOGUE.schema.field(name).type}" in fault


def test_column_of_another_type_is_found(tmp_path: Path) -> None:
    write_catalogue(tmp_path, catalogue_rows())
    path = tmp_path / Manifest.read(tmp_path).partitions[0].path
    table = pq.read_table(path, partitioning=None)
    at = table.column_names.index("feh")
    pq.write_table(table.set_column(at, "feh", table["feh"].cast("double")), path)
    _edit_receipt(tmp_path, sha256=checksum(path))
    assert "no column 'feh' of type float" in verify(tmp_path).faults[0]


def test_star_with_two_rows_is_found(tmp_path: Path) -> None:
    rows = catalogue_rows()
    star = rows.loc[7, "source_id"]
    rows.loc[8, "source_id"] = star
    write_catalogue(tmp_path, rows)
    assert verify(tmp_path).faults == [f"1 stars have several rows, e.g. {star}."]


@pytest.mark.parametrize(
    ("feh", "flags"), [(np.nan, 0), (np.nan, Flag.SPARSE), (-1.0, Flag.NO_PERIOD)]
)
def test_metallicity_and_flags_that_contradict_each_other_are_found(
    tmp_path: Path, feh: float, flags: int
) -> None:
    rows = catalogue_rows()
    rows.loc[4, ["feh", "flags"]] = feh, int(flags)
    write_catalogue(tmp_path, rows.astype({"flags": int}))
    (fault,) = verify(tmp_path).faults
    assert f"of 1 stars contradict each other, e.g. of star {rows['source_id'][4]}" in fault


def test_row_counts_are_checked(tmp_path: Path) -> None:
    write_catalogue(tmp_path, catalogue_rows(), survey={"path": "survey", "stars": 201})
    assert verify(tmp_path).faults == ["There are 200 rows of the 201 stars of the survey."]
    _edit_manifest(tmp_path, rows=199)
    assert verify(tmp_path).faults[0] == "There are 200 rows where the manifest says 199."
    _edit_receipt(tmp_path, rows=1)
    assert verify(tmp_path).faults[0].endswith("rows, not 1.")


@pytest.mark.parametrize("read", [verify, read_catalogue])
def test_folder_without_a_catalogue_is_refused(tmp_path: Path, read: object) -> None:
    with pytest.raises(UserError, match="holds no dataset"):
        read(tmp_path)  # type: ignore[operator]
    Manifest("survey", 0, {}, []).write(tmp_path)
    with pytest.raises(UserError, match="holds a survey, not a catalogue"):
        read(tmp_path)  # type: ignore[operator]


def test_damaged_catalogue_is_not_read(tmp_path: Path) -> None:
    write_catalogue(tmp_path, catalogue_rows())
    content = _files(tmp_path)[0].read_bytes()
    _files(tmp_path)[0].write_bytes(content[:-100])
    with pytest.raises(UserError, match=r"is damaged .*run 'rrl-batch verify"):
        read_catalogue(tmp_path)
    _files(tmp_path)[0].unlink()
    with pytest.raises(UserError, match=r"is damaged .*run 'rrl-batch verify"):
        read_catalogue(tmp_path)
