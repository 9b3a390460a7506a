"""HEALPix pixels on the map, against the sphere and against WCS."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from rrl_batch.report.projection import mollweide, polygons
from rrl_batch.storage.sky import Pixel


def area(x, y):
    """Area within a polygon."""
    x, y = np.array(x), np.array(y)
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2


def test_positions_are_where_wcs_has_them():
    longitude, latitude = (grid.ravel() for grid in np.mgrid[-180:180:13j, -89:89:21j])
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["GLON-MOL", "GLAT-MOL"]
    wcs.wcs.cdelt = [-1, 1]
    expected = wcs.wcs_world2pix(longitude, latitude, 0)
    unit = np.degrees(np.sqrt(2))
    x, y = mollweide(longitude, latitude)
    assert x == pytest.approx((expected[0] - wcs.wcs.crpix[0] + 1) / unit, abs=1e-4)
    assert y == pytest.approx((expected[1] - wcs.wcs.crpix[1] + 1) / unit, abs=1e-4)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_every_pixel_has_its_area_wherever_it_is(order):
    # the projection and HEALPix both keep areas
    n_pixels = 12 * 4**order
    shapes = polygons(tuple(Pixel(order, i) for i in range(n_pixels)))
    areas = np.bincount(
        shapes.pixel, [area(x, y) for x, y in zip(shapes.xs, shapes.ys, strict=True)], n_pixels
    )
    assert areas.sum() == pytest.approx(2 * np.pi, rel=2e-3)
    assert areas == pytest.approx(2 * np.pi / n_pixels, rel=0.06)


@given(st.integers(0, 4), st.integers(0, 10**6))
def test_the_centre_of_a_pixel_is_within_its_polygon(order, number):
    from cdshealpix.nested import healpix_to_lonlat
    from matplotlib.path import Path

    pixel = Pixel(order, number % (12 * 4**order))
    ra, dec = healpix_to_lonlat(np.array([pixel.pixel], np.uint64), order)
    centre = SkyCoord(ra, dec, frame="icrs").galactic
    point = np.concatenate(mollweide(centre.l.wrap_at("180d").deg, centre.b.deg))
    shapes = polygons((pixel,))
    assert set(shapes.pixel) == {0}
    assert any(
        Path(np.transpose([x, y])).contains_point(point, radius=1e-3)
        or Path(np.transpose([x, y])).contains_point(point, radius=-1e-3)
        for x, y in zip(shapes.xs, shapes.ys, strict=True)
    )


def test_pixels_of_several_orders_keep_their_numbers():
    pixels = Pixel(3, 5), Pixel(0, 7), Pixel(3, 6)
    together = polygons(pixels)
    for i, pixel in enumerate(pixels):
        own = [x for x, number in zip(together.xs, together.pixel, strict=True) if number == i]
        assert own == polygons((pixel,)).xs
