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

_POSSIBLE = (-1.0, 100.0)
"""Reddenings and absorptions in mag, the noise of small ones allowed for; beyond them a value is a
mark for "no value", such as the -1.6375e30 of HEALPix maps, or an error."""

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
    values, errors = ["absorption_g", "ebv"], ["absorption_g_error", "ebv_error"]
    table[values] = table[values].where((table[values] >= _POSSIBLE[0])
                                        & (table[values] <= _POSSIBLE[1]))  # fmt: skip
    table[errors] = table[errors].where((table[errors] >= 0) & (table[errors] <= _POSSIBLE[1]))
    if table[values].isna().all(axis=None):
        raise UserError(f"{path} has neither values of 'absorption_g' nor of 'ebv', in mag.")
    if table["source_id"].duplicated().any():
        star = table.loc[table["source_id"].duplicated(), "source_id"].iloc[0]
        raise UserError(f"{path}: star {star} occurs in several rows of 'source_id'; keep one.")
    reddening = law.absorption_per_reddening * table["ebv"]
    error = law.absorption_per_reddening * table["ebv_error"]
    value = table["absorption_g"].fillna(reddening)
    error = table["absorption_g_error"].fillna(error).fillna(law.relative_error * value.abs())
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
            at = SkyCoord(ra[placed], dec[placed], unit="deg")
            try:
                found = np.asarray(reddening(at), np.float64)
            except Exception as error:  # what a function of the user's raises has no bounds
                reason = f"{type(error).__name__}: {first_line(error)}"
                raise UserError(f"{name} does not tell the extinction ({reason}).") from error
            if found.shape != (placed.sum(),):
                raise UserError(
                    f"{name} returns values of the shape {found.shape} for {placed.sum()} "
                    f"positions; it must return one E(B-V) each."
                )
            known = (found >= _POSSIBLE[0]) & (found <= _POSSIBLE[1])
            value[placed] = law.absorption_per_reddening * np.where(known, found, np.nan)
        return Absorption(value, law.relative_error * np.abs(value))

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

    if not path.is_file():
        raise UserError(f"There is no file {path}.")
    try:
        with fits.open(path) as file:
            header, rows = file[1].header, file[1].data
            column = _column_of_reddening(list(rows.names), path)
            values = np.asarray(rows.field(column), np.float64).ravel()
            side = int(header["NSIDE"])
            order, frame = (
                str(header.get(key, default)).strip().upper()
                for key, default in (("ORDERING", ""), ("COORDSYS", "C"))
            )
            explicit = str(header.get("INDXSCHM", "")).strip().upper() == "EXPLICIT"
    except UserError:
        raise
    except Exception as error:  # what astropy raises of a damaged file has no bounds
        raise UserError(
            f"{path} cannot be read as a HEALPix map ({first_line(error)}); it needs a table with "
            f"the keywords NSIDE and ORDERING."
        ) from None
    if explicit or len(values) != 12 * side**2:
        raise UserError(
            f"{path} has {len(values)} pixels{' with their numbers' if explicit else ''}, where "
            f"NSIDE = {side} has {12 * side**2} in order; give a map of the whole sky."
        )
    if order not in ("NESTED", "RING") or (order == "NESTED" and side & (side - 1)):
        raise UserError(
            f"{path} has ORDERING = '{order}' and NSIDE = {side}; it must be RING, or NESTED with "
            f"a power of two."
        )
    if frame[:1] not in ("G", "C"):
        raise UserError(
            f"{path} has COORDSYS = '{frame}'; a map is in Galactic (G) or equatorial (C) "
            f"coordinates."
        )
    nested, galactic = order == "NESTED", frame[:1] == "G"

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


def _column_of_reddening(names: list[str], path: Path) -> str:
    """Return the column of E(B−V): the only one, or the one of several that is called so."""
    if len(names) == 1:
        return names[0]
    called = [name for name in names if name.strip().upper() in ("EBV", "E(B-V)", "E_BV")]
    if len(called) != 1:
        raise UserError(
            f"{path} has the columns {', '.join(names)}; it is not known which has E(B-V): call "
            f"one of them EBV, or give a map with no other."
        )
    return called[0]
