"""Population smoothing through the whole pipeline: priors from the survey, kept by the model."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from rrl_batch import flow
from rrl_batch.catalogue.verify import read_catalogue, verify
from rrl_batch.contracts import Flag
from rrl_batch.contracts.flags import NO_METALLICITY
from rrl_batch.errors import UserError
from rrl_batch.job import make_job
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.folded import folded
from rrl_batch.lightcurve.population import ITERATIONS, FoldedCurves, Noise, statistics, update
from rrl_batch.lightcurve.population_prior import PopulationPrior
from rrl_batch.lightcurve.prepare import prepare
from rrl_batch.models.folder import ModelCard, preparation
from rrl_batch.sources.tables import read_labels
from rrl_batch.stages import population
from rrl_batch.survey.read import open_survey

PRIOR = "population_RRab.json"
ARRAYS = ("mean", "covariance", "relative_variance")


@pytest.fixture(scope="module")
def survey(run):
    return open_survey(run.survey)


@pytest.fixture(scope="module")
def smoothed(client, run, survey, tmp_path_factory):
    """A model of stars that are smoothed by their population, and its catalogue."""
    root = tmp_path_factory.mktemp("smoothed")
    changed = {"points": 16, "smoothing": "population", "alignment": "rising"}
    content = {"preprocess": changed, "training": run.job.training.model_dump()}
    job = make_job(content | {"model": {"architecture": "ridge"}}, "test")
    flow.train(client, survey, read_labels(run.labels, "true"), root / "model", job)
    flow.predict(client, survey, root / "model", root / "catalogue")
    return root


def batches(survey):
    return [batch for piece in survey.partitions for batch in piece.batches()]


def test_every_star_has_a_row_and_every_star_of_the_mode_a_metallicity(survey, smoothed):
    stars = read_catalogue(smoothed / "catalogue")
    assert verify(smoothed / "catalogue").faults == []
    assert stars["source_id"].is_unique
    ids = pd.concat([batch.stars["source_id"] for batch in batches(survey)])
    assert set(stars["source_id"]) == set(ids)
    other = (stars["flags"] & int(Flag.OTHER_MODE)) != 0
    assert (other == (stars["best_classification"] != "RRab")).all()
    assert (stars["feh"].isna() == ((stars["flags"] & int(NO_METALLICITY)) != 0)).all()
    assert not (stars["flags"][other] & int(Flag.SMOOTHING_FAILED)).any()
    assert stars["feh"][~other].notna().sum() > 100


def test_the_prior_is_that_of_all_curves_of_the_survey_however_it_is_cut(
    client, survey, smoothed, monkeypatch
):
    """As computed here at once, from the stars in another order."""
    kept = PopulationPrior.read(smoothed / "model" / PRIOR)

    again = population.fit_population(client, survey, ["RRab"])["RRab"]
    monkeypatch.setattr(population, "STARS_PER_EXPECTATION", 1)
    monkeypatch.setattr(population, "TERMS_PER_SUM", 2)
    assert len(survey.partitions) > 4
    cut = population.fit_population(client, survey, ["RRab"])["RRab"]

    stars = [folded(batch, "maximum") for batch in reversed(batches(survey))]
    curves = FoldedCurves.joined([s.curves(s.of_mode("RRab")) for s in stars])
    whole, noise = PopulationPrior.first("RRab"), Noise.first(curves)
    for _ in range(ITERATIONS):
        found, noise = statistics(curves, noise, whole)
        whole = update(found, "RRab")
    for name in ARRAYS:
        expected = getattr(kept, name)
        np.testing.assert_array_equal(getattr(again, name), expected)
        np.testing.assert_allclose(getattr(cut, name), expected, rtol=1e-7, atol=1e-10)
        np.testing.assert_allclose(getattr(whole, name), expected, rtol=0.02, atol=1e-3)


def test_a_single_star_gets_the_curve_that_it_had_in_the_survey(survey, smoothed):
    model = smoothed / "model"
    settings = preparation(model, ModelCard.read(model))
    for batch in batches(survey)[:3]:
        whole = prepare(batch, **settings)
        for row in range(len(batch)):
            alone = prepare(batch.select(np.arange(len(batch)) == row), **settings)
            for ours, theirs in zip(alone.inputs, whole.inputs, strict=True):
                np.testing.assert_array_equal(ours[0], theirs[row])


@pytest.mark.parametrize(
    "damage",
    [lambda path: path.unlink(), lambda path: path.write_text(path.read_text().replace("1", "2"))],
)
def test_a_model_whose_prior_is_missing_or_altered_is_refused(
    client, survey, smoothed, tmp_path, damage
):
    model = shutil.copytree(smoothed / "model", tmp_path / "model")
    damage(model / PRIOR)
    with pytest.raises(UserError, match=r"population_RRab\.json is missing or not what .* train"):
        flow.predict(client, survey, model, tmp_path / "catalogue")


def test_a_model_of_another_smoothing_has_no_prior(run):
    card = ModelCard.read(run.model)
    assert card.priors == {}
    assert preparation(run.model, card)["priors"] is None
    assert not list(run.model.glob("population*"))


def test_a_mode_with_few_stars_is_refused(client, survey):
    few = replace(survey, partitions=survey.partitions[:2])
    with pytest.raises(UserError, match=r"Only \d+ light curves of RRc stars can be fitted"):
        population.fit_population(client, few, ["RRc"])


def test_of_a_large_survey_random_partitions_are_taken(survey, monkeypatch):
    assert population._part_of(survey) == survey.partitions
    monkeypatch.setattr(population, "MAX_POPULATION", survey.rows // 2)
    some = population._part_of(survey)
    rows = [piece.rows for piece in some]
    assert 0 < len(some) < len(survey.partitions)
    assert survey.rows / 2 <= sum(rows) < survey.rows / 2 + max(rows)
    assert some == population._part_of(survey)
    monkeypatch.setattr(population, "MAX_POPULATION", 1)
    assert len(population._part_of(survey)) == 1


def test_no_stars_are_prepared_to_none():
    priors = {"RRab": PopulationPrior.first("RRab")}
    for alignment in ("fourier", "maximum", "rising"):
        none = prepare(
            LightCurveBatch.empty(), smoothing="population", alignment=alignment, priors=priors
        )
        assert none.sequences.shape == (0, 64, 2)
        assert none.shape.shape == (0, 16)
        assert len(none) == 0
