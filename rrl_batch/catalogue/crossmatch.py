"""Find the stars of another table in a catalogue: by identifier, or by position."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rrl_batch.errors import UserError

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord

GAIA_EPOCH = 2016.0
"""Epoch of the positions of Gaia DR3, in Julian years."""

DEFAULT_RADIUS = 1.0
"""Largest distance of a star from its position in the other table, in arcsec."""


@dataclass(frozen=True)
class Match:
    """The stars that were found.

    Parameters
    ----------
    stars : pandas.DataFrame
        Columns of the other table and, of those that it does not have, of the catalogue, one row
        a star; and `separation`, in arcsec, if it was found by position.
    by : str
        "source_id" or "position".
    radius : float or None
        Largest separation, in arcsec.
    moved : int
        Positions that were taken to the catalogue's epoch by their proper motion.
    ambiguous : int
        Rows of the other table with several stars of the catalogue within the radius, of which
        the nearest counts.
    shared : int
        Rows left out, since their star is nearer to another row.
    """

    stars: pd.DataFrame
    by: str
    radius: float | None = None
    moved: int = 0
    ambiguous: int = 0
    shared: int = 0


def by_identifier(others: pd.DataFrame, catalogue: pd.DataFrame) -> Match:
    """Return the stars with the same `source_id`.

    Parameters
    ----------
    others : pandas.DataFrame
        The other table, with `source_id`, each at most once.
    catalogue : pandas.DataFrame
        The catalogue.
    """
    own = ["source_id", *(name for name in catalogue if name not in others)]
    return Match(others.merge(catalogue[own], on="source_id"), "source_id")


def by_position(
    others: pd.DataFrame, catalogue: pd.DataFrame, radius: float, epoch: float
) -> Match:
    """Return the nearest stars within a radius.

    A position with a proper motion is first taken along its great circle to the epoch of the
    catalogue.

    Parameters
    ----------
    others : pandas.DataFrame
        The other table: `ra`, `dec` (degrees, ICRS) and, NaN where they are not known, `pmra`,
        `pmdec` (mas/yr, the first with cos δ) and `ref_epoch` (Julian years).
    catalogue : pandas.DataFrame
        The catalogue, with `ra` and `dec`.
    radius : float
        Largest separation, in arcsec.
    epoch : float
        Epoch of the catalogue's positions, in Julian years.

    Raises
    ------
    UserError
        If a proper motion has no epoch.
    """
    from astropy.coordinates import SkyCoord, search_around_sky
    from astropy.units import arcsec

    placed = catalogue.dropna(subset=["ra", "dec"]).reset_index(drop=True)
    known = others.dropna(subset=["ra", "dec"]).reset_index(drop=True)
    if placed.empty or known.empty:
        return Match(known.iloc[:0], "position", radius)
    theirs, moved = _at_epoch(known, epoch)
    ours = SkyCoord(placed["ra"].to_numpy(), placed["dec"].to_numpy(), unit="deg")
    row, star, separation, _ = search_around_sky(theirs, ours, radius * arcsec)
    pairs = pd.DataFrame({"row": row, "star": star, "separation": separation.arcsec})
    pairs = pairs.sort_values(["separation", "row"], kind="stable")
    nearest = pairs.drop_duplicates("row")
    found = nearest.drop_duplicates("star").sort_values("row")
    known = known.drop(columns="source_id", errors="ignore")  # of another release, it may be
    own = [name for name in placed if name not in known]
    stars = pd.concat(
        [
            known.iloc[found["row"]].reset_index(drop=True),
            placed[own].iloc[found["star"]].reset_index(drop=True),
            found["separation"].reset_index(drop=True),
        ],
        axis=1,
    )  # fmt: skip
    ambiguous = len(pairs) - len(pairs.drop_duplicates("row"))
    several = int((pairs["row"].value_counts() > 1).sum()) if ambiguous else 0
    return Match(stars, "position", radius, moved, several, len(nearest) - len(found))


def _at_epoch(stars: pd.DataFrame, epoch: float) -> tuple["SkyCoord", int]:
    """Return positions at an epoch, and how many of them have a proper motion."""
    from astropy.coordinates import SkyCoord
    from astropy.units import mas, rad

    at = SkyCoord(stars["ra"].to_numpy(), stars["dec"].to_numpy(), unit="deg")
    motion = stars[["pmra", "pmdec"]].to_numpy(np.float64)
    moving = np.isfinite(motion).all(axis=1)
    years = epoch - stars["ref_epoch"].to_numpy(np.float64)
    if np.isnan(years[moving]).any():
        raise UserError(
            "Some stars of the reference have a proper motion but no epoch; name the column of "
            "epochs by --column ref_epoch=NAME, or leave out --column pmra=… and pmdec=…."
        )
    east, north = np.where(moving[:, None], motion, 0.0).T
    length = np.hypot(east, north) * np.where(moving, years, 0.0)
    return at.directional_offset_by(np.arctan2(east, north) * rad, length * mas), int(moving.sum())
