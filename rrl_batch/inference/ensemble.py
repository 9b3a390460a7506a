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
from rrl_batch.models.folder import (
    ModelCard,
    held_out_folds,
    load_member,
    members_of,
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
    engines : dict of str to Engine
        For each of its architectures, what evaluates the members.
    held_out_by : pandas.DataFrame
        For each training star, by `source_id`: the folds that it was held out in, a column a
        repeat.
    """

    card: ModelCard
    engines: dict[str, Engine]
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
        engines = {name: choose_engine(folder, card, name) for name in card.kinds}
        return cls(card, engines, held_out_folds(folder, card))

    def places(self, architecture: str) -> NDArray[np.int64]:
        """Return the repeat and fold of each member of an architecture, (n_members, 2)."""
        members = members_of(self.card, architecture)
        return np.array([(member.repeat, member.fold) for member in members])

    def predict_members(self, inputs: Inputs) -> dict[str, NDArray[np.float64]]:
        """Return every member's prediction; even with no star, the fused kernel is compiled.

        Parameters
        ----------
        inputs : Inputs
            Curves and shape parameters of some stars.

        Returns
        -------
        dict of str to (n_stars, n_members) float64 ndarray
            For each architecture the metallicities, in dex, by its members in the card's order.
        """
        return {
            name: engine.predict(inputs).astype(np.float64) for name, engine in self.engines.items()
        }


def choose_engine(folder: Path, card: ModelCard, architecture: str) -> Engine:
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

    Raises
    ------
    UserError
        If weights are missing or damaged, or there is no such architecture in models.
    """
    engine = engine_of(card, architecture)
    members = members_of(card, architecture)
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
