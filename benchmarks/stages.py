"""Time each stage between survey and catalogue on one core, for stars of few and of many epochs.

Run as ``python benchmarks/stages.py`` after ``full_sky.py``, whose single-member model it takes.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from full_sky import POINTS, ROOT
from machine import matrix_product_rate, shortest
from record import parser, record

from rrl_batch.contracts import STARS
from rrl_batch.inference.ensemble import cached_ensemble
from rrl_batch.inference.predict import predict
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.clean import clean
from rrl_batch.lightcurve.fold import fold
from rrl_batch.lightcurve.fourier import fit_fourier
from rrl_batch.lightcurve.inputs import Inputs
from rrl_batch.lightcurve.prepare import prepare
from rrl_batch.lightcurve.spline import smooth
from rrl_batch.storage.commit import checksum
from rrl_batch.storage.manifest import commit

EPOCHS = (40, 80, 800)
"""A star of Gaia DR3, about twice as many, and the visits of LSST to a field in all bands."""

N_STARS = 2_000
REPEATS = 3


class Measured(NamedTuple):
    """Processor time of each stage in s, and bytes of the survey, for `N_STARS` stars."""

    stages: dict[str, float]
    size: int


def simulate(n_epochs: int) -> LightCurveBatch:
    """Simulate stars of four harmonics and noise that are observed at random times."""
    rng = np.random.default_rng(2024)
    period = rng.uniform(0.4, 0.8, N_STARS)
    time_ = np.sort(rng.uniform(0.0, 1000.0, (N_STARS, n_epochs)), axis=1)
    harmonics = np.arange(1, 5)
    angle = 2 * np.pi * harmonics * (time_ / period[:, None])[..., None]
    mag = 17.0 + np.sin(angle) @ (0.35 / harmonics) + rng.normal(0.0, 0.02, time_.shape)
    stars = pd.DataFrame(
        {
            "source_id": np.arange(1, N_STARS + 1) << 35,
            "ra": rng.uniform(0, 360, N_STARS),
            "dec": rng.uniform(-90, 90, N_STARS),
            "best_classification": "RRab",
            "period": period,
            "num_clean_epochs_g": np.int32(n_epochs),
        }
    )
    table = STARS.conform(pa.Table.from_pandas(stars, preserve_index=False), "stages")
    return LightCurveBatch(
        stars=table.to_pandas(),
        offsets=np.arange(N_STARS + 1) * n_epochs,
        time=time_.ravel(),
        mag=mag.ravel().astype(np.float32),
        mag_error=np.full(mag.size, 0.02, np.float32),
        has_error=np.ones(N_STARS, bool),
        malformed=np.zeros(N_STARS, bool),
    )


def seconds(work: Callable[[], object]) -> float:
    """Return the processor time of the fastest run; the first one may compile."""
    work()
    return shortest(work, REPEATS)


def measure(n_epochs: int, folder: Path) -> Measured:
    """Time the stages one by one; what is left of `prepare` and `predict` is everything else."""
    model = ROOT / "single"
    mark = checksum(model / "model.json")
    ensemble = cached_ensemble(model, mark)
    batch = simulate(n_epochs)
    survey = commit(folder, "survey.parquet", batch.to_arrow(), "")
    path = folder / survey.path

    epochs = clean(batch.time, batch.mag, batch.mag_error, batch.offsets, batch.has_error)
    period = batch.stars["period"].to_numpy()
    phase = fold(epochs.time, epochs.offsets, period, np.zeros(N_STARS))
    curves = phase, epochs.mag, epochs.offsets
    prepared = prepare(batch, points=POINTS)
    rows = pa.Table.from_pandas(predict(prepared, model, mark), preserve_index=False)

    read = seconds(lambda: LightCurveBatch.from_arrow(pq.read_table(path)))
    fourier = seconds(lambda: fit_fourier(*curves))
    spline = seconds(lambda: smooth(*curves, POINTS, "robust"))
    inputs = Inputs(prepared.sequences, np.empty((N_STARS, 0), np.float32))
    modes = np.full(N_STARS, "RRab", object)
    network = seconds(lambda: ensemble.predict_members(inputs, modes))
    stages = {
        "read": read,
        "Fourier fit": fourier,
        "smoothing spline": spline,
        "clean, fold, sequences, flags": seconds(lambda: prepare(batch, points=POINTS))
        - fourier
        - spline,
        "network, a member": network,
        "rows of the catalogue": seconds(lambda: predict(prepared, model, mark)) - network,
        "write": seconds(lambda: commit(folder, "catalogue.parquet", rows, "")),
    }
    return Measured(stages, survey.size)


def main() -> None:
    options = parser(__doc__).parse_args()
    numba.set_num_threads(1)
    pa.set_cpu_count(1)
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        measured = {n: measure(n, Path(folder)) for n in EPOCHS}
    few, *_, many = measured
    head = " | ".join(f"{n} epochs" for n in EPOCHS)
    table = [
        f"| µs a star, one core | {head} | µs an epoch |",
        "|---|" + "---:|" * (len(EPOCHS) + 1),
    ]
    sums = {n: sum(m.stages.values()) for n, m in measured.items()}
    times = {stage: [m.stages[stage] for m in measured.values()] for stage in measured[few].stages}
    for stage, values in [*times.items(), ("all", list(sums.values()))]:
        micro = [1e6 * value / N_STARS for value in values]
        slope = (micro[-1] - micro[0]) / (many - few)
        table.append(f"| {stage} | {' | '.join(f'{m:.1f}' for m in micro)} | {slope:.2f} |")
    sizes = " | ".join(f"{m.size / N_STARS:,.0f}" for m in measured.values())
    table.append(f"| bytes a star in the survey | {sizes} | |")
    # how many stars a core of a machine of a given matrix product does: steadier than times
    products = 1e9 * matrix_product_rate()
    record(
        f"Stages from survey to catalogue, {POINTS} steps",
        "\n".join(table),
        "python benchmarks/stages.py",
        {
            f"{n} epochs: stars/Tflop of matrix product": 1e12 * N_STARS / s / products
            for n, s in sums.items()
        },
        check=options.check,
    )


if __name__ == "__main__":
    main()
