"""A model of several kinds of predictor, and of repeated folds, through the whole pipeline."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers import rewrite_card

from rrl_batch import flow
from rrl_batch.catalogue.verify import read_catalogue, verify
from rrl_batch.contracts.flags import NO_METALLICITY
from rrl_batch.errors import RunError
from rrl_batch.inference.ensemble import Ensemble
from rrl_batch.inference.predict import predict
from rrl_batch.job import make_job
from rrl_batch.lightcurve.inputs import Inputs
from rrl_batch.lightcurve.prepare import PreparedStars, prepare
from rrl_batch.models.folder import CARD, OUT_OF_FOLD, ModelCard, preparation
from rrl_batch.sources.tables import read_labels
from rrl_batch.storage.commit import checksum
from rrl_batch.survey.read import open_survey

KINDS = ("ridge", "gru")
BESIDE = ("mlp",)
PASSES = {"gru": 2, "mlp": 3}


@pytest.fixture(scope="module")
def job(run):
    training = run.job.training.model_dump() | {
        "repeats": 2, "epochs": 2, "schedule": "onecycle", "stop_fraction": 0.0, "patience": 1,
        "of": {"mlp": {"epochs": PASSES["mlp"]}}, "weight_noise": 50.0,
    }  # fmt: skip
    model = {"architecture": list(KINDS), "beside": list(BESIDE), "static": "period"}
    return make_job({"preprocess": {"points": 8}, "model": model, "training": training}, "test")


@pytest.fixture(scope="module")
def mixed(client, run, job, tmp_path_factory):
    """A model of two kinds and one beside them, each with four members, and its catalogue."""
    root = tmp_path_factory.mktemp("mixed")
    survey = open_survey(run.survey)
    labels = read_labels(run.labels, "true").sample(frac=0.7, random_state=0)
    flow.train(client, survey, labels, root / "model", job)
    flow.predict(client, survey, root / "model", root / "catalogue")
    return root


@pytest.fixture(scope="module")
def stars(run, mixed):
    """All stars of the survey, as the model wants them."""
    model = mixed / "model"
    settings = preparation(model, ModelCard.read(model))
    partitions = open_survey(run.survey).partitions
    done = [prepare(b, **settings) for piece in partitions for b in piece.batches()]
    table = pd.concat([some.table for some in done], ignore_index=True)
    arrays = {
        name: np.concatenate([vars(some.errors)[name] for some in done])
        for name, value in vars(done[0].errors).items()
        if isinstance(value, np.ndarray)
    }
    return PreparedStars(
        table,
        np.concatenate([some.sequences for some in done]),
        np.concatenate([some.shape for some in done]),
        replace(done[0].errors, **arrays),
    )


@pytest.fixture(scope="module")
def members(stars, mixed):
    """What every member predicts for the stars that it was not trained on."""
    trained_on = pd.read_parquet(mixed / "model" / OUT_OF_FOLD)["source_id"]
    table = stars.table
    rows = (
        (table["flags"] & int(NO_METALLICITY)).eq(0)
        & table["best_classification"].eq("RRab")
        & ~table["source_id"].isin(trained_on)
    ).to_numpy()
    assert rows.sum() > 10
    inputs = Inputs(*(array[rows] for array in stars.inputs))
    return table["source_id"][rows], Ensemble.load(mixed / "model").predict_members(inputs)


def test_the_card_names_the_members_and_how_they_were_made(mixed, job):
    card = ModelCard.read(mixed / "model")
    assert (card.architecture, card.beside) == (KINDS, BESIDE)
    assert (card.static, card.dropout) == ("period", None)
    kinds = (*KINDS, *BESIDE)
    expected = [(name, repeat, fold) for name in kinds for repeat in (0, 1) for fold in (0, 1)]
    assert [(m.architecture, m.repeat, m.fold) for m in card.members] == expected
    for kind, passes in PASSES.items():
        assert {m.epochs for m in card.members if m.architecture == kind} == {passes}
    assert card.training["schedule"] == job.training.schedule == "onecycle"
    assert card.training["of"] == {"mlp": {"epochs": PASSES["mlp"]}}
    assert card.combined == card.members[:8]
    assert card.summary.startswith("8 x ridge + gru on ")
    assert verify(mixed / "catalogue").faults == []


def test_out_of_fold_predictions_are_means_of_kinds_of_equal_weight(mixed):
    model = mixed / "model"
    stars = pd.read_parquet(model / OUT_OF_FOLD).set_index("source_id")
    card = ModelCard.read(model)
    assert not stars["fold_0"].equals(stars["fold_1"])
    for name in (*KINDS, *BESIDE):
        total = pd.Series(0.0, stars.index)
        for repeat in (0, 1):
            for fold in (0, 1):
                (path,) = model.glob(f"training/*/{name}_{repeat}_{fold}.*.parquet")
                member = pd.read_parquet(path)
                own = stars.index[stars[f"fold_{repeat}"] == fold]
                total[own] += member.set_index("source_id")["predicted"][own]
        np.testing.assert_allclose(stars[f"predicted_{name}"], total / 2)
        rmse = np.sqrt(np.mean((total / 2 - stars["feh"]) ** 2))
        assert card.metrics[name]["rmse"] == pytest.approx(rmse)
    both = (stars["predicted_ridge"] + stars["predicted_gru"]) / 2
    np.testing.assert_allclose(stars["predicted"], both)
    assert card.metrics["network"]["rmse"] == pytest.approx(
        np.sqrt(np.mean((both - stars["feh"]) ** 2))
    )


def test_a_training_star_gets_what_was_predicted_for_it_out_of_fold(mixed):
    held_out = pd.read_parquet(mixed / "model" / OUT_OF_FOLD).set_index("source_id")
    stars = read_catalogue(mixed / "catalogue").set_index("source_id").loc[held_out.index]
    assert len(stars) > 50
    np.testing.assert_allclose(stars["feh"], held_out["predicted"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(stars["feh_baseline"], held_out["baseline"], rtol=0, atol=1e-4)
    assert not np.allclose(stars["feh_gru"], held_out["predicted_gru"], atol=1e-4)


def test_every_other_star_gets_the_mean_of_what_each_kind_gives(mixed, members):
    ids, values = members
    rows = read_catalogue(mixed / "catalogue").set_index("source_id").loc[ids]
    ridge, gru = (values[name].mean(axis=1) for name in KINDS)
    np.testing.assert_allclose(rows["feh"], (ridge + gru) / 2, rtol=0, atol=1e-5)
    np.testing.assert_allclose(rows["feh_gru"], gru, rtol=0, atol=1e-5)
    spread = np.hstack([values[name] for name in KINDS]).std(axis=1, ddof=1)
    np.testing.assert_allclose(rows["feh_model_error"], spread, rtol=0, atol=1e-5)


def test_a_missing_metallicity_has_a_flag_that_says_why(mixed):
    """Also where a regressor needs shape parameters of a star with few epochs."""
    stars = read_catalogue(mixed / "catalogue")
    assert (stars["feh"].isna() == ((stars["flags"] & int(NO_METALLICITY)) != 0)).all()
    assert stars["feh"].notna().sum() > 100


def test_without_a_gru_its_own_metallicity_is_null(stars, mixed, members, tmp_path):
    model = shutil.copytree(mixed / "model", tmp_path / "model")
    card = ModelCard.read(model)
    ridges = [member for member in card.members if member.architecture == "ridge"]
    alone = {"architecture": ("ridge",), "beside": (), "members": ridges}
    rewrite_card(card, model, **alone)
    rows = predict(stars, model, checksum(model / CARD)).set_index("source_id")
    assert rows["feh_gru"].isna().all()
    ids, values = members
    np.testing.assert_allclose(rows.loc[ids, "feh"], values["ridge"].mean(axis=1))


def test_a_gru_beside_the_others_has_its_own_metallicity_and_no_part_in_theirs(
    stars, mixed, members, tmp_path
):
    model = shutil.copytree(mixed / "model", tmp_path / "model")
    changed = {"architecture": ("ridge", "mlp"), "beside": ("gru",)}
    rewrite_card(ModelCard.read(model), model, **changed)
    ids, values = members
    rows = predict(stars, model, checksum(model / CARD)).set_index("source_id").loc[ids]
    own = {name: values[name].mean(axis=1) for name in values}
    np.testing.assert_allclose(rows["feh"], (own["ridge"] + own["mlp"]) / 2, rtol=0, atol=1e-5)
    np.testing.assert_allclose(rows["feh_gru"], own["gru"], rtol=0, atol=1e-5)
    spread = np.hstack([values["ridge"], values["mlp"]]).std(axis=1, ddof=1)
    np.testing.assert_allclose(rows["feh_model_error"], spread, rtol=0, atol=1e-5)


def test_members_that_diverge_are_named_and_another_rate_mends_it(client, run, job, tmp_path):
    survey, labels = open_survey(run.survey), read_labels(run.labels, "true")
    changed = {"model.architecture": ["mlp"], "training.learning_rate": 1e30}
    wild = job.with_settings(changed | {"training.of.mlp.epochs": 1}, "test")
    with pytest.raises(RunError, match=r"4 of 4 members could not be fitted \(mlp of fold 0, mlp"):
        flow.train(client, survey, labels, tmp_path / "model", wild)
    tame = wild.with_settings({"training.learning_rate": 0.01}, "test")
    card = flow.train(client, survey, labels, tmp_path / "model", tame)
    assert len(card.members) == 4
