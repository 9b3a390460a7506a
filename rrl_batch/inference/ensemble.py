"""Load an ensemble once per process, and predict with all of its members."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.inference.by_keras import KerasEnsemble
from rrl_batch.inference.by_kernels import KernelEnsemble
from rrl_batch.inference.fused import FusedEnsemble
from rrl_batch.lightcurve.inputs import Inputs
from rrl_batch.models.domain import TrainingDomain
from rrl_batch.models.folder import (
    ModelCard,
    held_out_folds,
    load_member,
    members_of,
    training_domains,
    weights_path,
)
from rrl_batch.models.registry import ARCHITECTURES, check_model, n_static_of


class Engine(Protocol):
    """What evaluates the members of one architecture."""

    def predict(self, inputs: Inputs) -> NDArray[np.floating[Any]]:
        """Return (n_stars, n_members) metallicities, in dex."""

    def member(self, number: int) -> Self:
        """Return what evaluates one member alone."""


_CHANNELS = 2
"""Numbers a point of a sequence: magnitude, and phase times period."""


@dataclass(frozen=True)
class Ensemble:
    """A trained model, ready to predict.

    Parameters
    ----------
    card : ModelCard
        What the model is.
    engines : dict of str to dict of str to Engine
        For each of its architectures, and each of the card's groups, what evaluates the members.
    domains : dict of str to TrainingDomain
        For each pulsation mode, where its training stars are.
    held_out_by : pandas.DataFrame
        For each training star, by `source_id`: the folds that it was held out in, a column a
        repeat.
    """

    card: ModelCard
    engines: dict[str, dict[str, Engine]]
    domains: dict[str, TrainingDomain]
    held_out_by: pd.DataFrame

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load a model.

        Raises
        ------
        UserError
            If the model is missing or damaged.
        """
        card = ModelCard.read(folder)
        engines = {
            name: {mode: choose_engine(folder, card, name, mode) for mode in card.groups}
            for name in card.kinds
        }
        domains = training_domains(folder, card)
        return cls(card, engines, domains, held_out_folds(folder, card))

    def places(self, architecture: str) -> NDArray[np.int64]:
        """Return the repeat and fold of each member of an architecture, (n_members, 2).

        They are the same for the members of each pulsation mode.
        """
        members = members_of(self.card, architecture, self.card.groups[0])
        return np.array([(member.repeat, member.fold) for member in members])

    def predict_members(
        self, inputs: Inputs, mode: NDArray[np.object_]
    ) -> dict[str, NDArray[np.float64]]:
        """Return every member's prediction; even with no star, the fused kernel is compiled.

        Parameters
        ----------
        inputs : Inputs
            Curves and shape parameters of some stars.
        mode : (n_stars,) object
            Their pulsation modes, each one of the model's.

        Returns
        -------
        dict of str to (n_stars, n_members) float64 ndarray
            For each architecture the metallicities, in dex, by its members for the star's mode,
            in the order of `places`.
        """
        return {
            name: self._predict(engines, inputs, mode) for name, engines in self.engines.items()
        }

    def predict_member(
        self, architecture: str, number: int, inputs: Inputs, mode: NDArray[np.object_]
    ) -> NDArray[np.float64]:
        """Return what one member, or the one in its place for each pulsation mode, predicts.

        Parameters
        ----------
        architecture : str
            One of the model's.
        number : int
            Which member, in the order of `places`.
        inputs, mode
            As `predict_members` takes them.

        Returns
        -------
        (n_stars,) float64
            In dex.
        """
        engines = {
            group: engine.member(number) for group, engine in self.engines[architecture].items()
        }
        return self._predict(engines, inputs, mode)[:, 0]

    def _predict(
        self, engines: dict[str, Engine], inputs: Inputs, mode: NDArray[np.object_]
    ) -> NDArray[np.float64]:
        groups = {
            name: mode == name if self.card.by_mode else np.ones(len(mode), np.bool_)
            for name in engines
        }
        parts = {
            name: engines[name].predict(Inputs(*(array[rows] for array in inputs)))
            for name, rows in groups.items()
        }
        n_members = next(iter(parts.values())).shape[1]
        predicted = np.full((len(mode), n_members), np.nan)
        for name, rows in groups.items():
            predicted[rows] = parts[name]
        return predicted


def choose_engine(folder: Path, card: ModelCard, architecture: str, mode: str = "") -> Engine:
    """Load what evaluates the members of one architecture.

    =====================================================  =====================================
    members                                                engine
    =====================================================  =====================================
    regressors                                             NumPy
    `fused` in the registry and not masked                 the fused kernel, all members at once
    any other network                                      Keras, on a GPU if the worker owns one
    =====================================================  =====================================

    The first two give the same, to the last bit, on workers with and without a GPU.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the model.
    card : ModelCard
        Its card.
    architecture : str
        One of those that the card names.
    mode : str
        One of the card's groups: the pulsation mode that the members are for, if for one.

    Raises
    ------
    UserError
        If weights are missing or damaged, or there is no such architecture in models.
    """
    engine = engine_of(card, architecture)
    members = members_of(card, architecture, mode)
    paths = [weights_path(folder, member) for member in members]
    if engine == "keras":
        return KerasEnsemble([load_member(folder, card, member) for member in members])
    if engine == "kernel":
        return KernelEnsemble.from_files(paths)
    n_static = n_static_of(architecture, card.static)
    return FusedEnsemble.from_files(paths, _CHANNELS, n_static)


def engine_of(card: ModelCard, architecture: str) -> Literal["fused", "kernel", "keras"]:
    """Return what evaluates the members of one architecture of a model, wherever that is.

    Raises
    ------
    UserError
        If there is no such architecture in models.
    """
    check_model(architecture)
    engine = ARCHITECTURES[architecture].engine
    if engine == "kernel":
        return "kernel"
    return "fused" if engine == "fused" and not card.preprocess.masked else "keras"


@lru_cache(maxsize=1)
def cached_ensemble(folder: Path, fingerprint: str) -> Ensemble:  # noqa: ARG001
    """Return a model that this process may have loaded before.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the model.
    fingerprint : str
        Checksum of its card: a model that was trained anew in the same folder is loaded anew.
    """
    return Ensemble.load(folder)
