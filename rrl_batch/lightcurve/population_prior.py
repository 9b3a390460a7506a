"""How the light curves of a pulsation mode are distributed, as a file."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from rrl_batch.errors import UserError, first_line
from rrl_batch.lightcurve.population_kernel import N_COEFFICIENTS, N_HARMONICS, PHASE_BINS
from rrl_batch.storage.commit import write_json

FloatArray = npt.NDArray[np.float64]

PERIOD_SCALES = {"RRab": (0.6, 0.1), "RRc": (0.32, 0.04)}
"""Centre and unit of the periods of a mode, in days."""
_MAX_SCALED_PERIOD = 3.0  # a cubic says nothing beyond the stars that it was fitted to

N_POWERS = 4
N_VARIED = N_COEFFICIENTS - 1
"""Coefficients with a prior: all but the constant."""

_FIRST_AMPLITUDE = 0.3  # mag, of the first harmonic; falls as 1 / k


class _PriorFile(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    mode: str
    mean: list[list[float]]
    covariance: list[list[float]]
    relative_variance: list[float]


@dataclass(frozen=True)
class PopulationPrior:
    """How the light curves of a pulsation mode are distributed.

    Parameters
    ----------
    mode : str
        The mode: RRab or RRc.
    mean : (4, 24) float64 ndarray, in mag
        Mean coefficients, a row a power of the scaled period, in the order cos 2 pi phase,
        sin 2 pi phase, cos 4 pi phase, ...
    covariance : (24, 24) float64 ndarray, in mag^2
        Covariance of the coefficients about it.
    relative_variance : (25,) float64 ndarray
        Variance of the noise in equal bins of phase, relative to a star's own.
    """

    mode: str
    mean: FloatArray
    covariance: FloatArray
    relative_variance: FloatArray

    @classmethod
    def first(cls, mode: str) -> Self:
        """Return the prior that EM begins with: wide, without a shape."""
        return cls(mode, np.zeros((N_POWERS, N_VARIED)), _first_covariance(), np.ones(PHASE_BINS))

    def write(self, path: Path) -> None:
        """Write the prior as JSON, to the last bit."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)[1:]}
        write_json(path, {"mode": self.mode} | {k: v.tolist() for k, v in arrays.items()})

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a prior.

        Raises
        ------
        UserError
            If there is none, or it is damaged.
        """
        try:
            content = _PriorFile.model_validate_json(path.read_bytes()).model_dump()
            prior = cls(content.pop("mode"), **{k: np.array(v) for k, v in content.items()})
            prior._check()
        except OSError:
            raise UserError(f"There is no population prior at {path}; train again.") from None
        except (ValueError, ValidationError) as error:
            reason = first_line(error)
            raise UserError(f"{path} is not a population prior ({reason}); train again.") from None
        return prior

    def _check(self) -> None:
        if self.mode not in PERIOD_SCALES:
            raise ValueError(f"there is no mode {self.mode}")
        shapes = ((N_POWERS, N_VARIED), (N_VARIED, N_VARIED), (PHASE_BINS,))
        if (self.mean.shape, self.covariance.shape, self.relative_variance.shape) != shapes:
            raise ValueError("arrays of another shape")
        if not (self.covariance == self.covariance.T).all():
            raise ValueError("its covariance is not symmetric")
        if not (np.linalg.eigvalsh(self.covariance) > 0).all():
            raise ValueError("its covariance is not positive")
        if not (self.relative_variance > 0).all():
            raise ValueError("its noise is not positive")

    def powers(self, period: npt.ArrayLike) -> FloatArray:
        """Return the powers of the scaled period, of which the mean is a combination.

        Parameters
        ----------
        period : (n_stars,) array_like, in days
            Periods; those far from any of the mode count as its longest or shortest.

        Returns
        -------
        (n_stars, 4) float64
            NaN where a period is not positive.
        """
        centre, unit = PERIOD_SCALES[self.mode]
        period = np.asarray(period, np.float64)
        scaled = np.clip((period - centre) / unit, -_MAX_SCALED_PERIOD, _MAX_SCALED_PERIOD)
        scaled[~(period > 0)] = np.nan
        return np.vander(scaled, N_POWERS, increasing=True)


def _first_covariance() -> FloatArray:
    harmonic = np.repeat(np.arange(1, N_HARMONICS + 1), 2)
    return np.diag((_FIRST_AMPLITUDE / harmonic) ** 2)
