"""The parts of the sky are where they are said to be."""

import numpy as np
import pandas as pd
from astropy.coordinates import SkyCoord

from rrl_batch.report.regions import REGIONS, regions_of


def names_of(ra, dec):
    inside = regions_of(pd.DataFrame({"ra": [ra], "dec": [dec]}))
    return [name for name, rows in zip(REGIONS, inside, strict=True) if rows[0]]


def test_well_known_places():
    assert names_of(80.9, -69.8) == ["Large Magellanic Cloud"]
    assert names_of(13.2, -72.8) == ["Small Magellanic Cloud"]
    assert names_of(266.4, -29.0) == ["Low latitudes"]  # the Galactic centre
    assert names_of(283.8, -30.5) == ["Middle latitudes"]  # M 54, the core of Sagittarius
    # the North Galactic Pole is 13.5 degrees from the plane of the stream, on its leading arm
    assert names_of(192.9, 27.1) == ["High latitudes"]
    assert names_of(210.0, 55.0) == ["High latitudes", "Halo without Sagittarius"]
    assert names_of(np.nan, 10.0) == []


def test_the_cuts_are_those_of_astropy_in_latitude_and_distance_from_the_stream():
    rng = np.random.default_rng(1)
    stars = pd.DataFrame(
        {"ra": rng.uniform(0, 360, 3000), "dec": np.degrees(np.arcsin(rng.uniform(-1, 1, 3000)))}
    )
    found = dict(zip(REGIONS, regions_of(stars), strict=True))
    place = SkyCoord(stars["ra"], stars["dec"], unit="deg")
    cloud = found["Large Magellanic Cloud"] | found["Small Magellanic Cloud"]
    b = np.abs(place.galactic.b.deg)
    assert (found["Low latitudes"] == (~cloud & (b < 10))).all()
    assert (found["Middle latitudes"] == (~cloud & (b >= 10) & (b < 30))).all()
    # the pole of the stream as it was published, in Galactic coordinates
    pole = SkyCoord(273.8, -13.5, unit="deg", frame="galactic")
    stream = np.abs(90 - place.galactic.separation(pole).deg)
    sure = np.abs(stream - 15) > 0.1
    expected = ~cloud & (b >= 30) & (stream >= 15)
    assert (found["Halo without Sagittarius"] == expected)[sure].all()
