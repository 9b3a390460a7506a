"""What a check has found, and how it reads on a terminal."""

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "fails"]

WIDTH = 100
_STATE, _NAME = 9, 12
"""Widths of the first two columns, in characters."""


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Parameters
    ----------
    state : {"ok", "warning", "fails"}
        Whether a run can be as asked for: yes; yes, but; no.
    text : str
        What was found, and if it is not "ok", what to do. Lines after the first are a table.
    """

    state: State
    text: str

    def lines(self, name: str) -> str:
        """Return the finding as text of at most 100 columns; a table stays as it is."""
        head, *table = self.text.split("\n")
        margin = " " * (_STATE + _NAME)
        return "\n".join(
            [
                textwrap.fill(
                    head,
                    WIDTH,
                    initial_indent=f"{self.state:<{_STATE}}{name:<{_NAME}}",
                    subsequent_indent=margin,
                    break_long_words=False,
                    break_on_hyphens=False,
                ),
                *(margin + row for row in table),
            ]
        )


def ok(text: str) -> Finding:
    """Return that all is well."""
    return Finding("ok", text)


def warning(text: str) -> Finding:
    """Return that something may be unexpected, but stops no run."""
    return Finding("warning", text)


def fails(text: str) -> Finding:
    """Return that a run would not do."""
    return Finding("fails", text)


def summary(findings: Sequence[Finding]) -> str:
    """Count the findings, and say whether a run would do."""
    counts = Counter(finding.state for finding in findings)
    said = ", ".join(f"{counts[state]} {state}" for state in ("ok", "warning", "fails"))
    return f"doctor     {said}"


def listed(things: list[str], most: int = 3) -> str:
    """Name some things, and say how many more there are."""
    shown = ", ".join(things[:most])
    return shown if len(things) <= most else f"{shown} and {len(things) - most} more"
