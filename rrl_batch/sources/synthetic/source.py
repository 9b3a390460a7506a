"""The simulator as a source of surveys: light curves by partition, and what they show of phi31."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rrl_batch.contracts import STARS
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.fold import fold
from rrl_batch.lightcurve.fourier import fit_fourier
from rrl_batch.sources.synthetic.photometry import simulate_light_curves


@dataclass(frozen=True)
class SimulatedLightCurves:
    """The light curves of simulated stars, whose phi31 is measured on them.

    Parameters
    ----------
    seed : int
        Seed that the stars were simulated with.
    """

    seed: int

    def __call__(self, stars: pd.DataFrame, number: int) -> LightCurveBatch:  # noqa: ARG002
        """Return the light curves of a partition.

        Parameters
        ----------
        stars : pandas.DataFrame
            Stars of the partition, with the simulator's hidden columns.
        number : int
            Number of the partition, which makes no difference to a star's light curve.
        """
        curves = simulate_light_curves(stars, self.seed)
        period = stars["period"].to_numpy()
        phase = fold(curves.time, curves.offsets, period, np.zeros_like(period))
        fourier = fit_fourier(phase, curves.mag, curves.offsets)
        measured = stars.assign(phi31_g=fourier.phi31, phi31_g_error=fourier.phi31_error)
        return LightCurveBatch(
            stars=measured[STARS.names],
            offsets=curves.offsets,
            time=curves.time,
            mag=curves.mag,
            mag_error=curves.mag_error,
            has_error=np.ones(len(stars), bool),
            malformed=np.zeros(len(stars), bool),
        )
