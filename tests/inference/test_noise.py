"""The noise error is what another measurement of the same star changes."""

import numpy as np
import pandas as pd
import pytest

from rrl_batch.inference.model import open_model
from rrl_batch.sources.synthetic import simulate_stars
from rrl_batch.sources.synthetic.source import SimulatedLightCurves
from rrl_batch.survey.read import open_survey


@pytest.fixture(scope="module")
def model(run):
    return open_model(run.model)


def test_stars_that_are_measured_again_and_again_scatter_by_their_noise_errors(model):
    """Brute force: the simulator draws other noise for other seeds, and everything is done anew."""
    stars = simulate_stars(400, 11)
    stars = stars[stars["best_classification"] == "RRab"].iloc[:60]
    again = pd.concat(
        [model.predict(SimulatedLightCurves(seed)(stars, 0)) for seed in range(20, 45)]
    )
    good = again[(again["num_epochs_used"] >= 20) & again["feh"].notna()]
    by_star = good.groupby("source_id")
    enough = by_star.size() >= 20
    scatter, told = by_star["feh"].std()[enough], by_star["feh_noise_error"].median()[enough]
    assert enough.sum() > 25
    ratio = told / scatter
    assert 0.7 < ratio.median() < 1.4
    assert ratio.between(0.4, 2.5).mean() > 0.8
    assert np.corrcoef(np.log(told), np.log(scatter))[0, 1] > 0.6


def test_no_partitioning_changes_an_error(model, run):
    batch = next(iter(open_survey(run.survey).largest.batches()))
    whole = model.predict(batch)
    order = np.random.default_rng(0).permutation(len(batch))
    parts = [model.predict(batch.take(rows)) for rows in np.array_split(order, 3)]
    joined = pd.concat(parts).set_index("source_id").loc[whole["source_id"]]
    names = ["feh", "feh_noise_error", "feh_error", "feh_lo95", "feh_hi95"]
    pd.testing.assert_frame_equal(
        joined[names].reset_index(), whole[["source_id", *names]], check_exact=True
    )
