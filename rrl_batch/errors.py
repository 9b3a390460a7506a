"""The two ways in which a command ends early, each with one sentence for the user."""

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

_MOST_CHARACTERS = 1_500
_MOST_COMPARED = 100


class _SentenceError(Exception):
    """An error that is a line of printable text, whatever of its input it quotes.

    Parameters
    ----------
    sentence : str
        What is wrong.
    *table : str
        Lines below it.
    """

    def __init__(self, sentence: str, *table: str) -> None:
        super().__init__(*map(_printable, (sentence, *table)))

    def __str__(self) -> str:
        return "\n".join(self.args)


class UserError(_SentenceError):
    """The input is wrong: the sentence names file, row or star, column and remedy (exit code 2)."""


class RunError(_SentenceError):
    """The input was right and the run failed all the same (exit code 1)."""


class PassingError(RunError):
    """A failure of a disk or a network, which may be over the next time."""


class SchedulerLostError(RunError):
    """The scheduler is out of reach: how the run goes on, or whether, is not known here."""


def first_line(error: BaseException) -> str:
    """Return the first line of what a library says of a failure, to be part of a sentence."""
    said = str(error).strip() or type(error).__name__
    return said.splitlines()[0].rstrip(".")


def first_fault(error: "ValidationError") -> str:
    """Return where in a file the first of its faults is, and what it is, as part of a sentence."""
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"])) or "the whole file"
    return f"{where}: {first['msg']}"


def hint(name: str, known: Iterable[str]) -> str:
    """Say what may have been meant by a name that is not known, as the end of a sentence."""
    names = list(known)
    near = difflib.get_close_matches(name[:_MOST_COMPARED], names, n=1)
    return f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(names)}."


def _printable(text: str) -> str:
    """Return a text without control characters, and without the middle of one without end."""
    if len(text) > _MOST_CHARACTERS:
        half = _MOST_CHARACTERS // 2
        text = f"{text[:half]} […] {text[-half:]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
