"""The page of an evaluation: one HTML file that needs nothing else."""

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from rrl_batch.contracts import Flag
from rrl_batch.contracts.flags import DESCRIPTIONS
from rrl_batch.contracts.training import StarCounts
from rrl_batch.report.coverage import coverage_table
from rrl_batch.report.figures import DISTRIBUTION, PREDICTED_AGAINST_TRUE, PULLS
from rrl_batch.report.html import count, dex, environment, picture
from rrl_batch.report.selection import selection_table

SCORES = {
    "rmse": "RMSE (dex)",
    "mae": "MAE (dex)",
    "r2": "R²",
    "wrmse": "Weighted RMSE (dex)",
    "wmae": "Weighted MAE (dex)",
    "bias": "Bias, predicted − label (dex)",
}
"""Overall figures of merit, in the order of the page."""


def render(metrics: dict[str, Any], images: dict[str, Path]) -> str:
    """Return the page of an evaluation, with its figures embedded.

    Parameters
    ----------
    metrics : dict
        Content of `metrics.json`.
    images : dict of str to pathlib.Path
        PNG files of the figures, by name.

    Returns
    -------
    str
        HTML; everything in it that comes from a file is escaped.
    """
    return (
        environment()
        .get_template("evaluation.html")
        .render(
            m=metrics,
            synthetic=metrics["synthetic"],
            numbers="metrics.json",
            scores=SCORES,
            flags={str(flag.name): DESCRIPTIONS[flag] for flag in Flag},
            bins=list(zip(metrics["network"]["bins"], metrics["baseline"]["bins"], strict=True)),
            selection=selection_table(
                TypeAdapter(StarCounts).validate_python(metrics["provenance"]["model"]["stars"]),
                "selection",
                "Selection of the model's training stars",
            ),
            intervals=coverage_table(metrics["intervals"]),
            provenance=_provenance(metrics["provenance"]),
            figures=[
                picture(images[name].read_bytes(), alt(metrics), caption)
                for name, alt, caption in (
                    (PREDICTED_AGAINST_TRUE, _alt_comparison, "Predicted against true [Fe/H]"),
                    (DISTRIBUTION, _alt_distribution, "Distribution of [Fe/H]"),
                    (PULLS, _alt_pulls, "Errors and their standard errors"),
                )
            ],
        )
    )


def _provenance(provenance: dict[str, Any]) -> dict[str, str]:
    """Return what was compared, in words."""
    survey, model = provenance["survey"], provenance["model"]
    out_of_fold = model["out_of_fold"]
    settings = ", ".join(f"{name} {value}" for name, value in model["preprocess"].items())
    return {
        "Catalogue": f"{provenance['catalogue']}: {provenance['description']}",
        "Labels": f"{provenance['labels']['path']} (SHA-256 {provenance['labels']['sha256']})",
        "Survey": f"{survey['path']}, {survey['stars']:,} stars"
        + (f": {survey['description']}" if "description" in survey else ""),
        "Model": f"{model['path']}: {model['members']} × {model['architecture']}, {settings}",
        "Model, out of fold": f"RMSE {dex(out_of_fold['rmse'])} dex, R² "
        f"{dex(out_of_fold['r2'])} on {count(out_of_fold['n'])} training stars",
        **{
            f"Made from: {name.replace('_', ' ')}": str(value)
            for name, value in provenance["made_from"].items()
        },
    }


def _alt_comparison(metrics: dict[str, Any]) -> str:
    parts = [
        f"{name}: RMSE {dex(metrics[name]['rmse'])} dex, R² {dex(metrics[name]['r2'])}"
        for name in ("network", "baseline")
    ]
    return (
        f"Two panels of predicted against true [Fe/H] of {count(metrics['n_compared'])} stars, "
        f"with the 1 : 1 line and binned medians. {'; '.join(parts).capitalize()}."
    )


def _alt_distribution(metrics: dict[str, Any]) -> str:
    return (
        f"Histograms of [Fe/H]: predictions for the whole catalogue, and labels and predictions "
        f"of the {count(metrics['n_compared'])} compared stars."
    )


def _alt_pulls(metrics: dict[str, Any]) -> str:
    scatter = dex(metrics["intervals"]["pulls"]["scatter"])
    return (
        f"Two panels of {count(metrics['intervals']['all']['n'])} stars: a histogram of predicted "
        f"− label in units of feh_error, scatter {scatter}, beside a normal distribution; and the "
        f"root mean square error in bins of feh_error, beside the 1 : 1 line."
    )
