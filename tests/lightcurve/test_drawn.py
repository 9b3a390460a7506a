"""Curves are drawn through the epochs, whatever phase 0 is."""

import numpy as np
import pytest

from rrl_batch.lightcurve.drawn import drawn_curves
from rrl_batch.lightcurve.population_prior import PopulationPrior
from rrl_batch.sources.synthetic import simulate_stars
from rrl_batch.sources.synthetic.source import SimulatedLightCurves

PRIORS = {mode: PopulationPrior.first(mode) for mode in ("RRab", "RRc")}


@pytest.fixture(scope="module")
def batch():
    return SimulatedLightCurves(4)(simulate_stars(40, 4), 0)


@pytest.mark.parametrize("alignment", ["fourier", "rising", "maximum"])
@pytest.mark.parametrize("smoothing", ["robust", "population"])
def test_epochs_scatter_about_the_curve_by_their_errors(batch, alignment, smoothing):
    priors = PRIORS if smoothing == "population" else None
    settings = {"dataset": "preprocessed", "alignment": alignment, "smoothing": smoothing,
                "points": 16, "priors": priors}  # fmt: skip
    pulls = []
    for curve in drawn_curves(batch, settings):
        if np.isfinite(curve.curve).all():
            assert (curve.error > 0).all()
            at = np.interp(
                curve.phase, np.append(curve.grid, 1), np.append(curve.curve, curve.curve[0])
            )
            pulls.append(np.median(np.abs(curve.mag - at) / curve.mag_error))
    assert len(pulls) > 25
    # two thirds if errors were all; the curve follows its epochs, and is not quite the true one
    assert 0.3 < np.median(pulls) < 1.2


def test_the_error_of_a_curve_is_larger_where_there_are_no_epochs(batch):
    rows = np.flatnonzero(batch.stars["best_classification"] == "RRab")[:1]
    star = batch.take(rows)
    settings = {"dataset": "preprocessed", "alignment": "fourier", "smoothing": "population",
                "points": 16, "priors": PRIORS}  # fmt: skip
    whole = drawn_curves(star, settings)[0]
    mag = star.mag.copy()
    mag[(whole.phase > 0.2) & (whole.phase < 0.6)] = np.nan
    gap = drawn_curves(type(star)(**{**vars(star), "mag": mag}), settings)[0]
    inside = (gap.grid > 0.35) & (gap.grid < 0.45)
    assert gap.error[inside].mean() > 3 * whole.error[inside].mean()
