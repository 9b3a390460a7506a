"""Time training and inference of the networks, by JAX, on a GPU and on one core beside it.

Run as ``python benchmarks/gpu.py`` on a machine with a GPU that JAX can use. On the GPU the members
of ten folds train side by side, on the core one does: each as the trainer has it. Every network has
a process of its own on either.
"""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
from machine import N_CORES, stopwatch
from record import parser, record
from training import DEFAULT_POINTS, N_STOPPING, N_TRAINING, NETWORKS, noise, problems

from rrl_batch.inference.by_keras import BATCH_SIZE, KerasEnsemble
from rrl_batch.lightcurve.inputs import Inputs
from rrl_batch.models.device import WITHOUT_GPU, claim_gpu
from rrl_batch.models.registry import build
from rrl_batch.training.problem import FitSettings

(N_POINTS,) = DEFAULT_POINTS
MEMBERS = {"GPU": 10, "core": 1}
PASSES = {"GPU": 6, "core": 2}
STARS = {"GPU": 16 * BATCH_SIZE, "core": BATCH_SIZE}
DEVICES = ("GPU", "core")


class Speed(NamedTuple):
    """Elapsed seconds until the first pass has ended, and of a later pass, of all members.

    `stars` is the number of stars a second that one member predicts.
    """

    first_pass: float
    one_pass: float
    stars: float


def measure(architecture: str, device: str) -> Speed:
    """Train some members, then let one predict, on the device that this process has."""
    from rrl_batch.training.vectorised import fit

    if claim_gpu() is not (device == "GPU"):
        sys.exit(f"JAX computes on another device than the {device}; install jax[cuda12].")
    epochs = PASSES[device]
    settings = FitSettings(masked=False, epochs=epochs, patience=epochs, learning_rate=0.001)
    ends = [time.perf_counter()]
    members = problems(architecture, MEMBERS[device])
    fits = fit(members, noise(N_POINTS), settings, lambda _: ends.append(time.perf_counter()))
    for _ in fits:
        pass
    first, *later = np.diff(ends)
    network = KerasEnsemble([build(architecture, N_POINTS, masked=False)])
    curves = Inputs(*(np.resize(a, (STARS[device], *a.shape[1:])) for a in noise(N_POINTS)))
    network.predict(Inputs(*(array[:BATCH_SIZE] for array in curves)))  # compiles
    with stopwatch() as took:
        network.predict(curves)
    return Speed(float(first), float(np.median(later)), STARS[device] / took[0])


def measured(device: str, numbered: tuple[int, str]) -> Speed:
    """Measure a network in a process of its own; on the core of its number, if on one."""
    number, architecture = numbered
    hidden = {} if device == "GPU" else WITHOUT_GPU
    pinned = [] if device == "GPU" else ["taskset", "--cpu-list", str(number % N_CORES)]
    done = subprocess.run(
        [*pinned, sys.executable, __file__, "--measure", device, architecture],
        env=os.environ | {"KERAS_BACKEND": "jax"} | hidden,
        stdout=subprocess.PIPE,
        check=True,
    )
    speed = Speed(*json.loads(done.stdout.splitlines()[-1]))
    print(f"{architecture} on the {device}: {speed}", file=sys.stderr, flush=True)
    return speed


def main() -> None:
    """Measure on the GPU, one network after the other, and beside it on as many cores."""
    command_line = parser(__doc__)
    command_line.add_argument("--measure", choices=DEVICES, help="measure in this process")
    command_line.add_argument(
        "networks", nargs="*", choices=[*NETWORKS, []], help="default: all of the registry"
    )
    options = command_line.parse_args()
    networks = options.networks or NETWORKS
    if options.measure:
        print(json.dumps(measure(networks[0], options.measure)))
        return
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(max(1, N_CORES - 1)) as many:
        numbered = list(enumerate(networks, 1))  # core 0 is left to the GPU's processes
        on_gpu = one.map(partial(measured, "GPU"), numbered)
        on_core = many.map(partial(measured, "core"), numbered)
        speeds = list(zip(networks, on_gpu, on_core, strict=True))
    asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader", "--id=0"]
    name = subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    table = [
        f"| network | {name}: s to the end of the first pass, {MEMBERS['GPU']} members | s a pass "
        "| core: s to the end of the first pass, a member | s a pass | GPU trains faster × "
        "| GPU: stars/s | core: stars/s | GPU predicts faster × |",
        "|---|" + "---:|" * 8,
    ]
    ratios = {}
    for architecture, gpu, core in speeds:
        faster = core.one_pass * MEMBERS["GPU"] / gpu.one_pass, gpu.stars / core.stars
        table.append(
            f"| {architecture} | {gpu.first_pass:.1f} | {gpu.one_pass:.3f} "
            f"| {core.first_pass:.1f} | {core.one_pass:.2f} | {faster[0]:.0f} "
            f"| {gpu.stars:,.0f} | {core.stars:,.0f} | {faster[1]:.0f} |"
        )
        ratios[f"{architecture}: GPU/core, training"] = faster[0]
        ratios[f"{architecture}: GPU/core, inference"] = faster[1]
    record(
        f"A GPU against a core, {N_POINTS} steps, {N_TRAINING:,} stars and {N_STOPPING} to stop by",
        "\n".join(table),
        f"python benchmarks/gpu.py {' '.join(options.networks)}".rstrip(),
        ratios,
        check=options.check,
    )


if __name__ == "__main__":
    main()
