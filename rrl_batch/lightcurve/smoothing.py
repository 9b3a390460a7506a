"""Smooth the light curves of a batch, star by star or by their population, and measure them."""

from collections.abc import Mapping
from typing import Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from rrl_batch.lightcurve.align import maximum_of_first_harmonic, mean_of_rising_branch
from rrl_batch.lightcurve.folded import Alignment, FoldedStars
from rrl_batch.lightcurve.population import PopulationCurves, smooth_by_population
from rrl_batch.lightcurve.population_kernel import N_HARMONICS
from rrl_batch.lightcurve.population_prior import N_VARIED, PopulationPrior
from rrl_batch.lightcurve.spline import smooth

FloatArray = npt.NDArray[np.float64]


class MeasuredCurves(NamedTuple):
    """Smoothed curves and what was measured on them, one row a star; NaN where there is none.

    Attributes
    ----------
    phase : (n_stars, n_points) float64, in cycles
        Where each curve is evaluated.
    mag : (n_stars, n_points) float64, in mag
        The curve.
    harmonics : (n_stars, n_harmonics) complex128, in mag
        c_1, c_2, ...; 0 where a harmonic was not fitted.
    noise : (n_stars,) float64, in mag
        Scatter of the epochs about the curve.
    phi31, phi31_error : (n_stars,) float64, in rad
        Phase difference of the third harmonic, [0, 2 pi), and its standard error.
    factor : (n_stars, 2 * n_harmonics, n_columns) float64, in mag
        A square root F of the covariance F F' of the harmonics' coefficients.
    start : (n_stars,) float64, in cycles
        Where phase 0 of the curve is in the phases of the harmonics.
    origin : (n_stars,) float64, in cycles
        Where it is in the phases of the epochs.
    """

    phase: FloatArray
    mag: FloatArray
    harmonics: npt.NDArray[np.complex128]
    noise: FloatArray
    phi31: FloatArray
    phi31_error: FloatArray
    factor: FloatArray
    start: FloatArray
    origin: FloatArray

    @classmethod
    def none(cls, n_stars: int, n_points: int) -> Self:
        """Return what is to be filled in, at equally spaced phases."""
        phase = np.tile(np.arange(n_points) / n_points, (n_stars, 1))
        harmonics = np.full((n_stars, N_HARMONICS), np.nan, np.complex128)
        noise, phi31, phi31_error, start, origin = np.full((5, n_stars), np.nan)
        factor = np.full((n_stars, N_VARIED, N_VARIED), np.nan)
        mag = np.full_like(phase, np.nan)
        return cls(phase, mag, harmonics, noise, phi31, phi31_error, factor, start, origin)


def by_spline(
    stars: FoldedStars, n_points: int, method: Literal["robust", "scipy"]
) -> MeasuredCurves:
    """Smooth each star by a spline; the harmonics are those of its Fourier fit.

    Parameters
    ----------
    stars : FoldedStars
        Light curves.
    n_points : int
        Points of a curve.
    method : {"robust", "scipy"}
        Which spline.
    """
    curves = smooth(stars.phase, stars.epochs.mag, stars.epochs.offsets, n_points, method)
    fit = stars.fourier
    # the fit's own phases have another origin
    start = maximum_of_first_harmonic(fit.harmonics) - stars.brightest
    return MeasuredCurves(
        curves.phase, curves.mag, fit.harmonics, fit.residual_rms, fit.phi31, fit.phi31_error,
        fit.factor, start, np.zeros_like(start),
    )  # fmt: skip


def by_population(
    stars: FoldedStars,
    n_points: int,
    priors: Mapping[str, PopulationPrior],
    alignment: Alignment,
) -> MeasuredCurves:
    """Smooth each star by its epochs and the prior of its mode.

    Parameters
    ----------
    stars : FoldedStars
        Light curves.
    n_points : int
        Points of a curve.
    priors : mapping of str to PopulationPrior
        By mode; stars of other modes get no curve.
    alignment : {"fourier", "maximum", "rising"}
        What phase 0 is; but for maximum light it is measured on the smoothed curve.
    """
    measured = MeasuredCurves.none(len(stars.period), n_points)
    for mode, prior in priors.items():
        rows = stars.of_mode(mode)
        curves = smooth_by_population(stars.curves(rows), prior)
        start = _start(alignment, curves, stars.brightest[rows])
        measured.mag[rows] = curves.on_grid(n_points, start)
        measured.harmonics[rows] = curves.harmonics
        measured.noise[rows] = curves.noise
        measured.phi31[rows], measured.phi31_error[rows] = curves.phi31()
        measured.factor[rows] = curves.factor()
        measured.start[rows] = start
        measured.origin[rows] = stars.brightest[rows] + curves.origin + start
    return measured


def _start(alignment: Alignment, curves: PopulationCurves, brightest: FloatArray) -> FloatArray:
    """Return where phase 0 is in the phases of the curves."""
    if alignment == "rising":
        return mean_of_rising_branch(curves.harmonics)
    if alignment == "maximum":
        return -(brightest + curves.origin)
    return np.zeros_like(brightest)
