"""Ensembles of regressors on the shape parameters."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rrl_batch.lightcurve.inputs import Inputs
from rrl_batch.lightcurve.shape import N_SHAPE
from rrl_batch.models.kernel_expansion import KernelExpansion


@dataclass(frozen=True)
class KernelEnsemble:
    """Kernel expansions, which NumPy evaluates.

    Parameters
    ----------
    members : sequence of KernelExpansion
        The members.
    """

    members: Sequence[KernelExpansion]

    @classmethod
    def from_files(cls, paths: Sequence[Path]) -> Self:
        """Read the members from their files.

        Raises
        ------
        UserError
            If a file is damaged, or holds anything else.
        """
        return cls([KernelExpansion.read(path, N_SHAPE) for path in paths])

    def member(self, number: int) -> Self:
        """Return what evaluates one member alone."""
        return replace(self, members=[self.members[number]])

    def predict(self, inputs: Inputs) -> NDArray[np.float64]:
        """Return every member's prediction.

        Parameters
        ----------
        inputs : Inputs
            Of which the shape parameters count.

        Returns
        -------
        (n_stars, n_members) float64 ndarray
            In dex; NaN where a parameter is NaN.
        """
        return np.stack([member.predict(inputs.shape) for member in self.members], axis=1)
