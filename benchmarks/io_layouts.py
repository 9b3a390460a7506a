"""Compare ways to store a survey: the bytes that a star takes, and the time to write and read it.

Run as ``python benchmarks/io_layouts.py`` after ``full_sky.py``, whose survey the stars are taken
from. Files are read from the page cache: the times are those of packing and unpacking.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from full_sky import ROOT
from record import parser, record

from rrl_batch.contracts import STARS, TRANSITS
from rrl_batch.lightcurve.batch import MAG, MAG_ERROR
from rrl_batch.storage.manifest import Manifest, _layout

N_STARS = 100_000
REPEATS = 3


class Cost(NamedTuple):
    """Bytes, and processor time (s) of all threads, which other programs disturb least."""

    size: int
    write: float
    read: float


def stars() -> pa.Table:
    """Return stars of the simulated survey, from its largest partitions."""
    receipts = sorted(Manifest.read(ROOT / "survey").partitions, key=lambda r: -r.rows)
    needed = 1 + np.searchsorted(np.cumsum([r.rows for r in receipts]), N_STARS)
    tables = [pq.read_table(ROOT / "survey" / r.path, partitioning=None) for r in receipts[:needed]]
    return pa.concat_tables(tables).slice(0, N_STARS).combine_chunks()


def in_float64(table: pa.Table) -> pa.Table:
    """Return the same light curves in float64, with the digits that a logarithm of a flux has."""
    rng = np.random.default_rng(0)
    for name in MAG, MAG_ERROR:
        lists = table[name].combine_chunks()
        values = lists.values.to_numpy().astype(float)
        values *= 1 + np.finfo(np.float32).eps * (rng.random(len(values)) - 0.5)
        wide = pa.ListArray.from_arrays(lists.offsets, values)
        table = table.set_column(table.schema.get_field_index(name), name, wide)
    return table


def long_table(table: pa.Table) -> pa.Table:
    """Return a row a transit, each with the columns of its star."""
    lists = {name: table[name].combine_chunks() for name in TRANSITS.names}
    of_star = table.select(STARS.names).take(pc.list_parent_indices(lists[MAG]))
    columns = zip(of_star.column_names, of_star.columns, strict=True)
    return pa.table(dict(columns) | {name: pc.list_flatten(c) for name, c in lists.items()})


def layouts(table: pa.Table) -> dict[str, tuple[pa.Table, dict[str, Any]]]:
    """Return, by name, tables and how pyarrow is to write them; the package's own way first."""
    own = _layout(table.schema)
    rows = own["row_group_size"]
    plain: dict[str, Any] = {"row_group_size": rows}
    tall, wide = long_table(table), in_float64(table)
    epochs = len(tall) // len(table)
    return {
        f"lists, zstd, byte streams, groups of {rows:,}": (table, own),
        "the same, groups of 5,000": (table, own | {"row_group_size": 5_000}),
        "the same, groups of 100,000": (table, own | {"row_group_size": 100_000}),
        "the same, float64 magnitudes": (wide, own),
        "lists, zstd": (table, plain | {"compression": "zstd"}),
        "lists, snappy": (table, plain | {"compression": "snappy"}),
        "lists, not compressed": (table, plain | {"compression": "none"}),
        "a row a transit, zstd": (tall, {"row_group_size": rows * epochs, "compression": "zstd"}),
    }


def measure(table: pa.Table, options: dict[str, Any], path: Path) -> Cost:
    """Write and read a table, once."""
    written = seconds(lambda: pq.write_table(table, path, **options))
    read = seconds(lambda: pq.read_table(path))
    return Cost(path.stat().st_size, written, read)


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    options = parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        path, tables = Path(folder) / "stars.parquet", layouts(stars())
        # in rounds, so that none is always the first
        rounds = [
            {name: measure(*layout, path) for name, layout in tables.items()}
            for _ in range(REPEATS)
        ]
    costs = {name: Cost(*map(min, *(costs[name] for costs in rounds))) for name in rounds[0]}
    own, *_ = costs.values()
    table = [
        "| layout | bytes a star | × | written, µs a star | read, µs a star | × |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, (size, write, read) in costs.items():
        table.append(
            f"| {name} | {size / N_STARS:.0f} | {size / own.size:.2f} "
            f"| {1e6 * write / N_STARS:.1f} | {1e6 * read / N_STARS:.1f} | {read / own.read:.2f} |"
        )
    sizes = {name: cost.size / own.size for name, cost in costs.items() if cost is not own}
    record(
        f"Survey on disk, {N_STARS:,} stars",
        "\n".join(table),
        "python benchmarks/io_layouts.py",
        {f"{name}: size": size for name, size in sizes.items()},
        check=options.check,
    )


if __name__ == "__main__":
    main()
