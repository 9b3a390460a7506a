"""Load an ensemble once per process, and predict with all of its members."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.inference.by_keras import KerasEnsemble
from rrl_batch.inference.fused import FusedEnsemble
from rrl_batch.lightcurve.sequences import Sequences
from rrl_batch.models.folder import ModelCard, held_out_folds, load_member, weights_path
from rrl_batch.models.registry import ARCHITECTURES, check

Engine = Callable[[Sequences], NDArray[np.float32]]
"""From (n_stars, n_points, 2) sequences to (n_stars, n_members) metallicities."""

_CHANNELS = 2
"""Numbers a point of a sequence: magnitude, and phase times period."""

_GPU_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""What the drivers of NVIDIA, AMD and Windows' Linux subsystem put there."""


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
        return cls(card, choose_engine(folder, card), held_out_folds(folder, card))

    def predict_members(self, sequences: Sequences) -> NDArray[np.float64]:
        """Return every member's prediction; even with no star, the fused kernel is compiled.

        Parameters
        ----------
        sequences : (n_stars, n_points, 2) float32 ndarray
            Input of the network.

        Returns
        -------
        (n_stars, n_members) float64 ndarray
            Metallicities, in dex.
        """
        return self.engine(sequences).astype(np.float64)


def choose_engine(folder: Path, card: ModelCard) -> Engine:
    """Load what evaluates a model fastest here.

    ==================================================  ====================================
    model                                               engine
    ==================================================  ====================================
    any, on a worker with a GPU                         Keras
    `fused` in the registry and not masked, on a CPU    the fused kernel, all members at once
    any other, on a CPU                                 Keras
    ==================================================  ====================================

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the model.
    card : ModelCard
        Its card.

    Raises
    ------
    UserError
        If weights are missing or damaged, or the architecture is unknown.
    """
    check(card.architecture)
    fused = ARCHITECTURES[card.architecture].fused and not card.preprocess.masked
    if fused and not _has_gpu():
        paths = [weights_path(folder, member) for member in card.members]
        return FusedEnsemble.from_files(paths, _CHANNELS).predict
    return KerasEnsemble([load_member(folder, card, member) for member in card.members]).predict


def _has_gpu() -> bool:
    """Return whether Keras has a GPU; it is not loaded to find out where there is no driver."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if hidden or not any(map(os.path.exists, _GPU_DRIVERS)):
        return False
    import keras

    # asked for those of a kind alone, JAX raises where it has none
    return any(device.startswith("gpu") for device in keras.distribution.list_devices())


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
