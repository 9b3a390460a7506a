"""The tables of an experiment, all recomputed from its out-of-fold predictions.

"Ensemble" is the mean over the repeats of a case, "single" one repeat: the scores of the latter are
means over the repeats. All intervals are of 95 %, from the same resampled stars.
"""

import json
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.experiment.bootstrap import Estimates, estimate, rmse, rmse_difference
from rrl_batch.experiment.folder import CHOSEN, LINEAR, STRETCHED, Experiment
from rrl_batch.training.metrics import scores as scores_in_bins
from rrl_batch.training.weights import density_weights

Floats = NDArray[np.float64]

METRICS = ("rmse", "mae", "r2", "wrmse", "wmae")
"""Figures of merit, all in dex but R²."""

FRACTION = "training.fraction"
"""Setting by which the cases of a learning curve differ: part of the training stars in use."""

QUANTILES = 5
"""Groups of equal size by photometric noise."""

MOST_STARS = 0.9
"""Part of the stars that a case must have predicted to be called the best of some."""

_EQUAL = 1e-6
"""Standard deviation, in dex, below which labels are all equal but for rounding."""


def tables(experiment: Experiment) -> dict[str, pd.DataFrame]:
    """Return all tables of an experiment, by name; each has a row a case and what it is split by.

    Parameters
    ----------
    experiment : Experiment
        As `read_experiment` gives it.
    """
    makers = (overview, scores, differences, modes, folds, training, bias, noise, learning)
    return {maker.__name__: maker(experiment) for maker in makers}


def overview(experiment: Experiment) -> pd.DataFrame:
    """Return what each case is, and how much of it is missing.

    Returns
    -------
    pandas.DataFrame
        `case`, `architecture`, `parameters`, `seconds`, `repeats` (those with any prediction),
        `n_diverged` (members), `n` and `n_without_prediction` (stars, of the ensemble), and
        `n_lost` (stars without a prediction in one of those repeats, over all of them).
    """
    known = np.isfinite(experiment.single)
    repeats = known.any(axis=2).sum(axis=1)
    n = known.any(axis=1).sum(axis=1)
    cases = experiment.about.cases
    return pd.DataFrame(
        {
            "case": list(cases),
            "architecture": [" + ".join(case.architecture) for case in cases.values()],
            "parameters": [case.parameters for case in cases.values()],
            "seconds": [case.seconds for case in cases.values()],
            "repeats": repeats,
            "n_diverged": [len(case.diverged) for case in cases.values()],
            "n": n,
            "n_without_prediction": len(experiment.stars) - n,
            "n_lost": repeats * len(experiment.stars) - known.sum(axis=(1, 2)),
        }
    )


def scores(experiment: Experiment) -> pd.DataFrame:
    """Return the figures of merit of each case and of the rival, on the stars that it predicted.

    Weights are the density weights of all compared stars' labels.

    Returns
    -------
    pandas.DataFrame
        `case`, `of` ("ensemble" or "single"), `n` (stars) and, for each of `METRICS`, its value
        and the ends of its interval, `_low` and `_high`.
    """
    ensemble = experiment.errors.to_numpy().T
    single = experiment.single - experiment.stars["feh"].to_numpy()
    there = np.isfinite(single).any(axis=2)
    case = np.nonzero(there)[0]
    starts = np.flatnonzero(np.diff(case, prepend=-1))
    repeats = np.unique(case, return_counts=True)[1][:, None]

    def statistic(sums: Floats) -> Floats:
        found = _metrics(sums)
        n = len(ensemble)
        mean = np.add.reduceat(found[:, n:], starts, axis=1) / repeats
        return np.concatenate([found[:, :n], mean], axis=1)

    feh, weights = experiment.stars["feh"].to_numpy(), weights_of(experiment)
    errors = np.concatenate([ensemble, single[there]])
    found = estimate(_terms(errors, feh, weights), statistic)
    names = list(experiment.ensemble)
    rows = pd.DataFrame(
        {
            "case": [*names, *(names[i] for i in case[starts])],
            "of": ["ensemble"] * len(names) + ["single"] * len(starts),
        }
    )
    rows["n"] = experiment.errors.notna().sum()[rows["case"]].to_numpy()
    for i, metric in enumerate(METRICS):
        rows[metric] = found.value[i]
        rows[f"{metric}_low"], rows[f"{metric}_high"] = found.low[i], found.high[i]
    return rows


def differences(experiment: Experiment) -> pd.DataFrame:
    """Return by how much the RMSE of each ensemble differs from those of its opponents.

    Each row is of the stars that both have a prediction for.

    Returns
    -------
    pandas.DataFrame
        `case`, `kind` (of opponent, see `opponents`), `other` (its name), `n` (stars),
        `difference` with `low` and `high` (dex, negative where the case is better), and `verdict`.
    """
    rows = [
        {"case": case, "kind": kind, "other": other}
        for kind, other in opponents(experiment).items()
        for case in experiment.errors
        if case != other
    ]
    table = pd.DataFrame(rows, columns=["case", "kind", "other"])
    mine, others = (experiment.errors[table[column]].to_numpy().T for column in ("case", "other"))
    found = rmse_difference(mine, others)
    table["n"] = (np.isfinite(mine) & np.isfinite(others)).sum(axis=1)
    table["difference"], table["low"], table["high"] = found
    table["verdict"] = [
        _verdict(low, high, "the baseline" if other == LINEAR else other)
        for low, high, other in zip(found.low, found.high, table["other"], strict=True)
    ]
    return table


