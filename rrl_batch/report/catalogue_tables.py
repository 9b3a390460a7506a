"""The tables of a catalogue's page: numbers from counts, and how they are shown."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from pydantic import TypeAdapter

from rrl_batch.contracts import CATALOGUE, Flag
from rrl_batch.contracts.flags import DESCRIPTIONS
from rrl_batch.contracts.training import StarCounts
from rrl_batch.report.catalogue_choice import Choice
from rrl_batch.report.catalogue_counts import ERROR, ERRORS, FEH, MODE_NAMES, CatalogueCounts
from rrl_batch.report.counting import Counts, median, quantile
from rrl_batch.report.html import Table, count, dex, feh, percent, signed
from rrl_batch.report.page import SCORES
from rrl_batch.report.regions import REGIONS
from rrl_batch.report.selection import selection_table

_DESCRIBED = {column.name: column.description for column in CATALOGUE.columns}
_VALUES = ["Median [Fe/H]", "16 %", "84 %", "Median error"]


def numbers(counts: CatalogueCounts) -> dict[str, pd.DataFrame]:
    """Return the numbers of the tables, by the place of each on the page.

    Parameters
    ----------
    counts : CatalogueCounts
        What was counted of the catalogue.
    """
    modes = counts.modes.table
    by_mode = pd.DataFrame(
        {
            "mode": MODE_NAMES,
            "stars": modes.sum(axis=1),
            "with_feh": modes[:, 1:].sum(axis=1),
            "unflagged": modes[:, 2],
            **_values(counts.feh_by_mode, counts.error_by_mode),
        }
    )
    by_region = pd.DataFrame(
        {
            "region": list(REGIONS),
            "stars": counts.stars_by_region.table,
            "with_feh": counts.feh_by_region.table.sum(axis=1),
            **_values(counts.feh_by_region, counts.error_by_region),
        }
    )
    budget = counts.by_epochs.table.sum(axis=1)
    errors = pd.DataFrame(
        {
            "column": list(ERRORS),
            "stars": budget.sum(axis=1),
            **{f"p{part}": quantile(budget, ERROR, part / 100) for part in (16, 50, 84)},
        }
    )
    without, with_ = median(counts.error_by_flag.table, ERROR).T
    flags = pd.DataFrame(
        {
            "flag": [str(flag.name) for flag in Flag],
            "stars": counts.by_flag.table[:, 1],
            "with_feh": counts.error_by_flag.table[:, 1].sum(axis=1),
            "median_error_with": with_,
            "median_error_without": without,
        }
    )
    by_mode = by_mode[by_mode["stars"] > 0]
    return {"modes": by_mode, "regions": by_region, "errors": errors, "flags": flags}


def _values(feh: Counts, error: Counts) -> dict[str, Any]:
    return {
        "median": median(feh.table, FEH),
        "p16": quantile(feh.table, FEH, 0.16),
        "p84": quantile(feh.table, FEH, 0.84),
        "median_error": median(error.table, ERROR),
    }


def summary(counts: CatalogueCounts, scale: str) -> str:
    """Return in a few sentences what is in the catalogue."""
    total, with_feh = int(counts.modes.table.sum()), int(counts.modes.table[:, 1:].sum())
    unflagged = int(counts.modes.table[:, 2].sum())
    error = float(median(counts.error_by_mode.table.sum(axis=0), ERROR))
    return (
        f"{count(total)} stars, {count(with_feh)} of them with a metallicity, on the scale "
        f"{scale}; {count(unflagged)} of these have no flag. The median of feh_error is "
        f"{dex(error)} dex."
    )


def modes(found: pd.DataFrame) -> Table:
    """Return the table of pulsation modes."""
    rows = [
        [r["mode"], count(r["stars"]), count(r["with_feh"]), count(r["unflagged"]), *_shown(r)]
        for r in found.to_dict("records")
    ]
    note = "[Fe/H] and its errors in dex; medians and percentiles of the stars that have one."
    columns = ["Mode", "Stars", "With [Fe/H]", "No flag", *_VALUES]
    return Table("modes", "Modes", note, columns, rows)


def regions(found: pd.DataFrame) -> Table:
    """Return the table of regions of the sky."""
    rows = [
        [r["region"], count(r["stars"]), count(r["with_feh"]), *_shown(r)]
        for r in found.to_dict("records")
    ]
    note = (
        "Regions are cuts in position alone, so that each has stars of others in it; b is the "
        "Galactic latitude. The maps are of Galactic coordinates, in Mollweide's projection."
    )
    columns = ["Region", "Stars", "With [Fe/H]", *_VALUES]
    return Table("sky", "The sky", note, columns, rows, REGIONS)


def _shown(row: dict[Any, Any]) -> list[str]:
    return [*(feh(row[name]) for name in ("median", "p16", "p84")), dex(row["median_error"])]


def errors(found: pd.DataFrame) -> Table:
    """Return the table of the error budget."""
    rows = [
        [r["column"], count(r["stars"]), *(dex(r[name]) for name in ("p16", "p50", "p84"))]
        for r in found.to_dict("records")
    ]
    note = "In dex. Lines are medians in bins of five stars and more; bands hold 68 % of the stars."
    columns = ["Column", "Stars", "16 %", "Median", "84 %"]
    return Table("errors", "Error budget", note, columns, rows, {n: _DESCRIBED[n] for n in ERRORS})


def flags(found: pd.DataFrame, n_stars: int) -> Table:
    """Return the table of flags."""
    rows = [
        [r["flag"], count(r["stars"]), percent(r["stars"] / n_stars), count(r["with_feh"]),
         dex(r["median_error_with"]), dex(r["median_error_without"])]
        for r in found.to_dict("records")
    ]  # fmt: skip
    note = (
        "A star may have several. Medians of feh_error, in dex, of the stars with and without a "
        "flag: what the catalogue itself says of their errors. How large they are, only a "
        "comparison with labels tells (rrl-batch evaluate)."
    )
    columns = ["Flag", "Stars", "Part", "With [Fe/H]", "Error with it", "Error without it"]
    meanings = {str(flag.name): DESCRIPTIONS[flag] for flag in Flag}
    return Table("flags", "Flags", note, columns, rows, meanings)


def training(model: dict[str, Any]) -> list[Table]:
    """Return the tables of the model's training.

    Parameters
    ----------
    model : dict
        What the catalogue's manifest says of its model.
    """
    network, baseline = model["out_of_fold"], model.get("baseline_out_of_fold", {})
    rows = [["Stars", count(network["n"]), count(baseline.get("n"))]]
    rows += [
        [words, *(show(of.get(key)) for of in (network, baseline))]
        for key, words in SCORES.items()
        for show in (signed if key == "bias" else dex,)
    ]
    settings = model.get("training", {})
    folds = f" in {settings['folds']} folds" if "folds" in settings else ""
    note = (
        f"{model['members']} × {model['architecture']}, compared with the labels of its training "
        f"stars{folds}: each is predicted by members that have not seen it. Labels are photometric "
        f"metallicities more often than not, and an error against them is not one against "
        f"spectroscopy."
    )
    stars = TypeAdapter(StarCounts).validate_python(model["stars"])
    return [
        Table("training", "Training", note, ["Out of fold", "Model", "Baseline"], rows),
        selection_table(stars, "selection", "Selection of the training stars"),
    ]


def stars(choice: Choice, rows: Sequence[dict[str, Any]]) -> Table:
    """Return the table of some stars."""
    names = {int(flag): str(flag.name) for flag in Flag}
    shown = [
        [
            str(r["source_id"]), str(r["best_classification"]), _period(r["period"]),
            dex(r["amplitude_g"]), dex(r["int_average_g"]), count(r["num_epochs_used"]),
            feh(r["feh"]), dex(r["feh_error"]), feh(r["feh_baseline"]),
            ", ".join(name for bit, name in names.items() if r["flags"] & bit) or "none",
        ]
        for r in rows
    ]  # fmt: skip
    columns = ["Star", "Mode", "Period (d)", "Amplitude (mag)", "G (mag)", "Epochs", "[Fe/H]",
               "Error", "Baseline", "Flags"]  # fmt: skip
    return Table(choice.place, choice.title, choice.note, columns, shown)


def _period(value: float | None) -> str:
    return "–" if value is None else f"{value:.5f}"
