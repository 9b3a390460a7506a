"""Write the folder of an experiment from what its cases have come to."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rrl_batch.contracts import Contract
from rrl_batch.contracts.experiment import COMPARED_STARS, HISTORY, MEMBERS, OUT_OF_FOLD
from rrl_batch.experiment import folder
from rrl_batch.experiment.choice import Choice, choose
from rrl_batch.experiment.folder import CHOSEN, STRETCHED
from rrl_batch.lightcurve.shape import SHAPE_COLUMNS
from rrl_batch.storage.commit import replacing, write_json
from rrl_batch.training.finish import all_predictions, held_out_predictions
from rrl_batch.training.fit import FittedMember, read_stars
from rrl_batch.training.problem import Plan
from rrl_batch.training.shards import TrainingSet

FITS = "fits"
"""Folder in which the members of each case have their files."""

_TRAINING_SCORES = ("rmse", "mae", "r2", "wrmse", "wmae")


def write_experiment(
    out: Path,
    labels: pd.DataFrame,
    plans: Mapping[str, Plan],
    fitted: Mapping[str, Sequence[FittedMember]],
    settings: Mapping[str, dict[str, Any]],
    blends: Mapping[str, Sequence[str]],
    choose_from: Sequence[str],
    **about: Any,
) -> None:
    """Write the tables of an experiment and, last, what it is about.

    Parameters
    ----------
    out : pathlib.Path
        Folder of the experiment.
    labels : pandas.DataFrame
        The labels, with a column `rival` if there is another work to compare with.
    plans : mapping of str to Plan
        Where each case's stars and members are.
    fitted : mapping of str to sequence of FittedMember
        The members of each case.
    settings : mapping of str to dict
        What is special to each case.
    blends : mapping of str to sequence of str
        Further predictors: the means of some cases.
    choose_from : sequence of str
        Cases and blends among which the best is chosen within the training folds.
    **about
        What `experiment.json` says beyond what is found out here.
    """
    single = {
        name: [member for member in members if len(member.member.held_out) == 1]
        for name, members in fitted.items()
    }
    stars = read_stars(next(iter(plans.values())))
    predictions = {name: _predictions(plans[name].out, members) for name, members in single.items()}
    for name, parts in blends.items():
        predictions[name] = _mean(predictions, parts)
    cases = {name: _about_case(settings[name], members) for name, members in single.items()}
    cases |= {name: _about_blend(parts, cases) for name, parts in blends.items()}
    choices: dict[int, Choice] = {}
    if choose_from:
        candidates = {name: tuple(blends.get(name, (name,))) for name in choose_from}
        pairs = _pair_predictions(candidates, plans, fitted)
        choices = choose(candidates, pairs, stars.table.set_index("source_id")["feh"])
    if choices:
        predictions |= _chosen(predictions, choices)
        about_chosen = _about_blend(sorted({c.candidate for c in choices.values()}), cases)
        cases |= dict.fromkeys((CHOSEN, STRETCHED), about_chosen)

    _write(out / folder.STARS_FILE, COMPARED_STARS, _about_stars(stars, labels))
    _write(out / folder.OUT_OF_FOLD_FILE, OUT_OF_FOLD, pd.concat(
        [table.assign(case=name) for name, table in predictions.items()], ignore_index=True
    ))  # fmt: skip
    _write(out / folder.MEMBERS_FILE, MEMBERS, _about_members(single))
    _write(out / folder.HISTORY_FILE, HISTORY, _histories(single))
    write_json(
        out / folder.ABOUT_FILE,
        {
            **about,
            "cases": cases,
            "chosen": {str(fold): asdict(choice) for fold, choice in choices.items()} or None,
        },
        sort_keys=False,  # cases have an order
    )


def _predictions(folder: Path, members: Sequence[FittedMember]) -> pd.DataFrame:
    """Return what each star gets of the member that has not seen it, and of those that have."""
    rows = all_predictions(folder, members)
    held_out = rows[rows["part"] == "held_out"]
    learnt = rows[rows["part"].isin(["training", "stopping"])]
    fitted = learnt.groupby(["source_id", "repeat"])["predicted"].mean().rename("fitted")
    return held_out.drop(columns="part").join(fitted, on=["source_id", "repeat"])


def _mean(predictions: Mapping[str, pd.DataFrame], parts: Sequence[str]) -> pd.DataFrame:
    """Return the mean of what some cases predict, star by star and repeat by repeat."""
    rows = pd.concat([predictions[part] for part in parts])
    # a plain mean would leave out, and so hide, a member that has diverged
    by_star = rows.groupby(["source_id", "repeat", "fold"])
    mean = by_star[["predicted", "fitted"]].mean(skipna=False)
    return mean.reset_index()


def _pair_predictions(
    candidates: Mapping[str, Sequence[str]],
    plans: Mapping[str, Plan],
    fitted: Mapping[str, Sequence[FittedMember]],
) -> pd.DataFrame:
    """Return what the members that have not seen a pair of folds predict for both."""
    tables = []
    for name in sorted({part for parts in candidates.values() for part in parts}):
        for member in fitted[name]:
            if len(member.member.held_out) == 2:
                table = held_out_predictions(plans[name].out, [member])
                other = sum(member.member.held_out) - table["fold"]
                tables.append(table.assign(case=name, other=other))
    return pd.concat(tables, ignore_index=True)


def _chosen(
    predictions: Mapping[str, pd.DataFrame], choices: Mapping[int, Choice]
) -> dict[str, pd.DataFrame]:
    """Return for each fold what its chosen predictor predicts, plain and stretched.

    The folds are those of repeat 0, which the choices were made in: in another repeat, a fold has
    stars whose labels have had a say.
    """
    plain, stretched = [], []
    for fold, choice in choices.items():
        rows = predictions[choice.candidate]
        stars = rows.loc[(rows["repeat"] == 0) & (rows["fold"] == fold), "source_id"]
        rows = rows[rows["source_id"].isin(stars)]
        plain.append(rows)
        both = {name: choice.stretch(rows[name]) for name in ("predicted", "fitted")}
        stretched.append(rows.assign(**both))
    return {
        CHOSEN: pd.concat(plain, ignore_index=True),
        STRETCHED: pd.concat(stretched, ignore_index=True),
    }


def _about_case(settings: dict[str, Any], members: Sequence[FittedMember]) -> dict[str, Any]:
    return {
        "settings": settings,
        "architecture": [members[0].member.architecture],
        "parameters": members[0].n_parameters,
        "seconds": sum(member.seconds for member in members),
        "diverged": [
            (m.member.repeat, m.member.held_out[0], m.failure) for m in members if m.failure
        ],
    }


def _about_blend(parts: Sequence[str], cases: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what is known of a predictor that is made of others."""
    architectures = [kind for part in parts for kind in cases[part]["architecture"]]
    return {
        "settings": {"mean of": list(parts)},
        "architecture": list(dict.fromkeys(architectures)),
        "parameters": None,
        "seconds": sum(cases[part]["seconds"] for part in parts),
        "diverged": [failure for part in parts for failure in cases[part]["diverged"]],
    }


