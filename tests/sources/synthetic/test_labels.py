"""Labels of simulated stars: the truth, and a relation in the measured period and phi31."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrl_batch.contracts import LABELS
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.models.baseline import LinearBaseline
from rrl_batch.sources.synthetic.labels import (
    MEASURED,
    PHOTOMETRIC,
    RELATIONS,
    TRUE,
    make_labels,
)


@pytest.fixture(scope="module")
def labels(stars: pd.DataFrame, survey: LightCurveBatch) -> pd.DataFrame:
    table = make_labels(stars, pa.Table.from_pandas(survey.stars[MEASURED], preserve_index=False))
    assert table.schema.names == LABELS.names
    assert b"SYNTHETIC" in table.schema.metadata[b"description"]
    return table.to_pandas()


def test_every_star_has_its_true_metallicity(labels: pd.DataFrame, stars: pd.DataFrame) -> None:
    true = labels[labels["scale"] == TRUE].set_index("source_id")
    assert true.index.is_unique
    np.testing.assert_array_equal(true["feh"].loc[stars["source_id"]], stars["feh"])
    assert true["feh_error"].isna().all()


def test_stars_with_a_relation_and_a_phi31_have_a_photometric_one(
    labels: pd.DataFrame, survey: LightCurveBatch
) -> None:
    can_have = survey.stars["best_classification"].isin(list(RELATIONS))
    can_have &= survey.stars["phi31_g"].notna()
    photometric = labels[labels["scale"] == PHOTOMETRIC]
    assert photometric["source_id"].is_unique
    assert set(photometric["source_id"]) == set(survey.stars.loc[can_have, "source_id"])
    assert np.isfinite(photometric[["feh", "feh_error"]]).all(axis=None)


@pytest.mark.parametrize("mode", RELATIONS)
def test_relation_is_the_one_that_the_simulated_stars_follow(
    labels: pd.DataFrame, stars: pd.DataFrame, survey: LightCurveBatch, mode: str
) -> None:
    limit = 0.1 if mode == "RRab" else 0.3  # few RRc have a phi31 to 0.1 rad
    good = survey.stars["best_classification"] == mode
    good &= (survey.stars["num_clean_epochs_g"] >= 50) & (survey.stars["phi31_g_error"] <= limit)
    measured = survey.stars[good]
    true = stars["feh"][good.to_numpy()]
    photometric = labels[labels["scale"] == PHOTOMETRIC].set_index("source_id")
    relation = photometric.loc[measured["source_id"], "feh"].to_numpy()
    fit = LinearBaseline.fit(measured["period"], measured["phi31_g"], true)
    fitted = fit.predict(measured["period"], measured["phi31_g"])
    assert len(measured) > 400
    assert np.sqrt(np.mean((fitted - relation) ** 2)) < 0.05
    assert np.std(true - relation) == pytest.approx(RELATIONS[mode].scatter, rel=0.1)


def test_error_holds_those_of_phi31_and_of_the_relation(
    labels: pd.DataFrame, survey: LightCurveBatch
) -> None:
    joined = labels[labels["scale"] == PHOTOMETRIC].merge(survey.stars, on="source_id")
    for mode, relation in RELATIONS.items():
        of_mode = joined[joined["best_classification"] == mode]
        variance = relation.scatter**2 + (relation.phi31_slope * of_mode["phi31_g_error"]) ** 2
        np.testing.assert_allclose(of_mode["feh_error"] ** 2, variance, rtol=1e-5)


@given(turns=st.integers(-3, 3), offset=st.floats(-3.1, 3.1), mode=st.sampled_from(list(RELATIONS)))
def test_whole_turns_of_phi31_change_nothing(turns: int, offset: float, mode: str) -> None:
    relation = RELATIONS[mode]
    phi31 = np.array([relation.phi31 + offset + 2 * np.pi * turns])
    feh = relation.feh(np.array([relation.period]), phi31)
    assert feh[0] == pytest.approx(relation.intercept + relation.phi31_slope * offset)
