"""What is known of a star that may train, and what the selection has left of all labelled stars."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from rrl_batch.contracts.columns import Column, Contract
from rrl_batch.contracts.labels import LABELS
from rrl_batch.contracts.survey import STARS

F64 = pa.float64()

LABELLED_STARS = Contract(
    "labelled star",
    (
        *(column for column in STARS.columns if column.name != "source_id"),
        Column("num_epochs_used", pa.int32(), None, "meta.number",
               "Number of usable epochs"),
        Column("max_phase_gap", F64, None, "time.phase",
               "Largest gap in phase between neighbouring epochs, in cycles"),
        Column("amplitude", F64, "mag", "src.var.amplitude;em.opt",
               "Amplitude of the smoothed curve"),
        Column("phi31", F64, "rad", "src.var",
               "Fourier phase difference phi3 - 3 phi1 measured on the curve (cosine convention)"),
        Column("phi31_error", F64, "rad", "stat.error;src.var", "Standard error of phi31"),
        *LABELS.select(["feh", "feh_error"]).columns,
    ),
)  # fmt: skip
"""What `training.select` may name: the star table, what was measured on the curve, the label."""


@dataclass(frozen=True)
class CutCounts:
    """How many stars a cut has removed.

    Parameters
    ----------
    cut : str
        The condition that stars have to fulfil.
    removed : int
        Stars that it has removed of those that the cuts before it have left.
    alone : int
        Stars that it would remove of all labelled stars in the survey.
    unknown : int
        Stars that the cuts before it have left and for which a value in it is not known.
    """

    cut: str
    removed: int
    alone: int
    unknown: int


@dataclass(frozen=True)
class StarCounts:
    """What has become of the labels of a training set.

    Parameters
    ----------
    labels : int
        Labels that were given.
    not_in_survey : int
        Those of stars that are not in the survey.
    cuts : tuple of CutCounts
        What removed the others, in order.
    trained_on : int
        Stars that remain.
    """

    labels: int
    not_in_survey: int
    cuts: tuple[CutCounts, ...]
    trained_on: int

    def lines(self) -> list[str]:
        """Return the counts as a table of text."""
        return [
            f"{self.labels:,} labels, {self.not_in_survey:,} of them of stars not in the survey",
            _row("removed", "alone", "unknown", "cut"),
            *(_row(f"{c.removed:,}", f"{c.alone:,}", f"{c.unknown:,}", c.cut) for c in self.cuts),
            f"{self.trained_on:,} stars to train on",
        ]

    def sentence(self) -> str:
        """Return the counts as a sentence."""
        left_out = "; ".join(f"{c.cut} left out {c.removed:,}" for c in self.cuts)
        return (
            f"Of {self.labels:,} labels {self.not_in_survey:,} are of stars that are not in the "
            f"survey; {left_out}."
        )


def total(parts: Sequence[Sequence[CutCounts]]) -> tuple[CutCounts, ...]:
    """Return the sums over pieces of the sky, each of which has the same cuts."""
    return tuple(
        CutCounts(
            same[0].cut,
            sum(c.removed for c in same),
            sum(c.alone for c in same),
            sum(c.unknown for c in same),
        )
        for same in zip(*parts, strict=True)
    )


def _row(*cells: str) -> str:
    *numbers, cut = cells
    return "  ".join([*(f"{number:>9}" for number in numbers), cut])
