"""Pulsation modes, and as which of them a star is treated."""

from collections.abc import Collection

import pandas as pd

DOUBLE_MODE = "RRd"
"""Stars that pulsate in two modes at once."""

_DOMINANT = {DOUBLE_MODE: "RRc"}
"""In nearly all RRd the first overtone dominates; its period is the one that a survey holds."""


def treated_as(mode: pd.Series, known: Collection[str]) -> pd.Series:
    """Return the pulsation modes that stars are treated as by what knows some modes only.

    Parameters
    ----------
    mode : pandas.Series
        Their pulsation modes.
    known : collection of str
        Modes that are known; an RRd that is not among them counts as a pulsator in its dominant
        mode, the first overtone.
    """
    return mode.replace({m: as_ for m, as_ in _DOMINANT.items() if m not in known})
