"""Append what a benchmark measured, and on which machine, to RESULTS.md."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import numba
import numpy as np

RESULTS = Path(__file__).with_name("RESULTS.md")


def record(title: str, table: str, command: str) -> None:
    """Append a block of results to RESULTS.md.

    Parameters
    ----------
    title : str
        The claim that the benchmark measures.
    table : str
        A Markdown table.
    command : str
        The command line that measures it again.
    """
    machine = f"{processor()}, {len(os.sched_getaffinity(0))} cores"
    versions = (
        f"Python {platform.python_version()}, numpy {np.__version__}, numba {numba.__version__}"
    )
    with RESULTS.open("a", encoding="utf-8") as results:
        results.write(
            f"\n## {title}\n\n{datetime.now(UTC):%Y-%m-%d} · {machine} · {versions} · `{command}`"
            f"\n\n{table}\n"
        )


def processor() -> str:
    """Return the model of the processor as the system names it."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return models[0] if models else platform.processor()
