"""The two ways in which a command ends early, each with one sentence for the user."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """The input is wrong: the sentence names file, row or star, column and remedy (exit code 2)."""


class RunError(Exception):
    """The input was right and the run failed all the same (exit code 1)."""


class PassingError(RunError):
    """A failure of a disk or a network, which may be over the next time."""


class SchedulerLostError(RunError):
    """The scheduler is out of reach: how the run goes on, or whether, is not known here."""


def hint(name: str, known: Iterable[str]) -> str:
    """Say what may have been meant by a name that is not known, as the end of a sentence."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(names)}."
