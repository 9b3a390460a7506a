"""Time preparation and prediction with and without the noise errors, on one core.

Run as ``python benchmarks/noise.py``. The networks are the paper's GRU with any weights, which make
no difference to the time. Reading and writing, which both have, would bring the ratios nearer to 1.
"""

from types import SimpleNamespace
from typing import Any, cast

import numba
import numpy as np
from machine import shortest
from record import parser, record

from rrl_batch.inference.ensemble import Ensemble
from rrl_batch.inference.fused import FusedEnsemble
from rrl_batch.inference.noise import noise_errors
from rrl_batch.inference.recurrent_kernel import RUN
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.prepare import PreparedStars, prepare
from rrl_batch.lightcurve.redrawn import N_DRAWS
from rrl_batch.models.recurrent import UNITS
from rrl_batch.sources.synthetic import simulate_stars
from rrl_batch.sources.synthetic.source import SimulatedLightCurves

N_STARS = 300
REPEATS = 2
CASES = [(64, 1), (64, 5), (265, 1), (265, 5)]
"""Steps of a sequence, and members."""


def gru(n_members: int) -> FusedEnsemble:
    """Return networks of the paper's layers with any weights."""
    runs, size = [], 0
    for layer, (n_inputs, units) in enumerate(zip((2, *UNITS), UNITS, strict=False)):
        runs.append((False, False, layer, n_inputs, units, units, 0, size))
        size += units * (4 + 3 * n_inputs + 3 * units)
    weights = np.random.default_rng(2024).normal(0.0, 0.3, (n_members, size + UNITS[-1] + 1))
    return FusedEnsemble(2, 0, 0, np.array(runs, RUN), weights.astype(np.float32))


def predict(batch: LightCurveBatch, points: int, network: FusedEnsemble) -> Any:
    """Prepare stars and let all members predict those that have a curve."""
    stars = prepare(batch, points=points)
    rows = np.flatnonzero(np.isfinite(stars.shape).all(axis=1))
    members = np.full((len(stars), len(network.weights)), np.nan)
    members[rows] = network.predict(type(stars.inputs)(*(a[rows] for a in stars.inputs)))
    return stars, rows, members


def add_errors(stars: PreparedStars, rows: Any, members: Any, network: FusedEnsemble) -> None:
    """Find the noise errors of stars that have been predicted."""
    places = np.column_stack([np.zeros(members.shape[1]), np.arange(members.shape[1])])
    model = SimpleNamespace(
        card=SimpleNamespace(architecture=("gru",)),
        places=lambda _: places,
        predict_member=lambda _, number, inputs, __: network.member(number).predict(inputs)[:, 0],
    )
    fold = np.full(len(stars), np.nan)
    mode = stars.table["best_classification"].to_numpy(object)
    noise_errors(stars, rows, mode, cast("Ensemble", model), {"gru": members}, fold)


def main() -> None:
    """Measure, print and record."""
    arguments = parser(__doc__).parse_args()
    numba.set_num_threads(1)
    stars = simulate_stars(3 * N_STARS, 2)
    stars = stars[stars["best_classification"] == "RRab"].iloc[:N_STARS]
    batch = SimulatedLightCurves(2)(stars, 0)
    rows, ratios = [], {}
    for points, members in CASES:
        network = gru(members)
        found = predict(batch, points, network)
        add_errors(*found, network)
        plain, more = (
            1e6 * shortest(work, REPEATS) / len(batch)
            for work in (
                lambda points=points, network=network: predict(batch, points, network),
                lambda found=found, network=network: add_errors(*found, network),
            )
        )
        ratio = (plain + more) / plain
        rows.append(f"| {points} | {members} | {plain:.0f} | {more:.0f} | {ratio:.2f} |")
        ratios[f"{points} steps, {members} member(s): without/with"] = 1 / ratio
    heading = (
        "| steps | members | µs a star without | more with | ratio |\n|---:|---:|---:|---:|---:|"
    )
    record(
        f"Noise errors, from {N_DRAWS} redrawn curves a star",
        "\n".join([heading, *rows]),
        "python benchmarks/noise.py",
        ratios,
        check=arguments.check,
    )


if __name__ == "__main__":
    main()
