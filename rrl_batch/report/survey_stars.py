"""What is known of the stars of a survey before anything is computed, a row a star."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.survey.read import Survey

MODES = ("RRab", "RRc", "RRd")
OTHER = "other"

Floats = NDArray[np.float64]


def stars_of(survey: Survey) -> pd.DataFrame:
    """Read a survey and return a row a star, without its light curve.

    Parameters
    ----------
    survey : Survey
        The survey; it is read as a stream.

    Returns
    -------
    pandas.DataFrame
        `source_id`, `ra`, `dec` (deg), `mode`, `period` (d), `num_clean_epochs_g`, `epochs`: the
        number of transits; `mag` and `amplitude` (mag): those of the star table, or where it has
        none, the mean of the transits and their range.
    """
    batches = (batch for piece in survey.partitions for batch in piece.batches())
    return pd.concat([_stars_of(batch) for batch in batches], ignore_index=True)


def _stars_of(batch: LightCurveBatch) -> pd.DataFrame:
    stars = batch.stars[["source_id", "ra", "dec", "period", "num_clean_epochs_g"]]
    mean, span = _of_transits(batch)
    mode = batch.stars["best_classification"]
    return stars.assign(
        mode=mode.where(mode.isin(MODES), OTHER).astype(str),
        epochs=np.diff(batch.offsets),
        mag=batch.stars["int_average_g"].astype(np.float64).fillna(mean),
        amplitude=batch.stars["peak_to_peak_g"].astype(np.float64).fillna(span),
    )


def _of_transits(batch: LightCurveBatch) -> tuple[pd.Series, pd.Series]:
    """Return mean and range of the magnitudes of each star; NaN where it has none."""
    star = np.repeat(np.arange(len(batch)), np.diff(batch.offsets))
    finite = np.isfinite(batch.mag)
    by_star = pd.Series(batch.mag[finite], dtype=np.float64).groupby(star[finite])
    mean, span = by_star.mean(), by_star.max() - by_star.min()
    rows = pd.RangeIndex(len(batch))
    index = batch.stars.index
    return mean.reindex(rows).set_axis(index), span.reindex(rows).set_axis(index)
