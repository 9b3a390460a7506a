"""Read an answer of the Gaia archive: 500 stars, 46 arrays of 43 transits each, as a VOTable.

Rates are of one core. `astroquery.gaia` takes all columns of an answer apart, the package those
that it needs; that is the comparison.
"""

import io
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from astropy.io import votable
from machine import shortest
from record import parser, record

from rrl_batch.sources.archive.products import read_products
from rrl_batch.sources.archive.release import DEFAULT, Release

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from gaia_archive import raw_document

N_STARS = 500
N_TRANSITS = 43
REPEATS = 3
ALL_STARS = 271_000


def answer() -> str:
    """Return a product with as many columns as the archive's."""
    rng = np.random.default_rng(0)
    curves = {
        star: {
            "time": rng.uniform(1700, 2700, N_TRANSITS),
            "mag": rng.normal(17, 0.3, N_TRANSITS),
            "flux_over_error": rng.uniform(20, 300, N_TRANSITS),
            "reject": rng.random(N_TRANSITS) < 0.05,
        }
        for star in range(1, N_STARS + 1)
    }
    return raw_document(curves, list(curves), "g_transit_time", others=42)


def main() -> None:
    options = parser(__doc__).parse_args()
    document = answer()
    curves, stars = Release.read(DEFAULT).light_curves, range(1, N_STARS + 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "answer.zip")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("EPOCH_PHOTOMETRY_RAW.xml", document)
        if read_products(path, stars, curves).transits.num_rows != N_STARS * N_TRANSITS:
            raise SystemExit("not all transits were found")
        ours = shortest(lambda: read_products(path, stars, curves), REPEATS)
        content = document.encode()
        theirs = shortest(lambda: votable.parse(io.BytesIO(content)), 1)
    lines = [
        "| reader | stars a second and core | all 271,000 stars |",
        "|---|---:|---:|",
        *(
            f"| {name} | {N_STARS / seconds:,.0f} | {ALL_STARS / N_STARS * seconds / 60:.0f} min |"
            for name, seconds in (
                ("five columns, and what is made of them (ours)", ours),
                ("all columns, as astroquery.gaia reads them", theirs),
            )
        ),
    ]
    record(
        f"An answer of the archive, {N_STARS} stars, {len(content) / 1e6:.0f} MB",
        "\n".join(lines),
        "python benchmarks/archive.py",
        {"ours/all columns": theirs / ours},
        check=options.check,
    )


if __name__ == "__main__":
    main()
