"""Time the two trainers: Keras on TensorFlow, member after member, against programs on JAX.

Run as ``python benchmarks/training.py``. Each trains in a process of its own on one core, which is
what a worker owns. It needs the extra `jax`.
"""

import json
import os
import subprocess
import sys
import time
from typing import NamedTuple

import numpy as np
from record import parser, record

from rrl_batch.lightcurve.inputs import Inputs
from rrl_batch.lightcurve.shape import N_SHAPE
from rrl_batch.models.registry import ARCHITECTURES, n_static_of
from rrl_batch.training.problem import FitSettings, MemberId, Problem, Scaling

N_TRAINING, N_STOPPING = 1440, 360
N_MEMBERS, PASSES = 3, 4
NETWORKS = [name for name, kind in ARCHITECTURES.items() if kind.is_network]
POINTS = {"gru": (32, 64, 265)}  # the paper's network, from short to full length
DEFAULT_POINTS = (64,)
PASSES_OF_A_MEMBER = 100
BACKENDS = ("tensorflow", "jax")


class Cost(NamedTuple):
    """Processor time of training, in seconds: of a pass, and of all else for a first member."""

    one_pass: float
    start: float
    next_start: float

    def members_per_minute(self, n_members: int) -> float:
        """Return the speed at which an ensemble is trained."""
        starts = self.start + (n_members - 1) * self.next_start
        return 60 * n_members / (starts + n_members * PASSES_OF_A_MEMBER * self.one_pass)


def cases(architectures: list[str]) -> list[tuple[str, int]]:
    """Return architectures, with numbers of points."""
    return [(name, n) for name in architectures for n in POINTS.get(name, DEFAULT_POINTS)]


def noise(n_points: int) -> Inputs:
    """Return curves and shape parameters of all stars, which are noise."""
    n_stars, rng = N_TRAINING + N_STOPPING, np.random.default_rng(1)
    return Inputs(
        rng.normal(0, 0.3, (n_stars, n_points, 2)).astype(np.float32),
        rng.normal(0, 1, (n_stars, N_SHAPE)).astype(np.float32),
    )


def problems(architecture: str, n_members: int) -> list[Problem]:
    """Return members that learn noise from different stars."""
    n_static = n_static_of(architecture, "none")
    scaling = Scaling(np.zeros(n_static), np.ones(n_static), 0.0, 1.0)
    made = []
    for fold in range(n_members):
        rng = np.random.default_rng(fold)
        training, stopping = np.split(rng.permutation(N_TRAINING + N_STOPPING), [N_TRAINING])
        target, weights = rng.normal(size=(2, N_TRAINING + N_STOPPING)).astype(np.float32)
        member = MemberId(architecture, 0, (fold,))
        made.append(Problem(member, fold, training, stopping, target, np.abs(weights), scaling))
    return made


def measure(architecture: str, n_points: int) -> Cost:
    """Train a few members with the trainer of this process's backend."""
    from rrl_batch.training.fit import trainer

    settings = FitSettings(masked=False, epochs=PASSES, patience=PASSES, learning_rate=0.001)
    ends, finished = [], [time.process_time()]
    fits = trainer(architecture)(
        problems(architecture, N_MEMBERS),
        noise(n_points),
        settings,
        lambda _: ends.append(time.process_time()),
    )
    finished += [time.process_time() for _ in fits]
    one_pass = float(np.median(np.diff(np.reshape(ends, (N_MEMBERS, PASSES)))))
    start, *others = np.diff(finished) - PASSES * one_pass
    return Cost(one_pass, float(start), float(np.mean(others)))


def costs(backend: str, architectures: list[str]) -> list[Cost]:
    """Measure all cases in a process with a backend."""
    done = subprocess.run(
        [sys.executable, __file__, "--measure", *architectures],
        env=os.environ | {"KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        check=True,
    )
    return [Cost(*cost) for cost in json.loads(done.stdout.splitlines()[-1])]


def main() -> None:
    """Measure on one core."""
    command_line = parser(__doc__)
    command_line.add_argument("--measure", action="store_true", help="measure in this process")
    command_line.add_argument(
        "networks", nargs="*", choices=[*NETWORKS, []], help="default: all of the registry"
    )
    options = command_line.parse_args()
    networks = options.networks or NETWORKS
    if options.measure:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        print(json.dumps([measure(*case) for case in cases(networks)]))
        return
    table = [
        "| network | steps | trainer | s a pass | s before the first member | before the next "
        f"| members a minute, 5 of {PASSES_OF_A_MEMBER} passes | JAX is faster × |",
        "|---|---:|---|---:|---:|---:|---:|---:|",
    ]
    ratios = {}
    measured = [costs(backend, networks) for backend in BACKENDS]
    for (architecture, n_points), *both in zip(cases(networks), *measured, strict=True):
        speeds = [cost.members_per_minute(5) for cost in both]
        for backend, cost, speed in zip(BACKENDS, both, speeds, strict=True):
            table.append(
                f"| {architecture} | {n_points} | {backend} | {cost.one_pass:.3f} "
                f"| {cost.start:.1f} | {cost.next_start:.1f} | {speed:.1f} "
                f"| {speed / speeds[0]:.1f} |"
            )
        ratios[f"{architecture} {n_points}: jax/tensorflow"] = speeds[1] / speeds[0]
    record(
        f"Training on one core, {N_TRAINING:,} stars and {N_STOPPING} to stop by, batches of 256",
        "\n".join(table),
        f"python benchmarks/training.py {' '.join(options.networks)}".rstrip(),
        ratios,
        check=options.check,
    )


if __name__ == "__main__":
    main()
