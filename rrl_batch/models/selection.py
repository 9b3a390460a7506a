"""Which stars train a model, and so which it is for."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Selection:
    """Which labelled stars are good enough to train on.

    Parameters
    ----------
    modes : tuple of str
        Pulsation modes.
    min_epochs : int
        Fewest usable epochs.
    max_phase_gap : float
        Largest gap in phase, in cycles.
    max_amplitude : float
        Largest amplitude, in mag.
    max_phi31_error : float
        Largest error of phi31, in rad.
    max_feh_error : float
        Largest error of a label, in dex; unknown errors pass.
    """

    modes: tuple[str, ...]
    min_epochs: int
    max_phase_gap: float
    max_amplitude: float
    max_phi31_error: float
    max_feh_error: float

    def curve_is_good(self, table: pd.DataFrame) -> pd.Series:
        """Return which stars have a curve like those that are trained on."""
        return (
            (table["num_epochs_used"] >= self.min_epochs)
            & (table["max_phase_gap"] <= self.max_phase_gap)
            & (table["amplitude"] <= self.max_amplitude)
            & (table["phi31_error"] <= self.max_phi31_error)
        )

    def is_selected(self, table: pd.DataFrame) -> pd.Series:
        """Return which labelled stars are trained on."""
        return (
            table["best_classification"].isin(self.modes)
            & self.curve_is_good(table)
            & ~(table["feh_error"] > self.max_feh_error)
        )
