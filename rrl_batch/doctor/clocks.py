"""Clocks: how far those of the scheduler and the workers' hosts are from this one."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from rrl_batch.doctor.finding import Finding, listed, ok, warning
from rrl_batch.doctor.subject import Subject

if TYPE_CHECKING:
    from distributed import Client

MAX_DIFFERENCE = 2.0
"""Seconds: what is further off makes times of events, rates and the age of files wrong."""

_ATTEMPTS = 3


def clocks(subject: Subject) -> Iterator[Finding]:
    """Compare clocks; the time that the question takes bounds how well they are known."""
    client = subject.client
    if client is None:
        return
    one = {worker["host"]: address for address, worker in subject.workers.items()}
    asked: dict[str, Callable[[], float]] = {
        "the scheduler": partial(client.run_on_scheduler, time.time)
    }
    asked |= {host: partial(_time_of, client, address) for host, address in one.items()}
    differences = {place: difference(ask) for place, ask in asked.items()}
    wrong = {p: (d, u) for p, (d, u) in differences.items() if abs(d) - u > MAX_DIFFERENCE}
    for place, (ahead, uncertainty) in wrong.items():
        way = "ahead of" if ahead > 0 else "behind"
        yield warning(
            f"the clock of {place} is {abs(ahead):.1f} s {way} this one (± {uncertainty:.1f} s); "
            f"synchronise both (timedatectl set-ntp true)."
        )
    if not wrong:
        most = max(abs(ahead) + uncertainty for ahead, uncertainty in differences.values())
        yield ok(
            f"of the scheduler and {listed(list(one))}: no more than {most:.2g} s from this one"
        )


def difference(ask: Callable[[], float]) -> tuple[float, float]:
    """Return how far a clock is ahead of this one, and how uncertain that is, in s.

    The answer was given at some time between question and return; of a few, the quickest counts.
    """
    best = (0.0, float("inf"))
    for _ in range(_ATTEMPTS):
        before = time.time()
        theirs = ask()
        after = time.time()
        uncertainty = (after - before) / 2
        if uncertainty < best[1]:
            best = (theirs - (before + after) / 2, uncertainty)
    return best


def _time_of(client: "Client", address: str) -> float:
    return next(iter(client.run(time.time, workers=[address]).values()))
