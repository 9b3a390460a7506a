"""Parts of the sky by simple cuts in position.

References
----------
Majewski et al. 2003, ApJ 599, 1082: the plane of the Sagittarius stream, whose pole is at
(l, b) = (273.8, -13.5) degrees.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

GALACTIC_POLE = (192.8595, 27.1283)
SAGITTARIUS_POLE = (303.63, 59.58)
LARGE_CLOUD, LARGE_CLOUD_RADIUS = (80.89, -69.76), 8.0
SMALL_CLOUD, SMALL_CLOUD_RADIUS = (13.19, -72.83), 4.0
"""ICRS right ascension and declination, and radius, in degrees."""

STREAM_DISTANCE = 15.0
"""From the plane of the stream, in degrees, beyond which its stars are few."""


REGIONS = {
    "Low latitudes": "|b| < 10°, outside of the Clouds",
    "Middle latitudes": "10° ≤ |b| < 30°, outside of the Clouds",
    "High latitudes": "|b| ≥ 30°, outside of the Clouds",
    "Halo without Sagittarius": "|b| ≥ 30°, outside of the Clouds, "
    f"{STREAM_DISTANCE:.0f}° and more from the plane of the stream",
    "Large Magellanic Cloud": f"within {LARGE_CLOUD_RADIUS:.0f}° of its centre",
    "Small Magellanic Cloud": f"within {SMALL_CLOUD_RADIUS:.0f}° of its centre",
}
"""What the parts are, and by what their stars are chosen."""


def regions_of(stars: pd.DataFrame) -> list[NDArray[np.bool_]]:
    """Return which stars are in each of `REGIONS`; one without a position is in none.

    Parameters
    ----------
    stars : pandas.DataFrame
        With `ra` and `dec`, in degrees.
    """
    latitude = np.abs(90 - _distance(stars, GALACTIC_POLE))
    stream = np.abs(90 - _distance(stars, SAGITTARIUS_POLE))
    large = _distance(stars, LARGE_CLOUD) <= LARGE_CLOUD_RADIUS
    small = _distance(stars, SMALL_CLOUD) <= SMALL_CLOUD_RADIUS
    field = ~large & ~small
    low, high = latitude < 10, latitude >= 30
    middle = ~low & (latitude < 30)
    away = stream >= STREAM_DISTANCE
    return [field & low, field & middle, field & high, field & high & away, large, small]


def _distance(stars: pd.DataFrame, centre: tuple[float, float]) -> Floats:
    """Return the distance of stars from a point of the sky, in degrees."""
    ra, dec = (np.radians(stars[name].to_numpy(np.float64)) for name in ("ra", "dec"))
    ra_0, dec_0 = np.radians(centre)
    cosine = np.sin(dec) * np.sin(dec_0) + np.cos(dec) * np.cos(dec_0) * np.cos(ra - ra_0)
    distance: Floats = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return distance