def opponents(experiment: Experiment) -> dict[str, str]:
    """Return what each case is compared with: kind of opponent and name.

    Kinds are the `reference`, the `baseline` (linear in period and φ31), the best `regressor`
    (of the cases without a network, where it is not the baseline) and the `rival`.
    """
    about = experiment.about
    regressor = best(experiment, [name for name, case in about.cases.items() if not case.network])
    found: dict[str, str] = {}
    for kind, name in (
        ("baseline", LINEAR if LINEAR in about.cases else None),
        ("reference", about.reference),
        ("regressor", regressor),
        ("rival", about.rival),
    ):
        if name is not None and name not in found.values():
            found[kind] = name
    return found


def best(experiment: Experiment, cases: list[str]) -> str | None:
    """Return the case of the lowest RMSE among some that predicted nearly all stars, if any.

    What was chosen within the training folds is not of them: it is one of them in each fold.
    """
    errors = experiment.errors[[name for name in cases if name not in (CHOSEN, STRETCHED)]]
    errors = errors.loc[:, errors.notna().mean() >= MOST_STARS]
    return None if errors.empty else str((errors**2).mean().idxmin())


def _verdict(low: float, high: float, opponent: str) -> str:
    if not np.isfinite(low + high):
        return f"too few stars to compare with {opponent}"
    if high < 0:
        return f"beats {opponent}"
    return f"worse than {opponent}" if low > 0 else f"no different from {opponent}"


def folds(experiment: Experiment) -> pd.DataFrame:
    """Return mean and standard deviation of the scores of single folds, over folds and repeats.

    Returns
    -------
    pandas.DataFrame
        `case`, `n_folds` and, for each of `METRICS`, its mean and `_sd`.
    """
    rows = experiment.out_of_fold.reset_index(drop=True)
    star = pd.Index(experiment.stars["source_id"]).get_indexer(rows["source_id"])
    feh, weights = experiment.stars["feh"].to_numpy()[star], weights_of(experiment)[star]
    terms = _terms(rows["predicted"].to_numpy() - feh, feh, weights)
    keys = [rows[column] for column in ("case", "repeat", "fold")]
    sums = pd.DataFrame(terms.T).groupby(keys, observed=True).sum()
    sums = sums[sums[0] > 0]  # folds whose member diverged have no star
    with np.errstate(invalid="ignore", divide="ignore"):
        found = pd.DataFrame(_metrics(sums.to_numpy().T).T, sums.index, list(METRICS))
    by_case = found.groupby("case", observed=True)
    mean, sd = by_case.mean(), by_case.std().add_suffix("_sd")
    table = pd.concat([by_case.size().rename("n_folds"), mean, sd], axis=1)
    columns = ["n_folds", *(name for metric in METRICS for name in (metric, f"{metric}_sd"))]
    return table[columns].reset_index().astype({"case": str})


def training(experiment: Experiment) -> pd.DataFrame:
    """Return the scores of the members on the stars that they learnt from, as means.

    Returns
    -------
    pandas.DataFrame
        `case`, `architecture`, `n_members`, `epochs`, `n_training` and `METRICS`.
    """
    by_kind = experiment.members.groupby(["case", "architecture"], observed=True)
    mean = by_kind[["epochs", "n_training", *METRICS]].mean()
    table = mean.assign(n_members=by_kind.size()).reset_index()
    return table.astype({"case": str, "architecture": str})


def bias(experiment: Experiment) -> pd.DataFrame:
    """Return the mean error of each ensemble, and of the rival, in bins of [Fe/H].

    Returns
    -------
    pandas.DataFrame
        `case`, `feh_min`, `feh_max` (NaN: the bin is open), `n`, `bias`, `bias_error` (standard
        error of the mean) and `rmse`, in dex.
    """
    feh, weights = experiment.stars["feh"], weights_of(experiment)
    rows = [
        {"case": case, **values}
        for case, predicted in experiment.ensemble.items()
        for values in scores_in_bins(feh, predicted, weights)["bins"]
    ]
    columns = ["case", "feh_min", "feh_max", "n", "bias", "bias_error", "rmse"]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype(dict.fromkeys(set(columns) - {"case", "n"}, np.float64))


