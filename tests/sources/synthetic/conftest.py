"""A simulated survey shared by the tests of the simulator."""

import pandas as pd
import pytest

from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.sources.synthetic import LightCurves, simulate_light_curves, simulate_stars
from rrl_batch.sources.synthetic.source import SimulatedLightCurves

SEED = 7


@pytest.fixture(scope="session")
def stars() -> pd.DataFrame:
    """12,000 simulated stars."""
    return simulate_stars(12_000, SEED)


@pytest.fixture(scope="session")
def light_curves(stars: pd.DataFrame) -> LightCurves:
    """Light curves of the 12,000 stars."""
    return simulate_light_curves(stars, SEED)


@pytest.fixture(scope="session")
def survey(stars: pd.DataFrame) -> LightCurveBatch:
    """The 12,000 stars as a survey has them."""
    return SimulatedLightCurves(SEED)(stars, 0)
