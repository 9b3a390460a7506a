"""The total error of a predicted metallicity: how wide an interval must be to hold a label.

The scale of a star's error is::

    s = sqrt(floor^2 + (of_noise * noise_error)^2 + (of_spread * spread)^2) ^ power * exp(w . g(u))

with what no star is free of (the scatter of the labels, and of metallicities at the same curve),
the noise of the star's photometry, and the spread of the ensemble's members, as they add up; a
power, below 1 where these are themselves uncertain; and a factor of what else predicts the error:
the number of epochs, magnitude, phase gap, amplitude and metallicity, as deviations u from the
stars that it was found with and their squares. Beyond these stars u does not grow: the factor is as
at the nearest of them, while noise and spread go on. Half the width of an interval is a multiple of
s that held the wanted part of stars whose labels the model had not seen (split conformal
prediction; Lei et al. 2018).

Everything is plain numbers in the model's card. A label has an error of its own: the intervals are
for labels, and those of the metallicities themselves would be narrower.

References
----------
Lei J., G'Sell M., Rinaldo A., Tibshirani R. J. & Wasserman L. 2018, J. Am. Stat. Assoc. 113, 1094.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

Floats = NDArray[np.float64]

PREDICTORS = ("log_epochs", "mean_mag", "log_gap", "amplitude", "feh")
"""What the factor depends on; logarithms are natural."""

LEVELS = (0.6827, 0.95)
"""Parts of the labels that the intervals hold: within one standard error of a normal distribution,
and 95 %."""

TYPICAL = 0.15
"""Scale, in dex, at which the power makes no difference."""

_LEAST_GAP = 1e-3  # cycles; keeps the logarithm of none finite


class Calibration(BaseModel):
    """What turns noise, spread and other predictors of the error into intervals.

    Parameters
    ----------
    power : float
        How fast the scale grows with these three.
    floor : float
        Scatter that all stars have, in dex.
    of_noise, of_spread : float
        Factors of the noise error and of the members' spread.
    lowest, highest : tuple of float
        Range of each of `PREDICTORS` over the stars that it was found with.
    centre, unit : tuple of float
        What they are standardised by.
    slope, curvature : tuple of float
        Weights of each and of its square.
    multiples : tuple of float
        Half the widths of the intervals of `LEVELS`, in units of the scale.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    power: float = Field(ge=0)
    floor: float = Field(gt=0)
    of_noise: float = Field(ge=0)
    of_spread: float = Field(ge=0)
    lowest: tuple[float, ...]
    highest: tuple[float, ...]
    centre: tuple[float, ...]
    unit: tuple[float, ...]
    slope: tuple[float, ...]
    curvature: tuple[float, ...]
    multiples: tuple[float, float]

    @model_validator(mode="after")
    def _is_complete(self) -> "Calibration":
        named = (self.lowest, self.highest, self.centre, self.unit, self.slope, self.curvature)
        if any(len(values) != len(PREDICTORS) for values in named) or min(self.unit) <= 0:
            raise ValueError(f"it needs a value, and a positive unit, of {', '.join(PREDICTORS)}")
        return self

    def scale(self, known: pd.DataFrame) -> Floats:
        """Return the scales of the errors of stars, (n_stars,), in dex.

        Parameters
        ----------
        known : pandas.DataFrame
            Columns `num_epochs_used`, `mean_mag`, `max_phase_gap`, `amplitude`, `feh`,
            `noise_error` and `spread`, which may be NaN where there is one member.
        """
        noise, spread = sources_of(known)
        inside = predictors_of(known).clip(self.lowest, self.highest)
        u = (inside - np.array(self.centre)) / np.array(self.unit)
        factor = u @ np.array(self.slope) + u**2 @ np.array(self.curvature)
        parts = self.floor**2 + (self.of_noise * noise) ** 2 + (self.of_spread * spread) ** 2
        scale: Floats = TYPICAL * (np.sqrt(parts) / TYPICAL) ** self.power * np.exp(factor)
        return scale

    def half_widths(self, known: pd.DataFrame) -> Floats:
        """Return half the widths of the intervals of `LEVELS`, (2, n_stars), in dex."""
        return np.outer(self.multiples, self.scale(known))


def predictors_of(known: pd.DataFrame) -> Floats:
    """Return `PREDICTORS` of stars, (n_stars, 5); parameters as `Calibration.scale` has them."""
    gap = np.maximum(known["max_phase_gap"].to_numpy(np.float64), _LEAST_GAP)
    columns = {
        "log_epochs": np.log(np.maximum(known["num_epochs_used"].to_numpy(np.float64), 1)),
        "mean_mag": known["mean_mag"],
        "log_gap": np.log(gap),
        "amplitude": known["amplitude"],
        "feh": known["feh"],
    }
    return np.column_stack([columns[name] for name in PREDICTORS]).astype(np.float64)


def sources_of(known: pd.DataFrame) -> tuple[Floats, Floats]:
    """Return noise errors and spreads of stars, in dex; a single member has no spread."""
    spread = np.nan_to_num(known["spread"].to_numpy(np.float64))
    return known["noise_error"].to_numpy(np.float64), spread


def noise_error(moved: ArrayLike) -> Floats:
    """Return the noise errors of stars whose curves were drawn anew.

    Parameters
    ----------
    moved : (n_stars, n_draws) array_like
        By how much the metallicity changed, in dex.

    Returns
    -------
    (n_stars,) float64
        Root mean squares, in dex.
    """
    error: Floats = np.sqrt(np.square(np.asarray(moved, np.float64)).mean(axis=1))
    return error
