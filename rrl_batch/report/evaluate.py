"""Compare a catalogue with labels: figures of merit, figures and a page."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from rrl_batch.catalogue.verify import read_catalogue, read_manifest
from rrl_batch.contracts import Flag
from rrl_batch.contracts.flags import NO_METALLICITY
from rrl_batch.errors import UserError
from rrl_batch.experiment.bootstrap import rmse_difference
from rrl_batch.models.folder import CARD, OUT_OF_FOLD
from rrl_batch.report import figures
from rrl_batch.report.coverage import coverage
from rrl_batch.report.drawing import save
from rrl_batch.report.page import render
from rrl_batch.sources.tables import read_labels
from rrl_batch.storage.commit import checksum, replacing, write_json
from rrl_batch.storage.remote import path_of
from rrl_batch.training.metrics import scores
from rrl_batch.training.weights import density_weights

METRICS = "metrics.json"
PAGE = "index.html"
FIGURES = (figures.PREDICTED_AGAINST_TRUE, figures.DISTRIBUTION, figures.PULLS)
PREDICTORS = {"network": "feh", "baseline": "feh_baseline"}
"""What is compared with the labels, and the column of the catalogue that holds it."""

_REASONS = [flag for flag in Flag if flag in NO_METALLICITY]


def evaluate(catalogue: Path, labels: Path, scale: str | None, out: Path) -> dict[str, Any]:
    """Compare a catalogue with labels and write `metrics.json`, figures and `index.html`.

    Network and baseline are scored on the same stars: those for which both have a value.

    Parameters
    ----------
    catalogue : pathlib.Path
        Folder of the catalogue.
    labels : pathlib.Path
        Table of labels.
    scale : str or None
        Metallicity scale of the labels to use, where the table has several.
    out : pathlib.Path
        Folder that the files are written to; those of an earlier evaluation are replaced.

    Returns
    -------
    dict
        The content of `metrics.json`. A figure that too few stars are there for is None.

    Raises
    ------
    UserError
        If catalogue or labels cannot be read, or no labelled star is in the catalogue.
    RunError
        If a file cannot be written.
    """
    refuse_other_folder(out, {METRICS, PAGE, *FIGURES})
    provenance = read_manifest(catalogue).provenance
    rows = read_catalogue(catalogue)
    known = read_labels(labels, scale)
    scale = str(known["scale"].iloc[0])
    label = known.rename(columns={"feh": "feh_label", "feh_error": "feh_label_error"})
    stars = label.merge(rows, on="source_id")
    if stars.empty:
        raise UserError(
            f"None of the {len(known)} stars with a label on the scale '{scale}' in {labels} is in "
            f"{catalogue}; check that both have the 'source_id' of the same data release."
        )
    compared = stars.dropna(subset=list(PREDICTORS.values()))
    weight = density_weights(compared["feh_label"], compared["feh_label_error"])
    compared = compared.assign(weight=weight)
    metrics = {
        "scale": scale,
        "catalogue_scale": provenance["scale"],
        "synthetic": provenance["synthetic"],
        "n_labels": len(known),
        **_count(stars),
        "n_trained_on": count_trained_on(compared["source_id"], provenance),
        **_compare(compared),
        "by_flag": {str(flag.name): _with_and_without(flag, rows, compared) for flag in Flag},
        "provenance": {
            "catalogue": str(catalogue),
            "labels": {"path": str(labels), "sha256": checksum(labels)},
            **provenance,
        },
    }
    metrics["notes"] = _notes(metrics)
    _write(out, metrics, rows["feh"].dropna(), compared)
    return metrics


def refuse_other_folder(out: Path, own: set[str]) -> None:
    """Refuse to write among files that are not an earlier evaluation's own."""
    if out.exists() and (not out.is_dir() or {file.name for file in out.iterdir()} - own):
        raise UserError(f"{out} already holds something else; name another folder.")


