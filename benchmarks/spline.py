"""Time the smoothing-spline kernel against scipy's make_smoothing_spline, per star and core.

Run as ``python benchmarks/spline.py``; the real light curves are added where they lie beside the
checkout.
"""

from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.parquet as pq
from machine import shortest
from record import parser, record
from scipy.interpolate import make_smoothing_spline

from rrl_batch.lightcurve.spline import smooth

N_POINTS = 265
N_SCIPY = 300
REPEATS = 5
GAIA = Path(__file__).parents[2] / "shared/data/gaia_dr3"

FloatArray = npt.NDArray[np.float64]


class Curves(NamedTuple):
    """Folded light curves, sorted by phase within a star."""

    phase: FloatArray
    mag: FloatArray
    offsets: npt.NDArray[np.int64]


def synthetic_curves(n_stars: int = 5000, n_epochs: int = 40) -> Curves:
    """Simulate RRab-like light curves: a sawtooth of four harmonics and noise of 0.02 mag."""
    rng = np.random.default_rng(2024)
    phase = np.sort(rng.random((n_stars, n_epochs)), axis=1)
    harmonics = np.arange(1, 5)
    shape = np.sin(2 * np.pi * harmonics * (phase[..., None] + 0.02)) @ (0.35 / harmonics)
    mag = 17.0 + shape + rng.normal(0.0, 0.02, phase.shape)
    return Curves(phase.ravel(), mag.ravel(), np.arange(n_stars + 1) * n_epochs)


def real_curves() -> Curves:
    """Fold the clean G transits of the Gaia DR3 sample."""
    stars = pq.read_table(GAIA / "stars.parquet", columns=["source_id", "period", "epoch_g"])
    transits = pq.read_table(
        GAIA / "epoch_photometry.parquet",
        columns=["source_id", "time", "mag"],
        filters=(pc.field("band") == "G")
        & ~pc.field("rejected_by_photometry")
        & ~pc.field("rejected_by_variability"),
    ).join(stars, "source_id", join_type="inner")
    source_id, time_, mag, period, epoch = (
        transits[name].to_numpy() for name in ("source_id", "time", "mag", "period", "epoch_g")
    )
    phase = ((time_ - epoch) / period) % 1.0
    order = np.lexsort((phase, source_id))
    _, counts = np.unique(source_id, return_counts=True)
    return Curves(phase[order], mag[order].astype(float), np.concatenate([[0], np.cumsum(counts)]))


def scipy_smooth(curves: Curves, stars: range, centred: bool = False) -> FloatArray:
    """Smooth some of the stars the straightforward way, or with their mean magnitude taken out."""
    smoothed = []
    for i in stars:
        own = slice(curves.offsets[i], curves.offsets[i + 1])
        phase, mag = curves.phase[own], curves.mag[own]
        zero = mag.mean() if centred else 0.0
        spline = make_smoothing_spline(phase, mag - zero)
        smoothed.append(spline(np.linspace(phase[0], phase[-1], N_POINTS)) + zero)
    return np.array(smoothed)


def rows(name: str, curves: Curves) -> tuple[list[str], dict[str, float]]:
    """Time scipy and both methods on the same curves; return rows of the table, and ratios."""
    n_stars = len(curves.offsets) - 1
    some = range(0, n_stars, n_stars // N_SCIPY)
    references = scipy_smooth(curves, some), scipy_smooth(curves, some, centred=True)
    scipy_us = 1e6 * shortest(lambda: scipy_smooth(curves, some), 3) / len(some)
    table = [f"| {name} | `make_smoothing_spline` | {scipy_us:,.0f} | 1 | | |"]
    ratios = {}
    for method in ("scipy", "robust"):
        smoothed = smooth(*curves, N_POINTS, method)
        own_us = 1e6 * shortest(lambda m=method: smooth(*curves, N_POINTS, m), REPEATS) / n_stars
        agreement = "| | "
        if method == "scipy":
            differences = [np.abs(smoothed.mag[some] - ref).max(axis=1) for ref in references]
            largest = " / ".join(f"{difference.max():.0e}" for difference in differences)
            beyond = " / ".join(f"{np.mean(difference > 1e-6):.1%}" for difference in differences)
            agreement = f"| {largest} | {beyond} "
        ratio = scipy_us / own_us
        table.append(f"| {name} | {method} | {own_us:.1f} | {ratio:.0f} {agreement}|")
        ratios[f"{name.partition(',')[0]}: {method}/scipy.interpolate"] = ratio
    return table, ratios


def main() -> None:
    """Measure on one thread."""
    options = parser(__doc__).parse_args()
    numba.set_num_threads(1)
    synthetic, ratios = rows("synthetic, 40 epochs", synthetic_curves())
    table = [
        "| curves | method | µs per star and core | × scipy "
        "| largest difference from scipy (mag) / with the mean taken out first "
        "| stars beyond 1e-6 mag / likewise |",
        "|---|---|---:|---:|---:|---:|",
        *synthetic,
    ]
    if GAIA.is_dir():
        real, more = rows("Gaia DR3, median 39 epochs", real_curves())
        table += real
        ratios |= more
    record(
        f"Smoothing splines by GCV, {N_POINTS} points",
        "\n".join(table),
        "python benchmarks/spline.py",
        ratios,
        check=options.check,
    )


if __name__ == "__main__":
    main()
