"""Extinction towards stars: of a dust map, of a function of positions, or as an archive has it."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rrl_batch.catalogue.distances.luminosity import ExtinctionLaw
from rrl_batch.contracts import Column, Contract
from rrl_batch.errors import UserError, first_line
from rrl_batch.sources.tables import SUFFIXES, read_table

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord

Floats = NDArray[np.float64]

NONE = "none"
"""How to say that there is no dust on the way."""

_F64 = pa.float64()

_TABLE = Contract(
    "extinction",
    (
        Column("source_id", pa.int64(), None, "meta.id;meta.main", "Identifier", nullable=False),
        Column("absorption_g", _F64, "mag", "phys.absorption", "Absorption in G", required=False),
        Column("absorption_g_error", _F64, "mag", "stat.error", "Its error", required=False),
        Column("ebv", _F64, "mag", "phot.color.excess", "Reddening E(B-V)", required=False),
        Column("ebv_error", _F64, "mag", "stat.error", "Its error", required=False),
    ),
)


class Absorption(NamedTuple):
    """Absorption in G towards some stars.

    Parameters
    ----------
    value, error : (n_stars,) float64 ndarray
        In mag; NaN where it is not known.
    """

    value: Floats
    error: Floats


Extinction = Callable[[pa.Table], Absorption]
"""From rows of the catalogue to the absorption of each."""


def extinction_of(source: str, law: ExtinctionLaw) -> Extinction:
    """Return what tells the absorption of stars.

    Parameters
    ----------
    source : str
        A table with `source_id` and `absorption_g` (as an archive has it) or `ebv`; a HEALPix map
        of E(B−V), NAME.fits; MODULE:FUNCTION, which takes an `astropy.coordinates.SkyCoord` and
        returns E(B−V), as the queries of `dustmaps` do (a class is called once for its query); or
        "none".
    law : ExtinctionLaw
        What makes an absorption of a reddening.

    Raises
    ------
    UserError
        If there is no such file or function, or it does not hold what it should.
    """
    if source == NONE:
        return lambda rows: Absorption(np.zeros(len(rows)), np.zeros(len(rows)))
    if source.lower().endswith((".fits", ".fits.gz")):
        return _by_position(_read_map(Path(source)), law, source)
    if source.lower().endswith(SUFFIXES):
        return _by_identifier(Path(source), law)
    return _by_position(_function(source), law, source)


def _by_identifier(path: Path, law: ExtinctionLaw) -> Extinction:
    table = _TABLE.conform(read_table(path), str(path)).to_pandas()
    if table[["absorption_g", "ebv"]].isna().all(axis=None):
        raise UserError(f"{path} has neither values of 'absorption_g' nor of 'ebv'.")
    if table["source_id"].duplicated().any():
        star = table.loc[table["source_id"].duplicated(), "source_id"].iloc[0]
        raise UserError(f"{path}: star {star} occurs in several rows of 'source_id'; keep one.")
    reddening = law.absorption_per_reddening * table["ebv"]
    error = law.absorption_per_reddening * table["ebv_error"]
    value = table["absorption_g"].fillna(reddening)
    error = table["absorption_g_error"].fillna(error).fillna(law.relative_error * value)
    known = table.assign(value=value, error=error).set_index("source_id")

    def absorption(rows: pa.Table) -> Absorption:
        found = known.reindex(rows["source_id"].to_numpy())
        return Absorption(found["value"].to_numpy(np.float64), found["error"].to_numpy(np.float64))

    return absorption


def _by_position(
    reddening: "Callable[[SkyCoord], Any]", law: ExtinctionLaw, name: str
) -> Extinction:
    def absorption(rows: pa.Table) -> Absorption:
        from astropy.coordinates import SkyCoord

        ra, dec = (rows[column].to_numpy() for column in ("ra", "dec"))
        placed = np.isfinite(ra) & np.isfinite(dec)
        value = np.full(len(rows), np.nan)
        if placed.any():
            found = np.asarray(reddening(SkyCoord(ra[placed], dec[placed], unit="deg")), np.float64)
            if found.shape != (placed.sum(),):
                raise UserError(
                    f"{name} returns values of the shape {found.shape} for {placed.sum()} "
                    f"positions; it must return one E(B-V) each."
                )
            value[placed] = law.absorption_per_reddening * found
        return Absorption(value, law.relative_error * value)

    return absorption


def _function(source: str) -> "Callable[[SkyCoord], Any]":
    module, colon, name = source.partition(":")
    if not (module and colon and name):
        raise UserError(
            f"'{source}' is neither a table ({', '.join(SUFFIXES)}) nor a map (.fits) nor "
            f"MODULE:FUNCTION nor '{NONE}'."
        )
    try:
        found = getattr(importlib.import_module(module), name)
        query = found() if isinstance(found, type) else found
    except Exception as error:  # what a module of the user's raises has no bounds
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise UserError(f"The function {source} cannot be had ({reason}).") from None
    if not callable(query):
        raise UserError(f"{source} is a {type(query).__name__}, not a function.")
    return query


def _read_map(path: Path) -> "Callable[[SkyCoord], Floats]":
    from astropy.io import fits

    try:
        with fits.open(path) as file:
            header, rows = file[1].header, file[1].data
            values = np.asarray(rows.field(0), np.float64).ravel()
            side, nested = int(header["NSIDE"]), header["ORDERING"].strip() == "NESTED"
            galactic = header.get("COORDSYS", "C").strip()[:1].upper() == "G"
    except Exception as error:  # what astropy raises of a damaged file has no bounds
        raise UserError(
            f"{path} cannot be read as a HEALPix map ({first_line(error)}); it needs a table with "
            f"the keywords NSIDE and ORDERING."
        ) from None
    if len(values) != 12 * side**2:
        raise UserError(f"{path} has {len(values)} pixels where NSIDE = {side} has {12 * side**2}.")

    def reddening(positions: "SkyCoord") -> Floats:
        from cdshealpix import nested as nested_scheme
        from cdshealpix import ring as ring_scheme

        at = positions.galactic if galactic else positions.icrs
        lon, lat = (at.l, at.b) if galactic else (at.ra, at.dec)
        if nested:
            pixel = nested_scheme.lonlat_to_healpix(lon, lat, int(np.log2(side)))
        else:
            pixel = ring_scheme.lonlat_to_healpix(lon, lat, side)
        return values[pixel]

    return reddening
