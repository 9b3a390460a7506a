"""Which stars are good enough to train on, and what each condition for it has removed."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.contracts.labels import LABELS
from rrl_batch.contracts.training import LABELLED_STARS, CutCounts
from rrl_batch.training.expression import Condition, conditions

HAS_CURVE = "a curve with phi31"
"""The cut that no expression needs to name."""


@dataclass(frozen=True)
class Selection:
    """Which labelled stars are good enough to train on.

    Parameters
    ----------
    modes : tuple of str
        Pulsation modes.
    select : str
        Condition on the columns of `LABELLED_STARS`; all stars with a curve, if it is empty.
    """

    modes: tuple[str, ...]
    select: str

    @property
    def cuts(self) -> tuple[Condition, ...]:
        """The conditions that `and` joins."""
        return conditions(self.select, LABELLED_STARS)

    @property
    def of_curves(self) -> str:
        """The conditions on stars and their curves alone, which can be tested without a label."""
        free = [f"({cut})" for cut in self.cuts if not cut.columns & set(LABELS.names)]
        return " and ".join(free)

    def is_selected(self, table: pd.DataFrame) -> NDArray[np.bool_]:
        """Return which stars are trained on, if they have a label.

        Parameters
        ----------
        table : pandas.DataFrame
            A prepared table, with the labels if the condition names them.
        """
        return np.logical_and.reduce([passed for _, passed, _ in self._steps(table)])

    def count(self, table: pd.DataFrame) -> tuple[CutCounts, ...]:
        """Return what each cut removes of some labelled stars.

        Parameters
        ----------
        table : pandas.DataFrame
            A prepared table with labels, of labelled stars alone.
        """
        counts, left = [], np.ones(len(table), bool)
        for cut, passed, unknown in self._steps(table):
            removed, alone, nothing = left & ~passed, ~passed, left & unknown
            counts.append(CutCounts(cut, *(int(np.sum(a)) for a in (removed, alone, nothing))))
            left &= passed
        return tuple(counts)

    def _steps(self, table: pd.DataFrame) -> list[tuple[str, NDArray[np.bool_], NDArray[np.bool_]]]:
        """Return the cuts in order: what each is, who passes, of whom it does not know a value."""
        mode = table["best_classification"]
        # a star has all that is measured on a curve, or nothing
        curve = np.isfinite(table[["phi31", "amplitude"]].to_numpy(float)).all(axis=1)
        return [
            (" or ".join(self.modes), mode.isin(self.modes).to_numpy(), mode.isna().to_numpy()),
            (HAS_CURVE, curve, np.zeros(len(table), bool)),
            *((str(cut), cut.fulfilled(table), cut.unknown(table)) for cut in self.cuts),
        ]
