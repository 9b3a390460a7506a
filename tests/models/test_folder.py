import json
import shutil

import pandas as pd
import pytest
from helpers import rewrite_card

from rrl_batch.errors import UserError
from rrl_batch.inference.ensemble import Ensemble
from rrl_batch.models.folder import CARD, OUT_OF_FOLD, ModelCard, held_out_folds
from rrl_batch.storage.commit import checksum


@pytest.fixture
def model(run, tmp_path):
    return shutil.copytree(run.model, tmp_path / "model")


def test_a_card_reads_back_as_it_was_written(model):
    card = ModelCard.read(model)
    before = (model / CARD).read_bytes()
    rewrite_card(card, model)
    assert (model / CARD).read_bytes() == before


def test_there_is_no_model_in_an_empty_folder(tmp_path):
    with pytest.raises(
        UserError, match=r"There is no model at .*; make one with 'rrl-batch train'"
    ):
        ModelCard.read(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:100],
        lambda text: json.dumps(json.loads(text) | {"unknown": 1}),
        lambda text: json.dumps(json.loads(text) | {"calibration": []}),
        lambda text: json.dumps(json.loads(text) | {"members": []}),
        lambda _: "null",
        lambda _: "\ud800".encode("utf-8", "surrogatepass"),
    ],
)
def test_a_damaged_card_is_a_sentence(model, damage):
    damaged = damage((model / CARD).read_text())
    (model / CARD).write_bytes(damaged if isinstance(damaged, bytes) else damaged.encode())
    with pytest.raises(UserError, match=r"model\.json is not the card of a model"):
        Ensemble.load(model)


def test_other_out_of_fold_predictions_than_the_card_names_are_refused(model):
    """They say which member may predict a training star."""
    path = model / OUT_OF_FOLD
    stars = pd.read_parquet(path)
    stars.assign(fold_0=1 - stars["fold_0"]).to_parquet(path)
    with pytest.raises(UserError, match=r"out_of_fold\.parquet is missing or not what .* train"):
        Ensemble.load(model)
    path.unlink()
    with pytest.raises(UserError, match=r"out_of_fold\.parquet is missing or not what .* train"):
        Ensemble.load(model)


@pytest.mark.parametrize("name", ["fold", "fold_1"])
def test_out_of_fold_predictions_without_the_folds_of_a_repeat_are_refused(model, name):
    card, path = ModelCard.read(model), model / OUT_OF_FOLD
    pd.read_parquet(path).rename(columns={"fold_0": name}).to_parquet(path, index=False)
    rewrite_card(card, model, out_of_fold=checksum(path))
    with pytest.raises(UserError, match=r"out_of_fold\.parquet lacks the folds of a repeat"):
        Ensemble.load(model)


@pytest.mark.parametrize(
    "changed",
    [
        lambda first, _: [first],
        lambda first, second: [first, second, second],
        lambda first, second: [first, second.model_copy(update={"repeat": 1})],
        lambda first, second: [first, second.model_copy(update={"fold": 2})],
    ],
    ids=["missing", "twice", "of another repeat", "of no fold"],
)
def test_folds_of_each_of_which_there_is_not_one_member_are_refused(model, changed):
    card = ModelCard.read(model)
    rewrite_card(card, model, members=changed(*card.members))
    with pytest.raises(UserError, match=r"does not name a member of 'gru' for every fold; train"):
        Ensemble.load(model)


def test_a_kind_of_predictor_without_members_is_refused(model):
    card = ModelCard.read(model)
    rewrite_card(card, model, architecture=("gru", "ridge"))
    with pytest.raises(UserError, match=r"does not name a member of 'ridge' for every fold; train"):
        held_out_folds(model, card.read(model))


def test_training_stars_have_a_held_out_fold_in_every_repeat(model):
    card, path = ModelCard.read(model), model / OUT_OF_FOLD
    stars = pd.read_parquet(path)
    stars["fold_1"] = (stars.index % 2).astype("int32")
    stars.to_parquet(path, index=False)
    again = [member.model_copy(update={"repeat": 1}) for member in card.members]
    changed = {"members": [*card.members, *again], "out_of_fold": checksum(path)}
    folds = held_out_folds(model, card.model_copy(update=changed))
    assert list(folds) == [0, 1]
    expected = stars.set_index("source_id")
    assert folds[0].equals(expected["fold_0"].rename(0))
    assert folds[1].equals(expected["fold_1"].rename(1))


def test_other_weights_than_the_card_names_are_refused(model):
    weights = model / ModelCard.read(model).members[1].file
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00\x01")
    with pytest.raises(UserError, match=r"gru_0_1\..*weights\.h5 is missing or not what"):
        Ensemble.load(model)
    weights.unlink()
    with pytest.raises(UserError, match=r"gru_0_1\..*weights\.h5 is missing or not what"):
        Ensemble.load(model)


def test_a_card_cannot_point_outside_its_folder(model):
    card = json.loads((model / CARD).read_text())
    card["members"][0]["file"] = "../elsewhere.weights.h5"
    (model / CARD).write_text(json.dumps(card))
    with pytest.raises(UserError, match=r"is not the card of a model"):
        Ensemble.load(model)
