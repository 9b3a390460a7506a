"""Measure what stays in one process when a survey grows: the graph, its scheduling, the metadata.

Run as ``python benchmarks/graph.py`` after ``full_sky.py``, whose single-member model it takes. A
survey of 27,000 stars in partitions of at most 20 has as many partitions as one of 27 million in
partitions of 20,000. Its catalogue is made once; then the manifest is removed and the catalogue is
asked for again, with a thousand times the stars in the plan: every task of the larger survey is
built, sent and run, but finds its partition done.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace

from full_sky import LOCAL, ROOT
from machine import peak_memory
from probe import recorded_tasks
from record import parser, record

from rrl_batch import flow
from rrl_batch.cluster.connect import connect
from rrl_batch.sources.synthetic import simulate_stars
from rrl_batch.sources.synthetic.source import SimulatedLightCurves
from rrl_batch.storage.manifest import MANIFEST, ROWS_PER_GROUP, Manifest
from rrl_batch.storage.sky import write_hats_metadata
from rrl_batch.survey.read import Survey, open_survey
from rrl_batch.survey.write import finish_survey, plan_partitions, stage_stars, write_partition

N_STARS, SMALLER = 27_000_000, 1_000
SERIAL, EMPTY = "all but what is within the tasks", "as many empty tasks"
SURVEY, CATALOGUE = ROOT / "graph/survey", ROOT / "graph/catalogue"


def write_survey() -> None:
    """Write the survey of small partitions, unless it is there."""
    if (SURVEY / MANIFEST).exists():
        return
    shutil.rmtree(SURVEY, ignore_errors=True)
    stars, partitions = plan_partitions(
        simulate_stars(N_STARS // SMALLER, seed=1), ROWS_PER_GROUP // SMALLER
    )
    stage_stars(SURVEY, stars, partitions)
    about = {"description": "SYNTHETIC survey of small partitions", "synthetic": True}
    pixels = [partition.pixel for partition in partitions]
    source = SimulatedLightCurves(1)
    receipts = [
        write_partition(target, SURVEY, source, "graph", about["description"])
        for target in enumerate(pixels)
    ]
    finish_survey(SURVEY, pixels, receipts, "graph", about)


def made_again(client, survey: Survey) -> dict[str, float]:
    """Return the time (s) of each stage of a catalogue whose partitions are all done."""
    pieces = [replace(piece, rows=SMALLER * piece.rows) for piece in survey.partitions]
    # the first pass makes what is not there yet, and loads the model
    for plan in (survey, replace(survey, partitions=pieces)):
        (CATALOGUE / MANIFEST).unlink(missing_ok=True)
        with recorded_tasks(client) as tasks:
            start = time.time()
            flow.predict(client, plan, ROOT / "single", CATALOGUE)
            end = time.time()
    first, last, n_tasks = tasks.start.min(), tasks.stop.max(), len(tasks.start)
    within = tasks.seconds.sum() / len(client.nthreads())
    return {
        f"build the graph of {n_tasks:,} tasks, and send it": first - start,
        "run the tasks": last - first,
        "of this, within the tasks, a worker": within,
        "collect the results, write metadata and manifest": end - last,
        SERIAL: end - start - within,
        EMPTY: seconds(lambda: client.gather(client.map(int, range(n_tasks), pure=False))),
    }


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    options = parser(__doc__).parse_args()
    write_survey()
    opened = seconds(lambda: open_survey(SURVEY))
    survey = open_survey(SURVEY)
    with connect(LOCAL) as client:
        stages = made_again(client, survey)
    n_partitions = len(survey.partitions)
    pixels = [piece.pixel for piece in survey.partitions]
    manifest = Manifest.read(CATALOGUE)
    mark, description = (
        manifest.partitions[0].path.split(".")[-2],
        manifest.provenance["description"],
    )
    hats = seconds(lambda: write_hats_metadata(CATALOGUE, pixels, mark, survey.rows, description))
    stages = {"open the survey": opened, **stages, "HATS metadata alone": hats}
    table = ["| step | s | ms a partition |", "|---|---:|---:|"]
    table += [f"| {name} | {s:.2f} | {1e3 * s / n_partitions:.2f} |" for name, s in stages.items()]
    table += ["", f"Driver and scheduler: at most {peak_memory() / 1e6:,.0f} MB."]
    record(
        f"A graph for {N_STARS:,} stars in {n_partitions:,} partitions",
        "\n".join(table),
        "python benchmarks/graph.py",
        {f"{EMPTY}/{SERIAL}": stages[EMPTY] / stages[SERIAL]},
        check=options.check,
    )


if __name__ == "__main__":
    main()
