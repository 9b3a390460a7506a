"""The tables of an experiment's page: what is in the tables of numbers, in words and digits."""

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from rrl_batch.experiment.folder import CHOSEN, About, Experiment
from rrl_batch.experiment.tables import METRICS
from rrl_batch.report.html import Table, count, dex, edge, signed, text
from rrl_batch.report.selection import selection_table

_NAMES = {"rmse": "RMSE (dex)", "mae": "MAE (dex)", "r2": "R²", "wrmse": "wRMSE (dex)",
          "wmae": "wMAE (dex)"}  # fmt: skip
_KINDS = {"baseline": "the baseline, {}", "reference": "the reference, {}",
          "regressor": "the best without a network, {}", "rival": "the rival, {}"}  # fmt: skip
_DASH = "–"


def results(
    experiment: Experiment, found: dict[str, pd.DataFrame], marked: dict[str, str]
) -> list[Table]:
    """Return the tables that the figures follow: scores of cases, and their differences.

    Parameters
    ----------
    experiment : Experiment
        What was compared.
    found : dict of str to pandas.DataFrame
        Its tables.
    marked : dict of str to str
        Cases of note, by role.
    """
    order = _order(found)
    by_kind = dict(list(found["scores"].groupby("of")))
    weights = (
        "Weights are inversely proportional to the density of the labels of all compared stars"
        + (", and to their errors' squares." if (experiment.stars["feh_error"] > 0).all() else ".")
    )
    shown = [
        _scores("scores", "Scores, mean over the repeats",
                f"Of the mean of a case's repeats, with 95 % bootstrap intervals over the stars, "
                f"which are those that the case has a prediction for. {weights}",
                by_kind["ensemble"], order),
    ]  # fmt: skip
    if "single" in by_kind:
        shown.append(
            _scores("single", "Scores of one repeat",
                    "Means of the scores of single repeats, with their intervals.",
                    by_kind["single"], order)
        )  # fmt: skip
    return [*shown, _differences(found["differences"], order, marked, len(experiment.stars))]


def details(
    experiment: Experiment, found: dict[str, pd.DataFrame], marked: dict[str, str]
) -> list[Table]:
    """Return the tables that come after the figures; see `results`."""
    order = _order(found)
    shown = [] if len(found["modes"]) == len(order) else [_modes(found["modes"], order)]
    shown += [_folds(found["folds"], order), _training(found["training"], order)]
    shown += [_bias(found["bias"], order), _noise(found["noise"], order)]
    if len(found["learning"]):
        shown.append(_learning(found["learning"]))
    shown.append(_overview(found["overview"], marked))
    shown += _selections(experiment.about)
    diverged = [
        [name, str(repeat), str(fold), reason]
        for name, case in experiment.about.cases.items()
        for repeat, fold, reason in case.diverged
    ]
    if diverged:
        shown.append(
            Table("diverged", "Members that diverged",
                  "The means over the repeats lack them; nothing else does.",
                  ["Case", "Repeat", "Fold", "Reason"], diverged)
        )  # fmt: skip
    return shown


def settings(about: About) -> tuple[dict[str, str], Table]:
    """Return the settings that all cases share, and a table of those in which they differ."""
    values = {
        name: {key: text(value) for key, value in case.settings.items()}
        for name, case in about.cases.items()
    }
    keys = sorted({key for those in values.values() for key in those})
    common, differing = {}, []
    for key in keys:
        chosen = {those.get(key) for those in values.values()}
        if len(chosen) == 1:
            common[key] = str(chosen.pop())
        else:
            differing.append(key)
    rows = [[name, *(those.get(key, _DASH) for key in differing)] for name, those in values.items()]
    note = f"Options of the job by which the cases differ; {_DASH}: not given."
    return common, Table("cases", "Settings of each case", note, ["Case", *differing], rows)