def modes(experiment: Experiment) -> pd.DataFrame:
    """Return the RMSE of each ensemble, and of the rival, by pulsation mode.

    Returns
    -------
    pandas.DataFrame
        `case`, `mode`, `n`, `r2` and `mae`, and `rmse` with `low` and `high` (dex).
    """
    mode = experiment.stars["best_classification"].to_numpy(object)
    names = np.unique(mode.astype(str))
    errors = experiment.errors.to_numpy().T[:, None]
    errors = np.where(mode.astype(str) == names[:, None], errors, np.nan)
    index = pd.MultiIndex.from_product([experiment.errors.columns, names], names=["case", "mode"])
    table = index.to_frame(index=False)
    terms = _terms(errors, experiment.stars["feh"].to_numpy(), weights_of(experiment))
    with np.errstate(invalid="ignore", divide="ignore"):
        metrics = _metrics(terms.sum(axis=-1)).reshape(len(METRICS), -1)
    by_name = dict(zip(METRICS, metrics, strict=True))
    return table.assign(
        n=np.isfinite(errors).sum(axis=2).ravel(),
        mae=by_name["mae"],
        r2=by_name["r2"],
        **_columns(rmse(errors)),
    )


def noise(experiment: Experiment) -> pd.DataFrame:
    """Return the RMSE of each ensemble, and of the rival, in quintiles of photometric noise.

    Returns
    -------
    pandas.DataFrame
        `case`, `quintile` (1 has the least noise), `noise_min`, `noise_max` (mag), `n`, and `rmse`
        with `low` and `high` (dex).
    """
    value = experiment.stars["noise"]
    rank = value.rank(method="first").to_numpy()  # NaN where it is unknown: in no quintile
    quintile = np.ceil(QUANTILES * rank / value.count())
    limits = value.groupby(quintile).agg(["min", "max"])
    inside = quintile == limits.index.to_numpy()[:, None]
    errors = np.where(inside, experiment.errors.to_numpy().T[:, None], np.nan)
    index = pd.MultiIndex.from_product(
        [experiment.errors.columns, limits.index.astype(int)], names=["case", "quintile"]
    )
    table = index.to_frame(index=False)
    limits = limits.loc[table["quintile"]]
    table["noise_min"], table["noise_max"] = limits["min"].to_numpy(), limits["max"].to_numpy()
    return table.assign(n=np.isfinite(errors).sum(axis=2).ravel(), **_columns(rmse(errors)))


def learning(experiment: Experiment) -> pd.DataFrame:
    """Return learning curves: RMSE of ensembles that differ in nothing but the training fraction.

    Returns
    -------
    pandas.DataFrame
        `series` (the case with most training stars), `case`, `fraction`, `n_training` (stars, mean
        over the members), `n`, and `rmse` with `low` and `high` (dex); by series and fraction.
    """
    cases = experiment.about.cases
    table = pd.DataFrame(
        {
            "case": list(cases),
            "fraction": [float(case.settings.get(FRACTION, 1.0)) for case in cases.values()],
            "key": [
                json.dumps([case.architecture, {**case.settings, FRACTION: None}], sort_keys=True)
                for case in cases.values()
            ],
        }
    )
    table = table[table.groupby("key")["fraction"].transform("nunique") > 1]
    table = table.sort_values(["key", "fraction"], ignore_index=True)
    table.insert(0, "series", table.groupby("key")["case"].transform("last"))
    n_training = experiment.members.groupby("case", observed=True)["n_training"].mean()
    table["n_training"] = n_training.reindex(table["case"]).to_numpy()
    errors = experiment.errors[table["case"]].to_numpy().T
    table = table.assign(n=np.isfinite(errors).sum(axis=1), **_columns(rmse(errors)))
    return table.drop(columns="key")


def _columns(found: Estimates) -> dict[str, Any]:
    return {"rmse": found.value.ravel(), "low": found.low.ravel(), "high": found.high.ravel()}


def weights_of(experiment: Experiment) -> Floats:
    """Return the density weights of all compared stars."""
    return density_weights(experiment.stars["feh"], experiment.stars["feh_error"])


def _terms(errors: Floats, feh: Floats, weights: Floats) -> Floats:
    """Return what the figures of merit are sums of, (8, ..., n_stars); 0 where an error is NaN."""
    known = np.isfinite(errors)
    one, error = known.astype(np.float64), np.where(known, errors, 0.0)
    label = one * (feh - feh.mean())  # centred, so that its variance keeps its digits
    weight = one * weights
    return np.stack(
        [
            one, label, label**2, error**2, np.abs(error),
            weight, weight * error**2, weight * np.abs(error),
        ]
    )  # fmt: skip


def _metrics(sums: Floats) -> Floats:
    """Return `METRICS`, (5, ...), of the sums of `_terms`."""
    n, label, label_2, error_2, error, weight, weighted_2, weighted = sums
    variance = label_2 - label**2 / n
    return np.stack(
        [
            np.sqrt(error_2 / n), error / n,
            np.where(variance / n > _EQUAL**2, 1 - error_2 / variance, np.nan),
            np.sqrt(weighted_2 / weight), weighted / weight,
        ]
    )  # fmt: skip
