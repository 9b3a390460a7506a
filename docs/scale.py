"""Write the tables of the page on scale from measured costs: `python docs/scale.py`.

The costs are those of `benchmarks/stages.py`, `scale.py` and `graph.py`, as in their last blocks of
RESULTS.md; measure, change them here, and write the page anew.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rrl_batch.lightcurve.memory import memory_needed
from rrl_batch.survey.read import EPOCHS_PER_BATCH, STARS_PER_BATCH

PAGE = Path(__file__).with_name("scale.md")

# stages.py: µs a star and core at each number of epochs, but for the network
CURVE = {40: 40.0, 80: 55.9, 800: 472.7}
NETWORK = 16.0
"""µs a star, core and member, of 265 steps."""

BYTES = {40: 392, 80: 746, 800: 6_935}
"""Of a star in the survey."""

# full_sky.py and scale.py
KERNELS = 0.79
"""What the stages take of the workers' time; the rest is reading, writing, waiting."""

WORKER = 560e6
"""Bytes of a worker, but for the batch of stars that it works on."""

# graph.py
TASK = 5.2e-3
"""s of the scheduler and the client, a partition: what no number of workers makes shorter."""

CATALOGUE_BYTES = 52
STARS_A_PARTITION, FILL = 20_000, 0.44
"""Most stars in a partition, and how full partitions are on average."""

MEMBERS, POINTS = 5, 265
WORKERS = (2, 16, 128)


class Survey(NamedTuple):
    """Assumptions about a survey."""

    name: str
    stars: int
    epochs: int


SURVEYS = (
    Survey("Gaia DR3, G", 271_000, 40),
    Survey("Gaia DR4, G", 500_000, 80),
    Survey("Gaia DR4, G BP RP", 500_000, 240),
    Survey("LSST, six bands", 3_000_000, 800),
)


def at(table: dict[int, float], epochs: int) -> float:
    """Interpolate between measured numbers of epochs."""
    low, high = next(
        pair for pair in zip(table, list(table)[1:], strict=False) if epochs <= pair[1]
    )
    return table[low] + (table[high] - table[low]) * (epochs - low) / (high - low)


def costs() -> Iterator[str]:
    yield f"| cost, measured | {' | '.join(f'{n} epochs' for n in CURVE)} |"
    yield "|---|" + "---:|" * len(CURVE)
    yield f"| µs a star and core, all but the network | {row(CURVE.values())} |"
    yield f"| µs a star and core, a GRU of 265 steps, a member | {row([NETWORK] * len(CURVE))} |"
    yield f"| bytes a star in the survey | {row(BYTES.values())} |"
    yield f"| memory of a worker (GB) | {row(memory(n) for n in CURVE)} |"
    yield ""
    yield (
        f"Beside these: {1e3 * TASK:.0f} ms of scheduler and client a partition, one after the "
        f"other; {KERNELS:.0%} of the workers' time is spent in the stages; a row of the catalogue "
        f"has {CATALOGUE_BYTES} bytes."
    )


def extrapolation() -> Iterator[str]:
    head = " | ".join(f"minutes, {n} cores" for n in WORKERS)
    yield (
        f"| survey | stars | epochs | GB read | GB written | memory of a worker (GB) | partitions "
        f"| {head} |"
    )
    yield "|---|" + "---:|" * (6 + len(WORKERS))
    for name, stars, epochs in SURVEYS:
        partitions = stars / (FILL * STARS_A_PARTITION)
        star = 1e-6 * (at(CURVE, epochs) + MEMBERS * NETWORK) / KERNELS
        longest = max(TASK * partitions, star * STARS_A_PARTITION)
        minutes = [max(star * stars / n, longest) / 60 for n in WORKERS]
        cells = [stars * at(BYTES, epochs) / 1e9, stars * CATALOGUE_BYTES / 1e9, memory(epochs)]
        yield (
            f"| {name} | {stars:,} | {epochs} | {row(cells)} | {partitions:,.0f} | {row(minutes)} |"
        )


def memory(epochs: int) -> float:
    """Return the largest resident size of a worker, in GB."""
    stars = min(STARS_PER_BATCH, EPOCHS_PER_BATCH // epochs)
    return (WORKER + memory_needed(stars, stars * epochs, POINTS)) / 1e9


def row(values) -> str:
    """Write numbers with two significant digits."""
    return " | ".join(f"{float(f'{v:.2g}'):,.10g}" for v in values)


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, lines in (("costs", costs()), ("extrapolation", extrapolation())):
        block = f"<!-- {name}: written by docs/scale.py -->\n" + "\n".join(lines) + "\n<!-- end -->"
        page = re.sub(rf"<!-- {name}:.*?<!-- end -->", block, page, flags=re.DOTALL)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
