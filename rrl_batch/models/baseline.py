"""The baseline that every network has to beat: a linear relation in period and phi31.

References
----------
Jurcsik, J. & Kovacs, G. 1996, A&A 312, 111: [Fe/H] of RRab stars is linear in P and phi31.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LinearBaseline:
    """[Fe/H] = intercept + period_slope * P + phi31_slope * phi31.

    Parameters
    ----------
    intercept : float
        In dex.
    period_slope : float
        In dex per day.
    phi31_slope : float
        In dex per radian.
    phi31_centre : float
        Circular mean of the fitted stars' phi31; angles are taken within half a turn of it, since
        a line has no branch cut.
    """

    intercept: float
    period_slope: float
    phi31_slope: float
    phi31_centre: float

    @classmethod
    def fit(cls, period: ArrayLike, phi31: ArrayLike, feh: ArrayLike) -> Self:
        """Fit by least squares to the stars that have all three values.

        Parameters
        ----------
        period : (n_stars,) array_like
            Periods, in days.
        phi31 : (n_stars,) array_like
            Fourier phase differences, in radians, any branch; NaN where unknown.
        feh : (n_stars,) array_like
            Metallicities, in dex.
        """
        from scipy.stats import circmean

        period, phi31, feh = (np.asarray(a, np.float64) for a in (period, phi31, feh))
        known = np.isfinite(period) & np.isfinite(phi31) & np.isfinite(feh)
        centre = float(circmean(phi31[known])) if known.any() else 0.0
        design = _design(period[known], phi31[known], centre)
        coefficients = np.linalg.lstsq(design, feh[known], rcond=None)[0]
        intercept, period_slope, phi31_slope = map(float, coefficients)
        return cls(intercept, period_slope, phi31_slope, centre)

    def predict(self, period: ArrayLike, phi31: ArrayLike) -> Floats:
        """Return metallicities, in dex; NaN where period or phi31 is NaN.

        Parameters
        ----------
        period, phi31 : (n_stars,) array_like
            In days and radians.
        """
        coefficients = np.array([self.intercept, self.period_slope, self.phi31_slope])
        design = _design(np.asarray(period, float), np.asarray(phi31, float), self.phi31_centre)
        predicted: Floats = design @ coefficients
        return predicted


def offset_from(centre: float, angle: ArrayLike) -> Floats:
    """Return angles relative to a centre, in radians, [-pi, pi)."""
    offset: Floats = np.remainder(np.asarray(angle, float) - centre + np.pi, 2 * np.pi) - np.pi
    return offset


def _design(period: Floats, phi31: Floats, centre: float) -> Floats:
    return np.stack([np.ones_like(period), period, centre + offset_from(centre, phi31)], axis=1)