def _about_stars(stars: TrainingSet, labels: pd.DataFrame) -> pd.DataFrame:
    noise = np.exp(stars.inputs.shape[:, SHAPE_COLUMNS.index("log_noise")].astype(np.float64))
    table = stars.table.assign(noise=noise)
    if "rival" in labels:
        table = table.merge(labels[["source_id", "rival"]], "left", "source_id")
    return table


def _about_members(cases: Mapping[str, Sequence[FittedMember]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "case": name,
            "architecture": m.member.kind,
            "repeat": m.member.repeat,
            "fold": m.member.held_out[0],
            "epochs": m.epochs,
            "epochs_run": m.epochs_run,
            "n_training": m.n_training,
            **{score: m.training[score] for score in _TRAINING_SCORES},
        }
        for name, members in cases.items()
        for m in members
    )


def _histories(cases: Mapping[str, Sequence[FittedMember]]) -> pd.DataFrame:
    """Return the losses of all members, pass by pass; the stopping loss is null without any."""
    tables = [
        pd.DataFrame(
            {
                "case": name,
                "architecture": m.member.kind,
                "repeat": m.member.repeat,
                "fold": m.member.held_out[0],
                "epoch": np.arange(1, len(m.history.training) + 1),
                "training_loss": pd.Series(m.history.training, dtype=float),
                "stopping_loss": pd.Series(m.history.stopping, dtype=float),
            }
        )
        for name, members in cases.items()
        for m in members
    ]
    return pd.concat(tables, ignore_index=True)


def _write(path: Path, contract: Contract, rows: pd.DataFrame) -> None:
    table = contract.conform(pa.Table.from_pandas(rows, preserve_index=False), str(path))
    with replacing(path) as partial:
        pq.write_table(table, partial, compression="zstd")
