"""HEALPix pixels as polygons of a map: Mollweide's projection of Galactic coordinates.

References
----------
Calabretta & Greisen (2002), A&A 395, 1077, Section 5.5.4.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrl_batch.storage.sky import Pixel

Floats = NDArray[np.float64]

_EDGE_ORDER = 5
"""Order from which the edges of a pixel are drawn as straight lines."""

_TO_POLE = 33
"""Corners on the way from the outline of a pixel to the pole inside."""

_DECIMALS = 4


class Polygons(NamedTuple):
    """Polygons of a map, of radius 2 in x and 1 in y.

    Attributes
    ----------
    xs, ys : list of list of float
        Corners of each polygon.
    pixel : list of int
        Which pixel it belongs to: one that lies across the edge of the map has two.
    """

    xs: list[list[float]]
    ys: list[list[float]]
    pixel: list[int]


def mollweide(longitude: Floats, latitude: Floats) -> tuple[Floats, Floats]:
    """Project positions on the map, longitude to the left.

    Parameters
    ----------
    longitude, latitude : ndarray
        In degrees, longitude from -180 to 180.

    Returns
    -------
    x, y : ndarray
        From -2 to 2 and from -1 to 1.
    """
    theta = np.linspace(-np.pi / 2, np.pi / 2, 4001)
    sine = (2 * theta + np.sin(2 * theta)) / np.pi
    angle = np.interp(np.sin(np.radians(latitude)), sine, theta)
    return -longitude / 90 * np.cos(angle), np.sin(angle)


@lru_cache(maxsize=8)
def polygons(pixels: tuple[Pixel, ...]) -> Polygons:
    """Return the polygons of HEALPix pixels in equatorial coordinates, on the Galactic map.

    Parameters
    ----------
    pixels : tuple of Pixel
        Pixels of any orders.
    """
    found = Polygons([], [], [])
    for order in sorted({pixel.order for pixel in pixels}):
        numbers = [i for i, pixel in enumerate(pixels) if pixel.order == order]
        corners = _corners(order, [pixels[i].pixel for i in numbers])
        for i, longitude, latitude in zip(numbers, *corners, strict=True):
            for part in _on_the_map(longitude, latitude):
                x, y = mollweide(*part)
                found.xs.append(x.round(_DECIMALS).tolist())
                found.ys.append(y.round(_DECIMALS).tolist())
                found.pixel.append(i)
    return found


def _corners(order: int, pixels: Sequence[int]) -> tuple[Floats, Floats]:
    """Return Galactic longitudes and latitudes along the edges of pixels, in degrees."""
    from astropy.coordinates import SkyCoord
    from cdshealpix.nested import vertices

    steps = 2 ** max(0, _EDGE_ORDER - order)
    ra, dec = vertices(np.array(pixels, np.uint64), order, step=steps)
    galactic = SkyCoord(ra, dec, frame="icrs").galactic
    return galactic.l.wrap_at("180d").deg, galactic.b.deg


def _on_the_map(longitude: Floats, latitude: Floats) -> Iterator[tuple[Floats, Floats]]:
    """Yield the parts of a pixel that the edge of the map, at longitude 180 degrees, leaves."""
    longitude = np.unwrap(longitude, period=360)
    around = longitude[0] - longitude[-1]
    if abs(around) > 180:  # a pole is inside, and the outline goes around it once
        end = longitude[0] - 360 * np.sign(around)
        up = np.linspace(latitude[0], 90 * np.sign(latitude.mean()), _TO_POLE)
        start = np.full(_TO_POLE, longitude[0])
        longitude = np.concatenate([longitude, np.full(_TO_POLE, end), start])
        latitude = np.concatenate([latitude, up, up[::-1]])
    for turn in (-360, 0, 360):
        part = longitude + turn
        if part.min() < 180 and part.max() > -180:
            yield part.clip(-180, 180), latitude
