"""Check that `epoch_g` is what curves are aligned by: surveys differ in what they call so."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rrl_batch.errors import UserError
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.clean import clean
from rrl_batch.lightcurve.fold import maximum_light
from rrl_batch.survey.read import SurveyPartition

MAX_OFFSET = 0.1
"""Cycles: it is 0.003 to 0.02 in Gaia DR3, 0.35 where phase 0 is the mean of the rising branch."""

MAX_PART = 0.2
"""Part of the stars that may be further off; in Gaia DR3 it is one in thirty."""


def check_epochs(partition: SurveyPartition, survey: Path, model: Path) -> None:
    """Check that the epochs of a survey are times of maximum light.

    Parameters
    ----------
    partition : SurveyPartition
        Stars of the survey to look at.
    survey, model : pathlib.Path
        Folders, for the message.

    Raises
    ------
    UserError
        If `epoch_g` lies elsewhere for too many stars; stars without it do not count.
    """
    offsets = np.concatenate(
        [_distance_from_maximum(batch) for batch in partition.batches()] or [np.empty(0)]
    )
    offsets = offsets[np.isfinite(offsets)]
    if len(offsets) and (part := float(np.mean(offsets > MAX_OFFSET))) > MAX_PART:
        raise UserError(
            f"The model {model} aligns curves at maximum light, and epoch_g of the survey {survey} "
            f"is something else: for {part:.0%} of the stars it lies more than {MAX_OFFSET} cycles "
            f"from maximum light; give the survey without epoch_g, so that maximum light is "
            f"measured, or train with preprocess.alignment = 'fourier'."
        )


def _distance_from_maximum(batch: LightCurveBatch) -> NDArray[np.float64]:
    """Return how far, in cycles, each star's epoch is from its measured maximum light."""
    epochs = clean(batch.time, batch.mag, batch.mag_error, batch.offsets, batch.has_error)
    period = batch.stars["period"].to_numpy(np.float64, na_value=np.nan)
    period = np.where(period > 0, period, np.nan)
    maximum = maximum_light(epochs.time, epochs.mag, epochs.offsets, np.nan_to_num(period, nan=1.0))
    epoch = batch.stars["epoch_g"].to_numpy(np.float64, na_value=np.nan)
    cycles = (maximum - epoch) / period
    return np.abs(cycles - np.round(cycles))
