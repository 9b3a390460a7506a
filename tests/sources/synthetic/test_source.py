"""The simulator as a source: what the star table says of phi31 is what the light curves show."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rrl_batch.contracts import STARS
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.sources.synthetic import LightCurves, photometry
from rrl_batch.sources.synthetic.source import SimulatedLightCurves


def _turned(angle: np.ndarray) -> np.ndarray:
    return np.remainder(angle + np.pi, 2 * np.pi) - np.pi


def test_survey_has_the_contract_columns_and_the_light_curves(
    stars: pd.DataFrame, light_curves: LightCurves, survey: LightCurveBatch
) -> None:
    assert list(survey.stars) == STARS.names
    np.testing.assert_array_equal(survey.stars["source_id"], stars["source_id"])
    np.testing.assert_array_equal(survey.mag, light_curves.mag)


def test_phi31_does_not_depend_on_the_stars_beside(
    stars: pd.DataFrame, survey: LightCurveBatch
) -> None:
    part = SimulatedLightCurves(7)(stars.iloc[4_000:4_100], 3).stars
    pd.testing.assert_frame_equal(part, survey.stars.iloc[4_000:4_100])


@pytest.mark.parametrize(("mode", "bias"), [("RRab", 0.02), ("RRc", 0.05)])
def test_phi31_scatters_about_that_of_the_curve_by_its_error(
    stars: pd.DataFrame, survey: LightCurveBatch, mode: str, bias: float
) -> None:
    steady = (stars["best_classification"] == mode) & (stars["sim_blazhko_depth"] == 0)
    rows = (steady & (survey.stars["phi31_g_error"] < 0.3)).to_numpy()
    truth = photometry.fourier_series(stars[rows]).phase[:, 2]
    deviation = _turned(survey.stars["phi31_g"].to_numpy()[rows] - truth)
    pull = deviation / survey.stars["phi31_g_error"].to_numpy()[rows]
    assert rows.sum() > 500
    assert abs(np.median(deviation)) < bias
    assert 0.8 < np.diff(np.quantile(pull, [0.1587, 0.8413]))[0] / 2 < 1.2


def test_phi31_error_grows_with_magnitude(survey: LightCurveBatch) -> None:
    rrab = survey.stars[survey.stars["best_classification"] == "RRab"]
    bright = rrab.loc[rrab["int_average_g"] < 16.5, "phi31_g_error"].median()
    faint = rrab.loc[rrab["int_average_g"] > 19.0, "phi31_g_error"].median()
    assert 0.01 < bright < 0.1
    assert faint > 1.5 * bright


# As for the other columns (test_stars.py): the two real samples differ by half of these tolerances.
@pytest.mark.parametrize(("mode", "tolerance"), [("RRab", 0.15), ("RRc", 0.35)])
def test_distribution_of_phi31_is_near_the_real_one(
    shared_data: Path, survey: LightCurveBatch, mode: str, tolerance: float
) -> None:
    real = pd.read_parquet(shared_data / "gaia_dr3/stars.parquet")
    real = real[real["period_reliable"] & (real["num_clean_epochs_g"] >= 25)]
    ours = survey.stars[survey.stars["phi31_g_error"] < 0.3]
    theirs, found = (
        np.quantile(table.loc[table["best_classification"] == mode, "phi31_g"], [0.16, 0.5, 0.84])
        for table in (real, ours)
    )
    assert np.abs(found - theirs).max() < tolerance
