"""Tables written to files of every format that can be read."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

_ASTROPY = {
    ".vot": "votable",
    ".votable": "votable",
    ".xml": "votable",
    ".ecsv": "ascii.ecsv",
}


def _write(table: pa.Table, path: Path) -> Path:
    """Write a table in the format of the path's ending; nulls are masked or left empty."""
    if path.suffix == ".gz":
        plain = _write(table, path.with_suffix(""))
        path.write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    elif path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        _write_astropy(table, path)
    return path


def _write_astropy(table: pa.Table, path: Path) -> None:
    from astropy.table import Table

    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        is_text = pa.types.is_string(column.type)
        zero = pa.scalar("") if is_text else pa.scalar(0).cast(column.type)
        values = column.fill_null(zero).to_numpy()
        mask = column.is_null().to_numpy()
        values = values.astype(str) if is_text else values
        columns[name] = np.ma.masked_array(values, mask) if mask.any() else values
    Table(columns).write(path, format=_ASTROPY[path.suffix], overwrite=True)


@pytest.fixture(scope="session")
def write_table() -> Callable[[pa.Table, Path], Path]:
    """Writer of tables: takes a table and a path, returns the path."""
    return _write