def notes(
    experiment: Experiment, found: dict[str, pd.DataFrame], marked: dict[str, str]
) -> list[str]:
    """Return what a reader of the tables must know to judge them."""
    said = [*_verdicts(experiment, found["differences"], marked)]
    for row in records(found["overview"]):
        parts = []
        if row["n_diverged"]:
            parts.append(f"{row['n_diverged']} of its members diverged")
        if row["n_without_prediction"]:
            parts.append(f"{row['n_without_prediction']:,} stars have no prediction and no score")
        if row["n_lost"] > row["n_without_prediction"] * row["repeats"]:
            parts.append(f"{row['n_lost']:,} predictions of single repeats are missing")
        if parts:
            said.append(f"{row['case']}: {', '.join(parts)}.")
    n_cases = len(experiment.about.cases)
    if experiment.about.chosen:
        said.append(
            f"The best of {n_cases - 2} cases by these tables has been chosen by the stars that it "
            f"is scored on, so that its scores are a little too good; those of the case {CHOSEN} "
            f"are not."
        )
    elif "best" in marked and n_cases > 1:
        said.append(
            f"{marked['best']} is the best of {n_cases} cases by the stars that it is scored on, "
            f"so that its scores are a little too good."
        )
    return said


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table, each by column."""
    names = [str(name) for name in table.columns]
    return [dict(zip(names, row, strict=True)) for row in table.itertuples(index=False, name=None)]


def _verdicts(
    experiment: Experiment, differences: pd.DataFrame, marked: dict[str, str]
) -> Iterable[str]:
    """Tell the networks that do not beat the baseline, or the best case without a network."""
    if "baseline" not in marked:
        yield "The linear baseline is not among the cases."
    networks = experiment.history["case"].unique()
    for kind in ("baseline", "regressor"):
        rows = differences[(differences["kind"] == kind) & differences["case"].isin(networks)]
        beaten = rows.loc[~(rows["high"] < 0), "case"]
        if len(beaten):
            opponent = _KINDS[kind].format(marked[kind])
            yield f"These networks do not beat {opponent}: {'; '.join(beaten)}."


def _order(found: dict[str, pd.DataFrame]) -> list[str]:
    """Return cases and rival by RMSE; those without one come last."""
    ensemble = found["scores"].query("of == 'ensemble'")
    return list(ensemble.sort_values("rmse", kind="stable")["case"])


def _scores(id_: str, title: str, note: str, scores: pd.DataFrame, order: list[str]) -> Table:
    rows = [
        [
            str(row["case"]),
            count(row["n"]),
            *(_interval(row, metric, f"{metric}_") for metric in METRICS),
        ]
        for row in _sorted(scores, order)
    ]
    return Table(id_, title, note, ["Case", "Stars", *_NAMES.values()], rows)


def _differences(
    differences: pd.DataFrame, order: list[str], marked: dict[str, str], n_stars: int
) -> Table:
    kinds = [kind for kind in _KINDS if kind in set(differences["kind"])]
    cells = {
        (row["case"], row["kind"]): f"{signed(row['difference'])}\n{signed(row['low'])} to "
        f"{signed(row['high'])}\n{row['verdict']}" + _fewer(row["n"], n_stars)
        for row in records(differences)
    }
    note = (
        "RMSE of the mean over the repeats less that of another, in dex, on the stars that both "
        "have a prediction for, with 95 % intervals from the same resampled stars for both. A case "
        "is said to beat another, or to be worse, if the interval is all on one side of 0; one "
        "such verdict in twenty comes by chance where there is no difference."
    )
    columns = ["Case", *(f"Less {_KINDS[kind].format(marked[kind])}" for kind in kinds)]
    rows = [[name, *(cells.get((name, kind), _DASH) for kind in kinds)] for name in order]
    return Table("differences", "Differences in RMSE", note, columns, rows)


def _modes(modes: pd.DataFrame, order: list[str]) -> Table:
    columns, cells = _across(modes, ["mode"], lambda row: (
        f"{_interval(row, 'rmse', '')}\nMAE {dex(row['mae'])}, R² {dex(row['r2'])}"))  # fmt: skip
    heads = [f"{row['mode']}, {row['n']:,} stars" for row in columns]
    rows = [[name, *cells.get(name, [_DASH] * len(columns))] for name in order]
    note = "RMSE in dex with 95 % intervals, by pulsation mode."
    return Table("modes", "RMSE by pulsation mode", note, ["Case", *heads], rows)


def _folds(folds: pd.DataFrame, order: list[str]) -> Table:
    rows = [
        [row["case"], count(row["n_folds"]),
         *(f"{dex(row[metric])}\n± {dex(row[f'{metric}_sd'])}" for metric in METRICS)]
        for row in _sorted(folds, order)
    ]  # fmt: skip
    note = "Mean and standard deviation over the folds of all repeats, each scored by itself."
    return Table("folds", "Scores of single folds", note, ["Case", "Folds", *_NAMES.values()], rows)


def _training(training: pd.DataFrame, order: list[str]) -> Table:
    rows = [
        [row["case"], row["architecture"], count(row["n_members"]), count(row["n_training"]),
         count(row["epochs"]), *(dex(row[metric]) for metric in METRICS)]
        for row in _sorted(training, order)
    ]  # fmt: skip
    columns = ["Case", "Members", "Number", "Training stars", "Passes", *_NAMES.values()]
    note = "Means over the members, each on the stars that it has learnt from."
    return Table("training", "Scores on the training stars", note, columns, rows)


def _bias(bias: pd.DataFrame, order: list[str]) -> Table:
    columns, cells = _across(bias, ["feh_min", "feh_max"], lambda row: (
        f"{signed(row['bias'])}\n± {dex(row['bias_error'])}"))  # fmt: skip
    heads = [f"{_bin(row)}, {row['n']:,} stars" for row in columns]
    rows = [[name, *cells.get(name, [_DASH] * len(columns))] for name in order]
    note = "Mean of predicted − label with its standard error, in dex, by the label."
    return Table("bias", "Bias per bin of [Fe/H]", note, ["Case", *heads], rows)


def _noise(noise: pd.DataFrame, order: list[str]) -> Table:
    columns, cells = _across(noise, ["noise_min", "noise_max"], lambda row: (
        _interval(row, "rmse", "")))  # fmt: skip
    heads = [
        f"{row['noise_min']:.4f} to {row['noise_max']:.4f}, {row['n']:,} stars" for row in columns
    ]
    rows = [[name, *cells.get(name, [_DASH] * len(columns))] for name in order]
    note = (
        "RMSE in dex with 95 % intervals; columns are quintiles of the noise of an epoch, in mag."
    )
    return Table("noise", "RMSE by photometric noise", note, ["Case", *heads], rows)


def _across(
    table: pd.DataFrame, keys: list[str], cell: Callable[[dict[str, Any]], str]
) -> tuple[list[dict[str, Any]], dict[str, list[str]]]:
    """Return the groups that a table divides stars into, and the cells of each case.

    A group has the most stars that any case has in it; a case that has fewer says so.
    """
    groups = table.groupby(keys, sort=False, dropna=False)["n"]
    most = groups.transform("max")
    cells: dict[str, list[str]] = {}
    for row, n in zip(records(table), most, strict=True):
        cells.setdefault(row["case"], []).append(cell(row) + _fewer(row["n"], n))
    return records(groups.max().reset_index()), cells


def _fewer(n: int, most: int) -> str:
    return f"\non {n:,} stars" if n < most else ""


def _learning(learning: pd.DataFrame) -> Table:
    rows = [
        [row["series"], row["case"], f"{row['fraction']:g}", count(row["n_training"]),
         _interval(row, "rmse", "")]
        for row in records(learning)
    ]  # fmt: skip
    columns = ["Curve", "Case", "Fraction", "Training stars", "RMSE (dex)"]
    note = "Cases that differ in nothing but the part of the training stars that they learn from."
    return Table("learning", "Learning curves", note, columns, rows)


def _overview(overview: pd.DataFrame, marked: dict[str, str]) -> Table:
    rows = [
        [row["case"], ", ".join(role for role, name in marked.items() if name == row["case"]),
         row["architecture"], count(row["parameters"]), count(row["seconds"]),
         *(count(row[key])
           for key in ("repeats", "n_diverged", "n", "n_without_prediction", "n_lost"))]
        for row in records(overview)
    ]  # fmt: skip
    columns = ["Case", "Role", "Members", "Parameters", "Time of all fits (s)", "Repeats",
               "Diverged members", "Stars", "Stars without prediction",
               "Predictions missing"]  # fmt: skip
    note = "Predictions are missing where a member diverged: stars times repeats."
    return Table("overview", "Cases", note, columns, rows)


def _selections(about: About) -> list[Table]:
    """Return what the selection has removed, a table for all cases in which that is the same."""
    tables = []
    for number, selected in enumerate(about.selected, 1):
        cases = "" if len(about.selected) == 1 else f" of {'; '.join(selected.cases)}"
        tables.append(selection_table(selected.stars, f"selection-{number}", f"Selection{cases}"))
    return tables


def _sorted(table: pd.DataFrame, order: list[str]) -> list[dict[str, Any]]:
    place = {name: i for i, name in enumerate(order)}
    return sorted(records(table), key=lambda row: place[row["case"]])


def _interval(row: dict[str, Any], value: str, ends: str) -> str:
    return f"{dex(row[value])}\n{dex(row[f'{ends}low'])} to {dex(row[f'{ends}high'])}"


def _bin(row: dict[str, Any]) -> str:
    low, high = row["feh_min"], row["feh_max"]
    if pd.isna(low):
        return f"below {edge(high)}"
    return f"above {edge(low)}" if pd.isna(high) else f"{edge(low)} to {edge(high)}"
