"""A member is fitted from its training folds alone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rrl_batch.lightcurve.prepare import PreparedStars
from rrl_batch.training.fit import (
    FOLDS_FILE,
    FitSettings,
    fit_member,
    held_out_file,
    weights_file,
)
from rrl_batch.training.shards import LABELS_FILE, Selection, read_shards, write_shard

SETTINGS = FitSettings("gru", False, 0.2, 3, 10, 32, 0.01, seed=5)
N_STARS, N_POINTS = 90, 12
HELD_OUT = 1


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
    return PreparedStars(table, sequences), feh


def train(root: Path, prepared: PreparedStars, feh: np.ndarray, mark: str = "m"):
    """Fit the member that holds fold 1 out, from a training set made of these stars."""
    (root / "set").mkdir(parents=True, exist_ok=True)
    labels = pd.DataFrame({"source_id": np.arange(N_STARS), "feh": feh, "feh_error": np.nan})
    labels.to_parquet(root / "set" / LABELS_FILE)
    folds = np.arange(N_STARS) % 3
    pd.DataFrame({"source_id": np.arange(N_STARS), "fold": folds}).to_parquet(
        root / "set" / FOLDS_FILE
    )
    selection = Selection(("RRab",), 50, 1.0, 1.4, 0.1, 0.4)
    receipt = write_shard([prepared], 0, root / "set", selection, mark)
    return fit_member(HELD_OUT, root / "set", root, [receipt], SETTINGS, mark)


def spoil(prepared, feh):
    """Return the stars with everything about the held-out fold changed."""
    fold = np.arange(N_STARS) % 3 == HELD_OUT
    sequences, labels = prepared.sequences.copy(), feh.copy()
    sequences[fold] *= -3.0
    labels[fold] += 5.0
    return PreparedStars(prepared.table, sequences), labels


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
    assert len(first) > 5
    return not all(np.array_equal(first[name], second[name]) for name in first)


def test_the_held_out_fold_has_no_influence_on_training(stars, tmp_path):
    assert not leaks(tmp_path, *stars)


def test_a_leak_would_be_seen(stars, tmp_path, monkeypatch):
    """Plant one: scale the labels by all stars, as a careless pipeline does."""
    from rrl_batch.training import fit

    honest = fit._subset
    monkeypatch.setattr(fit, "_subset", lambda s, rows: honest(s, np.ones_like(rows)))
    assert leaks(tmp_path, *stars)


def test_the_held_out_stars_are_predicted_and_no_others(stars, tmp_path):
    member = train(tmp_path, *stars)
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
    receipt = write_shard([PreparedStars(table, prepared.sequences)], 0, tmp_path, selection, "m")
    assert receipt.counts == {
        "labelled": 89, "other_mode": 1, "poor_curve": 3, "uncertain_label": 1,
    }  # fmt: skip
    read = read_shards(tmp_path, [receipt])
    assert read.table["source_id"].tolist() == list(range(6, N_STARS))
    assert np.array_equal(read.sequences, prepared.sequences[6:])
    assert read_shards(tmp_path, [receipt], sequences=False).table.equals(read.table)
