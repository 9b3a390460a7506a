"""Small catalogues, labels and models for tests."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from rrl_batch.catalogue.write import finish_catalogue
from rrl_batch.contracts import CATALOGUE, Flag
from rrl_batch.lightcurve.redrawn import CurveErrors
from rrl_batch.models.calibration import Calibration
from rrl_batch.models.folder import CARD, ModelCard
from rrl_batch.storage.manifest import Manifest, commit
from rrl_batch.storage.sky import SPATIAL_INDEX, partition, with_positions

_OPTIONAL = [
    "feh", "feh_error", "feh_model_error", "feh_noise_error", "feh_gru", "feh_lo", "feh_hi",
    "feh_lo95", "feh_hi95", "feh_baseline",
    "int_average_g", "amplitude_g", "phi31_g", "phi31_g_error",
]  # fmt: skip


def catalogue_rows(n: int = 200, seed: int = 0) -> pd.DataFrame:
    """Rows as a prediction gives them; every tenth star has too few epochs and no metallicity."""
    rng = np.random.default_rng(seed)
    feh = rng.normal(-1.4, 0.5, n)
    error = rng.uniform(0.1, 0.3, n)
    flags = rng.choice([0, int(Flag.SPARSE), int(Flag.SPARSE | Flag.PHASE_GAP)], n)
    rows = pd.DataFrame(
        {
            # more digits than a double holds
            "source_id": rng.choice(2**40, n, replace=False) + 2**62 + 1,
            "ra": rng.uniform(0, 360, n),
            "dec": rng.uniform(-90, 90, n),
            "best_classification": rng.choice(["RRab", "RRc"], n),
            "period": rng.uniform(0.25, 0.9, n),
            "feh": feh,
            "feh_error": error,
            "feh_model_error": error / 3,
            "feh_noise_error": error / 2,
            "feh_gru": feh,
            "feh_lo": feh - error,
            "feh_hi": feh + error,
            "feh_lo95": feh - 2 * error,
            "feh_hi95": feh + 2 * error,
            "feh_baseline": feh + rng.normal(0, 0.2, n),
            "int_average_g": rng.uniform(11, 21, n),
            "amplitude_g": rng.uniform(0.2, 1.3, n),
            "phi31_g": rng.uniform(1, 3, n),
            "phi31_g_error": rng.uniform(0.01, 0.3, n),
            "phase_gap": rng.uniform(0.02, 0.3, n),
            "num_epochs_used": rng.integers(5, 120, n),
            "flags": flags,
        }
    )
    without = np.arange(n) % 10 == 9
    rows.loc[without, _OPTIONAL] = np.nan
    rows.loc[without, "flags"] = int(Flag.TOO_FEW_EPOCHS)
    return rows


def provenance(rows: int, **changed: Any) -> dict[str, Any]:
    """Where a catalogue of a survey with so many stars says that it comes from."""
    return {
        "description": "[Fe/H] of RR Lyrae stars from their light curves",
        "synthetic": False,
        "scale": "crestani2021",
        "survey": {"path": "survey", "stars": rows, "description": "observed stars"},
        "model": {
            "path": "model",
            "architecture": "gru",
            "members": 5,
            "engines": {"gru": "fused kernel"},
            "preprocess": {"dataset": "preprocessed", "smoothing": "robust", "points": 265},
            "out_of_fold": {"n": 1000, "rmse": 0.2, "r2": 0.8},
            "stars": {
                "labels": 1300,
                "not_in_survey": 40,
                "trained_on": 1000,
                "cuts": [
                    {"cut": "RRab", "removed": 60, "alone": 60, "unknown": 0},
                    {"cut": "phi31_error <= 0.1", "removed": 200, "alone": 230, "unknown": 7},
                ],
            },
        },
        "made_from": {"survey": "a1", "model": "b2", "code_version": "0.1.0"},
    } | changed


def write_catalogue(root: Path, rows: pd.DataFrame, **changed: Any) -> Manifest:
    """Write a catalogue of some rows, in partitions of at most 100."""
    rows = with_positions(rows)
    pieces = partition(rows[SPATIAL_INDEX].to_numpy(), 100)
    receipts = []
    for piece in pieces:
        part = rows.iloc[piece.start : piece.stop]
        table = CATALOGUE.conform(pa.Table.from_pandas(part, preserve_index=False), "test")
        table = table.add_column(0, SPATIAL_INDEX, pa.array(part[SPATIAL_INDEX]))
        receipts.append(commit(root, piece.pixel.file("f"), table, "f"))
    about = provenance(len(rows), **changed)
    return finish_catalogue(root, [piece.pixel for piece in pieces], receipts, "f", about)


CALIBRATION = Calibration(
    power=0.8, floor=0.1, of_noise=1.0, of_spread=1.0,
    lowest=(2.0, 10.0, -4.0, 0.1, -2.5), highest=(5.0, 21.0, -1.0, 1.4, 0.0),
    centre=(3.5, 17.0, -2.5, 0.7, -1.4), unit=(0.5, 2.0, 0.5, 0.2, 0.5),
    slope=(-0.1, 0.0, 0.0, 0.1, 0.2), curvature=(0.0,) * 5, multiples=(1.0, 2.0),
)  # fmt: skip
"""How errors of a small model are calibrated."""


def curve_errors(n_stars: int, noise: float = 0.0) -> CurveErrors:
    """How well curves of three harmonics are known, each coefficient with the same error."""
    rng = np.random.default_rng(3)
    return CurveErrors(
        source_id=np.arange(n_stars),
        harmonics=rng.normal(0.1, 0.02, (n_stars, 7)) * np.exp(2j * np.pi * rng.random((1, 7))),
        factor=np.tile(noise * np.eye(14), (n_stars, 1, 1)),
        start=np.zeros(n_stars),
        noise=np.full(n_stars, 0.02),
        n_epochs=np.full(n_stars, 60),
        period=np.full(n_stars, 0.55),
        period_error=np.zeros(n_stars),
        alignment="fourier",
        raw=False,
    )


def rewrite_card(card: ModelCard, model: Path, **changed: Any) -> None:
    """Put a changed card in the place of a model's own, which a run never does."""
    (model / CARD).unlink()
    card.model_copy(update=changed).write(model)


def write_labels(path: Path, rows: pd.DataFrame, scale: str = "crestani2021") -> Path:
    """Write labels that lie 0.25 dex around the catalogue's own values."""
    rng = np.random.default_rng(1)
    feh = rows["feh"].fillna(-1.5) + rng.normal(0, 0.25, len(rows))
    labels = {"source_id": rows["source_id"], "feh": feh, "feh_error": 0.1, "scale": scale}
    pd.DataFrame(labels).to_parquet(path, index=False)
    return path
