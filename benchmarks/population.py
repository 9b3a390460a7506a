"""Measure what the population prior is worth on real stars, and what it costs.

[Fe/H] of the labelled development stars of Dékány & Grebel (2022), out of their ten folds, from the
period and the Fourier parameters of seven harmonics: fitted star by star, or with the prior. No
label takes part in the smoothing; the regressions choose their parameters inside the training
folds.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}  # before numpy loads its library

import numpy as np
import numpy.typing as npt
import pandas as pd
from record import parser, record
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from rrl_batch.lightcurve.fourier import fit_fourier
from rrl_batch.lightcurve.population import (
    ITERATIONS,
    FoldedCurves,
    Noise,
    PopulationPrior,
    smooth_by_population,
    statistics,
    update,
)

FloatArray = npt.NDArray[np.float64]

STARS = Path(__file__).parents[2] / "shared/data/dekany2022"
HARMONICS = 7
REGRESSIONS = {
    "ridge": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 13))),
    "SVR": GridSearchCV(
        make_pipeline(StandardScaler(), SVR(epsilon=0.05)),
        {"svr__C": [1, 3, 10], "svr__gamma": [0.003, 0.01, 0.03]},
        scoring="neg_mean_squared_error",
    ),
}


def read_stars(folder: Path) -> tuple[FoldedCurves, pd.DataFrame]:
    """Return the light curves of all stars, and their labels and folds where they have any."""
    stars = pd.read_parquet(folder / "stars.parquet").sort_values("source_id")
    epochs = pd.read_parquet(folder / "photometry.parquet").sort_values("source_id", kind="stable")
    counts = epochs.groupby("source_id").size().to_numpy()
    labels = pd.read_parquet(folder / "labels.parquet")
    curves = FoldedCurves(
        epochs["phase"].to_numpy(),
        epochs["mag"].to_numpy(),
        np.concatenate([[0], np.cumsum(counts)]),
        stars["period"].to_numpy(),
    )
    return curves, stars[["source_id"]].merge(labels, "left", "source_id")


def star_by_star(curves: FoldedCurves) -> npt.NDArray[np.complex128]:
    """Return the harmonics of the penalised fit, which knows no other star."""
    fit = fit_fourier(curves.phase, curves.mag, curves.offsets)
    return fit.amplitudes[:, :HARMONICS] * np.exp(1j * fit.phases[:, :HARMONICS])


def fit_prior(curves: FoldedCurves) -> PopulationPrior:
    prior, noise = PopulationPrior.first("RRab"), Noise.first(curves)
    for _ in range(ITERATIONS):
        found, noise = statistics(curves, noise, prior)
        prior = update(found, prior.mode)
    return prior


def with_prior(curves: FoldedCurves, prior: PopulationPrior) -> npt.NDArray[np.complex128]:
    """Return the harmonics of the posterior means."""
    mean = smooth_by_population(curves, prior).coefficients[:, 1:]
    return (mean[:, ::2] - 1j * mean[:, 1::2])[:, :HARMONICS]


def features(harmonics: npt.NDArray[np.complex128], period: FloatArray) -> FloatArray:
    """Return period, A_1, R_k1 and phi_k1 about its mean; 0 where there is none."""
    amplitude, phase = np.abs(harmonics), np.angle(harmonics)
    order = np.arange(2, HARMONICS + 1)
    turned = np.exp(1j * (phase[:, 1:] - order * phase[:, :1]))
    phi = np.angle(turned * np.nanmean(turned, axis=0).conj())
    columns = np.column_stack([period, amplitude[:, 0], amplitude[:, 1:] / amplitude[:, :1], phi])
    return np.nan_to_num(columns)


def scores(x: FloatArray, labels: pd.DataFrame) -> dict[str, FloatArray]:
    """Return RMSE, MAE and R² of each regression, out of fold and unweighted."""
    feh, fold = labels["feh"].to_numpy(), labels["fold"].to_numpy()
    result = {}
    for name, regression in REGRESSIONS.items():
        error = np.empty(len(feh))
        for held_out in np.unique(fold):
            inside, out = fold != held_out, fold == held_out
            error[out] = regression.fit(x[inside], feh[inside]).predict(x[out]) - feh[out]
        square = np.mean(error**2)
        result[name] = np.array([np.sqrt(square), np.abs(error).mean(), 1 - square / feh.var()])
    return result


def microseconds(work: Callable[[], object], amount: int) -> float:
    """Return the processor time of the shortest of five runs, by amount."""
    times = []
    for _ in range(5):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1e6 * min(times) / amount


def main() -> None:
    options = parser(__doc__).parse_args()
    if not STARS.is_dir():
        raise SystemExit(f"{STARS} is not here: the benchmark needs the development stars.")
    curves, labels = read_stars(STARS)
    n_stars, labelled = len(labels), labels["feh"].notna().to_numpy()
    prior = fit_prior(curves)
    star_by_star(curves)  # compile
    cost = {
        "star by star": microseconds(lambda: star_by_star(curves), n_stars),
        "population prior": microseconds(lambda: with_prior(curves, prior), n_stars),
    }
    noise = Noise.first(curves)
    iteration = microseconds(lambda: update(statistics(curves, noise, prior)[0], "RRab"), n_stars)
    found = {"star by star": star_by_star(curves), "population prior": with_prior(curves, prior)}
    table = [
        "| harmonics | regression | RMSE (dex) | MAE (dex) | R² | µs a star, one core |",
        "|---|---|---:|---:|---:|---:|",
    ]
    rmse = {}
    for fit, harmonics in found.items():
        x = features(harmonics, curves.period)[labelled]
        for name, (root, mean, r2) in scores(x, labels[labelled]).items():
            table.append(
                f"| {fit} | {name} | {root:.4f} | {mean:.4f} | {r2:.3f} | {cost[fit]:.0f} |"
            )
            rmse[fit, name] = root
    table += ["", f"EM takes {iteration:.1f} µs a star and iteration on one core."]
    ratios = {
        f"{name}: error star by star/population prior": rmse["star by star", name]
        / rmse["population prior", name]
        for name in REGRESSIONS
    }
    record(
        f"Population prior, {labelled.sum():,} labelled stars, median "
        f"{np.median(np.diff(curves.offsets)):.0f} epochs",
        "\n".join(table),
        "python benchmarks/population.py",
        ratios | {"EM: star iterations a ms": 1e3 / iteration},
        check=options.check,
    )


if __name__ == "__main__":
    main()
