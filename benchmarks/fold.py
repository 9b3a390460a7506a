"""Time cleaning, folding and aligning a partition, against star by star in numpy and in astropy.

Astropy's `TimeSeries.fold` is what a user would reach for; it is timed on a few stars, without
cleaning. All give the same phases.
"""

from collections.abc import Callable

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.time import Time
from astropy.timeseries import TimeSeries
from machine import shortest
from record import parser, record

from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.clean import MAX_ABSOLUTE_MAG, clean
from rrl_batch.lightcurve.fold import fold, shift
from rrl_batch.sources.synthetic import simulate_stars
from rrl_batch.sources.synthetic.source import SimulatedLightCurves

N_STARS = 20_000
N_ASTROPY = 100
REPEATS = 5
SAME = 1e-9  # cycles; times of 1,000 d and double precision leave 1e-12

FloatArray = npt.NDArray[np.float64]


def simulated_partition() -> LightCurveBatch:
    """Return a partition of the simulator's stars, as it is read from disk."""
    batch = SimulatedLightCurves(1)(simulate_stars(N_STARS, 1), 0)
    return LightCurveBatch.from_arrow(batch.to_arrow())


def flat_arrays(batch: LightCurveBatch, origin: FloatArray) -> FloatArray:
    """Take all stars at once, as the pipeline does."""
    period = batch.stars["period"].to_numpy()
    epochs = clean(batch.time, batch.mag, batch.mag_error, batch.offsets, batch.has_error)
    phase = fold(epochs.time, epochs.offsets, period, np.zeros_like(period))
    return shift(phase, epochs.offsets, origin)


def star_by_star(batch: LightCurveBatch, origin: FloatArray) -> FloatArray:
    """Take one star after the other, with a handful of numpy calls each."""
    phases = []
    for star, period in enumerate(batch.stars["period"].to_numpy()):
        own = slice(batch.offsets[star], batch.offsets[star + 1])
        time_, mag, error = batch.time[own], batch.mag[own], batch.mag_error[own]
        usable = np.isfinite(time_) & (np.abs(mag) < MAX_ABSOLUTE_MAG)
        usable &= np.isfinite(error) & (error > 0)
        phases.append((time_[usable] / period - origin[star]) % 1.0)
    return np.concatenate(phases)


def by_astropy(batch: LightCurveBatch, origin: FloatArray) -> FloatArray:
    """Fold one star after the other with astropy."""
    phases = []
    for star, period in enumerate(batch.stars["period"].to_numpy()):
        own = slice(batch.offsets[star], batch.offsets[star + 1])
        series = TimeSeries(
            time=Time(batch.time[own], format="mjd", scale="tcb"), data={"mag": batch.mag[own]}
        )
        folded = series.fold(
            period * u.day,
            Time(origin[star] * period, format="mjd", scale="tcb"),
            wrap_phase=1.0,
            normalize_phase=True,
        )
        phases.append(np.asarray(folded.time.value))
    return np.concatenate(phases)


def microseconds(work: Callable[[], object], n_stars: int) -> float:
    """Return the processor time a star of the shortest run, which others lengthen least."""
    return 1e6 * shortest(work, REPEATS) / n_stars


def largest_difference(phase: FloatArray, reference: FloatArray) -> float:
    """Return it around the cycle."""
    return float(np.abs((phase - reference + 0.5) % 1.0 - 0.5).max())


def main() -> None:
    options = parser(__doc__).parse_args()
    batch = simulated_partition()
    few = batch.select(np.arange(len(batch)) < N_ASTROPY)
    origin = np.random.default_rng(0).random(len(batch))
    ways = {
        "astropy `TimeSeries.fold`": (by_astropy, few),
        "numpy, star by star": (star_by_star, batch),
        "flat arrays": (flat_arrays, batch),
    }
    times = {}
    lines = ["| way | µs a star and core | flat arrays are faster × |", "|---|---:|---:|"]
    for name, (way, stars) in ways.items():
        phase, expected = (f(stars, origin[: len(stars)]) for f in (way, flat_arrays))
        if (difference := largest_difference(phase, expected)) > SAME:
            raise SystemExit(f"{name}: phases differ by {difference:.0e} cycles")
        times[name] = microseconds(lambda w=way, s=stars: w(s, origin[: len(s)]), len(stars))
    own = times["flat arrays"]
    lines += [f"| {name} | {value:.2f} | {value / own:.0f} |" for name, value in times.items()]
    record(
        f"Clean, fold and align a partition of {N_STARS:,} stars",
        "\n".join(lines),
        "python benchmarks/fold.py",
        {f"flat arrays/{name}": t / own for name, t in times.items() if name != "flat arrays"},
        check=options.check,
    )


if __name__ == "__main__":
    main()
