"""The simulator as a source of surveys: light curves by partition, and the true metallicities."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from rrl_batch.contracts import LABELS, STARS
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.sources.synthetic.photometry import simulate_light_curves

SCALE = "synthetic"
"""Name of the metallicity scale of simulated stars."""


@dataclass(frozen=True)
class SimulatedLightCurves:
    """The light curves of simulated stars.

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
        return LightCurveBatch(
            stars=stars[STARS.names],
            offsets=curves.offsets,
            time=curves.time,
            mag=curves.mag,
            mag_error=curves.mag_error,
            has_error=np.ones(len(stars), bool),
            malformed=np.zeros(len(stars), bool),
        )


def true_labels(stars: pd.DataFrame) -> pa.Table:
    """Return the true metallicities of simulated stars as a table of labels, marked as such.

    Parameters
    ----------
    stars : pandas.DataFrame
        Simulated stars, with the column `feh`.
    """
    table = pa.Table.from_pandas(
        stars[["source_id", "feh"]].assign(scale=SCALE), preserve_index=False
    )
    note = {"description": "SYNTHETIC: true [Fe/H] of simulated stars, not a measurement"}
    return LABELS.conform(table, "simulator").replace_schema_metadata(note)
