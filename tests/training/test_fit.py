"""Members are fitted from their training folds alone, whatever becomes of each other."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from rrl_batch.errors import RunError
from rrl_batch.lightcurve.prepare import PreparedStars
from rrl_batch.lightcurve.shape import N_SHAPE
from rrl_batch.models import recurrent
from rrl_batch.training import fit
from rrl_batch.training.fit import FOLDS_FILE, fit_members, held_out_file, weights_file
from rrl_batch.training.problem import FitSettings
from rrl_batch.training.shards import LABELS_FILE, Selection, read_shards, write_shard

SETTINGS = FitSettings("gru", False, 0.2, 3, 10, 32, 0.01, seed=5)
N_STARS, N_POINTS = 90, 12
HELD_OUT = 1


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
         "num_epochs_used": 60, "phi31": 2.0, "phi31_error": 0.05, "amplitude": 0.8,
         "max_phase_gap": 0.1}
    )  # fmt: skip
    sequences = np.stack([mag, np.broadcast_to(phase * 0.55, mag.shape)], axis=2).astype("f4")
    return PreparedStars(table, sequences, np.zeros((N_STARS, N_SHAPE), "f4")), feh


def train(root, prepared, feh, *, folds=(HELD_OUT,), mark="m", on_epoch=None):
    """Fit the members that hold some of three folds out, from a training set of these stars."""
    (root / "set").mkdir(parents=True, exist_ok=True)
    labels = pd.DataFrame({"source_id": np.arange(N_STARS), "feh": feh, "feh_error": np.nan})
    labels.to_parquet(root / "set" / LABELS_FILE)
    fold_of = pd.DataFrame({"source_id": np.arange(N_STARS), "fold": np.arange(N_STARS) % 3})
    fold_of.to_parquet(root / "set" / FOLDS_FILE)
    selection = Selection(("RRab",), 50, 1.0, 1.4, 0.1, 0.4)
    receipt = write_shard([prepared], 0, root / "set", selection, mark)
    return fit_members(folds, root / "set", root, [receipt], SETTINGS, mark, on_epoch)


def spoil(prepared, feh):
    """Return the stars with everything about the held-out fold changed."""
    fold = np.arange(N_STARS) % 3 == HELD_OUT
    sequences, labels = prepared.sequences.copy(), feh.copy()
    sequences[fold] *= -3.0
    labels[fold] += 5.0
    return replace(prepared, sequences=sequences), labels


def leaks(root, prepared, feh):
    """Tell whether the held-out fold has any influence on the fitted weights."""
    import h5py

    def weights(folder):
        found = {}
        with h5py.File(folder / weights_file(HELD_OUT)) as file:
            file.visititems(
                lambda name, item: found.update({name: item[()]} if hasattr(item, "shape") else {})
            )
        return found

    train(root / "as_it_is", prepared, feh)
    train(root / "spoilt", *spoil(prepared, feh))
    first, second = weights(root / "as_it_is"), weights(root / "spoilt")
    assert first.keys() == second.keys()
    assert len(first) >= 5
    return not all(np.array_equal(first[name], second[name]) for name in first)


def test_the_held_out_fold_has_no_influence_on_training(stars, tmp_path):
    assert not leaks(tmp_path, *stars)


def test_a_leak_would_be_seen(stars, tmp_path, monkeypatch):
    """Plant one: let the member see all stars, as a careless pipeline does."""
    monkeypatch.setattr(fit, "_seen", lambda table, _: np.arange(len(table)))
    assert leaks(tmp_path, *stars)


def test_the_held_out_stars_are_predicted_and_no_others(stars, tmp_path):
    (member,) = train(tmp_path, *stars)
    held_out = pd.read_parquet(tmp_path / "set" / held_out_file(HELD_OUT))
    assert set(held_out["source_id"]) == set(range(HELD_OUT, N_STARS, 3))
    assert (held_out["fold"] == HELD_OUT).all()
    assert held_out["predicted"].between(-4, 1).all()
    assert member.training["n"] == 60
    assert 1 <= member.epochs <= SETTINGS.epochs


def test_a_finished_member_is_not_fitted_again_unless_its_making_differs(stars, tmp_path):
    train(tmp_path, *stars)
    file = tmp_path / weights_file(HELD_OUT)
    written = file.stat().st_mtime_ns
    train(tmp_path, *stars)
    assert file.stat().st_mtime_ns == written
    train(tmp_path, *stars, mark="another")
    assert file.stat().st_mtime_ns != written


def test_members_that_are_missing_are_fitted_and_the_epochs_of_all_are_counted(stars, tmp_path):
    (first,) = train(tmp_path, *stars)
    written = (tmp_path / weights_file(HELD_OUT)).stat().st_mtime_ns
    counted = []
    members = train(tmp_path, *stars, folds=(2, 1), on_epoch=counted.append)
    assert [member.fold for member in members] == [2, 1]
    assert members[1] == first
    assert (tmp_path / weights_file(HELD_OUT)).stat().st_mtime_ns == written
    assert counted == sorted(counted)
    assert counted[-1] == sum(member.epochs_run for member in members) == 6
    assert members[0].sha256 != first.sha256


def test_a_member_that_diverges_is_named_and_the_others_are_kept(stars, tmp_path, monkeypatch):
    honest = fit._problem

    def spoilt(fold, *arguments):
        problem = honest(fold, *arguments)
        return replace(problem, target=problem.target * 1e30) if fold == HELD_OUT else problem

    with monkeypatch.context() as patch:
        patch.setattr(fit, "_problem", spoilt)
        with pytest.raises(RunError, match=r"1 of 2 members \(folds 1\).*training.learning_rate"):
            train(tmp_path, *stars, folds=(1, 2))
    assert not (tmp_path / weights_file(HELD_OUT)).exists()
    written = (tmp_path / weights_file(2)).stat().st_mtime_ns
    assert [member.fold for member in train(tmp_path, *stars, folds=(1, 2))] == [1, 2]
    assert (tmp_path / weights_file(2)).stat().st_mtime_ns == written


def test_shards_keep_sequences_bit_for_bit_and_count_what_they_leave_out(stars, tmp_path):
    prepared, feh = stars
    table = prepared.table.copy()
    table.loc[0, "best_classification"] = "RRc"
    table.loc[[1, 2], "num_epochs_used"] = 49
    table.loc[3, "phi31_error"] = np.nan
    errors = np.full(N_STARS, np.nan)
    errors[4] = 0.5
    labels = pd.DataFrame({"source_id": np.arange(N_STARS), "feh": feh, "feh_error": errors})
    labels.drop(index=5).to_parquet(tmp_path / LABELS_FILE)
    selection = Selection(("RRab",), 50, 1.0, 1.4, 0.1, 0.4)
    receipt = write_shard([replace(prepared, table=table)], 0, tmp_path, selection, "m")
    assert receipt.counts == {
        "labelled": 89, "other_mode": 1, "poor_curve": 3, "uncertain_label": 1,
    }  # fmt: skip
    read = read_shards(tmp_path, [receipt])
    assert read.table["source_id"].tolist() == list(range(6, N_STARS))
    assert np.array_equal(read.sequences, prepared.sequences[6:])
    assert read_shards(tmp_path, [receipt], sequences=False).table.equals(read.table)
