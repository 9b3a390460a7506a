"""What residuals of folded epochs about their curve say of a star: too much scatter, and why.

The curve is the star's own Fourier fit, whatever smooths the curves of a model, so that the figures
of all catalogues mean the same. Four numbers a star:

- its scatter relative to what the errors of its epochs let expect, by the median, which outliers do
  not move;
- its scatter relative to its amplitude: folded with a wrong period, no curve is left;
- a drift of the phase in time, as a period gives that is wrong by little: one more parameter in the
  fit, along the curve's slope times the time, and how significant it is;
- where on the curve the scatter is. A modulated amplitude scatters far from the mean, a modulated
  phase where the curve is steep; a second mode, a wrong period and bad photometry everywhere alike.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from rrl_batch.lightcurve.align import maximum_of_first_harmonic
from rrl_batch.lightcurve.folded import FoldedStars

FloatArray = npt.NDArray[np.float64]

EXTRA_SCATTER = 0.007
"""Scatter of an epoch in mag beyond its published error, as RRc of Gaia DR3 have."""

_MIN_EPOCHS = 8
"""Fewest epochs from which scatter is measured: with fewer, the curve passes through them all."""

_MIN_CYCLES = 50.0
"""Shortest light curve, in pulsation cycles, in which a drift of the phase is looked for; one that
was folded before it was published spans a single cycle."""

_GAUSSIAN = 1.4826  # standard deviation of a normal distribution over its median deviation
_CLIP = 4.0  # standard deviations; a single outlier must not decide where the scatter is
_N_MEASURES = 4


class Residuals(NamedTuple):
    """Residuals in a few numbers, each (n_stars,) float64; NaN where there is no curve.

    Attributes
    ----------
    scatter : ratio
        Robust scatter over the one expected; NaN where the errors of the epochs are unknown.
    relative : ratio
        Root mean square over the amplitude of the first harmonic, corrected for what was fitted.
    drift : number
        F statistic, with one degree of freedom, of a drift of the phase in time; 0 where the
        light curve is too short to tell.
    concentration : ratio
        Mean distance from the mean of the curve where epochs scatter over that of all epochs, or
        the same of the slope, whichever is larger; 1 where scatter is alike everywhere.
    """

    scatter: FloatArray
    relative: FloatArray
    drift: FloatArray
    concentration: FloatArray


def residuals(stars: FoldedStars) -> Residuals:
    """Measure the residuals of folded light curves about their Fourier fits.

    Parameters
    ----------
    stars : FoldedStars
        Light curves.
    """
    measured = np.full((_N_MEASURES, len(stars.period)), np.nan)
    harmonics = stars.fourier.harmonics
    # the fit counts phases from another origin
    origin = np.nan_to_num(maximum_of_first_harmonic(harmonics)) - stars.brightest
    epochs = stars.epochs
    _measure_all(
        epochs.time, stars.phase, epochs.mag, epochs.mag_error, epochs.offsets, stars.period,
        origin, stars.fourier.mean_mag, np.ascontiguousarray(harmonics.real),
        np.ascontiguousarray(harmonics.imag), stars.fourier.effective_size, measured,
    )  # fmt: skip
    return Residuals(*measured)


@njit(cache=True, error_model="numpy", parallel=True, nogil=True)
def _measure_all(
    time: FloatArray,
    phase: FloatArray,
    mag: FloatArray,
    mag_error: FloatArray,
    offsets: npt.NDArray[np.int64],
    period: FloatArray,
    origin: FloatArray,
    mean: FloatArray,
    real: FloatArray,
    imag: FloatArray,
    effective_size: FloatArray,
    measured: FloatArray,
) -> None:
    for star in prange(offsets.size - 1):
        low, high = offsets[star], offsets[star + 1]
        freedom = high - low - effective_size[star]
        if high - low < _MIN_EPOCHS or not freedom > 1.0:
            continue
        curve, slope = _evaluate(phase[low:high] + origin[star], real[star], imag[star])
        residual = mag[low:high] - mean[star] - curve
        variance = mag_error[low:high] ** 2 + EXTRA_SCATTER**2
        has_errors = math.isfinite(variance.sum())
        if not has_errors:
            variance[:] = 1.0
        scaled = np.abs(residual) / np.sqrt(variance)
        correction = math.sqrt(residual.size / freedom)
        scatter = _GAUSSIAN * np.median(scaled)
        if has_errors:
            measured[0, star] = correction * scatter
        amplitude = math.hypot(real[star, 0], imag[star, 0])
        measured[1, star] = correction * math.sqrt((residual**2).mean()) / amplitude
        cycles = time[low:high] / period[star]
        measured[2, star] = 0.0
        if cycles.max() - cycles.min() > _MIN_CYCLES:
            measured[2, star] = _drift(cycles, residual, slope, 1.0 / variance, freedom)
        clipped = np.minimum(scaled, _CLIP * scatter)
        measured[3, star] = max(
            _concentration(clipped, np.abs(curve)), _concentration(clipped, np.abs(slope))
        )


@njit(cache=True, error_model="numpy")
def _evaluate(
    phase: FloatArray, real: FloatArray, imag: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return a curve less its mean, in mag, and its slope, in mag per radian of phase."""
    n_epochs = phase.size
    curve, slope = np.zeros(n_epochs), np.zeros(n_epochs)
    cos_1, sin_1 = np.empty(n_epochs), np.empty(n_epochs)
    for i in range(n_epochs):
        cos_1[i] = math.cos(2 * math.pi * phase[i])
        sin_1[i] = math.sin(2 * math.pi * phase[i])
    cos_k, sin_k = cos_1.copy(), sin_1.copy()
    for k in range(real.size):
        a, b, order = real[k], imag[k], k + 1.0
        for i in range(n_epochs):  # all epochs side by side, in vector registers
            cos, sin = cos_k[i], sin_k[i]
            curve[i] += a * cos - b * sin
            slope[i] -= order * (a * sin + b * cos)
            cos_k[i] = cos * cos_1[i] - sin * sin_1[i]
            sin_k[i] = sin * cos_1[i] + cos * sin_1[i]
    return curve, slope


@njit(cache=True, error_model="numpy")
def _drift(
    time: FloatArray, residual: FloatArray, slope: FloatArray, weight: FloatArray, freedom: float
) -> float:
    """Return the F statistic of a phase that drifts linearly, beside one that is shifted."""
    steep = weight * slope**2
    pull = weight * slope * residual
    since = time - (steep * time).sum() / steep.sum()
    explained = (pull * since).sum() ** 2 / (steep * since**2).sum()
    left: float = (weight * residual**2).sum() - explained
    return explained * (freedom - 1.0) / left


@njit(cache=True, error_model="numpy")
def _concentration(scatter: FloatArray, place: FloatArray) -> float:
    """Return the mean place of the scatter over the mean place of the epochs."""
    return (scatter * place).sum() / (scatter.sum() * place.mean())
