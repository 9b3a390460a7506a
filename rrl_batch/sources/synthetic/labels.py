"""Metallicities of simulated stars: the true ones, and photometric ones like those of Gaia's stars.

Photometric metallicities are a relation in period and phi31, both measured on the light curve that
a network is given. Its error against them tells how well it has learnt the relation; only the true
ones tell how well it measures [Fe/H].
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rrl_batch.contracts import LABELS
from rrl_batch.errors import UserError

TRUE = "true"
"""Name of the scale of the true metallicities."""

PHOTOMETRIC = "photometric"
"""Name of the scale of the metallicities from period and phi31."""


class Relation(NamedTuple):
    """[Fe/H] = intercept + period_slope (P - period) + phi31_slope (phi31 - phi31_0).

    Attributes
    ----------
    intercept : float, in dex
    period_slope : float, in dex per day
    phi31_slope : float, in dex per radian
    period, phi31 : float, in days and radians
        Where the relation gives the intercept; phi31 is taken within half a turn of its value.
    scatter : float, in dex
        Of the true metallicities about the relation.
    """

    intercept: float
    period_slope: float
    phi31_slope: float
    period: float
    phi31: float
    scatter: float

    def feh(self, period: NDArray[np.float64], phi31: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return metallicities, in dex, of periods and cosine phi31, in days and radians."""
        turned = np.remainder(phi31 - self.phi31 + np.pi, 2.0 * np.pi) - np.pi
        return (
            self.intercept + self.period_slope * (period - self.period) + self.phi31_slope * turned
        )


RELATIONS = {
    "RRab": Relation(-2.03, -6.01, 1.08, period=0.6, phi31=2.0, scatter=0.17),
    "RRc": Relation(-1.42, -8.45, 0.245, period=0.3, phi31=3.5, scatter=0.22),
}
"""Least-squares fits to the simulated stars of a whole sky (270,905 stars, seed 0) with at least 50
epochs and an error of phi31 of at most 0.10: 26,150 RRab and 1,927 RRc. Real RRab have nearly the
same: -2.04, -5.92 and 0.94 for 121 of Gaia DR3 with the labels of Dekany & Grebel 2022."""


MEASURED = ["source_id", "best_classification", "period", "phi31_g", "phi31_g_error"]
"""Columns of a survey that photometric metallicities are made from."""


def check_replaceable(path: Path) -> None:
    """Check that a file, if there is one, holds simulated labels: those of a survey replace it.

    Raises
    ------
    UserError
        If it is anything else.
    """
    if not path.exists():
        return
    try:
        about = (pq.read_schema(path).metadata or {}).get(b"description", b"")
    except (pa.ArrowException, OSError):
        about = b""
    if not about.startswith(b"SYNTHETIC"):
        raise UserError(
            f"{path} is there already and does not hold simulated labels, which would replace it; "
            f"name another file for them."
        )


def make_labels(stars: pd.DataFrame, measured: pa.Table) -> pa.Table:
    """Return the labels of simulated stars, on both scales and marked as synthetic.

    Parameters
    ----------
    stars : pandas.DataFrame
        `source_id` and the true `feh` of every star.
    measured : pyarrow.Table
        The columns `MEASURED` of the survey that was made of them.

    Returns
    -------
    pyarrow.Table
        A true label for every star; a photometric one for every star that has a phi31 and a
        relation, its standard error that of phi31 and the scatter of the relation together.
    """
    true = stars[["source_id", "feh"]].assign(scale=TRUE)
    survey = measured.to_pandas()
    photometric = [
        _photometric(survey[survey["best_classification"] == mode], relation)
        for mode, relation in RELATIONS.items()
    ]
    table = pa.Table.from_pandas(pd.concat([true, *photometric]), preserve_index=False)
    note = {"description": "SYNTHETIC: [Fe/H] of simulated stars, not a measurement"}
    return LABELS.conform(table, "simulator").replace_schema_metadata(note)


def _photometric(stars: pd.DataFrame, relation: Relation) -> pd.DataFrame:
    stars = stars[stars["phi31_g"].notna()]
    period, phi31, error = (
        stars[name].to_numpy(np.float64) for name in ("period", "phi31_g", "phi31_g_error")
    )
    return stars[["source_id"]].assign(
        feh=relation.feh(period, phi31),
        feh_error=np.hypot(relation.phi31_slope * error, relation.scatter),
        scale=PHOTOMETRIC,
    )
