"""Where the stars are: space densities of halo, bulge, Magellanic Clouds and Sagittarius."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

FRACTIONS = {"halo": 0.560, "bulge": 0.240, "lmc": 0.116, "smc": 0.018, "sgr": 0.066}
"""Share of each component among the observed stars.

Rounded; about 12 % and 2 % of the RR Lyrae stars of Gaia DR3 lie in the Large and the Small Cloud
(Clementini et al. 2023, A&A 674, A18), the others are estimates.
"""

SUN_TO_CENTRE = 8.2
"""Distance of the Sun from the Galactic centre in kpc."""

# Distances in kpc along the orbital plane of Sagittarius, by angle from its core in degrees,
# negative along the leading arm: apocentres as in Belokurov et al. 2014, MNRAS 437, 116, and
# Hernitschek et al. 2017, ApJ 850, 96.
_STREAM_ANGLE = (-165.0, -140.0, -115.0, -90.0, -70.0, -35.0, 0.0, 40.0, 80.0, 110.0, 140.0,
                 165.0, 190.0)  # fmt: skip
_STREAM_DISTANCE = (18.0, 22.0, 30.0, 42.0, 49.0, 38.0, 26.5, 24.0, 27.0, 33.0, 48.0, 72.0, 96.0)
_STREAM_WIDTH, _STREAM_DEPTH = np.radians(3.5), 0.08
_CORE_SHARE = 0.35
_POLE_SAGITTARIUS = (303.63, 59.58)

# Exponential dust disc: extinction in G per kpc at the Sun, scale length and height in kpc.
_DUST, _DUST_LENGTH, _DUST_HEIGHT = 0.8, 3.0, 0.10


class Positions(NamedTuple):
    """Positions in space: ICRS right ascension and declination in degrees, distance in kpc."""

    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    distance: NDArray[np.float64]


def draw_positions(component: str, n: int, rng: Generator) -> Positions:
    """Draw positions from the space density of one component.

    Parameters
    ----------
    component : str
        A key of `FRACTIONS`.
    n : int
        Number of stars.
    rng : numpy.random.Generator

    Returns
    -------
    Positions
    """
    return _DENSITIES[component](n, rng)


def extinction(positions: Positions) -> NDArray[np.float64]:
    """Integrate the extinction in G towards each star through an exponential disc of dust.

    Parameters
    ----------
    positions : Positions

    Returns
    -------
    (n,) float64
        In magnitudes.
    """
    from astropy.coordinates import SkyCoord

    galactic = SkyCoord(positions.ra, positions.dec, unit="deg").galactic.cartesian.xyz.value
    node, weight = np.polynomial.legendre.leggauss(24)
    total = np.zeros_like(positions.distance)
    for fraction, share in zip((1.0 + node) / 2.0, weight / 2.0, strict=True):
        # Nodes crowd towards the Sun, where the dust is.
        x, y, z = galactic * positions.distance * fraction**3
        radius = np.hypot(SUN_TO_CENTRE - x, y)
        density = np.exp((SUN_TO_CENTRE - radius) / _DUST_LENGTH - np.abs(z) / _DUST_HEIGHT)
        total += share * 3.0 * fraction**2 * density
    return _DUST * positions.distance * total


def _directions(n: int, rng: Generator) -> NDArray[np.float64]:
    vector = rng.standard_normal((n, 3))
    return np.asarray(vector / np.linalg.norm(vector, axis=1)[:, None])


def _from_galactic(xyz: NDArray[np.float64]) -> Positions:
    """Positions of heliocentric Galactic Cartesian coordinates in kpc."""
    from astropy import units
    from astropy.coordinates import Galactic, SkyCoord

    sky = SkyCoord(*xyz.T, unit=units.kpc, frame=Galactic, representation_type="cartesian").icrs
    return Positions(
        *(np.asarray(v) for v in (sky.ra.deg, sky.dec.deg, sky.distance.to_value("kpc")))
    )


def _spheroid(
    n: int,
    rng: Generator,
    slopes: tuple[float, float],
    radii: tuple[float, float, float],
    axes: tuple[float, float, float],
) -> Positions:
    """Broken power law in the elliptical radius about the Galactic centre."""
    inner, break_radius, outer = radii
    radius = np.geomspace(inner, outer, 1_000)
    slope = np.where(radius < break_radius, slopes[0], slopes[1])
    mass = np.cumsum(radius**3 * (radius / break_radius) ** -slope)
    drawn = np.interp(rng.random(n), mass / mass[-1], radius)
    xyz = drawn[:, None] * _directions(n, rng) * np.array(axes)
    return _from_galactic(xyz + np.array([SUN_TO_CENTRE, 0.0, 0.0]))


def _halo(n: int, rng: Generator) -> Positions:
    """Flattened halo, steeper beyond 28 kpc (e.g. Hernitschek et al. 2018, ApJ 859, 31)."""
    return _spheroid(n, rng, (2.7, 4.5), (1.0, 28.0, 150.0), (1.0, 1.0, 0.75))


def _bulge(n: int, rng: Generator) -> Positions:
    """Inner spheroid of slope -3 (Pietrukowicz et al. 2015, ApJ 811, 113), axes unrotated."""
    return _spheroid(n, rng, (2.0, 3.0), (0.1, 0.8, 4.0), (1.0, 0.8, 0.7))


def _plummer(
    n: int, rng: Generator, ra: float, dec: float, distance: float, scale: float
) -> Positions:
    """Plummer sphere about a centre (degrees, kpc), cut at six scale radii."""
    from astropy.coordinates import SkyCoord

    cut = (1.0 + 6.0**-2) ** -1.5
    radius = scale / np.sqrt((cut * rng.random(n)) ** (-2.0 / 3.0) - 1.0)
    centre = distance * SkyCoord(ra, dec, unit="deg").galactic.cartesian.xyz.value
    return _from_galactic(radius[:, None] * _directions(n, rng) + centre)


def _lmc(n: int, rng: Generator) -> Positions:
    return _plummer(n, rng, 80.9, -69.8, 49.6, 2.4)


def _smc(n: int, rng: Generator) -> Positions:
    return _plummer(n, rng, 13.2, -72.8, 62.4, 1.9)


def _sagittarius(n: int, rng: Generator) -> Positions:
    """Core and both arms of the stream, in the plane of its orbit."""
    from astropy.coordinates import SkyCoord

    n_core = int(_CORE_SHARE * n)
    core = _plummer(n_core, rng, 283.83, -30.55, 26.5, 0.9)
    angle = rng.uniform(_STREAM_ANGLE[0], _STREAM_ANGLE[-1], n - n_core)
    distance = np.interp(angle, _STREAM_ANGLE, _STREAM_DISTANCE)
    distance *= 1.0 + _STREAM_DEPTH * rng.standard_normal(len(angle))
    latitude = _STREAM_WIDTH * rng.standard_normal(len(angle))

    pole = SkyCoord(*_POLE_SAGITTARIUS, unit="deg").cartesian.xyz.value
    towards_core = SkyCoord(283.83, -30.55, unit="deg").cartesian.xyz.value
    towards_core -= pole * (pole @ towards_core)
    towards_core /= np.linalg.norm(towards_core)
    angle = np.radians(angle)
    in_plane = np.outer(np.cos(angle), towards_core)
    in_plane += np.outer(np.sin(angle), np.cross(pole, towards_core))
    xyz = in_plane * np.cos(latitude)[:, None] + np.outer(np.sin(latitude), pole)
    ra = np.degrees(np.arctan2(xyz[:, 1], xyz[:, 0])) % 360.0
    dec = np.degrees(np.arcsin(xyz[:, 2]))
    order = rng.permutation(n)
    return Positions(
        np.concatenate([core.ra, ra])[order],
        np.concatenate([core.dec, dec])[order],
        np.concatenate([core.distance, distance])[order],
    )


_DENSITIES: dict[str, Callable[[int, Generator], Positions]] = {
    "halo": _halo,
    "bulge": _bulge,
    "lmc": _lmc,
    "smc": _smc,
    "sgr": _sagittarius,
}
