"""Positions of the components on the sky and in distance."""

import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import SkyCoord

from rrl_batch.sources.synthetic import sky


def _draw(component: str) -> tuple[sky.Positions, SkyCoord]:
    positions = sky.draw_positions(component, 4_000, np.random.default_rng(1))
    return positions, SkyCoord(positions.ra, positions.dec, unit="deg")


@pytest.mark.parametrize(
    ("component", "ra", "dec", "distance", "radius"),
    [("lmc", 80.9, -69.8, 49.6, 6.0), ("smc", 13.2, -72.8, 62.4, 4.0)],
)
def test_clouds(component: str, ra: float, dec: float, distance: float, radius: float) -> None:
    positions, coordinates = _draw(component)
    separation = coordinates.separation(SkyCoord(ra, dec, unit="deg")).deg
    assert np.median(separation) < radius
    assert abs(np.median(positions.distance) / distance - 1.0) < 0.02
    direction = coordinates.cartesian.xyz.value.mean(axis=1)
    centre = SkyCoord(*direction, representation_type="cartesian")
    assert centre.separation(SkyCoord(ra, dec, unit="deg")).deg < 0.3


def test_bulge_surrounds_the_centre() -> None:
    positions, coordinates = _draw("bulge")
    centre = SkyCoord(0.0, 0.0, unit="deg", frame="galactic")
    assert np.quantile(coordinates.separation(centre).deg, 0.99) < 35.0
    assert abs(np.median(positions.distance) - sky.SUN_TO_CENTRE) < 0.2


def test_halo_covers_the_sky_and_is_flattened() -> None:
    positions, coordinates = _draw("halo")
    galactic = coordinates.galactic
    octant = (galactic.l.deg // 90).astype(int) * 2 + (galactic.b.deg > 0)
    assert np.bincount(octant, minlength=8).min() > 100
    _, y, z = galactic.cartesian.xyz.value * positions.distance
    assert np.std(z) < 0.9 * np.std(y)


def test_sagittarius_lies_along_its_great_circle() -> None:
    positions, coordinates = _draw("sgr")
    pole = SkyCoord(303.63, 59.58, unit="deg")
    latitude = 90.0 - coordinates.separation(pole).deg
    assert np.quantile(np.abs(latitude), 0.95) < 9.0
    core = coordinates.separation(SkyCoord(283.83, -30.55, unit="deg")).deg < 6.0
    assert 0.3 < core.mean() < 0.45
    # The leading arm comes down from its apocentre at 50 kpc over the north Galactic cap.
    galactic = coordinates.galactic
    assert 44.0 < np.quantile(positions.distance[galactic.b.deg > 50.0], 0.9) < 55.0
    assert np.median(positions.distance[galactic.b.deg < -50.0]) < 35.0


def test_extinction_is_small_at_the_poles_and_large_in_the_plane() -> None:
    towards = SkyCoord([0.0, 0.0, 0.0, 0.0], [90.0, 30.0, 5.0, 0.0], frame="galactic", unit="deg")
    positions = sky.Positions(towards.icrs.ra.deg, towards.icrs.dec.deg, np.full(4, 8.0))
    absorbed = sky.extinction(positions)
    assert 0.05 < absorbed[0] < 0.12
    assert 0.1 < absorbed[1] < 0.4
    assert 0.7 < absorbed[2] < 2.0
    assert absorbed[3] > 10.0


def test_components_and_magnitudes_of_the_survey(stars: pd.DataFrame) -> None:
    share = stars["component"].value_counts(normalize=True)
    for component, expected in sky.FRACTIONS.items():
        assert abs(share[component] - expected) < 2e-4
    magnitude = stars.groupby("component")["int_average_g"].median()
    assert 15.0 < magnitude["bulge"] < 17.0
    assert 18.9 < magnitude["lmc"] < 19.5
    assert 19.4 < magnitude["smc"] < 19.9
    assert stars["int_average_g"].max() < 21.0
    assert stars["int_average_g"].min() > 6.5
