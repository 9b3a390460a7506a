"""The page of a comparison with globular clusters."""

from pathlib import Path
from typing import Any

from rrl_batch.report.external_page import interval, render
from rrl_batch.report.html import Table, count, dex, signed

_FEW = "clusters of fewer than three members are listed, but not counted"


def render_clusters(metrics: dict[str, Any], images: dict[str, Path]) -> str:
    """Return the page of a comparison with globular clusters."""
    (image,) = images.values()
    how = "position and proper motion" if metrics["by_motion"] else "position alone"
    found = metrics["clusters"]
    return render(
        metrics,
        "[Fe/H] of globular clusters",
        [
            f"{count(len(found))} of {count(metrics['n_clusters'])} clusters have members in the "
            f"catalogue, by {how}; {_FEW}. The stars of a cluster have one metallicity: their "
            f"scatter is the error of the catalogue, and field stars among them."
        ],
        _notes(metrics),
        [_overall(metrics), _clusters(found)],
        [
            (image, f"Mean metallicities of {len(found)} clusters against the literature, with "
             f"the 1 : 1 line, and the differences.", "Globular clusters")
        ],
    )  # fmt: skip


def _notes(metrics: dict[str, Any]) -> list[str]:
    notes = []
    if relation := metrics["calibrated"]:
        notes.append(
            f"Metallicities of the literature were brought from the scale '{relation['from']}' to "
            f"the catalogue's, '{relation['to']}' ({relation['reference']})."
        )
    elif metrics["scale"] != metrics["catalogue_scale"]:
        notes.append(
            f"The clusters are on the scale '{metrics['scale']}', the catalogue on the scale "
            f"'{metrics['catalogue_scale']}': differences contain that of the scales."
        )
    if not metrics["by_motion"]:
        notes.append(
            "Without proper motions field stars are among the members, most of all in the bulge "
            "and for wide clusters; give them by --proper-motions."
        )
    return notes


def _overall(metrics: dict[str, Any]) -> Table:
    between, line = metrics["between_clusters"], metrics["line"] or {}
    rows = [
        ["Clusters", count(metrics["n_counted"])],
        ["Members", count(metrics["n_members"])],
        ["Mean difference, catalogue − literature (dex)",
         f"{signed(between['offset'])} ± {dex(between['offset_error'])}"],
        ["Scatter of the clusters about it (dex)", dex(between["scatter"])],
        ["Slope", interval(line.get("slope"), is_signed=False)],
        ["Scatter of members about their cluster (dex)", dex(metrics["scatter_within"])],
        ["Error of a member, as the catalogue has it (dex)", dex(metrics["mean_error"])],
    ]  # fmt: skip
    note = (
        "Intervals hold 95 % of resamples of the clusters; the slope is of a regression with equal "
        "errors in both."
    )
    return Table("agreement", "Agreement", note, ["Figure", "Value"], rows)


def _clusters(clusters: list[dict[str, Any]]) -> Table:
    rows = [
        [
            c["name"], count(c["n"]), f"{dex(c['feh'])} ± {dex(c['feh_error'])}", dex(c["scatter"]),
            dex(c["mean_error"]), dex(c["feh_literature"]), signed(c["difference"]),
        ]
        for c in clusters
    ]  # fmt: skip
    columns = [
        "Cluster", "Members", "Mean [Fe/H]", "Scatter", "Error of a member", "Literature",
        "Difference",
    ]  # fmt: skip
    return Table("clusters", "Clusters", "All in dex.", columns, rows)
