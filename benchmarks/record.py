"""Keep what a benchmark measured in RESULTS.md, or compare it with what was kept."""

import argparse
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numba
import numpy as np
from machine import N_CORES, processor

RESULTS = Path(__file__).with_name("RESULTS.md")

LARGEST_FALL = 0.3
"""A ratio that fell by more has regressed.

Both sides of a ratio are measured in one run, so that a slower machine slows both. On a shared
machine others may slow one side more: a smaller fall says nothing.
"""

_HEADING, _RATIOS, _SEPARATOR = "\n## ", "Ratios: ", " · "


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return the command line that every benchmark has; a script may add to it."""
    command_line = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command_line.add_argument(
        "--check",
        action="store_true",
        help="record nothing; compare with the last record, exit code 1 if a ratio fell by more "
        f"than {LARGEST_FALL:.0%}%",  # argparse takes two for one
    )
    return command_line


def record(
    title: str, table: str, command: str, ratios: Mapping[str, float], *, check: bool
) -> None:
    """Print what was measured, then append it to RESULTS.md, or compare it with the last block.

    Parameters
    ----------
    title : str
        The claim that the benchmark measures.
    table : str
        A Markdown table.
    command : str
        The command line that measures it again.
    ratios : mapping of str to float
        What is comparable between runs; the larger, the better.
    check : bool
        Whether to compare instead.

    Raises
    ------
    SystemExit
        With exit code 1, if a ratio that is checked has fallen too far, or there is no record.
    """
    print(f"{title}\n\n{table}\n")
    if check:
        _compare(title, ratios)
        return
    now = f"{datetime.now(UTC):%Y-%m-%d}"
    machine = f"{processor()}, {N_CORES} cores"
    versions = (
        f"Python {platform.python_version()}, numpy {np.__version__}, numba {numba.__version__}"
    )
    numbers = _SEPARATOR.join(f"{name} {_digits(value)}" for name, value in ratios.items())
    with RESULTS.open("a", encoding="utf-8") as results:
        results.write(
            f"{_HEADING}{title}\n\n{now} · {machine} · {versions} · `{command}`\n\n{table}\n\n"
            f"{_RATIOS}{numbers}\n"
        )


def recorded(title: str) -> dict[str, float]:
    """Return the ratios of the last block with a title; empty if there is none."""
    blocks = RESULTS.read_text(encoding="utf-8").split(_HEADING)
    lines = [line for b in blocks if b.partition("\n")[0] == title for line in b.splitlines()]
    numbers = [line.removeprefix(_RATIOS) for line in lines if line.startswith(_RATIOS)]
    if not numbers:
        return {}
    pairs = (entry.rpartition(" ") for entry in numbers[-1].split(_SEPARATOR))
    return {name: float(value) for name, _, value in pairs}


def _compare(title: str, ratios: Mapping[str, float]) -> None:
    before = recorded(title)
    if not before:
        sys.exit(f"There is no record of '{title}' in {RESULTS.name} to compare with.")
    rows = ["| ratio | recorded | now | change |", "|---|---:|---:|---:|"]
    fell = []
    for name in before | ratios:
        old, new = before.get(name), ratios.get(name)
        change = new / old - 1 if old and new else None
        if change is not None and change < -LARGEST_FALL:
            fell.append(name)
        cells = [name, *(_digits(value) if value else "" for value in (old, new))]
        rows.append(f"| {' | '.join(cells)} | {'' if change is None else f'{change:+.0%}'} |")
    print("\n".join(rows))
    if fell:
        sys.exit(f"Fell by more than {LARGEST_FALL:.0%}: {', '.join(fell)}.")


def _digits(value: float) -> str:
    """Write a number with three significant digits and no exponent."""
    return np.format_float_positional(value, 3, unique=False, fractional=False, trim="-")
