"""Compare a catalogue with globular clusters, whose stars have one metallicity each."""

from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.catalogue.verify import read_catalogue, read_manifest
from rrl_batch.contracts.scales import Scales
from rrl_batch.errors import UserError
from rrl_batch.report import cluster_figures as figures
from rrl_batch.report.agreement import line, spread
from rrl_batch.report.cluster_page import render_clusters
from rrl_batch.report.evaluate import METRICS, PAGE, refuse_other_folder
from rrl_batch.report.external_page import write_page
from rrl_batch.sources.reference import read_clusters, read_motions
from rrl_batch.storage.commit import checksum

FEWEST_MEMBERS = 3
"""Members below which a cluster is listed but does not count among the clusters."""

_SIGMAS = 3


def compare_with_clusters(
    catalogue: Path,
    out: Path,
    *,
    clusters: Path | None = None,
    motions: Path | None = None,
    relations: Path | None = None,
) -> dict[str, Any]:
    """Compare a catalogue with globular clusters; write `metrics.json`, a figure, `index.html`.

    Parameters
    ----------
    catalogue : pathlib.Path
        Folder of the catalogue.
    out : pathlib.Path
        Folder that the files are written to; those of an earlier comparison are replaced.
    clusters : pathlib.Path, optional
        List of clusters, in place of the package's.
    motions : pathlib.Path, optional
        Table of proper motions of the catalogue's stars. Without it, members are chosen by
        position alone.
    relations : pathlib.Path, optional
        File of relations between scales, in place of the package's.

    Returns
    -------
    dict
        The content of `metrics.json`.

    Raises
    ------
    UserError
        If a table cannot be read, or no cluster has a star in the catalogue.
    RunError
        If a file cannot be written.
    """
    refuse_other_folder(out, {METRICS, PAGE, *figures.NAMES})
    provenance = read_manifest(catalogue).provenance
    known, origin = _clusters(clusters)
    scale, wanted = str(known["scale"].iloc[0]), str(provenance["scale"])
    relation = None if scale == wanted else Scales.read(relations).relation(scale, wanted)
    if relation:
        known = known.assign(feh=relation.apply(known["feh"], np.zeros(len(known)))[0])
        known = known.dropna(subset=["feh"])
    stars = read_catalogue(catalogue).dropna(subset=["ra", "dec", "feh"])
    if motions:
        stars = stars.merge(read_motions(motions), on="source_id")
    members = stars.assign(cluster=members_of(stars, known, by_motion=motions is not None))
    members = members[members["cluster"] >= 0]
    if members.empty:
        raise UserError(
            f"None of the {len(stars):,} stars of {catalogue} that have a metallicity and a "
            f"position is a member of one of the {len(known)} clusters."
        )
    rows = [
        _about(cluster, members[members["cluster"] == number])
        for number, cluster in enumerate(known.itertuples())
    ]
    found = [row for row in rows if row["n"]]
    metrics = {
        "scale": scale,
        "catalogue_scale": wanted,
        "calibrated": relation.content() if relation else None,
        "synthetic": provenance["synthetic"],
        "by_motion": motions is not None,
        "n_clusters": len(known),
        "clusters": found,
        **_overall(found),
        "provenance": {"catalogue": str(catalogue), "clusters": origin, **provenance},
    }
    write_page(out, metrics, figures.draw(metrics), render_clusters)
    return metrics


def members_of(
    stars: pd.DataFrame, clusters: pd.DataFrame, *, by_motion: bool
) -> NDArray[np.int64]:
    """Return the number of the cluster that each star is a member of, −1 for none.

    A star within the radius of several clusters, in units of it, belongs to the nearest.

    Parameters
    ----------
    stars : pandas.DataFrame
        `ra`, `dec` (degrees) and, for `by_motion`, `pmra`, `pmdec` (mas/yr) and their errors.
    clusters : pandas.DataFrame
        The clusters, as of `read_clusters`.
    by_motion : bool
        Whether the proper motion has to agree as well: within `pm_radius` and three of the star's
        own standard errors, added in quadrature.
    """
    from astropy.coordinates import SkyCoord

    at = SkyCoord(stars["ra"].to_numpy(), stars["dec"].to_numpy(), unit="deg")
    nearest, chosen = np.ones(len(stars)), np.full(len(stars), -1)
    for number, cluster in enumerate(clusters.itertuples()):
        centre = SkyCoord(cluster.ra, cluster.dec, unit="deg")
        distance = at.separation(centre).deg / cluster.radius
        belongs = distance <= nearest
        if by_motion:
            belongs &= _moves_along(stars, cluster)
        chosen[belongs], nearest[belongs] = number, distance[belongs]
    return chosen


def _moves_along(stars: pd.DataFrame, cluster: Any) -> NDArray[np.bool_]:
    difference = np.hypot(stars["pmra"] - cluster.pmra, stars["pmdec"] - cluster.pmdec)
    error = np.hypot(stars["pmra_error"].fillna(0), stars["pmdec_error"].fillna(0)) / np.sqrt(2)
    return (difference <= np.hypot(cluster.pm_radius, _SIGMAS * error)).to_numpy()


def _clusters(path: Path | None) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return the clusters, and where they come from."""
    if path:
        return read_clusters(path), {"path": str(path), "sha256": checksum(path)}
    with as_file(files("rrl_batch.catalogue") / "clusters.ecsv") as own:
        return read_clusters(own), {"path": f"of rrl_batch ({own.name})", "sha256": checksum(own)}


def _about(cluster: Any, stars: pd.DataFrame) -> dict[str, Any]:
    """Return what is known of a cluster and its members."""
    feh = stars["feh"].to_numpy(np.float64)
    found = spread(feh - cluster.feh)
    return {
        "name": cluster.name,
        "feh_literature": float(cluster.feh),
        "n": found["n"],
        "feh": float(feh.mean()) if len(feh) else None,
        "feh_error": found["offset_error"],
        "scatter": found["scatter"],
        "difference": found["offset"],
        "mean_error": float(np.sqrt(np.mean(stars["feh_error"] ** 2))) if len(feh) else None,
    }


def _overall(clusters: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how the clusters agree, and how far their members scatter."""
    counted = [c for c in clusters if c["n"] >= FEWEST_MEMBERS]
    n, scatter, error = (
        np.array([c[key] for c in counted], np.float64) for key in ("n", "scatter", "mean_error")
    )
    literature, mean = (
        np.array([c[key] for c in counted], np.float64) for key in ("feh_literature", "feh")
    )
    return {
        "n_counted": len(counted),
        "n_members": int(n.sum()),
        "between_clusters": spread(mean - literature),
        "line": line(literature, mean, 1.0) if len(counted) >= FEWEST_MEMBERS else None,
        "scatter_within": float(np.sqrt(np.sum((n - 1) * scatter**2) / np.sum(n - 1)))
        if counted
        else None,
        "mean_error": float(np.sqrt(np.sum(n * error**2) / n.sum())) if counted else None,
    }
