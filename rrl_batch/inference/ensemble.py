"""Load an ensemble once per process, and predict with all of its members."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.inference.fused import FusedEnsemble, can_fuse
from rrl_batch.lightcurve.sequences import Sequences
from rrl_batch.models.folder import OUT_OF_FOLD, ModelCard, load_member

if TYPE_CHECKING:
    import keras

Engine = Callable[[Sequences], NDArray[Any]]
"""From (n_stars, n_points, 2) sequences to (n_stars, n_members) metallicities."""

_BATCH_SIZE = 1024


@dataclass(frozen=True)
class Ensemble:
    """A trained model, ready to predict.

    Parameters
    ----------
    card : ModelCard
        What the model is.
    engine : callable
        What evaluates its members.
    held_out_by : pandas.Series
        For each training star, by `source_id`: the fold that it was held out in.
    """

    card: ModelCard
    engine: Engine
    held_out_by: pd.Series

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load a model.

        Raises
        ------
        UserError
            If the model is missing or damaged.
        """
        card = ModelCard.read(folder)
        held_out = pd.read_parquet(folder / OUT_OF_FOLD, columns=["source_id", "fold"])
        networks = [load_member(folder, card, member) for member in card.members]
        return cls(card, choose_engine(networks), held_out.set_index("source_id")["fold"])

    def predict_members(self, sequences: Sequences) -> NDArray[np.float64]:
        """Return every member's prediction.

        Parameters
        ----------
        sequences : (n_stars, n_points, 2) float32 ndarray
            Input of the network.

        Returns
        -------
        (n_stars, n_members) float64 ndarray
            Metallicities, in dex.
        """
        if len(sequences) == 0:
            return np.empty((0, len(self.card.members)))
        return self.engine(sequences).astype(np.float64)


def choose_engine(networks: "Sequence[keras.Model]") -> Engine:
    """Return what evaluates an ensemble fastest here.

    ============================================  ======================================
    networks                                      engine
    ============================================  ======================================
    any, on a worker with a GPU                   Keras
    recurrent stacks without masking, on a CPU    the fused kernel, all members at once
    any other, on a CPU                           Keras
    ============================================  ======================================
    """
    if not _has_gpu() and all(map(can_fuse, networks)):
        return FusedEnsemble.from_networks(networks).predict

    def predict_by_keras(sequences: Sequences) -> NDArray[np.float32]:
        predicted = [
            network.predict(sequences, batch_size=_BATCH_SIZE, verbose=0) for network in networks
        ]
        return np.concatenate(predicted, axis=1)

    return predict_by_keras


def _has_gpu() -> bool:
    import keras

    return bool(keras.distribution.list_devices("gpu"))


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
