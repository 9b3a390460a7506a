"""Fit regressors on the parameters of the curves' shape: what networks have to beat."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rrl_batch.lightcurve.inputs import Inputs
from rrl_batch.models.kernel_expansion import KernelExpansion
from rrl_batch.models.registry import fit_regressor
from rrl_batch.models.regressors import Regressor
from rrl_batch.training.problem import Fit, FitSettings, Floats, History, Pass, Problem


@dataclass(frozen=True)
class _OnShape:
    """A regressor that takes of the inputs what it needs."""

    regressor: Regressor
    n_parameters = None

    def predict(self, inputs: Inputs) -> Floats:
        """Return metallicities, (n_stars,), in dex."""
        return self.regressor.predict(inputs.shape)

    def write(self, path: Path) -> str:
        """Write what it takes to predict again, and return the file's checksum."""
        if not isinstance(self.regressor, KernelExpansion):
            raise TypeError(f"{type(self.regressor).__name__} serves for comparison only")
        return self.regressor.write(path)


def fit(
    problems: Sequence[Problem],
    inputs: Inputs,
    settings: FitSettings,  # noqa: ARG001 -- of networks
    on_passes: Callable[[list[Pass]], None],
) -> Iterator[Fit]:
    """Fit a member to each problem and yield it; see the trainers of networks.

    There are no passes that could be stopped: the stopping stars are learnt from as well.
    """
    for problem in problems:
        rows = np.concatenate([problem.training, problem.stopping])
        scaling = problem.scaling
        feh = problem.target[rows].astype(np.float64) * scaling.feh_scale + scaling.feh_mean
        regressor = fit_regressor(
            problem.member.architecture,
            inputs.shape[rows].astype(np.float64),
            feh,
            problem.weights[rows].astype(np.float64),
            problem.seed,
        )
        on_passes([Pass(problem.member, 1)])
        yield Fit(problem, _OnShape(regressor), 1, History([], []))
