"""A small experiment with known properties, as its job would have written it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

RIVAL = "Published (2022)"
FOLDS, REPEATS = 3, 2

# by case: kinds of member, scatter of a prediction, and settings that differ
CASES: dict[str, tuple[list[str], float, dict[str, Any]]] = {
    "gru": (["gru"], 0.15, {}),
    "twin": (["gru"], 0.15, {"training.seed": 1}),  # predicts what gru does
    "poor": (["fcn"], 0.30, {}),
    "gp": (["gp"], 0.12, {}),
    "linear": (["linear"], 0.20, {}),
    "gru, half": (["gru"], 0.22, {"training.fraction": 0.5}),
}
SHARED = {"model.static": "none", "training.epochs": 4}


def tables_of(n: int = 300, seed: int = 0) -> dict[str, pd.DataFrame]:
    """The four tables of an experiment, by the names of their files."""
    rng = np.random.default_rng(seed)
    feh = rng.normal(-1.4, 0.45, n)
    source_id = 4_000_000_000_000_000_000 + rng.permutation(n)
    stars = pd.DataFrame(
        {
            "source_id": source_id,
            "feh": feh,
            "feh_error": rng.uniform(0.05, 0.2, n),
            "best_classification": "RRab",
            "period": 0.6,
            "phi31": 2.0,
            "amplitude": 0.8,
            "num_epochs_used": np.int32(40),
            "noise": rng.lognormal(-4.5, 0.4, n),
            "rival": feh + rng.normal(0, 0.18, n),
        }
    )
    folds = [rng.permutation(np.arange(n) % FOLDS) for _ in range(REPEATS)]
    predictions, members, history = [], [], []
    for name, (kinds, scatter, settings) in CASES.items():
        for repeat, fold in enumerate(folds):
            if name != "twin":
                predicted = feh + rng.normal(0, scatter, n)
            else:
                predicted = predictions[repeat]["predicted"]
            predictions.append(
                pd.DataFrame({"case": name, "source_id": source_id, "repeat": repeat,
                              "fold": fold, "predicted": predicted,
                              "fitted": (feh + predicted) / 2})
            )  # fmt: skip
            for held_out in range(FOLDS):
                member = {"case": name, "architecture": kinds[0], "repeat": repeat,
                          "fold": held_out}  # fmt: skip
                network = kinds[0] in ("gru", "fcn")
                n_training = int(n * 2 / 3 * settings.get("training.fraction", 1))
                members.append(
                    member | {"epochs": 3.0 if network else None, "epochs_run": 4.0 if network else
                              None, "n_training": n_training, "rmse": 0.1, "mae": 0.08, "r2": 0.95,
                              "wrmse": 0.11, "wmae": 0.09}
                )  # fmt: skip
                if network:
                    history += [
                        member | {"epoch": i, "training_loss": 1 / i, "stopping_loss": 1.2 / i}
                        for i in range(1, 5)
                    ]
    return {
        "stars": stars,
        "out_of_fold": pd.concat(predictions, ignore_index=True).astype({"case": "category"}),
        "members": pd.DataFrame(members),
        "history": pd.DataFrame(history),
    }


def _stars(cut: str, removed: int) -> dict[str, Any]:
    counts = {"cut": cut, "removed": removed, "alone": removed + 5, "unknown": 7}
    return {"labels": 600, "not_in_survey": 40, "cuts": [counts], "trained_on": 560 - removed}


def about(**changed: Any) -> dict[str, Any]:
    """What `experiment.json` of these tables says."""
    cases = {
        name: {"settings": SHARED | settings, "architecture": kinds, "parameters": None,
               "seconds": 12.5, "diverged": []}
        for name, (kinds, _, settings) in CASES.items()
    }  # fmt: skip
    return {
        "title": "Stars made for a test",
        "synthetic": False,
        "scale": "dekany2022",
        "reference": "gru",
        "rival": RIVAL,
        "folds": FOLDS,
        "repeats": REPEATS,
        "cases": cases,
        "selected": [
            {"cases": list(CASES)[:2], "stars": _stars("phi31_error <= 0.1", 230)},
            {"cases": list(CASES)[2:], "stars": _stars("phi31_error <= 0.3", 30)},
        ],
        "chosen": None,
        "provenance": {"survey": {"path": "survey", "stars": 300}},
    } | changed


def write_experiment(
    folder: Path, tables: dict[str, pd.DataFrame] | None = None, **changed: Any
) -> Path:
    """Write an experiment's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in (tables or tables_of()).items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    (folder / "experiment.json").write_text(json.dumps(about(**changed)))
    return folder
