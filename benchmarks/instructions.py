"""Count the instructions that the kernels need for a star, which no other program disturbs.

Run as ``python benchmarks/instructions.py``; valgrind must be installed. Each kernel is run under
callgrind with two numbers of stars, and the difference is divided by theirs, so that starting
Python and loading compiled code do not count. Valgrind knows no AVX-512: the kernels are compiled
for a processor with AVX2 (Haswell), on any machine the same.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from machine import N_CORES
from record import parser, record

N_EPOCHS, N_POINTS = 40, 265
FEW, MANY = 48, 240
"""Numbers of stars: whole blocks of the recurrent kernel."""

ENVIRONMENT = {
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+avx2,+fma",
    "NUMBA_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
}


def folded(n_stars: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return phases, magnitudes and offsets of simulated curves: four harmonics and noise."""
    rng = np.random.default_rng(2024)
    phase = np.sort(rng.random((n_stars, N_EPOCHS)), axis=1)
    harmonics = np.arange(1, 5)
    mag = 17.0 + np.sin(2 * np.pi * harmonics * phase[..., None]) @ (0.35 / harmonics)
    mag += rng.normal(0.0, 0.02, mag.shape)
    return phase.ravel(), mag.ravel(), np.arange(n_stars + 1) * N_EPOCHS


def spline(n_stars: int) -> None:
    from rrl_batch.lightcurve.spline import smooth

    smooth(*folded(n_stars), N_POINTS, "robust")


def fourier(n_stars: int) -> None:
    from rrl_batch.lightcurve.fourier import fit_fourier

    fit_fourier(*folded(n_stars))


def gru(n_stars: int) -> None:
    """Evaluate the paper's GRU with any weights; loading Keras under valgrind takes minutes."""
    from llvmlite import binding

    binding.get_host_cpu_features = dict  # where the code is compiled: as if under valgrind
    from rrl_batch.inference.fused import FusedEnsemble
    from rrl_batch.inference.recurrent_kernel import RUN
    from rrl_batch.lightcurve.inputs import Inputs
    from rrl_batch.models.recurrent import UNITS

    runs, size = [], 0
    for layer, (n_inputs, units) in enumerate(zip((2, *UNITS), UNITS, strict=False)):
        runs.append((False, False, layer, n_inputs, units, units, 0, size))
        size += units * (4 + 3 * n_inputs + 3 * units)
    rng = np.random.default_rng(2024)
    weights = rng.normal(0.0, 0.3, (1, size + UNITS[-1] + 1)).astype(np.float32)
    curves = rng.normal(0.0, 0.3, (n_stars, N_POINTS, 2)).astype(np.float32)
    inputs = Inputs(curves, np.empty((n_stars, 0), np.float32))
    FusedEnsemble(2, 0, 0, np.array(runs, RUN), weights).predict(inputs)


KERNELS = {
    f"spline, {N_EPOCHS} epochs": spline,
    f"Fourier fit, {N_EPOCHS} epochs": fourier,
    f"GRU, {N_POINTS} steps": gru,
}


def run(kernel: str, n_stars: int, folder: Path, *tool: str) -> str:
    """Run a kernel in a process of its own, under a tool if one is given, and return its output."""
    code = f"import instructions; instructions.{kernel}({n_stars})"
    environment = os.environ | ENVIRONMENT | {"NUMBA_CACHE_DIR": str(folder)}
    command = [*tool, sys.executable, "-c", code]
    return subprocess.run(
        command,
        cwd=Path(__file__).parent,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stderr


def count(kernel: str, folder: Path) -> float:
    """Return the instructions a star."""
    run(kernel, FEW, folder)  # compiles
    valgrind = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={os.devnull}")
    few, many = (
        int(re.search(r"Collected : (\d+)", run(kernel, n, folder, *valgrind))[1])
        for n in (FEW, MANY)
    )
    return (many - few) / (MANY - FEW)


def main() -> None:
    options = parser(__doc__).parse_args()
    if not shutil.which("valgrind"):
        sys.exit("valgrind is not installed: its instructions cannot be counted.")
    names = [kernel.__name__ for kernel in KERNELS.values()]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(N_CORES) as processes:
        counts = list(processes.map(lambda name: count(name, Path(folder)), names))
    table = ["| kernel | thousand instructions a star |", "|---|---:|"]
    table += [f"| {k} | {n / 1e3:,.1f} |" for k, n in zip(KERNELS, counts, strict=True)]
    record(
        "Instructions of the kernels, compiled for AVX2",
        "\n".join(table),
        "python benchmarks/instructions.py",
        # the more stars for the instructions, the better
        {f"{k}: stars a million instructions": 1e6 / n for k, n in zip(names, counts, strict=True)},
        check=options.check,
    )


if __name__ == "__main__":
    main()
