"""Clean, fold and align the light curves of a batch."""

from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.contracts.flags import MIN_EPOCHS
from rrl_batch.lightcurve.align import maximum_of_first_harmonic, mean_of_rising_branch
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.clean import CleanEpochs, clean
from rrl_batch.lightcurve.fold import fold, maximum_light, shift
from rrl_batch.lightcurve.fourier import FourierFit, fit_fourier
from rrl_batch.lightcurve.population import FoldedCurves

Floats = NDArray[np.float64]
Alignment = Literal["fourier", "maximum", "rising"]


class FoldedStars(NamedTuple):
    """Every star of a batch with its usable epochs, aligned.

    Attributes
    ----------
    epochs : CleanEpochs
        The usable epochs.
    phase : (n_epochs,) float64, in cycles, [0, 1)
        Their phases.
    period : (n_stars,) float64, in days
        Periods; 1 where there is none.
    has_period : (n_stars,) bool
        Whether the star has one.
    usable : (n_stars,) bool
        Whether it has enough epochs besides, so that a curve may be tried.
    mode : pandas.Series
        Pulsation modes.
    fourier : FourierFit
        Star-by-star fit to the epochs; its own phases have another origin.
    brightest : (n_stars,) float64, in cycles
        Where the first harmonic of that fit is brightest, in the phases above.
    """

    epochs: CleanEpochs
    phase: Floats
    period: Floats
    has_period: NDArray[np.bool_]
    usable: NDArray[np.bool_]
    mode: pd.Series
    fourier: FourierFit
    brightest: Floats

    def of_mode(self, mode: str) -> NDArray[np.bool_]:
        """Return which usable stars pulsate in a mode."""
        rows: NDArray[np.bool_] = self.usable & self.mode.isin([mode]).to_numpy()
        return rows

    def curves(self, rows: NDArray[np.bool_]) -> FoldedCurves:
        """Return the light curves of some stars as the population prior takes them.

        Parameters
        ----------
        rows : (n_stars,) bool
            Which stars.
        """
        counts = np.diff(self.epochs.offsets)
        chosen = np.repeat(rows, counts)
        offsets = np.concatenate([[0], np.cumsum(counts[rows])]).astype(np.int64)
        phase = shift(self.phase[chosen], offsets, self.brightest[rows])
        return FoldedCurves(phase, self.epochs.mag[chosen], offsets, self.period[rows])


def folded(batch: LightCurveBatch, alignment: Alignment) -> FoldedStars:
    """Clean, fold and align the light curves of a batch, star by star.

    Parameters
    ----------
    batch : LightCurveBatch
        Stars of a survey.
    alignment : {"fourier", "maximum", "rising"}
        What phase 0 is: the maximum of the first harmonic; maximum light (`epoch_g`, or measured
        where there is none); where the harmonics cross the mean on the rising branch.
    """
    epochs = clean(batch.time, batch.mag, batch.mag_error, batch.offsets, batch.has_error)
    period = batch.stars["period"].to_numpy(np.float64, na_value=np.nan)
    has_period = np.isfinite(period) & (period > 0)
    # any period will do where there is none: such a star gets no curve
    period = np.where(has_period, period, 1.0)
    epoch = np.zeros_like(period)
    if alignment == "maximum":
        epoch = _epochs_of_maximum(batch, epochs, period)
    phase = fold(epochs.time, epochs.offsets, period, epoch)
    fourier = fit_fourier(phase, epochs.mag, epochs.offsets)
    brightest = np.nan_to_num(maximum_of_first_harmonic(fourier.harmonics))
    origin = np.zeros_like(period)
    if alignment == "fourier":
        origin = brightest
    elif alignment == "rising":
        origin = np.nan_to_num(mean_of_rising_branch(fourier.harmonics))
    return FoldedStars(
        epochs,
        shift(phase, epochs.offsets, origin),
        period,
        has_period,
        has_period & (np.diff(epochs.offsets) >= MIN_EPOCHS),
        batch.stars["best_classification"],
        fourier,
        brightest - origin,
    )


def _epochs_of_maximum(batch: LightCurveBatch, epochs: CleanEpochs, period: Floats) -> Floats:
    """Return the star table's times of maximum light, and our own where it has none."""
    epoch = batch.stars["epoch_g"].to_numpy(np.float64, na_value=np.nan)
    missing = ~np.isfinite(epoch)
    if not missing.any():
        return epoch
    counts = np.diff(epochs.offsets)
    chosen = np.repeat(missing, counts)
    some = np.concatenate([[0], np.cumsum(counts[missing])]).astype(np.int64)
    epoch = epoch.copy()
    epoch[missing] = np.nan_to_num(
        maximum_light(epochs.time[chosen], epochs.mag[chosen], some, period[missing])
    )
    return epoch
