"""From a batch of light curves to network input, measured shape and flags, star by star."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.contracts import Flag
from rrl_batch.contracts.flags import (
    MAX_AMPLITUDE,
    MAX_PHASE_GAP,
    MAX_PHI31_ERROR,
    MIN_AMPLITUDE,
    MIN_EPOCHS,
    SPARSE_EPOCHS,
)
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.clean import clean
from rrl_batch.lightcurve.coverage import phase_gap
from rrl_batch.lightcurve.fold import fold, maximum_light, shift
from rrl_batch.lightcurve.fourier import fit_fourier, maximum_of_first_harmonic
from rrl_batch.lightcurve.sequences import Sequences, raw_sequences, smoothed_sequences
from rrl_batch.lightcurve.spline import smooth


@dataclass(frozen=True)
class PreparedStars:
    """Stars that are ready for a network: every star of the batch, in its order.

    Parameters
    ----------
    table : pandas.DataFrame
        The star table's columns, and what was measured on the curve: `num_epochs_used`,
        `phi31` and `phi31_error` (rad, cosine convention), `amplitude` (mag, of the smoothed
        curve), `max_phase_gap` (cycles) and `flags`.
    sequences : (n_stars, n_points, 2) float32 ndarray
        Input of the network.
    """

    table: pd.DataFrame
    sequences: Sequences

    def __len__(self) -> int:
        return len(self.table)


def prepare(
    batch: LightCurveBatch,
    *,
    dataset: Literal["preprocessed", "smoothed", "raw"] = "preprocessed",
    alignment: Literal["fourier", "maximum"] = "fourier",
    smoothing: Literal["robust", "scipy"] = "robust",
    points: int = 64,
) -> PreparedStars:
    """Clean, fold, align, smooth and measure the light curves of a batch.

    Parameters
    ----------
    batch : LightCurveBatch
        Stars of a survey.
    dataset : {"preprocessed", "smoothed", "raw"}
        Which of the three data sets of Monti et al. (2024) the sequences are of.
    alignment : {"fourier", "maximum"}
        What phase 0 is: the maximum of the first harmonic, or maximum light (`epoch_g`).
    smoothing : {"robust", "scipy"}
        Method of the smoothing spline.
    points : int
        Steps of a sequence.

    Returns
    -------
    PreparedStars
        One row a star; a star without a curve has flags that say why.
    """
    epochs = clean(batch.time, batch.mag, batch.mag_error, batch.offsets, batch.has_error)
    counts = np.diff(epochs.offsets)
    period = batch.stars["period"].to_numpy(np.float64, na_value=np.nan)
    has_period = np.isfinite(period) & (period > 0)
    # any period will do where there is none: the star's curve is taken away below
    period = np.where(has_period, period, 1.0)
    if alignment == "maximum":
        epoch = _epochs_of_maximum(batch, epochs.time, epochs.mag, epochs.offsets, period)
    else:
        epoch = np.zeros_like(period)
    phase = fold(epochs.time, epochs.offsets, period, epoch)
    fourier = fit_fourier(phase, epochs.mag, epochs.offsets)
    if alignment == "fourier":
        phase = shift(phase, epochs.offsets, maximum_of_first_harmonic(fourier))

    curves = smooth(phase, epochs.mag, epochs.offsets, points, smoothing)
    gap = phase_gap(phase, epochs.offsets)
    amplitude = np.ptp(curves.mag, axis=1)

    usable = has_period & (counts >= MIN_EPOCHS)
    fitted = usable & (amplitude >= MIN_AMPLITUDE)  # False where there is no curve
    if dataset == "raw":
        sequences = raw_sequences(phase, epochs.mag, epochs.offsets, period, points)
    else:
        sequences = smoothed_sequences(curves, period, centred=dataset == "preprocessed")
    sequences[~fitted] = np.nan
    flags = (
        _flag(Flag.TOO_FEW_EPOCHS, counts < MIN_EPOCHS)
        | _flag(Flag.NO_PERIOD, ~has_period)
        | _flag(Flag.BAD_PHOTOMETRY, (epochs.num_rejected > 0) | batch.malformed)
        | _flag(Flag.PHASE_GAP, has_period & (gap > MAX_PHASE_GAP))
        | _flag(Flag.SPARSE, counts < SPARSE_EPOCHS)
        | _flag(Flag.AMPLITUDE, fitted & (amplitude > MAX_AMPLITUDE))
        | _flag(Flag.PHI31_UNCERTAIN, ~(fourier.phi31_error <= MAX_PHI31_ERROR))
        | _flag(Flag.SMOOTHING_FAILED, usable & ~fitted)
    )
    table = batch.stars.assign(
        num_epochs_used=counts.astype(np.int32),
        phi31=np.where(fitted, fourier.phi31, np.nan),
        phi31_error=np.where(fitted, fourier.phi31_error, np.nan),
        amplitude=np.where(fitted, amplitude, np.nan),
        max_phase_gap=np.where(has_period, gap, np.nan),
        flags=flags,
    )
    return PreparedStars(table, sequences)


def _flag(flag: Flag, raised: NDArray[np.bool_]) -> NDArray[np.int32]:
    return np.where(raised, np.int32(flag), np.int32(0))


def _epochs_of_maximum(
    batch: LightCurveBatch,
    time: NDArray[np.float64],
    mag: NDArray[np.float64],
    offsets: NDArray[np.int64],
    period: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the star table's times of maximum light, and our own where it has none."""
    epoch = batch.stars["epoch_g"].to_numpy(np.float64, na_value=np.nan)
    missing = ~np.isfinite(epoch)
    if not missing.any():
        return epoch
    chosen = np.repeat(missing, np.diff(offsets))
    counts = np.where(missing, np.diff(offsets), 0)[missing]
    some = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    epoch = epoch.copy()
    epoch[missing] = np.nan_to_num(maximum_light(time[chosen], mag[chosen], some, period[missing]))
    return epoch
