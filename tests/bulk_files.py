"""Files as Gaia's bulk epoch photometry has them, of light curves that are made up."""

import csv
import gzip
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

SHIFT = 43
_COMMENTS = "# %ECSV 1.0\n# ---\n# delimiter: ','\n# datatype:\n# - \n#   name: source_id\n"
_OTHER_ARRAYS = [
    "g_transit_flux", "g_transit_flux_error", "bp_obs_time", "bp_flux", "bp_flux_error", "bp_mag",
    "rp_obs_time", "rp_flux", "rp_flux_error", "rp_mag",
]  # fmt: skip
_OTHER_FLAGS = [f"photometry_flag_af{i}_{what}" for i in range(1, 10)
                for what in ("unavailable", "reject")]  # fmt: skip


def _cell(values: Sequence[object]) -> str:
    """Return an array as a cell: null for what is not there, text in quotes of its own."""
    words = []
    for value in values:
        if pd.isna(value):
            words.append("null")
        elif isinstance(value, bool | np.bool_):
            words.append(f'"{bool(value)}"')
        else:
            words.append(repr(float(value)))
    return f"[{','.join(words)}]"


def row(source_id: int, curve: pd.DataFrame) -> dict[str, object]:
    """Return the row of a source, of the columns `time`, `mag`, `flux_over_error`, `reject`."""
    n = len(curve)
    rng = np.random.default_rng(source_id % 2**32)
    arrays = {
        "transit_id": rng.integers(2**54, size=n),
        "g_transit_time": curve["time"],
        "g_transit_flux_over_error": curve["flux_over_error"],
        "g_transit_mag": curve["mag"],
        **{name: rng.uniform(0, 3000, n) for name in _OTHER_ARRAYS},
        **{name: rng.random(n) < 0.05 for name in _OTHER_FLAGS},
        "variability_flag_g_reject": curve["reject"],
    }
    cells = {name: _cell(list(values)) for name, values in arrays.items()}
    return {"solution_id": 375316653866487564, "source_id": source_id, "n_transits": n, **cells}


def write_bulk_file(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write a bulk file, compressed if its name says so."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    content = (_COMMENTS + text.getvalue()).encode()
    path.write_bytes(gzip.compress(content, 6) if path.suffix == ".gz" else content)


def write_mirror(
    folder: Path, curves: Mapping[int, pd.DataFrame], ranges: Sequence[tuple[int, int]]
) -> list[Path]:
    """Write a mirror: a file for each range of HEALPix cells of level 8, and their checksums."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for first, last in ranges:
        path = folder / f"EpochPhotometry_{first:06d}-{last:06d}.csv.gz"
        own = [star for star in sorted(curves) if first <= star >> SHIFT <= last]
        write_bulk_file(path, [row(star, curves[star]) for star in own])
        paths.append(path)
    write_checksums(folder)
    return paths


def write_checksums(folder: Path) -> None:
    """Write the checksums of a mirror's files, as md5sum does."""
    lines = [
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.name}\n"
        for path in sorted(folder.glob("Epoch*"))
    ]
    (folder / "_MD5SUM.txt").write_text("".join(lines))
