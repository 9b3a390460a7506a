"""Read the bulk files of Gaia's epoch photometry: how fast, in how much memory, and by what reader.

A file of real size is made up (3,500 sources, 48 columns, 40 transits each), one source in forty of
which is wanted. Rates are of uncompressed text and of one core, decompression included.
"""

import gzip
import io
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from machine import shortest
from record import parser, record

from rrl_batch.sources.bulk.mirror import BulkFile
from rrl_batch.sources.bulk.read import Reader

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from bulk_files import row, write_bulk_file

N_SOURCES = 3_500
N_TRANSITS = 40
WANTED_EVERY = 40
REPEATS = 3
GOAL = 100.0
"""MB of text a second and core."""


def light_curve(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    curve = {
        "time": 1700 + np.sort(rng.uniform(0, 900, N_TRANSITS)),
        "mag": rng.normal(17, 0.3, N_TRANSITS),
        "flux_over_error": rng.uniform(20, 300, N_TRANSITS),
        "reject": rng.random(N_TRANSITS) < 0.05,
    }
    return pd.DataFrame(curve)


def ours(path: Path, wanted: pa.Array) -> tuple[int, int]:
    """Return how many transits the package's reader finds, and the most that Arrow held."""
    before = pa.total_allocated_bytes()
    most = found = 0
    for piece in Reader(BulkFile(path, 0, 786_431, None), wanted).pieces():
        found += piece.num_rows
        most = max(most, pa.total_allocated_bytes() - before)
    return found, most


def by_polars(path: Path, wanted: pa.Array) -> int:
    """Return the same by polars, which takes a whole file at once."""
    import polars as pl

    columns = ["source_id", "g_transit_time", "g_transit_mag", "g_transit_flux_over_error",
               "variability_flag_g_reject"]  # fmt: skip
    table = pl.read_csv(path, comment_prefix="#", columns=columns, infer_schema=False)
    rows = table.filter(pl.col("source_id").cast(pl.Int64).is_in(wanted.to_pylist()))
    return int(rows["g_transit_time"].str.count_matches(",").sum()) + len(rows)


def by_pandas(path: Path, wanted: pa.Array) -> int:
    """Return the same by pandas' C parser, in pieces."""
    found = 0
    pieces = pd.read_csv(
        path, comment="#", usecols=["source_id", "g_transit_time", "g_transit_mag"], chunksize=300
    )
    for piece in pieces:
        rows = piece[piece["source_id"].isin(wanted.to_pylist())]
        found += int(rows["g_transit_time"].str.count(",").sum()) + len(rows)
    return found


def main() -> None:
    options = parser(__doc__).parse_args()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    with tempfile.TemporaryDirectory() as folder:
        paths = {n: Path(folder, f"EpochPhotometry_{n}.csv.gz") for n in (N_SOURCES, 4 * N_SOURCES)}
        rows = [row(star, light_curve(star)) for star in range(N_SOURCES)]
        write_bulk_file(paths[N_SOURCES], rows)
        large = [{**of, "source_id": i} for i, of in enumerate(4 * rows)]
        write_bulk_file(paths[4 * N_SOURCES], large)
        path = paths[N_SOURCES]
        with gzip.open(path) as file:
            size = file.seek(0, io.SEEK_END) / 1e6
        wanted = pa.array(range(0, 4 * N_SOURCES, WANTED_EVERY), pa.int64())
        expected = N_TRANSITS * -(-N_SOURCES // WANTED_EVERY)
        ways = {
            "Arrow's CSV reader, as a stream (ours)": lambda: ours(path, wanted)[0],
            "polars, the whole file at once": lambda: by_polars(path, wanted),
            "pandas, in pieces": lambda: by_pandas(path, wanted),
        }
        times = {}
        for name, way in ways.items():
            if (found := way()) != expected:
                raise SystemExit(f"{name}: found {found} transits of {expected}")
            times[name] = shortest(way, REPEATS)
        memory = {n: ours(path, wanted)[1] / 1e6 for n, path in paths.items()}
    lines = ["| reader | MB of text a second and core |", "|---|---:|"]
    lines += [f"| {name} | {size / value:.0f} |" for name, value in times.items()]
    lines += ["", f"The file has {size:.0f} MB of text. Arrow holds at most "
              f"{memory[N_SOURCES]:.0f} MB, and {memory[4 * N_SOURCES]:.0f} MB with a file four "
              f"times as long."]  # fmt: skip
    own, *others = times.values()
    names = list(times)[1:]
    record(
        f"Bulk files of epoch photometry, {N_SOURCES:,} sources, one in {WANTED_EVERY} wanted",
        "\n".join(lines),
        "python benchmarks/bulk.py",
        {f"ours/{name}": other / own for name, other in zip(names, others, strict=True)}
        | {f"ours/goal of {GOAL:.0f} MB/s": size / own / GOAL},
        check=options.check,
    )


if __name__ == "__main__":
    main()
