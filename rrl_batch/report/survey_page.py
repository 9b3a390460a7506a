"""The summary of a survey: figures, `summary.json`, and one HTML file that needs nothing else."""

from pathlib import Path
from typing import Any

import pandas as pd

from rrl_batch.contracts.flags import MIN_EPOCHS, SPARSE_EPOCHS
from rrl_batch.report import survey_figures as figures
from rrl_batch.report.drawing import save
from rrl_batch.report.html import (
    Table,
    count,
    environment,
    flatten,
    percent,
    picture,
    short_name,
)
from rrl_batch.report.survey_stars import MODES, OTHER, stars_of
from rrl_batch.storage.commit import replacing, write_json
from rrl_batch.storage.remote import content_of
from rrl_batch.survey.read import Survey, open_survey

FOLDER = "summary"
PAGE = "index.html"
NUMBERS = "summary.json"

_TRANSITS = {
    "kept": "Kept",
    "rejected_by_photometry": "Rejected by the photometric processing",
    "rejected_by_variability": "Rejected by the variability processing",
    "other_bands": "In other bands than G",
    "empty": "Without time and magnitude",
    "unknown_star": "Of stars not in the star table",
}
_UNREADABLE = "The light curve that was given cannot be read"
_NO_TRANSIT = "No G transit was given, or all were rejected"
_LISTED_ELSEWHERE = ("transits", "absent_stars", "unreadable_stars")
_EXAMPLES = 3


def write_summary(folder: Path) -> Path:
    """Write the summary of a survey into a folder `summary` of its own.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the survey.

    Returns
    -------
    pathlib.Path
        The page; the figures, and `summary.json` with all numbers, are beside it.

    Raises
    ------
    UserError
        If there is no survey, or a file of it cannot be read.
    RunError
        If a file cannot be written.
    """
    survey = open_survey(folder)
    stars, out = stars_of(survey), folder / FOLDER
    transits = _transits(survey)
    tables = {"modes": _by_mode(stars), "without": _without_epochs(stars, survey)}
    pictures = []
    for name, figure, alt, caption in _figures(stars, transits, survey.synthetic):
        save(figure, out / name, survey.synthetic)
        pictures.append(picture(content_of(out / name), alt, caption))
    page = (
        environment()
        .get_template("survey.html")
        .render(
            name=short_name(folder),
            synthetic=survey.synthetic,
            n_stars=len(stars),
            n_epochs=int(stars["epochs"].sum()),
            notes=_notes(stars),
            tables=_shown(tables, transits),
            figures=pictures,
            provenance=_provenance(survey, folder),
            numbers=NUMBERS,
        )
    )
    with replacing(out / PAGE) as partial:
        partial.write_text(page, encoding="utf-8")
    numbers = {name: table.to_dict("records") for name, table in tables.items()}
    write_json(
        out / NUMBERS,
        {
            "stars": len(stars),
            "epochs": int(stars["epochs"].sum()),
            "synthetic": survey.synthetic,
            "transits": transits,
            **numbers,
        },
    )
    return out / PAGE


def _transits(survey: Survey) -> dict[str, int]:
    """Return what has become of the transits, in words; nothing if that is not known."""
    counts = survey.provenance.get("transits", {})
    return {words: counts[name] for name, words in _TRANSITS.items() if counts.get(name)}


def _by_mode(stars: pd.DataFrame) -> pd.DataFrame:
    """Count the stars of each mode, and those of them that are hard to use."""
    rows = []
    for mode in (*MODES, OTHER):
        some = stars[stars["mode"] == mode]
        if len(some):
            rows.append(
                {
                    "mode": mode,
                    "stars": len(some),
                    "median_epochs": float(some["epochs"].median()),
                    "sparse": int((some["epochs"] < SPARSE_EPOCHS).sum()),
                    "too_few_epochs": int((some["epochs"] < MIN_EPOCHS).sum()),
                    "without_epochs": int((some["epochs"] == 0).sum()),
                    "without_period": int((~(some["period"] > 0)).sum()),
                    "without_position": int(some["ra"].isna().sum()),
                }
            )
    return pd.DataFrame(rows)


