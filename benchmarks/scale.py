"""Make catalogues of surveys of growing size: time and memory must follow from the partition.

Run as ``python benchmarks/scale.py`` after ``full_sky.py``, whose single-member model it takes, or
with other numbers of stars. Each survey is simulated once and kept. Every step is a process of its
own with a cluster of its own, since the largest resident size of a process never falls.
"""

import json
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from full_sky import LOCAL, POINTS, ROOT
from machine import peak_memory
from record import parser, record

from rrl_batch import flow
from rrl_batch.cluster.connect import connect
from rrl_batch.survey.read import open_survey

SIZES = (27_000, 90_000, 271_000, 900_000, 2_700_000)
FIGURE = Path(__file__).parents[1] / "docs/scale.png"

# from the colour-blind safe palette of Okabe & Ito
BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#767676"


@dataclass(frozen=True)
class Step:
    """What a step took: time in s, largest resident sizes in bytes, stars in the fullest piece."""

    stars: int
    seconds: float
    worker: int
    driver: int
    partitions: int
    largest: int


def simulated(n_stars: int) -> Step:
    """Simulate a survey, or tell what that took when it was done."""
    root = ROOT / f"scale/{n_stars}"
    kept = root / "simulated.json"
    if kept.exists():
        return Step(**json.loads(kept.read_text()))
    with connect(LOCAL) as client:
        start = time.perf_counter()
        flow.simulate(client, n_stars, 1, root / "survey", root / "labels.parquet")
        step = finished(client, n_stars, time.perf_counter() - start)
    kept.write_text(json.dumps(asdict(step)))
    return step


def catalogued(n_stars: int) -> Step:
    """Make the catalogue, on workers that have the model and compiled code in memory."""
    survey = open_survey(ROOT / f"scale/{n_stars}/survey")
    out = ROOT / "scale/catalogue"
    with connect(LOCAL) as client:
        for partitions in (survey.partitions[:4], survey.partitions):
            shutil.rmtree(out, ignore_errors=True)
            start = time.perf_counter()
            flow.predict(client, replace(survey, partitions=partitions), ROOT / "single", out)
        return finished(client, n_stars, time.perf_counter() - start)


def finished(client, n_stars: int, seconds: float) -> Step:
    pieces = [p.rows for p in open_survey(ROOT / f"scale/{n_stars}/survey").partitions]
    worker = max(client.run(peak_memory).values())
    return Step(n_stars, seconds, worker, peak_memory(), len(pieces), max(pieces))


def alone(step: Callable[[int], Step], n_stars: int) -> Step:
    """Run a step in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(step, n_stars).result()


def rows(name: str, steps: list[Step]) -> list[str]:
    return [
        f"| {name} | {s.stars:,} | {s.partitions:,} | {s.largest:,} | {s.seconds:.1f} "
        f"| {1e6 * s.seconds / s.stars:.0f} | {s.worker / 1e6:,.0f} | {s.driver / 1e6:,.0f} |"
        for s in steps
    ]


def growth(steps: list[Step]) -> dict[str, float]:
    """Return how well time and memory hold when the survey grows some ten times; 1 is ideal."""
    large = steps[-1]
    small = min(steps[:-1], key=lambda step: abs(10 * step.stars - large.stars))
    between = f"{small.stars:,} to {large.stars:,} stars"
    return {
        f"{between}: time": large.stars / small.stars * small.seconds / large.seconds,
        f"{between}: worker": small.worker / large.worker,
        f"{between}: driver": small.driver / large.driver,
    }


def draw(simulations: list[Step], catalogues: list[Step]) -> None:
    """Draw largest resident sizes, and the time of the catalogue, against the survey's size."""
    from matplotlib.figure import Figure

    figure = Figure((9, 4), layout="constrained")
    memory, elapsed = figure.subplots(1, 2)
    stars = [step.stars for step in catalogues]
    for steps, style, stage in ((catalogues, "-", "catalogue"), (simulations, ":", "simulation")):
        for who, colour, marker in (("worker", BLUE, "o"), ("driver", VERMILION, "s")):
            sizes: list[Any] = [getattr(step, who) / 1e9 for step in steps]
            memory.plot(stars, sizes, style, color=colour, marker=marker, label=f"{who}, {stage}")
    memory.set(ylabel="Largest resident size (GB)", title="Memory of a process", ylim=(0, None))
    seconds = [step.seconds for step in catalogues]
    proportional = [seconds[-1] * n / stars[-1] for n in stars]
    elapsed.plot(stars, seconds, color=BLUE, marker="o", label="measured")
    elapsed.plot(stars, proportional, color=GREY, linestyle="--", label="proportional to the stars")
    elapsed.set(yscale="log", ylabel="Time (s)", title="Survey to catalogue")
    elapsed.yaxis.set_major_formatter("{x:g}")
    for axes in (memory, elapsed):
        axes.set(xscale="log", xlabel="Stars in the survey")
        axes.set_xticks(stars, [f"{n:,}" for n in stars])
        axes.minorticks_off()
        axes.grid(color="#E6E6E6")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.savefig(FIGURE, dpi=160)


def main() -> None:
    command_line = parser(__doc__)
    command_line.add_argument("stars", nargs="*", type=int, help=f"sizes; default: {SIZES}")
    options = command_line.parse_args()
    sizes = sorted(options.stars or SIZES)
    if len(sizes) < 2:
        command_line.error("two sizes or more can be compared")
    simulations = [alone(simulated, n_stars) for n_stars in sizes]
    catalogues = [alone(catalogued, n_stars) for n_stars in sizes]
    table = [
        "| step | stars | partitions | stars in the largest | s | µs a star "
        "| largest worker (MB) | driver and scheduler (MB) |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        *rows("simulation", simulations),
        *rows("catalogue", catalogues),
    ]
    if not options.check:
        draw(simulations, catalogues)
    record(
        f"Time and memory against size, {POINTS} steps, a single member",
        "\n".join(table),
        "python benchmarks/scale.py",
        growth(catalogues),
        check=options.check,
    )


if __name__ == "__main__":
    main()
