"""The change of the curve that a prediction is asked about is the one that epochs would make."""

import numpy as np
import pandas as pd
import pytest

from rrl_batch.contracts import STARS
from rrl_batch.inference.model import open_model
from rrl_batch.inference.sensitivity import N_PHASES, _fainter, bump, sensitivity
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.population_prior import PopulationPrior
from rrl_batch.lightcurve.prepare import measure, prepared
from rrl_batch.lightcurve.shape import SHAPE_COLUMNS
from rrl_batch.survey.read import open_survey

PERIOD = 0.55
N_EPOCHS = 600
NOISE = list(SHAPE_COLUMNS).index("log_noise")


def star(mag):
    """A star whose curve is known at all phases, without noise."""
    stars = pd.DataFrame(
        {"source_id": [1], "best_classification": ["RRab"], "period": [PERIOD], "epoch_g": [0.0]}
    ).reindex(columns=STARS.names)
    return LightCurveBatch(
        stars, np.array([0, N_EPOCHS]), PHASE * PERIOD, mag.astype(np.float32),
        np.full(N_EPOCHS, 0.001, np.float32), np.array([True]), np.array([False]),
    )  # fmt: skip


PHASE = np.arange(N_EPOCHS) / N_EPOCHS
ANGLE = 2 * np.pi * (PHASE - 0.2)
CURVE = 15 - 0.35 * (np.cos(ANGLE) + 0.45 * np.cos(2 * ANGLE + 0.3) + 0.25 * np.cos(3 * ANGLE))


@pytest.mark.parametrize("alignment", ["fourier", "rising"])
@pytest.mark.parametrize("smoothing", ["robust", "population"])
@pytest.mark.parametrize("phase", [0.0, 0.31, 0.85])
def test_a_bump_in_the_curve_is_that_in_the_epochs(alignment, smoothing, phase):
    priors = {"RRab": PopulationPrior.first("RRab")} if smoothing == "population" else None

    def input_of(mag, centre=np.nan):
        found = measure(star(mag), alignment, smoothing, 64, priors)
        changed = _fainter(found, np.array([centre]))
        return found, prepared(star(mag), changed, "smoothed", 64)

    measured, plain = input_of(CURVE)
    own_phase = measured.stars.phase - measured.curves.origin[0]
    _, expected = input_of(CURVE + bump(own_phase, np.array(phase)))
    _, found = input_of(CURVE, phase)
    # the phase 0 of a curve with a bump moves a little: compared is what does not depend on it
    for view in (spectrum_of, shape_of):
        change = np.abs(view(expected) - view(plain)).max()
        assert np.abs(view(found) - view(expected)).max() < 0.2 * change


def spectrum_of(stars):
    return np.abs(np.fft.rfft(stars.sequences[0, :, 0]))[1:10]


def shape_of(stars):
    return np.delete(stars.shape[0], NOISE)


@pytest.fixture(scope="module")
def stars(run):
    batch = next(open_survey(run.survey).partitions[0].batches())
    return batch.take(np.arange(6))


def test_it_is_the_derivative_of_what_the_model_predicts(run, stars):
    model = open_model(run.model)
    found = sensitivity(stars, model)
    feh = model.predict(stars)["feh"].to_numpy()
    assert found.shape == (6, N_PHASES)
    assert (np.isnan(found).all(axis=1) == np.isnan(feh)).all()
    assert np.isfinite(feh).any()
    # a constant changes nothing of a curve whose mean is subtracted
    known = np.isfinite(feh)
    assert np.abs(found[known].mean(axis=1)).max() < 0.05 * np.abs(found[known]).max()


def test_a_star_does_not_depend_on_its_company(run, stars):
    model = open_model(run.model)
    alone = sensitivity(stars.take(np.array([2])), model)
    np.testing.assert_allclose(alone[0], sensitivity(stars, model)[2], atol=1e-4)
    empty = stars.take(np.array([2])).without_epochs(np.array([True]))
    assert np.isnan(sensitivity(empty, model)).all()
