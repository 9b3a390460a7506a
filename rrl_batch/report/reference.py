"""Compare a catalogue with a table of reference values, such as spectroscopic ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rrl_batch.catalogue.crossmatch import (
    DEFAULT_RADIUS,
    GAIA_EPOCH,
    Match,
    by_identifier,
    by_position,
)
from rrl_batch.catalogue.verify import read_catalogue, read_manifest
from rrl_batch.contracts.scales import Scales
from rrl_batch.errors import UserError
from rrl_batch.report import reference_figures as figures
from rrl_batch.report.agreement import BINS, agreement, bins, spread
from rrl_batch.report.evaluate import (
    METRICS,
    PAGE,
    PREDICTORS,
    count_trained_on,
    refuse_other_folder,
)
from rrl_batch.report.external_page import render_reference, write_page
from rrl_batch.sources.reference import read_reference, refuse_impossible_positions
from rrl_batch.storage.commit import checksum
from rrl_batch.training.metrics import scores


def compare_with_reference(
    catalogue: Path,
    reference: Path,
    out: Path,
    *,
    scale: str | None = None,
    columns: Mapping[str, str],
    radius: float | None = None,
    epoch: float = GAIA_EPOCH,
    relations: Path | None = None,
) -> dict[str, Any]:
    """Compare a catalogue with reference values; write `metrics.json`, figures and `index.html`.

    Parameters
    ----------
    catalogue : pathlib.Path
        Folder of the catalogue.
    reference : pathlib.Path
        Table of reference values.
    out : pathlib.Path
        Folder that the files are written to; those of an earlier comparison are replaced.
    scale : str, optional
        Metallicity scale of the reference, where the file does not say, or has several.
    columns : mapping of str to str
        The file's names of columns, by ours.
    radius : float, optional
        Largest separation, in arcsec, of stars that are found by position. If it is not given,
        stars are found by `source_id` where the file has it.
    epoch : float
        Epoch of the catalogue's positions, in Julian years.
    relations : pathlib.Path, optional
        File of relations between scales, in place of the package's.

    Returns
    -------
    dict
        The content of `metrics.json`.

    Raises
    ------
    UserError
        If a table cannot be read, or no star of the reference is in the catalogue.
    RunError
        If a file cannot be written.
    """
    refuse_other_folder(out, {METRICS, PAGE, *figures.NAMES})
    provenance = read_manifest(catalogue).provenance
    known = read_reference(reference, scale, columns)
    scale, wanted = str(known["scale"].iloc[0]), str(provenance["scale"])
    known, calibrated = _calibrate(known, scale, wanted, relations)
    rows = read_catalogue(catalogue).rename(columns={"feh_error": "predicted_error"})
    label = known.rename(columns={"feh": "feh_label", "feh_error": "feh_label_error"})
    match = _match(label, rows, radius, epoch, reference)
    if match.stars.empty:
        where, remedy = (
            "in", "check that both have the 'source_id' of the same data release, or match "
            "by position, with --radius ARCSEC"
        )  # fmt: skip
        if match.radius:
            where = f"within {match.radius:g} arcsec of a star of"
            remedy = "check its columns 'ra' and 'dec' (degrees), or give a larger --radius"
        raise UserError(
            f"None of the {len(known):,} stars of {reference} is {where} {catalogue}; {remedy}."
        )
    compared = match.stars.dropna(subset=list(PREDICTORS.values()))
    metrics = {
        "scale": scale,
        "catalogue_scale": wanted,
        "calibrated": calibrated,
        "synthetic": provenance["synthetic"],
        "n_reference": len(known),
        "match": _about(match),
        "n_in_catalogue": len(match.stars),
        "n_compared": len(compared),
        "n_trained_on": count_trained_on(compared["source_id"], provenance),
        **{name: _compare(compared, column) for name, column in PREDICTORS.items()},
        "bins": {column: bins(compared, column) for column in BINS},
        "modes": {
            str(mode): spread((stars["feh"] - stars["feh_label"]).to_numpy(np.float64))
            for mode, stars in compared.groupby("best_classification")
        },
        "provenance": {
            "catalogue": str(catalogue),
            "reference": {"path": str(reference), "sha256": checksum(reference)},
            **provenance,
        },
    }
    drawn = figures.draw(compared, metrics)
    write_page(out, metrics, drawn, render_reference)
    return metrics


def _calibrate(
    known: pd.DataFrame, scale: str, wanted: str, relations: Path | None
) -> tuple[pd.DataFrame, dict[str, Any] | None]:
    """Bring the reference to the catalogue's scale, if it is known how."""
    relation = None if scale == wanted else Scales.read(relations).relation(scale, wanted)
    if relation is None:
        return known, None
    within = known[relation.holds_for(known["feh"])]
    if within.empty:
        raise UserError(
            f"No value of the reference is within the range of the relation from '{scale}' to "
            f"'{wanted}', {relation.range[0]} to {relation.range[1]} dex."
        )
    feh, error = relation.apply(within["feh"], within["feh_error"].astype(np.float64))
    content = {"beyond_range": len(known) - len(within), **relation.content()}
    return within.assign(feh=feh, feh_error=error), content


def _match(
    label: pd.DataFrame, rows: pd.DataFrame, radius: float | None, epoch: float, reference: Path
) -> Match:
    if radius is not None or label["source_id"].isna().all():
        if label[["ra", "dec"]].isna().any(axis=1).all():
            raise UserError(f"{reference} has no positions to match by; name 'ra' and 'dec'.")
        refuse_impossible_positions(label, reference)
        return by_position(label, rows, radius or DEFAULT_RADIUS, epoch)
    named = label.dropna(subset=["source_id"]).astype({"source_id": np.int64})
    repeated = named["source_id"].duplicated()
    if repeated.any():
        raise UserError(
            f"{reference}: star {named.loc[repeated, 'source_id'].iloc[0]} occurs in several rows "
            f"of 'source_id' ({repeated.sum()} rows too many in all); keep one value a star."
        )
    return by_identifier(named.drop(columns=["ra", "dec"]), rows)


def _about(match: Match) -> dict[str, Any]:
    found = match.stars
    return {
        "by": match.by,
        "radius": match.radius,
        "moved": match.moved,
        "ambiguous": match.ambiguous,
        "shared": match.shared,
        "median_separation": float(found["separation"].median()) if match.radius else None,
    }


def _compare(stars: pd.DataFrame, column: str) -> dict[str, Any]:
    """Return the figures of merit of one predictor; the baseline has no errors of its own."""
    error = stars["predicted_error"] if column == "feh" else stars["predicted_error"] * np.nan
    basic = scores(stars["feh_label"], stars[column], np.ones(len(stars)))
    return {
        **{key: basic[key] for key in ("rmse", "mae", "r2")},
        **agreement(stars["feh_label"], stars["feh_label_error"], stars[column], error),
    }