def _write(
    out: Path, metrics: dict[str, Any], catalogue: pd.Series, compared: pd.DataFrame
) -> None:
    """Write figures, page and, last, metrics."""
    drawn = {
        figures.PREDICTED_AGAINST_TRUE: figures.predicted_against_true(compared, metrics),
        figures.DISTRIBUTION: figures.distribution(catalogue, compared, metrics),
        figures.PULLS: figures.pulls(compared, metrics),
    }
    for name, figure in drawn.items():
        save(figure, out / name, metrics["synthetic"])
    with replacing(out / PAGE) as partial:
        partial.write_text(render(metrics, {name: out / name for name in drawn}), encoding="utf-8")
    write_json(out / METRICS, metrics)


def _count(stars: pd.DataFrame) -> dict[str, Any]:
    """Return how many labelled stars of the catalogue have which predictions, or why not."""
    network, baseline = (stars[column].notna() for column in PREDICTORS.values())
    without = stars.loc[~network, "flags"]
    return {
        "n_in_catalogue": len(stars),
        "n_without_prediction": len(without),
        "without_prediction": {str(flag.name): int(_has(flag, without).sum()) for flag in _REASONS},
        "n_network_only": int((network & ~baseline).sum()),
        "n_baseline_only": int((baseline & ~network).sum()),
        "n_compared": int((network & baseline).sum()),
    }


def _compare(stars: pd.DataFrame) -> dict[str, Any]:
    """Return the figures of merit of stars that have a label and both predictions."""
    return {
        **_scores(stars),
        "paired": _paired_difference(stars),
        "intervals": coverage(stars),
        "unflagged": _scores(stars[stars["flags"] == 0]),
    }


def _scores(stars: pd.DataFrame) -> dict[str, Any]:
    return {
        name: scores(stars["feh_label"], stars[column], stars["weight"])
        for name, column in PREDICTORS.items()
    }


def _paired_difference(stars: pd.DataFrame) -> dict[str, Any]:
    """Return the RMSE of the network less that of the baseline, with a bootstrap interval."""
    if len(stars) < 2:
        return {"rmse_difference": None, "interval_95": None}
    network, baseline = (
        (stars[column].astype(np.float64) - stars["feh_label"]).to_numpy()
        for column in PREDICTORS.values()
    )
    found = rmse_difference(network, baseline)
    return {
        "rmse_difference": float(found.value),
        "interval_95": [float(found.low), float(found.high)],
    }


def _with_and_without(flag: Flag, catalogue: pd.DataFrame, stars: pd.DataFrame) -> dict[str, Any]:
    """Return how many stars have a flag, and the network's RMSE with and without it."""
    flagged = _has(flag, stars["flags"])
    return {
        "n_in_catalogue": int(_has(flag, catalogue["flags"]).sum()),
        "n": int(flagged.sum()),
        "rmse_with": _scores(stars[flagged])["network"]["rmse"],
        "rmse_without": _scores(stars[~flagged])["network"]["rmse"],
    }


def _has(flag: Flag, flags: pd.Series) -> pd.Series:
    return (flags & flag.value) != 0


def count_trained_on(source_id: pd.Series, provenance: dict[str, Any]) -> int | None:
    """Return how many stars the model was trained on, if it is still where it was."""
    folder = path_of(provenance["model"]["path"])
    try:
        if checksum(folder / CARD) != provenance["made_from"]["model"]:
            return None
        trained_on = pd.read_parquet(folder / OUT_OF_FOLD, columns=["source_id"])
    except (OSError, pa.ArrowException):
        return None
    return int(source_id.isin(trained_on["source_id"]).sum())


def _notes(metrics: dict[str, Any]) -> list[str]:
    """Return what a reader of the figures must know to judge them."""
    notes = []
    if metrics["scale"] != metrics["catalogue_scale"]:
        notes.append(
            f"The labels are on the scale '{metrics['scale']}', the catalogue is on the scale "
            f"'{metrics['catalogue_scale']}': they are compared without a calibration between the "
            f"two, so that the errors contain the difference of the scales."
        )
    if metrics["n_compared"] < 2:
        notes.append("Too few stars have both a label and predictions to be compared.")
    if metrics["n_trained_on"] is None:
        notes.append(
            "The model is no longer where it was, so that the stars that it was trained on cannot "
            "be counted."
        )
    return notes
