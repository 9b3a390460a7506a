"""The report of an experiment: `scores.json` and one HTML file that needs nothing else."""

from pathlib import Path
from typing import Any

import pandas as pd

from rrl_batch.experiment.bootstrap import CONFIDENCE, RESAMPLES
from rrl_batch.experiment.folder import CHOSEN, Experiment, read_experiment
from rrl_batch.experiment.tables import best, opponents, tables, weights_of
from rrl_batch.report import experiment_figures as figures
from rrl_batch.report.drawing import png
from rrl_batch.report.experiment_tables import details, notes, records, results, settings
from rrl_batch.report.html import environment, flatten, picture
from rrl_batch.storage.commit import replacing, write_json

PAGE = "index.html"
SCORES = "scores.json"

DRAWN_BY_THE_RUN = {
    "light_curves.png": ("Folded epochs of some stars and the smoothed curves through them.",
                         "Light curves, folded and smoothed"),
    "network.png": ("Layers of the reference network with output shapes and parameters.",
                    "The reference network"),
}  # fmt: skip
"""Figures that need more than the experiment's tables: shown where the run has left them in the
folder; file name to description and caption."""


def write_report(folder: Path) -> Path:
    """Write the report of an experiment into its folder, all of it recomputed from its tables.

    Parameters
    ----------
    folder : pathlib.Path
        Where the experiment was written to.

    Returns
    -------
    pathlib.Path
        The page; `scores.json` beside it holds all its tables.

    Raises
    ------
    UserError
        If the folder holds no experiment, or a damaged one.
    RunError
        If a file cannot be written.
    """
    experiment = read_experiment(folder)
    found = tables(experiment)
    marked = opponents(experiment)
    cases = experiment.about.cases
    winner = CHOSEN if CHOSEN in cases else best(experiment, list(cases))
    if winner is not None:
        marked["best"] = winner
    remarks = notes(experiment, found, marked)
    pictures = [*_figures(experiment, found, marked), *_drawn_by_the_run(folder)]
    page = _render(experiment, found, marked, remarks, pictures)
    with replacing(folder / PAGE) as partial:
        partial.write_text(page, encoding="utf-8")
    write_json(folder / SCORES, _scores(experiment, found, marked, remarks))
    return folder / PAGE


def _scores(
    experiment: Experiment,
    found: dict[str, pd.DataFrame],
    marked: dict[str, str],
    remarks: list[str],
) -> dict[str, Any]:
    about = experiment.about
    return {
        **about.model_dump(
            mode="json", include={"title", "synthetic", "scale", "folds", "repeats"}
        ),
        "n_stars": len(experiment.stars),
        "compared_with": marked,
        "intervals": f"{CONFIDENCE:.0%}, percentiles of {RESAMPLES} resamples of the stars",
        "notes": remarks,
        "tables": {
            name: records(table.astype(object).where(table.notna(), None))  # NaN is null in JSON
            for name, table in found.items()
        },
    }


def _render(
    experiment: Experiment,
    found: dict[str, pd.DataFrame],
    marked: dict[str, str],
    remarks: list[str],
    pictures: list[dict[str, str]],
) -> str:
    about = experiment.about
    common, differing = settings(about)
    return (
        environment()
        .get_template("experiment.html")
        .render(
            about=about,
            synthetic=about.synthetic,
            n_stars=len(experiment.stars),
            notes=remarks,
            results=results(experiment, found, marked),
            figures=pictures,
            details=[*details(experiment, found, marked), differing],
            common=common,
            chosen=flatten(about.chosen or {}),
            provenance=flatten(about.provenance),
            numbers=SCORES,
        )
    )


def _figures(
    experiment: Experiment, found: dict[str, pd.DataFrame], marked: dict[str, str]
) -> list[dict[str, str]]:
    """Return the figures that follow from the tables."""
    synthetic = experiment.about.synthetic
    n = f"{len(experiment.stars):,} stars"
    rmse = found["scores"].query("of == 'ensemble'").set_index("case")["rmse"]
    roles: list[str] = [role for role in ("baseline", "rival") if role in marked]
    levels = {role: (marked[role], float(rmse[marked[role]])) for role in roles}
    feh = experiment.stars["feh"].to_numpy()
    drawn = [
        (figures.score_chart(found["scores"], marked, synthetic),
         f"RMSE of {len(rmse)} cases and methods on {n}, in the order of the table of scores.",
         "RMSE, out of fold: the mean over the repeats with its 95 % interval, and one repeat"),
    ]  # fmt: skip
    featured = dict.fromkeys(marked[role] for role in ("reference", "best") if role in marked)
    for case in featured:
        sets = {
            title: (feh, predicted[case].to_numpy())
            for title, predicted in (
                ("Training", experiment.fitted), ("Validation (out of fold)", experiment.ensemble),
            )
            if predicted[case].notna().any()
        }  # fmt: skip
        drawn.append(
            (figures.prediction_chart(sets, synthetic),
             f"Histograms of labels and predictions, and predictions against labels, by members "
             f"that have learnt from the stars and by those that have not: {case}.",
             f"Labels and predictions: {case}")
        )  # fmt: skip
    drawn += [
        (figures.bias_chart(found["bias"], marked, synthetic),
         "Mean error of some cases in bins of [Fe/H], as in the table of biases.",
         "Bias per bin of [Fe/H], with standard errors"),
        (figures.noise_chart(found["noise"], marked, synthetic),
         "RMSE of some cases in quintiles of photometric noise, as in the table.",
         "RMSE by photometric noise, with 95 % intervals"),
    ]  # fmt: skip
    if found["learning"]["n_training"].notna().any():
        drawn.append(
            (figures.learning_chart(found["learning"], levels, synthetic),
             "RMSE against the number of training stars, as in the table of learning curves.",
             "Learning curve, with 95 % intervals")
        )  # fmt: skip
    for case in featured:
        history = experiment.history[experiment.history["case"] == case]
        if len(history):
            members = experiment.members[experiment.members["case"] == case]
            drawn.append(
                (figures.loss_chart(history, members, synthetic),
                 f"Losses of training and stopping stars pass by pass: {case}.",
                 f"Loss of each member, a line a fold and repeat: {case}")
            )  # fmt: skip
    drawn.append(
        (figures.label_chart(feh, weights_of(experiment), synthetic),
         f"Histogram of the labels of {n}, its kernel density estimate and the weights.",
         "Labels and the weights that they are scored with")
    )  # fmt: skip
    return [
        picture(png(figure, caption, synthetic), alt, caption) for figure, alt, caption in drawn
    ]


def _drawn_by_the_run(folder: Path) -> list[dict[str, str]]:
    return [
        picture((folder / name).read_bytes(), alt, caption)
        for name, (alt, caption) in DRAWN_BY_THE_RUN.items()
        if (folder / name).is_file()
    ]
