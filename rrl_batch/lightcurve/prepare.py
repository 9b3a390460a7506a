"""From a batch of light curves to network input, measured shape and flags, star by star."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.contracts import Flag
from rrl_batch.contracts.flags import (
    MAX_AMPLITUDE,
    MAX_DRIFT,
    MAX_PHASE_GAP,
    MAX_PHI31_ERROR,
    MAX_RELATIVE_SCATTER,
    MAX_SCATTER,
    MIN_AMPLITUDE,
    MIN_CONCENTRATION,
    MIN_EPOCHS,
    SPARSE_EPOCHS,
)
from rrl_batch.contracts.modes import DOUBLE_MODE, treated_as
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.coverage import phase_gap
from rrl_batch.lightcurve.folded import Alignment, FoldedStars, folded
from rrl_batch.lightcurve.inputs import Inputs
from rrl_batch.lightcurve.population_prior import PopulationPrior
from rrl_batch.lightcurve.redrawn import CurveErrors, period_errors
from rrl_batch.lightcurve.residuals import Residuals, residuals
from rrl_batch.lightcurve.sequences import Sequences, raw_sequences, smoothed_sequences
from rrl_batch.lightcurve.shape import intensity_mean, shape_parameters
from rrl_batch.lightcurve.smoothing import MeasuredCurves, by_population, by_spline


@dataclass(frozen=True)
class PreparedStars:
    """Stars that are ready for a predictor: every star of the batch, in its order.

    Parameters
    ----------
    table : pandas.DataFrame
        The star table's columns, and what was measured on the curve: `num_epochs_used`,
        `phi31` and `phi31_error` (rad, cosine convention), `amplitude` and `mean_mag` (mag, of
        the smoothed curve; the latter is the mean of its intensity), `max_phase_gap` (cycles),
        `residual_scatter` and `flags`.
    sequences : (n_stars, n_points, 2) float32 ndarray
        Input of a network; NaN where there is no curve.
    shape : (n_stars, 16) float32 ndarray
        Shape parameters, in the columns `SHAPE_COLUMNS`; NaN where there is no curve.
    errors : CurveErrors
        How well the curves are known.
    """

    table: pd.DataFrame
    sequences: Sequences
    shape: NDArray[np.float32]
    errors: CurveErrors

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        n_curves = int(self.table["amplitude"].notna().sum())
        points = self.sequences.shape[1]
        return f"<PreparedStars: {len(self):,} stars, {n_curves:,} with a curve of {points} points>"

    @property
    def inputs(self) -> Inputs:
        """What goes into a predictor."""
        return Inputs(self.sequences, self.shape)

    def redrawn(self, rows: NDArray[np.int64]) -> Inputs:
        """Draw the inputs of some stars anew, within the errors of their curves and periods.

        Parameters
        ----------
        rows : (n,) int64
            Which stars; they have a curve.

        Returns
        -------
        Inputs
            Sequences (n, n_draws, n_points, 2) and shape (n, n_draws, 16).
        """
        return self.errors.take(rows).redrawn(Inputs(*(array[rows] for array in self.inputs)))


class Measurement(NamedTuple):
    """Light curves and the curves through them, of every star of a batch.

    Attributes
    ----------
    stars : FoldedStars
        The folded epochs.
    curves : MeasuredCurves
        The smoothed curves.
    tried : (n_stars,) bool
        Whether a curve was tried.
    alignment : {"fourier", "maximum", "rising"}
        What phase 0 is.
    """

    stars: FoldedStars
    curves: MeasuredCurves
    tried: NDArray[np.bool_]
    alignment: Alignment


def prepare(
    batch: LightCurveBatch,
    *,
    dataset: Literal["preprocessed", "smoothed", "raw"] = "preprocessed",
    alignment: Literal["fourier", "maximum", "rising"] = "fourier",
    smoothing: Literal["robust", "scipy", "population"] = "robust",
    points: int = 64,
    priors: Mapping[str, PopulationPrior] | None = None,
) -> PreparedStars:
    """Clean, fold, align, smooth and measure the light curves of a batch.

    Parameters
    ----------
    batch : LightCurveBatch
        Stars of a survey.
    dataset : {"preprocessed", "smoothed", "raw"}
        Which of the three data sets of Monti et al. (2024) the sequences are of; the raw one is
        smoothed for its amplitude and shape alone.
    alignment : {"fourier", "maximum", "rising"}
        What phase 0 is: the maximum of the first harmonic; maximum light (`epoch_g`); or where the
        curve last gets brighter than its mean on its way to maximum light.
    smoothing : {"robust", "scipy", "population"}
        Method of the smoothing spline, or the posterior under a population prior.
    points : int
        Steps of a sequence.
    priors : mapping of str to PopulationPrior, optional
        By pulsation mode, for population smoothing and only for it; RRd without a prior of their
        own have that of RRc, stars of other modes get no curve.

    Returns
    -------
    PreparedStars
        One row a star; a star without a curve has flags that say why.
    """
    measured = measure(batch, alignment, smoothing, points, priors)
    return prepared(batch, measured, dataset, points)


def measure(
    batch: LightCurveBatch,
    alignment: Alignment,
    smoothing: Literal["robust", "scipy", "population"],
    points: int,
    priors: Mapping[str, PopulationPrior] | None = None,
) -> Measurement:
    """Clean, fold, align and smooth the light curves of a batch; see `prepare`."""
    if (smoothing == "population") != (priors is not None):
        raise ValueError("priors belong to population smoothing, which needs them")
    stars = folded(batch, alignment)
    if smoothing == "population":
        priors = priors or {}
        stars = stars._replace(mode=treated_as(stars.mode, priors))
        curves = by_population(stars, points, priors, alignment)
        tried = stars.usable & stars.mode.isin(list(priors)).to_numpy()
        return Measurement(stars, curves, tried, alignment)
    return Measurement(stars, by_spline(stars, points, smoothing), stars.usable, alignment)


def prepared(
    batch: LightCurveBatch,
    measured: Measurement,
    dataset: Literal["preprocessed", "smoothed", "raw"],
    points: int,
) -> PreparedStars:
    """Make network input and flags of measured light curves; see `prepare`."""
    stars, curves, tried, alignment = measured
    epochs, period = stars.epochs, stars.period
    counts = np.diff(epochs.offsets)
    gap = phase_gap(stars.phase, epochs.offsets)
    amplitude = np.ptp(curves.mag, axis=1)
    shape = shape_parameters(curves.harmonics, period, curves.noise, counts)
    # False where there is no curve, or no harmonic that others can be compared with
    fitted = tried & (amplitude >= MIN_AMPLITUDE) & np.isfinite(shape).all(axis=1)
    if dataset == "raw":
        sequences = raw_sequences(stars.phase, epochs.mag, epochs.offsets, period, points)
    else:
        centred = dataset == "preprocessed"
        sequences = smoothed_sequences(curves.phase, curves.mag, period, centred=centred)
    sequences[~fitted] = np.nan
    shape[~fitted] = np.nan
    about, double = residuals(stars), batch.stars["best_classification"].isin([DOUBLE_MODE])
    flags = (
        _flag(Flag.TOO_FEW_EPOCHS, counts < MIN_EPOCHS)
        | _flag(Flag.NO_PERIOD, ~stars.has_period)
        | _flag(Flag.BAD_PHOTOMETRY, (epochs.num_rejected > 0) | batch.malformed)
        | _flag(Flag.PHASE_GAP, stars.has_period & (gap > MAX_PHASE_GAP))
        | _flag(Flag.SPARSE, counts < SPARSE_EPOCHS)
        | _flag(Flag.AMPLITUDE, fitted & (amplitude > MAX_AMPLITUDE))
        | _flag(Flag.PHI31_UNCERTAIN, ~(curves.phi31_error <= MAX_PHI31_ERROR))
        | _flag(Flag.SMOOTHING_FAILED, tried & ~fitted)
        | _flag(Flag.DOUBLE_MODE, double.to_numpy())
        | _flags_of_residuals(about, tried, double.to_numpy())
    )
    table = batch.stars.assign(
        num_epochs_used=counts.astype(np.int32),
        phi31=np.where(fitted, curves.phi31, np.nan),
        phi31_error=np.where(fitted, curves.phi31_error, np.nan),
        amplitude=np.where(fitted, amplitude, np.nan),
        mean_mag=np.where(fitted, intensity_mean(curves.mag), np.nan),
        max_phase_gap=np.where(stars.has_period, gap, np.nan),
        residual_scatter=np.where(tried, about.scatter, np.nan),
        flags=flags,
    )
    errors = CurveErrors(
        source_id=batch.stars["source_id"].to_numpy(np.int64),
        harmonics=curves.harmonics,
        factor=curves.factor,
        start=curves.start,
        noise=curves.noise,
        n_epochs=counts,
        period=period,
        period_error=period_errors(
            epochs.time, epochs.offsets, period, curves.harmonics, curves.noise
        ),
        alignment=alignment,
        raw=dataset == "raw",
    )
    return PreparedStars(table, sequences, shape, errors)


def _flags_of_residuals(
    about: Residuals, tried: NDArray[np.bool_], double: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Return what the residuals say of stars, also of those that are left without a curve.

    A second mode scatters, but makes no period wrong.
    """
    excess = tried & (about.scatter > MAX_SCATTER)
    scrambled = (about.relative > MAX_RELATIVE_SCATTER) & ~double
    doubtful = tried & (scrambled | (about.drift > MAX_DRIFT))
    modulated = excess & ~doubtful & ~double & (about.concentration > MIN_CONCENTRATION)
    return (
        _flag(Flag.EXCESS_SCATTER, excess)
        | _flag(Flag.PERIOD_DOUBTFUL, doubtful)
        | _flag(Flag.MODULATED, modulated)
    )


def _flag(flag: Flag, raised: NDArray[np.bool_]) -> NDArray[np.int32]:
    return np.where(raised, np.int32(flag), np.int32(0))
