"""The scanning law against astropy's Sun and against the transit times of real stars."""

import numpy as np
from astropy.coordinates import BarycentricMeanEcliptic, GeocentricTrueEcliptic, SkyCoord, get_sun
from astropy.time import Time

from rrl_batch.sources.synthetic import scanning


def test_longitude_of_the_sun() -> None:
    day = np.linspace(scanning.START, scanning.END, 40)
    time = Time(2455197.5 + day, format="jd", scale="tcb")
    expected = get_sun(time).transform_to(GeocentricTrueEcliptic(equinox=time)).lon.deg
    # The axis keeps its angle from the Sun of date; precession since J2000 (0.2 deg) is common.
    difference = np.degrees(scanning.solar_longitude(day)) - expected
    assert np.abs((difference + 180.0) % 360.0 - 180.0).max() < 0.05


def test_ecliptic_directions() -> None:
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0.0, 360.0, 100), rng.uniform(-90.0, 90.0, 100)
    sky = SkyCoord(ra, dec, unit="deg").transform_to(BarycentricMeanEcliptic())
    np.testing.assert_allclose(
        scanning.ecliptic_direction(ra, dec), sky.cartesian.xyz.value.T, atol=1e-6
    )


def test_axis_keeps_its_angle_from_the_sun_and_its_speed() -> None:
    axis = scanning.spin_axis()
    day = scanning.START + scanning.SPIN_PERIOD * np.arange(len(axis))
    longitude = scanning.solar_longitude(day)
    towards_sun = np.column_stack([np.cos(longitude), np.sin(longitude), np.zeros_like(day)])
    np.testing.assert_allclose(np.einsum("ij,ij->i", axis, towards_sun), np.sqrt(0.5), atol=1e-12)
    precessing = np.flatnonzero(day > 1700.0)
    moved = np.linalg.norm(np.diff(axis[precessing], axis=0), axis=1)
    ratio = moved / np.diff(longitude[precessing])
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=2e-3)
    full_turns = 365.25 / (day[-1] - 1735.0) * _turns_about_the_sun(axis, longitude, day > 1735.0)
    assert 5.7 < full_turns < 5.9


def _turns_about_the_sun(axis: np.ndarray, longitude: np.ndarray, used: np.ndarray) -> float:
    tangential = -np.sin(longitude) * axis[:, 0] + np.cos(longitude) * axis[:, 1]
    angle = np.unwrap(np.arctan2(axis[used, 2], tangential[used]))
    return float((angle[-1] - angle[0]) / (2.0 * np.pi))
