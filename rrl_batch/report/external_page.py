"""The pages of comparisons with reference values and with clusters."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rrl_batch.report.agreement import PIVOT
from rrl_batch.report.drawing import save
from rrl_batch.report.evaluate import METRICS, PAGE
from rrl_batch.report.html import (
    Table,
    count,
    dex,
    edge,
    environment,
    picture,
    provenance_of,
    signed,
)
from rrl_batch.storage.commit import replacing, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STATISTICS = {
    "offset": "Offset, catalogue − reference (dex)",
    "scatter": "Scatter about the offset (dex)",
    "slope": "Slope",
    "offset_at_pivot": f"Offset of the line at [Fe/H] = {edge(PIVOT)} (dex)",
}
_BIN_TITLES = {
    "feh_label": ("By metallicity of the reference", "[Fe/H] (dex)"),
    "int_average_g": ("By magnitude", "Mean G (mag)"),
    "num_epochs_used": ("By number of epochs", "Epochs"),
}


def write_page(
    out: Path,
    metrics: dict[str, Any],
    drawn: dict[str, "Figure"],
    render: Callable[[dict[str, Any], dict[str, Path]], str],
) -> None:
    """Write figures, page and, last, metrics."""
    for name, figure in drawn.items():
        save(figure, out / name, metrics["synthetic"])
    with replacing(out / PAGE) as partial:
        partial.write_text(render(metrics, {name: out / name for name in drawn}), encoding="utf-8")
    write_json(out / METRICS, metrics)


def render(
    metrics: dict[str, Any],
    title: str,
    paragraphs: list[str],
    notes: list[str],
    tables: list[Table],
    figures: list[tuple[Path, str, str]],
) -> str:
    """Return a page with its figures embedded; everything that comes from a file is escaped.

    Parameters
    ----------
    metrics : dict
        Content of `metrics.json`.
    title : str
        Its title.
    paragraphs, notes : list of str
        What was compared, and what a reader must know.
    tables : list of Table
        The tables; the figures stand after the first.
    figures : list of tuple
        PNG file, what is on it for whoever does not see it, caption.
    """
    return (
        environment()
        .get_template("external.html")
        .render(
            title=title,
            synthetic=metrics["synthetic"],
            numbers=METRICS,
            paragraphs=paragraphs,
            notes=notes,
            tables=tables,
            figures=[picture(path.read_bytes(), alt, caption) for path, alt, caption in figures],
            provenance=provenance_of(metrics["provenance"]),
        )
    )


def render_reference(metrics: dict[str, Any], images: dict[str, Path]) -> str:
    """Return the page of a comparison with reference values."""
    comparison, residuals = images.values()
    n = count(metrics["n_compared"])
    return render(
        metrics,
        f"[Fe/H] compared with reference values of the scale {metrics['scale']}",
        [_matched(metrics), _predictors()],
        _notes(metrics),
        [_statistics(metrics), *_binned(metrics), _modes(metrics)],
        [
            (comparison, f"Catalogue and baseline against the reference, {n} stars, with the "
             f"1 : 1 line, binned medians and the line of the regression.",
             "Catalogue against reference"),
            (residuals, f"Catalogue − reference of {n} stars against the reference's [Fe/H], "
             f"period, mean G and number of epochs, with running medians.",
             "What is left over"),
        ],
    )  # fmt: skip


def _matched(metrics: dict[str, Any]) -> str:
    match = metrics["match"]
    how = "by source_id"
    if match["by"] == "position":
        how = (
            f"by position within {match['radius']:g} arcsec (median separation "
            f"{match['median_separation']:.2f} arcsec; {count(match['moved'])} positions were "
            f"moved to the catalogue's epoch by their proper motion; {count(match['ambiguous'])} "
            f"had several stars within the radius, of which the nearest counts; "
            f"{count(match['shared'])} lost theirs to a nearer one)"
        )
    return (
        f"Of {count(metrics['n_reference'])} stars of the reference, "
        f"{count(metrics['n_in_catalogue'])} were found in the catalogue, {how}; "
        f"{count(metrics['n_compared'])} of them have a value both of the catalogue and of the "
        f"baseline: every figure below is of these."
    )


def _predictors() -> str:
    return (
        "The slope is that of a regression with errors in both variables (Deming): 1 where "
        "predictions neither regress to the mean nor stretch. Intervals hold 95 % of resamples of "
        "the stars."
    )


def _notes(metrics: dict[str, Any]) -> list[str]:
    notes = []
    if metrics["n_trained_on"]:
        notes.append(
            f"{count(metrics['n_trained_on'])} of the compared stars have trained the model; their "
            f"values are of members that have not seen them. If the reference is what these stars "
            f"were labelled with, this is no external comparison."
        )
    if relation := metrics["calibrated"]:
        notes.append(
            f"The reference was brought from the scale '{relation['from']}' to the catalogue's, "
            f"'{relation['to']}', by a relation ({relation['reference']}; scatter "
            f"{relation['scatter']} dex, in the errors); {count(relation['beyond_range'])} stars "
            f"beyond its range were left out."
        )
    elif metrics["scale"] != metrics["catalogue_scale"]:
        notes.append(
            f"The reference is on the scale '{metrics['scale']}', the catalogue on the scale "
            f"'{metrics['catalogue_scale']}': they are compared without a calibration between the "
            f"two, so that offset and slope contain the difference of the scales."
        )
    if metrics["network"]["error_ratio"] is None:
        notes.append(
            "Not all errors are known: the regression of the catalogue takes both errors as equal."
        )
    notes.append("The baseline has no errors of its own: its regression takes both as equal.")
    return notes


def _statistics(metrics: dict[str, Any]) -> Table:
    both = [metrics[name] for name in ("network", "baseline")]
    rows = [["Stars", *(count(m["n"]) for m in both)]]
    for key, name in (("rmse", "RMSE (dex)"), ("mae", "MAE (dex)"), ("r2", "R²")):
        rows.append([name, *(dex(m[key]) for m in both)])
    for key, name in _STATISTICS.items():
        rows.append([name, *(interval(m[key], key.startswith("offset")) for m in both)])
    rows.append(["Standard deviation in units of both errors", *(dex(m["pull"]) for m in both)])
    return Table("agreement", "Agreement", "", ["Figure", "Catalogue", "Baseline"], rows)


def interval(found: dict[str, Any] | None, is_signed: bool) -> str:
    """Return a value with its interval."""
    write = signed if is_signed else dex
    if not found:
        return dex(None)
    if not found["interval_95"]:
        return write(found["value"])
    low, high = found["interval_95"]
    return f"{write(found['value'])} ({write(low)} to {write(high)})"


def _binned(metrics: dict[str, Any]) -> list[Table]:
    note = "Catalogue − reference in dex, with its standard error."
    return [
        Table(
            f"by_{column}", title, note, [header, "Stars", "Offset", "Scatter"],
            [[_range(b["low"], b["high"]), *_spread(b)] for b in metrics["bins"][column]],
        )
        for column, (title, header) in _BIN_TITLES.items()
    ]  # fmt: skip


def _modes(metrics: dict[str, Any]) -> Table:
    rows = [[mode, *_spread(found)] for mode, found in metrics["modes"].items()]
    note = "Catalogue − reference in dex, with its standard error."
    return Table("modes", "By pulsation mode", note, ["Mode", "Stars", "Offset", "Scatter"], rows)


def _spread(found: dict[str, Any]) -> list[str]:
    offset = signed(found["offset"])
    if found["n"]:
        offset += f" ± {dex(found['offset_error'])}"
    return [count(found["n"]), offset, dex(found["scatter"])]


def _range(low: float | None, high: float | None) -> str:
    low_text, high_text = (f"{v:g}".replace("-", "−") if v is not None else "" for v in (low, high))
    if low is None:
        return f"below {high_text}"
    return f"{low_text} and above" if high is None else f"{low_text} to {high_text}"
