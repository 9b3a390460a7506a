"""Predictors for several pulsation modes: together or one each, and RRd by their dominant mode."""

import pandas as pd
import pytest

from rrl_batch import flow
from rrl_batch.catalogue.verify import read_catalogue, verify
from rrl_batch.contracts import Flag
from rrl_batch.errors import UserError
from rrl_batch.job import make_job
from rrl_batch.models.folder import OUT_OF_FOLD as HELD_OUT
from rrl_batch.models.folder import ModelCard
from rrl_batch.sources.tables import read_labels
from rrl_batch.survey.read import open_survey

MODES = ["RRab", "RRc"]


def job_for(run, by_mode, modes=MODES):
    training = run.job.training.model_dump(exclude_unset=True) | {"modes": modes}
    model = {"architecture": ["ridge", "svr"], "by_mode": by_mode}
    preprocess = run.job.preprocess.model_dump(exclude_unset=True)
    return make_job({"preprocess": preprocess, "model": model, "training": training}, "test")


@pytest.fixture(scope="module")
def made(run, client, tmp_path_factory):
    """Catalogues of the simulated stars, and the folders of their models, by whether each mode has
    members of its own.
    """
    survey, labels = open_survey(run.survey), read_labels(run.labels, "true")
    found = {}
    for by_mode in (False, True):
        root = tmp_path_factory.mktemp("modes")
        flow.train(client, survey, labels, root / "model", job_for(run, by_mode))
        flow.predict(client, survey, root / "model", root / "catalogue")
        assert verify(root / "catalogue").faults == []
        found[by_mode] = read_catalogue(root / "catalogue").set_index("source_id"), root / "model"
    return found


def has(flag, stars):
    return (stars["flags"] & int(flag)) != 0


def test_each_mode_has_members_of_its_own_or_all_share_them(made):
    for by_mode, (_, model) in made.items():
        card = ModelCard.read(model)
        assert [(m.architecture, m.mode) for m in card.members[::2]] == [
            (kind, mode) for kind in ("ridge", "svr") for mode in (MODES if by_mode else [""])
        ]
        held_out = pd.read_parquet(model / HELD_OUT)
        assert held_out["source_id"].is_unique
        assert held_out["predicted"].notna().all()
        assert set(held_out["best_classification"]) == set(MODES)


def test_members_of_a_mode_are_those_of_a_model_for_that_mode_alone(made, run, client, tmp_path):
    """All but the folds, which are drawn from all stars that train."""
    stars, model = made[True]
    survey, labels = open_survey(run.survey), read_labels(run.labels, "true")
    folds = pd.read_parquet(model / HELD_OUT)[["source_id", "best_classification", "fold_0"]]
    own = folds[folds["best_classification"] == "RRc"].rename(columns={"fold_0": "fold"})
    labels = labels.merge(own[["source_id", "fold"]], on="source_id")
    flow.train(client, survey, labels, tmp_path / "model", job_for(run, False, ["RRc"]))
    flow.predict(client, survey, tmp_path / "model", tmp_path / "catalogue")
    alone = read_catalogue(tmp_path / "catalogue").set_index("source_id")
    rows = alone.index[alone["best_classification"].isin(["RRc", "RRd"])]
    columns = ["feh", "feh_baseline", "training_distance"]
    pd.testing.assert_frame_equal(
        stars.loc[rows, columns], alone.loc[rows, columns], rtol=1e-4, atol=1e-4
    )
    assert has(Flag.OTHER_MODE, alone).sum() == (alone["best_classification"] == "RRab").sum()


@pytest.mark.parametrize("by_mode", [False, True])
def test_every_mode_is_predicted_and_an_rrd_as_an_rrc(made, by_mode):
    stars, _ = made[by_mode]
    assert not has(Flag.OTHER_MODE, stars).any()
    double = stars["best_classification"] == "RRd"
    assert double.sum() >= 1
    assert (has(Flag.DOUBLE_MODE, stars) == double).all()
    assert stars.loc[double, ["feh", "feh_baseline", "training_distance"]].notna().all(axis=None)
    assert stars["feh"].notna().mean() > 0.9


def test_members_of_a_mode_differ_from_those_of_all(made):
    (together, _), (apart, _) = made[False], made[True]
    assert (together["feh"] != apart["feh"]).sum() > 200


def test_a_mode_of_too_few_stars_for_members_of_its_own_is_a_sentence(run, client, tmp_path):
    survey, labels = open_survey(run.survey), read_labels(run.labels, "true")
    job = job_for(run, True, ["RRab", "RRd"])
    with pytest.raises(UserError, match=r"only \d are RRd, too few for members of their own"):
        flow.train(client, survey, labels, tmp_path / "model", job)
