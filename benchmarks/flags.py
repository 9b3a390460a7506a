"""Flags of strange stars: how many are found, how many others are blamed, and how wrong they are.

Among simulated stars some are planted: with periods that are aliases or drift, with a constant
blend, and first-overtone stars that are taken for fundamental ones. Modulated and double-mode stars
are in any simulated sky. A regression learns [Fe/H] of RRab from the shape of others. How long the
flags take is compared with the preparation that they are part of.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
from machine import shortest
from record import parser, record
from scipy.stats import circmean
from sklearn.metrics import roc_auc_score

from rrl_batch.contracts import STARS, Flag
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.folded import folded
from rrl_batch.lightcurve.prepare import prepare
from rrl_batch.lightcurve.residuals import residuals
from rrl_batch.models.baseline import offset_from
from rrl_batch.models.domain import TrainingDomain
from rrl_batch.models.registry import fit_regressor
from rrl_batch.sources.synthetic import simulate_stars
from rrl_batch.sources.synthetic.photometry import simulate_light_curves

SEED = 11
N_STARS = 24_000
N_TRAINING = 2_000
WHOLE_SKY = 271_000
REPEATS = 3
POINTS = 32
PART_PLANTED = 0.1
GROSS = 0.6  # dex

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

DRIFTS = (0.05, 0.1, 0.2, 0.4, 0.8)  # cycles in 1,000 days
FLAGS = (
    Flag.EXCESS_SCATTER, Flag.MODULATED, Flag.PERIOD_DOUBTFUL, Flag.SMOOTHING_FAILED,
)  # fmt: skip


def planted(n_stars: int) -> tuple[LightCurveBatch, pd.DataFrame]:
    """Return light curves as a survey has them, and what each star is."""
    rng = np.random.default_rng(SEED)
    stars = simulate_stars(n_stars, SEED)
    curves = simulate_light_curves(stars, SEED)
    kinds = ["none", "alias", "drift", "blend"]
    kind = rng.choice(kinds, n_stars, p=[1 - 3 * PART_PLANTED, *[PART_PLANTED] * 3])
    frequency = 1 / stars["period"].to_numpy()
    a_day = rng.choice([1, 2, 4, 8], n_stars) * rng.choice([-1, 1], n_stars) * 1.0027
    harmonic = rng.choice([0.5, 2.0], n_stars)
    other = np.where(rng.random(n_stars) < 0.15, harmonic * frequency, abs(frequency + a_day))
    cycles = rng.choice(DRIFTS, n_stars)
    seen = np.select(
        [kind == "alias", kind == "drift"], [other, frequency + cycles / 1000], frequency
    )
    star = np.repeat(np.arange(n_stars), np.diff(curves.offsets))
    part = np.where(kind == "blend", rng.uniform(0.2, 0.7, n_stars), 0.0)[star]
    constant = 10 ** (-0.4 * stars["int_average_g"].to_numpy()[star])
    mag = -2.5 * np.log10((1 - part) * 10 ** (-0.4 * curves.mag.astype(float)) + part * constant)
    mode = stars["best_classification"].to_numpy(object)
    taken = (mode == "RRc") & (kind == "none") & (rng.random(n_stars) < PART_PLANTED)
    table = stars.assign(period=1 / seen, best_classification=np.where(taken, "RRab", mode))
    batch = LightCurveBatch(
        stars=table.reindex(columns=STARS.names),
        offsets=curves.offsets,
        time=curves.time,
        mag=mag.astype(np.float32),
        mag_error=curves.mag_error,
        has_error=np.ones(n_stars, bool),
        malformed=np.zeros(n_stars, bool),
    )
    depth, shift = stars["sim_blazhko_depth"], stars["sim_blazhko_shift"]
    what = pd.DataFrame(
        {"feh": stars["feh"], "mode": mode, "kind": np.where(taken, "taken", kind),
         "cycles": cycles, "modulated": depth > 0, "strongly": (depth > 0.15) | (shift > 0.025)}
    )  # fmt: skip
    return batch, what


def populations(what: pd.DataFrame) -> dict[str, Mask]:
    """Return which stars are of each population."""
    none, kind = what["kind"] == "none", what["kind"]
    single = none & (what["mode"] != "RRd")
    found = {
        "nothing wrong, RRab": single & ~what["modulated"] & (what["mode"] == "RRab"),
        "nothing wrong, RRc": single & ~what["modulated"] & (what["mode"] == "RRc"),
        "modulated": single & what["modulated"],
        "strongly modulated": single & what["strongly"],
        "RRd": none & (what["mode"] == "RRd"),
        "alias, or twice or half the period": kind == "alias",
    }
    for cycles in DRIFTS:
        found[f"drift of {cycles} cycles"] = (kind == "drift") & (what["cycles"] == cycles)
    found |= {"blend of 20 to 70 %": kind == "blend", "RRc taken for RRab": kind == "taken"}
    return {name: rows.to_numpy() for name, rows in found.items()}


def ranges(table: pd.DataFrame, training: Mask) -> Mask:
    """Return which stars lie beyond ranges of period, phi31 and amplitude, the rule before."""
    phi31 = offset_from(circmean(table["phi31"][training]), table["phi31"])
    outside = np.zeros(len(table), bool)
    for values in (table["period"].to_numpy(), phi31, table["amplitude"].to_numpy()):
        low, high = np.quantile(values[training], (0.005, 0.995))
        outside |= ~((values >= low) & (values <= high))
    return outside


def rms(errors: Floats) -> str:
    """Return a root mean square as text."""
    return f"{np.sqrt(np.mean(errors**2)):.3f}" if len(errors) else "–"


def percent(rows: Mask) -> str:
    """Return which part of some stars is meant."""
    return f"{100 * rows.mean():.1f}" if len(rows) else "–"


def main() -> None:
    """Plant, find and time."""
    options = parser(__doc__).parse_args()
    batch, what = planted(N_STARS)
    prepared = prepare(batch, points=POINTS)
    table, shape = prepared.table.reset_index(drop=True), prepared.shape.astype(np.float64)
    flags = table["flags"].to_numpy()
    groups = populations(what)

    known = np.isfinite(shape).all(axis=1) & (table["best_classification"] == "RRab").to_numpy()
    good = known & (what["kind"] == "none").to_numpy() & (table["num_epochs_used"] >= 20).to_numpy()
    good &= ((table["phi31_error"] <= 0.3) & (table["amplitude"] <= 1.4)).to_numpy()
    training = np.zeros(len(what), bool)
    chosen = np.random.default_rng(0).permutation(np.flatnonzero(good))[:N_TRAINING]
    training[chosen] = True
    feh = what["feh"].to_numpy()
    regressor = fit_regressor("svr", shape[training], feh[training], np.ones(training.sum()), 0)
    error = regressor.predict(shape) - feh
    domain = TrainingDomain.of(shape[training])
    distance = domain.distance(shape)
    scored = known & ~training

    columns = ["stars", *(f"{flag.name} (%)" for flag in FLAGS), "RRab with a value",
               "OUTSIDE_TRAINING_DOMAIN (%)", "RMSE (dex)"]  # fmt: skip
    rows = []
    for name, own in groups.items():
        valued = own & scored
        rows.append(
            [name, f"{own.sum():,}", *(percent((flags[own] & int(flag)) != 0) for flag in FLAGS),
             f"{valued.sum():,}", percent(distance[valued] > 1), rms(error[valued])]
        )  # fmt: skip
    tables = [markdown(["population", *columns], rows)]

    strange = scored & (what["kind"] != "none").to_numpy()
    plain = scored & ~strange
    gross = abs(error) > GROSS
    tests: dict[str, tuple[Mask, Floats | None]] = {
        "distance to the fifth-nearest training star": (distance > 1, distance),
        "ranges of period, phi31 and amplitude": (ranges(table, training), None),
    } | {
        str(flag.name): ((flags & int(flag)) != 0, None)
        for flag in (*FLAGS[:3], Flag.PHI31_UNCERTAIN, Flag.SPARSE)
    }
    rows = []
    for name, (raised, measure) in tests.items():
        auc = roc_auc_score(gross[scored], measure[scored]) if measure is not None else None
        rows.append(
            [name, percent(raised[plain]), rms(error[plain & raised]), rms(error[plain & ~raised]),
             rms(error[scored & raised]), rms(error[scored & ~raised]),
             percent(raised[scored & gross]), "–" if auc is None else f"{auc:.3f}"]
        )  # fmt: skip
    columns = ["of stars not planted (%)", "RMSE with", "without", "of all stars: RMSE with",
               "without ", f"of errors above {GROSS} dex (%)", "area under the curve"]  # fmt: skip
    tables.append(markdown(["RRab with the flag", *columns], rows))

    stars = folded(batch, "fourier")
    whole: dict[str, Callable[[], object]] = {
        "preparation": lambda: prepare(batch, points=POINTS),
        "residuals": lambda: residuals(stars),
        "distances": lambda: domain.distance(shape),
    }
    seconds = {name: shortest(work, REPEATS) for name, work in whole.items()}
    rows = [
        [name, f"{1e6 * s / N_STARS:.1f}", f"{s * WHOLE_SKY / N_STARS:.1f}"]
        for name, s in seconds.items()
    ]
    tables.append(markdown(["step", "µs a star and core", "s for 271,000 stars"], rows))
    record(
        f"Flags of {N_STARS:,} stars, {3 * PART_PLANTED:.0%} of them planted",
        "\n\n".join(tables),
        "python benchmarks/flags.py",
        {
            f"preparation/{name}": seconds["preparation"] / s
            for name, s in seconds.items()
            if name != "preparation"
        },
        check=options.check,
    )


def markdown(columns: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
