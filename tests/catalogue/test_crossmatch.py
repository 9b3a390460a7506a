"""Stars are found by position where they are at the catalogue's epoch, each once."""

import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import SkyCoord
from astropy.units import arcsec, deg

from rrl_batch.catalogue.crossmatch import by_identifier, by_position
from rrl_batch.errors import UserError


def _catalogue(n: int = 50) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    dec = np.rad2deg(np.arcsin(rng.uniform(-1, 1, n)))
    dec[:2] = 89.999, -89.9999  # where right ascension says little
    return pd.DataFrame(
        {
            "source_id": np.arange(n) + 2**60 + 1,
            "ra": rng.uniform(0, 360, n),
            "dec": dec,
            "feh": -1.5,
        }
    )


def _others(stars: pd.DataFrame, offset: float = 0.0, angle: float = 0.0) -> pd.DataFrame:
    """The same stars, each some arcsec away, under names of another table."""
    at = SkyCoord(stars["ra"].to_numpy(), stars["dec"].to_numpy(), unit="deg")
    moved = at.directional_offset_by(angle * deg, offset * arcsec)
    others = {"label": stars["source_id"], "ra": moved.ra.deg, "dec": moved.dec.deg}
    unknown = dict.fromkeys(("pmra", "pmdec", "ref_epoch"), np.nan)
    return pd.DataFrame(others).assign(**unknown)


@pytest.mark.parametrize(("offset", "found"), [(0.9, 50), (1.1, 0)])
def test_radius_is_that_on_the_sky_at_the_poles_too(offset: float, found: int) -> None:
    stars = _catalogue()
    match = by_position(_others(stars, offset, 70), stars, 1.0, 2016.0)
    assert len(match.stars) == found
    assert (match.stars["source_id"] == match.stars["label"]).all()
    assert match.stars["separation"].to_numpy() == pytest.approx(offset, rel=1e-5)


def test_positions_are_moved_to_the_epoch_of_the_catalogue() -> None:
    stars = _catalogue()
    others = _others(stars, -8.0, 30)  # 16 years before, of a motion of 0.5 arcsec a year
    speed = 500 * np.array([np.sin(np.pi / 6), np.cos(np.pi / 6)])
    assert by_position(others, stars, 1.0, 2016.0).stars.empty
    others = others.assign(pmra=speed[0], pmdec=speed[1], ref_epoch=2000.0)
    away_from_poles = others.iloc[2:]  # there a position angle turns along the way
    match = by_position(away_from_poles, stars, 0.05, 2016.0)
    assert len(match.stars) == match.moved == 48
    assert (match.stars["source_id"] == match.stars["label"]).all()
    assert by_position(away_from_poles, stars, 0.05, 2015.5).stars.empty


def test_a_motion_without_an_epoch_is_refused() -> None:
    stars = _catalogue()
    with pytest.raises(UserError, match="a proper motion but no epoch"):
        by_position(_others(stars).assign(pmra=1.0, pmdec=0.0), stars, 1.0, 2016.0)


def test_the_nearest_counts_and_no_star_twice() -> None:
    stars = _catalogue(10).iloc[2:]
    near = _others(stars, 0.2)
    far = _others(stars.iloc[:3], 0.6).assign(label=-1)
    double = stars.iloc[[5]].assign(source_id=7)
    double["dec"] += 0.5 / 3600
    match = by_position(pd.concat([far, near]), pd.concat([stars, double]), 1.0, 2016.0)
    assert (match.stars["label"] == match.stars["source_id"]).all()
    assert len(match.stars) == 8
    assert match.shared == 3
    assert match.ambiguous == 1


def test_unknown_positions_match_nothing() -> None:
    stars = _catalogue(5)
    others = _others(stars)
    others.loc[0, "ra"] = np.nan
    stars.loc[1, "dec"] = np.nan
    assert len(by_position(others, stars, 1.0, 2016.0).stars) == 3
    assert by_position(others.iloc[:1], stars, 1.0, 2016.0).stars.empty


def test_by_identifier_keeps_every_bit() -> None:
    stars = _catalogue()
    others = pd.DataFrame({"source_id": stars["source_id"] + 1, "feh_label": -1.0})
    match = by_identifier(others, stars)
    assert len(match.stars) == 49
    assert set(match.stars) == {"source_id", "feh_label", "ra", "dec", "feh"}
