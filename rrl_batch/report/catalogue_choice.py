"""Stars of a catalogue that its page shows one by one: typical ones, and the worst."""

from typing import NamedTuple

import numpy as np
import pandas as pd

_QUARTERS = (-1.9, -1.5, -1.1)
"""Between the four ranges of [Fe/H], in dex, of which each mode has an example."""

_WORST = 3
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""Odd, and without a pattern in its bits: identifiers times this are as good as drawn by lot."""


class Choice(NamedTuple):
    """Stars that have something in common.

    Attributes
    ----------
    place, title, note : str
        Name of their place on the page, heading, and how they were chosen.
    stars : pandas.DataFrame
        Their rows in the catalogue.
    """

    place: str
    title: str
    note: str
    stars: pd.DataFrame


class ChosenStars:
    """The stars that a page shows, of as much of the sky as was looked at."""

    def __init__(self) -> None:
        nothing = pd.DataFrame()
        self._examples = self._baseline = self._error = self._poor = self._rich = nothing

    def look_at(self, stars: pd.DataFrame) -> None:
        """Look at the stars of a piece of the sky.

        Parameters
        ----------
        stars : pandas.DataFrame
            Their rows in the catalogue.
        """
        stars = stars[stars["feh"].notna()]
        unflagged = stars[stars["flags"] == 0]
        self._examples = _examples(_joined(self._examples, stars))
        off = unflagged.assign(_off=(unflagged["feh"] - unflagged["feh_baseline"]).abs())
        self._baseline = _joined(self._baseline, off).nlargest(_WORST, "_off")
        self._error = _joined(self._error, unflagged).nlargest(_WORST, "feh_error")
        self._poor = _joined(self._poor, unflagged).nsmallest(_WORST, "feh")
        self._rich = _joined(self._rich, unflagged).nlargest(_WORST, "feh")

    @property
    def choices(self) -> list[Choice]:
        """The stars, as they are shown."""
        found = [
            Choice("examples", "Examples",
                   "For each mode a star of each of four ranges of [Fe/H], drawn by lot from those "
                   "without a flag, or from the others where there is none. Above, the epochs and "
                   "the smoothed curve with its standard error; below, what the prediction depends "
                   "on: by how much [Fe/H] would change if the curve were 0.01 mag fainter about a "
                   "phase.",
                   self._examples),
            Choice("off", "Farthest from the baseline",
                   "Stars without a flag for which network and linear relation differ most.",
                   self._baseline),
            Choice("uncertain", "Largest errors", "Stars without a flag, by feh_error.",
                   self._error),
            Choice("poor", "Lowest [Fe/H]", "Stars without a flag.", self._poor),
            Choice("rich", "Highest [Fe/H]", "Stars without a flag.", self._rich),
        ]  # fmt: skip
        return [choice for choice in found if len(choice.stars)]


def _joined(kept: pd.DataFrame, stars: pd.DataFrame) -> pd.DataFrame:
    return stars if kept.empty else pd.concat([kept, stars], ignore_index=True)


def _examples(stars: pd.DataFrame) -> pd.DataFrame:
    """Return one star of each mode and range of [Fe/H]."""
    lot = stars["source_id"].to_numpy().astype(np.uint64) * _SPREAD
    kept = stars.assign(
        _range=np.searchsorted(_QUARTERS, stars["feh"].to_numpy(np.float64)),
        _flagged=stars["flags"] != 0,
        _lot=lot,
    )
    kept = kept.sort_values(["_flagged", "_lot"]).drop_duplicates(["best_classification", "_range"])
    return kept.sort_values(["best_classification", "_range"])[stars.columns]
