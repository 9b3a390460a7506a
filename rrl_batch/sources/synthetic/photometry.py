"""What Gaia measures: light curves with noise, outliers, modulation and two modes."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.sources.synthetic import draws, epochs, shapes

EXTRA_SCATTER = 0.007
"""Scatter of a transit in mag beyond its published error, as for RRc of Gaia DR3."""

OUTLIER_FRACTION = 0.01
"""Fraction of accepted transits that are outliers."""

OUTLIER_SCATTER = 0.12
"""Standard deviation of the outliers in mag."""

# Median error of a G transit of RR Lyrae stars in Gaia DR3, and its scatter about the median (in
# ln); beyond G = 19 the trend is continued.
_ERROR_MAGNITUDE = (12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0, 20.0, 21.0)
_ERROR = (0.00105, 0.00119, 0.00126, 0.00175, 0.00274, 0.00453, 0.00786, 0.0145, 0.0280, 0.0560)
_ERROR_SCATTER = 0.33


class LightCurves(NamedTuple):
    """Light curves of many stars, flat, in the order of the stars.

    Attributes
    ----------
    offsets : (n_stars + 1,) int64
        Star i owns the elements offsets[i]:offsets[i + 1].
    time : (n_transits,) float64
        BJD(TCB) - 2455197.5, in days, ascending within a star.
    mag, mag_error : (n_transits,) float32
        G magnitude and its standard error.
    """

    offsets: NDArray[np.int64]
    time: NDArray[np.float64]
    mag: NDArray[np.float32]
    mag_error: NDArray[np.float32]


def simulate_light_curves(stars: pd.DataFrame, seed: int) -> LightCurves:
    """Simulate the accepted G transits of any rows of a table of simulated stars.

    Each random number is addressed by seed, star and transit: a star has the same light curve, bit
    for bit, in whatever selection of rows it is asked for. Memory is about 200 MB for 20,000 stars.

    Parameters
    ----------
    stars : pandas.DataFrame
        Rows of the table that `simulate_stars` made with the same seed, in any order.
    seed : int
        Seed of the survey.

    Returns
    -------
    LightCurves
    """
    source_id = stars["source_id"].to_numpy()
    transits = epochs.observe(stars["ra"].to_numpy(), stars["dec"].to_numpy(), source_id, seed)
    star = np.repeat(np.arange(len(stars)), np.diff(transits.offsets))
    mag = noiseless_magnitude(stars, star, transits.time)

    address = (source_id[star], transits.number)
    spread = np.exp(_ERROR_SCATTER * draws.normal(seed, draws.Stream.ERROR, *address))
    mag_error = typical_error(mag) * spread
    outlying = draws.uniform(seed, draws.Stream.OUTLYING, *address) < OUTLIER_FRACTION
    outlier = OUTLIER_SCATTER * draws.normal(seed, draws.Stream.OUTLIER, *address)
    scatter = np.hypot(mag_error, EXTRA_SCATTER)
    mag += scatter * draws.normal(seed, draws.Stream.NOISE, *address) + np.where(
        outlying, outlier, 0.0
    )
    return LightCurves(
        transits.offsets, transits.time, mag.astype(np.float32), mag_error.astype(np.float32)
    )


def typical_error(magnitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate the median standard error of one G transit.

    Parameters
    ----------
    magnitude : (n,) float64
        In G.

    Returns
    -------
    (n,) float64
        In mag.
    """
    return np.exp(np.interp(magnitude, _ERROR_MAGNITUDE, np.log(_ERROR)))


def fourier_series(stars: pd.DataFrame) -> shapes.FourierSeries:
    """Compute the Fourier series of the stars' (dominant) mode; missing harmonics have amplitude 0.

    Parameters
    ----------
    stars : pandas.DataFrame
        Rows of the table of simulated stars.

    Returns
    -------
    shapes.FourierSeries
        Of shape (n_stars, 10).
    """
    n_harmonics = shapes.RRAB.n_harmonics
    series = shapes.FourierSeries(
        np.zeros((len(stars), n_harmonics)), np.zeros((len(stars), n_harmonics))
    )
    fundamental = stars["best_classification"].to_numpy() == "RRab"
    hidden = stars[[f"sim_shape_{i}" for i in range(shapes.N_SHAPE)]].to_numpy()
    period, feh, amplitude = (stars[c].to_numpy() for c in ("period", "sim_feh", "sim_amplitude"))
    for shape, rows in ((shapes.RRAB, fundamental), (shapes.RRC, ~fundamental)):
        part = shapes.fourier_series(shape, period[rows], feh[rows], amplitude[rows], hidden[rows])
        series.amplitude[rows, : shape.n_harmonics] = part.amplitude
        series.phase[rows, : shape.n_harmonics] = part.phase
    return series


def noiseless_magnitude(
    stars: pd.DataFrame, star: NDArray[np.int64], time: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute magnitudes without noise, of given stars at given times.

    Parameters
    ----------
    stars : pandas.DataFrame
        Rows of the table of simulated stars.
    star : (n,) int64
        Row of the star.
    time : (n,) float64
        BJD(TCB) - 2455197.5, in days.

    Returns
    -------
    (n,) float64
    """

    def of(column: str) -> NDArray[np.float64]:
        return np.asarray(stars[column].to_numpy()[star], dtype=np.float64)

    series = fourier_series(stars)
    beat = 2.0 * np.pi * (time / of("sim_blazhko_period") + of("sim_blazhko_phase"))
    phase = (time - of("epoch_g")) / of("period") + of("sim_phase_of_maximum")
    angle = 2.0 * np.pi * ((phase + of("sim_blazhko_shift") * np.sin(beat)) % 1.0)
    pulsation = np.zeros_like(time)
    for k in range(series.amplitude.shape[1]):
        pulsation += series.amplitude[star, k] * np.cos((k + 1) * angle + series.phase[star, k])
    second = of("sim_second_amplitude") * np.cos(2.0 * np.pi * time / of("sim_second_period"))
    depth = 1.0 + of("sim_blazhko_depth") * np.cos(beat)
    return of("sim_mean_mag") + depth * pulsation + second
