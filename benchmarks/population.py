"""Measure what the population prior is worth on real stars, and what it costs.

[Fe/H] of the labelled development stars of Dékány & Grebel (2022), out of their ten folds, from the
period and the Fourier parameters of seven harmonics: fitted star by star, or with the prior; alone,
or with the noise and the number of epochs. No label takes part in the smoothing; the regressions
choose their parameters inside the training folds. Where ``full_sky.py`` has left its survey, the
prior of its RRab stars is found on the cluster, too.
"""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}  # before numpy loads its library

import numpy as np
import numpy.typing as npt
import pandas as pd
from machine import shortest
from record import parser, record
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from rrl_batch.cluster.connect import connect
from rrl_batch.job import ClusterSection
from rrl_batch.lightcurve.fourier import fit_fourier
from rrl_batch.lightcurve.population import (
    ITERATIONS,
    FoldedCurves,
    Noise,
    smooth_by_population,
    statistics,
    update,
)
from rrl_batch.lightcurve.population_prior import PopulationPrior
from rrl_batch.stages.population import fit_population
from rrl_batch.survey.read import open_survey

FloatArray = npt.NDArray[np.float64]

STARS = Path(__file__).parents[2] / "shared/data/dekany2022"
SURVEY = Path(__file__).parents[1] / "work/benchmark/survey"
HARMONICS = 7
REGRESSIONS = {
    "ridge": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 13))),
    "SVR": GridSearchCV(
        make_pipeline(StandardScaler(), SVR(epsilon=0.05)),
        {"svr__C": [1, 3, 10], "svr__gamma": [0.003, 0.01]},
        scoring="neg_mean_squared_error",
        cv=3,
    ),
}


class Measured(NamedTuple):
    """Harmonics as complex amplitudes, and the noise in mag, one row a star."""

    harmonics: npt.NDArray[np.complex128]
    noise: FloatArray


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


def star_by_star(curves: FoldedCurves) -> Measured:
    """Fit every star as if there were no other."""
    fit = fit_fourier(curves.phase, curves.mag, curves.offsets)
    harmonics = fit.amplitudes[:, :HARMONICS] * np.exp(1j * fit.phases[:, :HARMONICS])
    return Measured(harmonics, fit.residual_rms)


def fit_prior(curves: FoldedCurves) -> PopulationPrior:
    prior, noise = PopulationPrior.first("RRab"), Noise.first(curves)
    for _ in range(ITERATIONS):
        found, noise = statistics(curves, noise, prior)
        prior = update(found, prior.mode)
    return prior


def with_prior(curves: FoldedCurves, prior: PopulationPrior) -> Measured:
    """Take the posterior means."""
    smoothed = smooth_by_population(curves, prior)
    return Measured(smoothed.harmonics[:, :HARMONICS], smoothed.noise)


def fourier_features(harmonics: npt.NDArray[np.complex128], period: FloatArray) -> FloatArray:
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
    return 1e6 * shortest(work, 5) / amount


def on_the_cluster() -> str:
    """Find the prior of a survey's RRab stars, and say what it takes: of each core, and in all."""
    survey = open_survey(SURVEY)
    few = replace(survey, partitions=survey.partitions[:2])
    with connect(ClusterSection(dashboard_address="127.0.0.1:0")) as client:
        fit_population(client, few, ["RRab"])  # compile
        before = sum(client.run(time.process_time).values())
        start = time.perf_counter()
        fit_population(client, survey, ["RRab"])
        elapsed = time.perf_counter() - start
        spent = sum(client.run(time.process_time).values()) - before
    return (
        f"The prior of the RRab among {survey.rows:,} stars takes {elapsed:.0f} s on this machine, "
        f"{spent:.0f} s of processor time with reading and folding."
    )


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
    table = [
        "| fit | features | regression | RMSE (dex) | MAE (dex) | R² | µs a star, one core |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    rmse = {}
    epochs = np.log(np.diff(curves.offsets))
    fits = {"star by star": star_by_star(curves), "population prior": with_prior(curves, prior)}
    for fit, (harmonics, noise_of_stars) in fits.items():
        fourier = fourier_features(harmonics, curves.period)
        quality = np.nan_to_num(np.column_stack([np.log(noise_of_stars), epochs]))
        sets = {"period, Fourier": fourier, "and noise, epochs": np.hstack([fourier, quality])}
        for about, x in sets.items():
            for name, (root, mean, r2) in scores(x[labelled], labels[labelled]).items():
                rmse[fit, about, name] = root
                table.append(
                    f"| {fit} | {about} | {name} | {root:.4f} | {mean:.4f} | {r2:.3f} "
                    f"| {cost[fit]:.0f} |"
                )
    table += ["", f"EM takes {iteration:.1f} µs a star and iteration on one core."]
    if SURVEY.is_dir():
        table += ["", on_the_cluster()]
    ratios = {
        f"{name}, {about}: error star by star/population prior": root
        / rmse["population prior", about, name]
        for (fit, about, name), root in rmse.items()
        if fit == "star by star"
    }
    record(
        f"Population prior, {labelled.sum():,} labelled stars, median "
        f"{np.median(np.diff(curves.offsets)):.0f} epochs",
        "\n".join(table),
        "python benchmarks/population.py",
        ratios | {"time: star by star/EM iteration": cost["star by star"] / iteration},
        check=options.check,
    )


if __name__ == "__main__":
    main()
