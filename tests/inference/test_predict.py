import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers import rewrite_card
from hypothesis import given
from hypothesis import strategies as st

from rrl_batch.contracts import CATALOGUE, Flag
from rrl_batch.inference.predict import _unseen, predict
from rrl_batch.lightcurve.prepare import prepare
from rrl_batch.models.folder import CARD, OUT_OF_FOLD, ModelCard
from rrl_batch.storage.commit import checksum
from rrl_batch.survey.read import open_survey

PREDICTED = [
    "feh", "feh_error", "feh_noise_error", "feh_lo", "feh_hi", "feh_lo95", "feh_hi95", "feh_gru",
]  # fmt: skip


@pytest.fixture(scope="module")
def stars(run):
    """A batch of stars, at least one of which has no metallicity."""
    batch = next(iter(open_survey(run.survey).partitions[0].batches()))
    prepared = prepare(batch, **ModelCard.read(run.model).preprocess.model_dump())
    table = prepared.table.copy()
    table.loc[table.index[0], "flags"] |= np.int32(Flag.SMOOTHING_FAILED)
    return replace(prepared, table=table)


@pytest.fixture
def single(run, tmp_path):
    """A model of one member and no training star."""
    folder = shutil.copytree(run.model, tmp_path / "single")
    card = ModelCard.read(folder)
    pd.read_parquet(folder / OUT_OF_FOLD).iloc[:0].to_parquet(folder / OUT_OF_FOLD)
    changed = {"members": card.members[:1], "out_of_fold": checksum(folder / OUT_OF_FOLD)}
    rewrite_card(card, folder, **changed)
    return folder


def rows_of(stars, model):
    return predict(stars, model, checksum(model / CARD))


def test_one_member_has_no_spread_and_errors_all_the_same(stars, single):
    rows = rows_of(stars, single)
    known = rows["feh"].notna()
    assert known.any()
    assert not known.all()
    assert rows["feh_model_error"].isna().all()
    assert (rows.loc[known, ["feh_error", "feh_noise_error"]] > 0).all(axis=None)
    assert rows.loc[~known, PREDICTED].isna().all(axis=None)


def test_intervals_are_those_of_the_calibration_about_the_value(stars, run):
    rows = rows_of(stars, run.model)
    known = rows["feh"].notna()
    assert rows.loc[~known, [*PREDICTED, "feh_model_error"]].isna().all(axis=None)
    assert (rows["feh_model_error"][known] > 0).all()
    held_out = pd.read_parquet(run.model / OUT_OF_FOLD).set_index("source_id")["fold_0"]
    fold = rows["source_id"].map(held_out)
    calibrations = ModelCard.read(run.model).calibration
    assert len(calibrations) == 3
    seen = set()
    for row in rows.index[known]:
        number = 0 if np.isnan(fold[row]) else int(fold[row]) + 1
        seen.add(number)
        c, star, measured = calibrations[number], rows.loc[row], stars.table.loc[row]
        u = [
            np.log(measured["num_epochs_used"]), measured["mean_mag"],
            np.log(max(measured["max_phase_gap"], 1e-3)), measured["amplitude"], star["feh"],
        ]  # fmt: skip
        u = (np.clip(u, c.lowest, c.highest) - c.centre) / np.array(c.unit)
        scale = np.hypot(np.hypot(c.floor, c.of_noise * star["feh_noise_error"]),
                         c.of_spread * star["feh_model_error"])  # fmt: skip
        scale = (
            0.15
            * (scale / 0.15) ** c.power
            * np.exp(np.dot(c.slope, u) + np.dot(c.curvature, u**2))
        )
        for multiple, low, high in zip(
            c.multiples, ("feh_lo", "feh_lo95"), ("feh_hi", "feh_hi95"), strict=True
        ):
            assert star[high] - star["feh"] == pytest.approx(multiple * scale)
            assert star["feh"] - star[low] == pytest.approx(multiple * scale)
        assert star["feh_error"] == pytest.approx(c.multiples[0] * scale)
    assert seen == {0, 1, 2}


@pytest.mark.parametrize("members", [1, 2])
def test_no_stars_give_no_rows(stars, run, single, members):
    none = replace(
        stars, table=stars.table.iloc[:0], sequences=stars.sequences[:0], shape=stars.shape[:0],
        errors=stars.errors.take(np.arange(0)),
    )  # fmt: skip
    rows = rows_of(none, single if members == 1 else run.model)
    assert len(rows) == 0
    assert list(rows.columns) == CATALOGUE.names


@st.composite
def ensembles(draw):
    """Members for each fold of each repeat, in any order, and stars of which some are held out."""
    repeats, n_folds = draw(st.integers(1, 4)), draw(st.integers(2, 4))
    places = [(repeat, fold) for repeat in range(repeats) for fold in range(n_folds)]
    held_out = st.lists(st.integers(0, n_folds - 1), min_size=repeats, max_size=repeats)
    stars = draw(st.lists(st.none() | held_out, max_size=12))
    return draw(st.permutations(places)), repeats, stars


@given(ensembles(), st.integers(0, 1000))
def test_a_training_star_gets_the_mean_of_just_the_members_that_have_not_seen_it(ensemble, seed):
    places, repeats, stars = ensemble
    members = np.random.default_rng(seed).normal(size=(len(stars), len(places)))
    folds = np.array([[np.nan] * repeats if own is None else own for own in stars], float)
    feh = _unseen(members, np.array(places), folds.reshape(-1, repeats))
    for own, values, found in zip(stars, members.tolist(), feh.tolist(), strict=True):
        unseen = [
            value
            for (repeat, fold), value in zip(places, values, strict=True)
            if own is None or own[repeat] == fold
        ]
        assert len(unseen) == (len(places) if own is None else repeats)
        assert found == pytest.approx(sum(unseen) / len(unseen))


def test_what_has_seen_a_star_has_no_influence_even_if_it_is_no_number():
    members = np.array([[np.nan, 1.0, 3.0, np.inf], [np.nan, 1.0, 3.0, 2.0]])
    places = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])
    feh = _unseen(members, places, np.array([[1.0, 0.0], [np.nan, np.nan]]))
    assert feh[0] == 2.0
    assert np.isnan(feh[1])


def test_stars_none_of_which_can_be_predicted_are_all_there(stars, run):
    bad = replace(stars, table=stars.table.assign(flags=np.int32(Flag.TOO_FEW_EPOCHS)))
    rows = rows_of(bad, run.model)
    assert list(rows["source_id"]) == list(stars.table["source_id"])
    assert rows[[*PREDICTED, "feh_model_error"]].isna().all(axis=None)
    assert (rows["flags"] & np.int32(Flag.TOO_FEW_EPOCHS) != 0).all()