def _without_epochs(stars: pd.DataFrame, survey: Survey) -> pd.DataFrame:
    """Count the stars without epochs by the reason, as far as ingestion has found it out."""
    empty = stars.loc[stars["epochs"] == 0, "source_id"]
    reasons = dict(survey.provenance.get("absent_stars", {}))
    reasons[_UNREADABLE] = survey.provenance.get("unreadable_stars", [])
    rows = []
    for reason, listed in reasons.items():
        own = empty[empty.isin(listed)]
        rows.append((reason, own))
        empty = empty.drop(own.index)
    rows.append((_NO_TRANSIT, empty))
    return pd.DataFrame(
        [
            {"reason": reason, "stars": len(own), "examples": own.head(_EXAMPLES).tolist()}
            for reason, own in rows
            if len(own)
        ],
        columns=["reason", "stars", "examples"],
    )


def _notes(stars: pd.DataFrame) -> list[str]:
    """Return what else a reader of the figures must know."""
    notes = []
    stated = stars["num_clean_epochs_g"].astype(float)
    fewer, more = int((stars["epochs"] < stated).sum()), int((stars["epochs"] > stated).sum())
    if fewer or more:
        notes.append(
            f"{count(fewer)} stars have fewer epochs than the star table says in "
            f"num_clean_epochs_g, {count(more)} have more."
        )
    unplaced = int(stars["ra"].isna().sum())
    if unplaced:
        notes.append(f"{count(unplaced)} stars have no position and are not on the map.")
    return notes


def _figures(stars: pd.DataFrame, transits: dict[str, int], synthetic: bool) -> list[Any]:
    """Return the figures: file, figure, description and caption of each."""
    n = f"{len(stars):,} stars"
    drawn = [
        ("sky.png", figures.sky(stars, synthetic),
         f"Two maps of the sky with {n}: their density, and their median number of epochs.",
         "The sky in Galactic coordinates (Mollweide): density of stars, and median number of "
         "epochs of a star"),
        ("epochs.png", figures.epochs(stars, synthetic),
         f"Histogram of the number of epochs of {n}, by pulsation mode.",
         "Epochs of a star, by pulsation mode"),
        ("magnitudes.png", figures.magnitudes(stars, synthetic),
         f"Histogram of the mean G magnitudes of {n}, by pulsation mode.",
         "Mean magnitudes: those of the star table, or of the transits where it has none"),
        ("periods_and_amplitudes.png", figures.periods_and_amplitudes(stars, synthetic),
         f"Amplitudes against periods of {n}, a panel for each pulsation mode.",
         "Periods and amplitudes: those of the star table, or the range of the transits where it "
         "has none"),
    ]  # fmt: skip
    if transits:
        drawn.append(
            ("transits.png", figures.transits(transits, synthetic),
             "Bars with the numbers of transits that were kept and left out, as in the table.",
             "What has become of the transits that were read")
        )  # fmt: skip
    return drawn


def _shown(tables: dict[str, pd.DataFrame], transits: dict[str, int]) -> list[Table]:
    """Return the tables of the page."""
    modes = [
        [row["mode"], *(count(value) for name, value in row.items() if name != "mode")]
        for row in tables["modes"].to_dict("records")
    ]
    columns = ["Mode", "Stars", "Median epochs", f"Under {SPARSE_EPOCHS} epochs",
               f"Under {MIN_EPOCHS} epochs", "No epochs", "No period", "No position"]  # fmt: skip
    note = (
        "Epochs are the transits that were kept; cleaning may reject more of them before a curve "
        "is made."
    )
    shown = [Table("modes", "Stars", note, columns, modes)]
    without = tables["without"].to_dict("records")
    if without:
        rows = [
            [row["reason"], count(row["stars"]), ", ".join(map(str, row["examples"]))]
            for row in without
        ]
        note = "They are in the survey, and get a row with a flag in its catalogue."
        shown.append(
            Table("without", "Stars without a light curve", note,
                  ["Reason", "Stars", "The first of them"], rows)
        )  # fmt: skip
    if transits:
        read = sum(transits.values())
        rows = [[what, count(n), percent(n / read)] for what, n in transits.items()]
        note = f"{count(read)} transits were read, in all bands."
        shown.append(Table("transits", "Transits", note, ["Transits", "Number", "Part"], rows))
    return shown


def _provenance(survey: Survey, folder: Path) -> dict[str, str]:
    about = {k: v for k, v in survey.provenance.items() if k not in _LISTED_ELSEWHERE}
    size = f"{survey.rows:,} stars in {len(survey.partitions):,} partitions"
    return {"survey": f"{folder}: {size}", **flatten(about)}
