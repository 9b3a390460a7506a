"""Members are fitted from their training folds alone, whatever becomes of each other."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers import curve_errors

from rrl_batch.errors import RunError
from rrl_batch.lightcurve.prepare import PreparedStars
from rrl_batch.lightcurve.shape import N_SHAPE, SHAPE_COLUMNS
from rrl_batch.models import recurrent
from rrl_batch.training import fit
from rrl_batch.training.finish import finish_model
from rrl_batch.training.fit import (
    FOLDS_FILE,
    FittedMember,
    fit_members,
    predictions_file,
    read_stars,
    weights_file,
)
from rrl_batch.training.problem import FitSettings, MemberId, Plan
from rrl_batch.training.selection import HAS_CURVE, Selection
from rrl_batch.training.shards import (
    LABELS_FILE,
    read_shards,
    read_table,
    size_in_memory,
    write_shard,
)
from rrl_batch.training.weights import density_weights

SETTINGS = FitSettings(
    masked=False, epochs=3, patience=10, batch_size=32, stop_fraction=0.2, seed=5
)  # fmt: skip
SELECTION = Selection(("RRab",), "num_epochs_used >= 50 and phi31_error <= 0.1")
N_STARS, N_POINTS = 90, 12
FIRST = MemberId("mlp", 0, (1,))
# of each repeat, the fold of each star
FOLDS = np.stack([np.arange(N_STARS) % 3, np.arange(N_STARS) // 3 % 3])


@pytest.fixture(autouse=True)
def _small_network(monkeypatch):
    monkeypatch.setattr(recurrent, "UNITS", (4,))
    monkeypatch.setattr(recurrent, "DROPOUT", (0.2,))


@pytest.fixture
def stars():
    rng = np.random.default_rng(2)
    feh = rng.normal(-1.5, 0.4, N_STARS)
    phase = np.arange(N_POINTS) / N_POINTS
    mag = (0.4 + 0.2 * feh[:, None]) * np.cos(2 * np.pi * phase) + rng.normal(0, 0.02, (90, 12))
    table = pd.DataFrame(
        {"source_id": np.arange(N_STARS), "best_classification": "RRab", "period": 0.55,
         "num_epochs_used": 60, "phi31": rng.normal(2.0, 0.3, N_STARS), "phi31_error": 0.05,
         "amplitude": 0.8, "mean_mag": 15.0, "max_phase_gap": 0.1}
    )  # fmt: skip
    sequences = np.stack([mag, np.broadcast_to(phase * 0.55, mag.shape)], axis=2).astype("f4")
    shape = rng.normal(0.5, 0.1, (N_STARS, N_SHAPE)) + 0.1 * feh[:, None]
    return PreparedStars(table, sequences, shape.astype("f4"), curve_errors(N_STARS, 0.01)), feh


def planned(root, prepared, feh, *, mark="m", errors=np.nan, **settings):
    """Write a training set of these stars; return how members are to be fitted to it."""
    (root / "set").mkdir(parents=True, exist_ok=True)
    labels = pd.DataFrame({"source_id": np.arange(N_STARS), "feh": feh, "feh_error": errors})
    labels.to_parquet(root / "set" / LABELS_FILE)
    folds = {f"fold_{repeat}": fold.astype(np.int32) for repeat, fold in enumerate(FOLDS)}
    pd.DataFrame({"source_id": np.arange(N_STARS)} | folds).to_parquet(root / "set" / FOLDS_FILE)
    receipts = [write_shard([prepared], 0, root / "set", SELECTION, mark)]
    changed = replace(SETTINGS, **settings)
    return Plan(root / "set", receipts, changed, root / "fits", mark, root / "model")


def train(root, prepared, feh, *, members=(FIRST,), on_epoch=None, **how):
    return fit_members(members, planned(root, prepared, feh, **how), on_epoch)


def predictions(root, member=FIRST):
    return pd.read_parquet(root / "fits" / predictions_file(member, "m")).set_index("source_id")


def held_out_by(member):
    """Return which stars a member must not see."""
    return np.isin(FOLDS[member.repeat], member.held_out)


def spoil(prepared, feh, member):
    """Return the stars with everything about the held-out folds changed."""
    fold = held_out_by(member)
    sequences, shape, labels = prepared.sequences.copy(), prepared.shape.copy(), feh.copy()
    sequences[fold] *= -3.0
    shape[fold] = 1 - 3 * shape[fold]
    labels[fold] += 5.0
    return replace(prepared, sequences=sequences, shape=shape), labels


def leaks(root, prepared, feh, member, **settings):
    """Tell whether the held-out folds have any influence on what is predicted for the others."""
    train(root / "as_it_is", prepared, feh, members=[member], **settings)
    train(root / "spoilt", *spoil(prepared, feh, member), members=[member], **settings)
    first, second = (predictions(root / name, member) for name in ("as_it_is", "spoilt"))
    others = ~held_out_by(member)
    assert np.isfinite(first["predicted"]).all()
    assert first["predicted"][others].std() > 1e-4
    return not first[others].equals(second[others])


@pytest.mark.parametrize(
    "member",
    [MemberId("gru", 0, (1,)), MemberId("mlp", 1, (0, 2)), MemberId("ridge", 1, (2,))],
    ids=["a curve and its shape", "a pair of folds", "a regressor"],
)
def test_held_out_folds_have_no_influence_on_training(member, stars, tmp_path):
    assert not leaks(tmp_path, *stars, member, static="shape")


def test_a_leak_would_be_seen(stars, tmp_path, monkeypatch):
    """Plant one: let the member see all stars, as a careless pipeline does."""
    monkeypatch.setattr(fit, "_seen", lambda table, _: np.arange(len(table)))
    assert leaks(tmp_path, *stars, FIRST)


def test_a_leak_through_the_scaling_would_be_seen(stars, tmp_path, monkeypatch):
    """Plant one: standardise the static inputs of all stars together."""
    honest = fit._problem

    def careless(member, all_stars, settings):
        problem = honest(member, all_stars, settings)
        means = all_stars.inputs.shape.mean(axis=0, dtype=np.float64)
        return replace(problem, scaling=problem.scaling._replace(shape_mean=means))

    monkeypatch.setattr(fit, "_problem", careless)
    assert leaks(tmp_path, *stars, FIRST, static="shape")


@pytest.mark.parametrize("static", ["none", "period", "shape"])
def test_scaling_and_weights_are_of_the_stars_that_are_learnt_from(static, stars, tmp_path):
    prepared, feh = stars
    errors = np.linspace(0.05, 0.3, N_STARS)
    plan = planned(tmp_path, prepared, feh, errors=errors, static=static, weights="denseweight")
    member = MemberId("gru", 1, (0, 2))
    problem = fit._problem(member, read_stars(plan), plan.settings)
    rows = problem.training
    assert not held_out_by(member)[np.concatenate([rows, problem.stopping])].any()
    n = {"none": 0, "period": 1, "shape": N_SHAPE}[static]
    shape = prepared.shape[rows, :n].astype(np.float64)
    np.testing.assert_allclose(problem.scaling.shape_mean, shape.mean(axis=0))
    np.testing.assert_allclose(problem.scaling.shape_scale, shape.std(axis=0))
    assert problem.scaling.feh_mean == pytest.approx(feh[rows].mean())
    np.testing.assert_allclose(problem.target[rows].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(problem.target[rows].std(), 1, atol=1e-6)
    for part in (rows, problem.stopping):
        expected = density_weights(feh[part], errors[part], "denseweight", 1.0)
        np.testing.assert_allclose(problem.weights[part], expected, rtol=1e-6)
    unseen = np.setdiff1d(np.arange(N_STARS), np.concatenate([rows, problem.stopping]))
    assert np.isnan(problem.target[unseen]).all()
    assert np.isnan(problem.weights[unseen]).all()


def test_errors_of_labels_can_be_left_out_of_the_weights(stars, tmp_path):
    prepared, feh = stars
    errors = np.linspace(0.05, 0.3, N_STARS)
    plan = planned(tmp_path, prepared, feh, errors=errors, weight_errors=False)
    problem = fit._problem(FIRST, read_stars(plan), plan.settings)
    expected = density_weights(feh[problem.training], np.full(len(problem.training), np.nan))
    np.testing.assert_allclose(problem.weights[problem.training], expected, rtol=1e-6)


def test_noisy_stars_can_weigh_less(stars, tmp_path):
    prepared, feh = stars
    noise = np.geomspace(0.005, 0.05, N_STARS)
    prepared.shape[:, SHAPE_COLUMNS.index("log_noise")] = np.log(noise)
    plan = planned(tmp_path, prepared, feh, weight_noise=50.0)
    problem = fit._problem(FIRST, read_stars(plan), plan.settings)
    for part in (problem.training, problem.stopping):
        density = density_weights(feh[part], np.full(len(part), np.nan))
        expected = density / (1 + (50 * noise[part]) ** 2)
        np.testing.assert_allclose(problem.weights[part], expected / expected.mean(), rtol=1e-5)


def test_all_stars_are_predicted_and_it_is_told_which_were_held_out(stars, tmp_path):
    member = MemberId("gru", 1, (1,))
    (fitted,) = train(tmp_path, *stars, members=[member])
    rows = predictions(tmp_path, member)
    assert rows.index.tolist() == list(range(N_STARS))
    assert rows["fold"].tolist() == FOLDS[1].tolist()
    assert ((rows["part"] == "held_out") == held_out_by(member)).all()
    assert rows["part"].value_counts().to_dict() == {"training": 48, "held_out": 30, "stopping": 12}
    assert rows["predicted"].between(-4, 1).all()
    assert (fitted.n_training, fitted.training["n"]) == (48, 60)
    learnt = rows["part"] != "held_out"
    error = rows["predicted"][learnt] - stars[1][learnt]
    assert fitted.training["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)))
    assert 1 <= fitted.epochs <= SETTINGS.epochs
    assert FittedMember.read(tmp_path / "fits" / f"{member.name}.m.json") == fitted


def test_of_all_stars_a_part_can_be_learnt_from(stars, tmp_path):
    (few,) = train(tmp_path, *stars, members=[MemberId("ridge", 0, (1,))], fraction=0.5)
    rows = predictions(tmp_path, MemberId("ridge", 0, (1,)))
    counts = {"training": 24, "stopping": 6, "unused": 30, "held_out": 30}
    assert rows["part"].value_counts().to_dict() == counts
    assert few.n_training == 24
    assert ((rows["part"] == "held_out") == held_out_by(FIRST)).all()
    used = stars[1][rows["part"].isin(["training", "stopping"])]
    unused = stars[1][rows["part"] == "unused"]
    assert abs(np.median(used) - np.median(unused)) < 0.1  # a random choice scatters by 0.13


def test_without_stopping_stars_training_makes_all_its_passes(stars, tmp_path):
    members = train(tmp_path, *stars, stop_fraction=0.0, epochs=4, patience=1, learning_rate=0.3)
    (fitted,) = members
    assert fitted.epochs == fitted.epochs_run == 4
    assert len(fitted.history.training) == 4
    assert fitted.history.stopping == []
    assert fitted.n_training == fitted.training["n"] == 60
    assert "stopping" not in set(predictions(tmp_path)["part"])


def test_a_finished_member_is_not_fitted_again_unless_its_making_differs(stars, tmp_path):
    train(tmp_path, *stars)
    file = tmp_path / "model" / weights_file(FIRST, "m")
    written = file.stat().st_mtime_ns
    train(tmp_path, *stars)
    assert file.stat().st_mtime_ns == written
    train(tmp_path, *stars, mark="another")
    assert (tmp_path / "model" / weights_file(FIRST, "another")).exists()
    assert file.stat().st_mtime_ns == written


def test_members_that_are_missing_are_fitted_and_the_epochs_of_all_are_counted(stars, tmp_path):
    (first,) = train(tmp_path, *stars)
    file = tmp_path / "model" / weights_file(FIRST, "m")
    written = file.stat().st_mtime_ns
    counted = []
    both = [MemberId("mlp", 0, (2,)), FIRST]
    passes = []

    def count(done, some):
        counted.append(done)
        passes.extend(some)

    members = train(tmp_path, *stars, members=both, on_epoch=count)
    assert [member.member for member in members] == both
    assert members[1] == first
    assert file.stat().st_mtime_ns == written
    assert counted == sorted(counted)
    assert counted[-1] == sum(member.epochs_run for member in members) == 6
    assert [passed.number for passed in passes] == [1, 2, 3]
    assert passes == members[0].passes()
    assert members[0].sha256 != first.sha256


def test_a_member_that_diverges_is_recorded_and_named_and_the_others_are_kept(
    stars, tmp_path, monkeypatch
):
    honest, other = fit._problem, MemberId("mlp", 0, (2,))

    def spoilt(member, *arguments):
        problem = honest(member, *arguments)
        return replace(problem, target=problem.target * 1e30) if member == FIRST else problem

    monkeypatch.setattr(fit, "_problem", spoilt)
    members = train(tmp_path, *stars, members=[FIRST, other])
    assert [bool(member.failure) for member in members] == [True, False]
    assert "set training.learning_rate below 0.01" in members[0].failure
    assert members[0].training["rmse"] is None
    assert predictions(tmp_path)["predicted"].isna().all()
    assert ((predictions(tmp_path)["part"] == "held_out") == held_out_by(FIRST)).all()
    assert predictions(tmp_path, other)["predicted"].notna().all()
    assert [path.name for path in (tmp_path / "model").iterdir()] == [weights_file(other, "m")]

    plan = planned(tmp_path, *stars)
    sentence = r"1 of 2 members could not be fitted \(mlp of fold 1\): .*learning_rate.* again"
    with pytest.raises(RunError, match=sentence):
        finish_model(tmp_path / "model", plan.root, plan.receipts, members, SELECTION, ["mlp"])
    assert not (tmp_path / "model/model.json").exists()

    monkeypatch.setattr(fit, "_problem", lambda *_: pytest.fail("fitted again"))
    assert train(tmp_path, *stars, members=[other, FIRST]) == members[::-1]


def test_shards_keep_inputs_bit_for_bit_and_count_what_they_leave_out(stars, tmp_path):
    prepared, feh = stars
    table = prepared.table.copy()
    table.loc[0, "best_classification"] = "RRc"
    table.loc[[1, 2], "num_epochs_used"] = 49
    table.loc[[1, 3], "phi31_error"] = np.nan
    table.loc[6, "amplitude"] = np.nan
    errors = np.full(N_STARS, np.nan)
    errors[4] = 0.5
    labels = pd.DataFrame({"source_id": np.arange(N_STARS), "feh": feh, "feh_error": errors})
    labels.drop(index=5).to_parquet(tmp_path / LABELS_FILE)
    cuts = "num_epochs_used >= 50 and phi31_error <= 0.1 and not feh_error > 0.4"
    selection = Selection(("RRab",), cuts)
    receipt = write_shard([replace(prepared, table=table)], 0, tmp_path, selection, "m")
    assert receipt.counts == {"labelled": 89}
    assert [tuple(cut.values()) for cut in receipt.summary["cuts"]] == [
        ("RRab", 1, 1, 0),
        (HAS_CURVE, 1, 1, 0),
        ("num_epochs_used >= 50", 2, 2, 0),
        ("phi31_error <= 0.1", 1, 2, 1),
        ("not feh_error > 0.4", 1, 1, 83),
    ]
    read = read_shards(tmp_path, [receipt], np.arange(N_STARS))
    assert read.table["source_id"].tolist() == list(range(7, N_STARS))
    for ours, theirs in zip(read.inputs, prepared.inputs, strict=True):
        assert np.array_equal(ours, theirs[7:])
    assert read_table(tmp_path, [receipt]).equals(read.table)


def test_shards_are_read_one_after_another_and_only_the_stars_asked_for(stars, tmp_path):
    prepared, feh = stars
    labels = pd.DataFrame({"source_id": np.arange(N_STARS), "feh": feh, "feh_error": np.nan})
    labels.to_parquet(tmp_path / LABELS_FILE)
    parts = [np.arange(50), np.arange(0), np.arange(50, N_STARS)]
    receipts = []
    for number, rows in enumerate(parts):
        part = PreparedStars(
            prepared.table.iloc[rows], prepared.sequences[rows], prepared.shape[rows],
            prepared.errors.take(rows),
        )  # fmt: skip
        receipts.append(write_shard([part], number, tmp_path, SELECTION, "m"))
    wanted = np.array([80, 3, 49, 50, 10**6])
    read = read_shards(tmp_path, receipts, wanted)
    assert read.table["source_id"].tolist() == [3, 49, 50, 80]
    for ours, theirs in zip(read.inputs, prepared.inputs, strict=True):
        assert np.array_equal(ours, theirs[[3, 49, 50, 80]])
    assert size_in_memory(tmp_path, receipts) == sum(a.nbytes for a in prepared.inputs)


def test_stars_without_a_fold_are_left_out(stars, tmp_path):
    """In an experiment, they are stars that another case does not have."""
    plan = planned(tmp_path, *stars)
    folds = pd.read_parquet(plan.root / FOLDS_FILE)
    folds[folds["source_id"] != 7].sample(frac=1, random_state=0).to_parquet(plan.root / FOLDS_FILE)
    read = read_stars(plan)
    kept = np.delete(np.arange(N_STARS), 7)
    assert read.table["source_id"].tolist() == kept.tolist()
    assert read.table["fold_1"].tolist() == FOLDS[1][kept].tolist()
    assert np.array_equal(read.inputs.shape, stars[0].shape[kept])
