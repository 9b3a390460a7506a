"""Time prediction with and without the noise errors, which need redrawn curves, on one core.

Run as ``python benchmarks/noise.py``. What is compared is preparing and predicting: reading and
writing, which both have, would bring the ratios nearer to 1.
"""

import shutil
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numba
import numpy as np
import pandas as pd
from machine import shortest
from record import parser, record

from rrl_batch import flow
from rrl_batch.cluster.connect import connect
from rrl_batch.inference import predict
from rrl_batch.inference.model import Model, open_model
from rrl_batch.job import ClusterSection, make_job
from rrl_batch.lightcurve.redrawn import N_DRAWS
from rrl_batch.models.folder import CARD, OUT_OF_FOLD, ModelCard
from rrl_batch.sources.synthetic import simulate_stars
from rrl_batch.sources.synthetic.source import SimulatedLightCurves
from rrl_batch.sources.tables import read_labels
from rrl_batch.storage.commit import checksum
from rrl_batch.survey.read import open_survey

N_STARS = 2_000
REPEATS = 3
SELECT = "num_epochs_used >= 12 and amplitude <= 1.4 and phi31_error <= 1.0"
ONE_WORKER = ClusterSection(workers=1, dashboard_address="127.0.0.1:0")
CASES = {
    "GRU, 1 member, 265 steps": ("gru", 265, 1),
    "GRU, 5 members, 265 steps": ("gru", 265, 5),
    "GRU, 1 member, 64 steps": ("gru", 64, 1),
    "GRU, 5 members, 64 steps": ("gru", 64, 5),
}


def models(root: Path) -> dict[str, Model]:
    """Train the models: the weights make no difference to the time, one pass is enough."""
    found = {}
    with connect(ONE_WORKER) as client:
        flow.simulate(client, 400, 1, root / "survey", root / "labels.parquet")
        labels = read_labels(root / "labels.parquet", "true")
        for name, (architecture, points, members) in CASES.items():
            training = {"select": SELECT, "folds": 5, "epochs": 1}
            model = {"architecture": architecture}
            settings = {"preprocess": {"points": points}, "model": model, "training": training}
            folder = root / f"{architecture}_{points}"
            flow.train(client, open_survey(root / "survey"), labels, folder, make_job(settings, ""))
            found[name] = open_model(folder if members > 1 else single(folder))
    return found


def single(model: Path) -> Path:
    """Return a copy of a model that keeps one of its members."""
    folder = shutil.copytree(model, model.with_name(model.name + "_single"))
    card = ModelCard.read(folder)
    pd.read_parquet(folder / OUT_OF_FOLD).iloc[:0].to_parquet(folder / OUT_OF_FOLD)
    (folder / CARD).unlink()
    mark = checksum(folder / OUT_OF_FOLD)
    card.model_copy(update={"members": card.members[:1], "out_of_fold": mark}).write(folder)
    return folder


def without(stars, rows, *_):
    """Stand in for the noise errors."""
    return np.where(np.isin(np.arange(len(stars)), rows), 0.1, np.nan)


def main() -> None:
    """Measure, print and record."""
    arguments = parser(__doc__).parse_args()
    numba.set_num_threads(1)
    stars = simulate_stars(2 * N_STARS, 2)
    stars = stars[stars["best_classification"] == "RRab"].iloc[:N_STARS]
    batch = SimulatedLightCurves(2)(stars, 0)
    rows, ratios = [], {}
    with TemporaryDirectory() as folder:
        for name, model in models(Path(folder)).items():
            work = partial(model.predict, batch)
            with_errors = shortest(work, REPEATS) / len(batch)
            with patch.object(predict, "noise_errors", without):
                plain = shortest(work, REPEATS) / len(batch)
            rows.append(
                f"| {name} | {1e6 * plain:.0f} | {1e6 * with_errors:.0f} "
                f"| {with_errors / plain:.2f} |"
            )
            ratios[f"{name}: without/with"] = plain / with_errors
    heading = "| model | µs a star without | with | ratio |\n|---|---:|---:|---:|"
    record(
        f"Noise errors, from {N_DRAWS} redrawn curves a star",
        "\n".join([heading, *rows]),
        "python benchmarks/noise.py",
        ratios,
        check=arguments.check,
    )


if __name__ == "__main__":
    main()
