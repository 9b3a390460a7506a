"""The folder of a model: `model.json`, weights and population priors, out-of-fold predictions.

Loading one executes nothing: JSON is checked field by field, weights are plain HDF5 arrays.
"""

import atexit
import re
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import TYPE_CHECKING, Any, Literal, Self

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rrl_batch.contracts import LABELS
from rrl_batch.contracts.training import StarCounts
from rrl_batch.errors import UserError, first_fault, first_line
from rrl_batch.lightcurve.population_prior import PopulationPrior
from rrl_batch.models.baseline import LinearBaseline
from rrl_batch.models.calibration import Calibration
from rrl_batch.models.domain import TrainingDomain
from rrl_batch.models.registry import Static, build, n_static_of
from rrl_batch.storage.commit import checksum, replacing, write_json
from rrl_batch.storage.remote import content_of, is_remote

if TYPE_CHECKING:
    import keras

CARD = "model.json"
OUT_OF_FOLD = "out_of_fold.parquet"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Preprocess(_Strict):
    """How the sequences were made that the members were trained on."""

    dataset: Literal["preprocessed", "smoothed", "raw"]
    alignment: Literal["fourier", "maximum", "rising"]
    smoothing: Literal["robust", "scipy", "population"]
    points: int = Field(ge=8, le=1024)

    @property
    def masked(self) -> bool:
        """Whether sequences are padded, so that networks mask what is beyond their end."""
        return self.dataset == "raw"


class Member(_Strict):
    """One network, or regressor, of the ensemble.

    Parameters
    ----------
    file : str
        Its weights, in the model's folder.
    sha256 : str
        Checksum of that file.
    architecture : str
        Name in the registry.
    repeat : int
        Number of the cross-validation that `fold` is of.
    fold : int
        The fold that it has never seen.
    mode : str
        The pulsation mode that it is for; empty: all that the model is for.
    epochs : int
        Passes over the training stars up to the weights that were kept.
    """

    file: str = Field(pattern=r"^[\w.]+$")
    sha256: str
    architecture: str
    repeat: int
    fold: int
    mode: str = ""
    epochs: int


class StoredFile(_Strict):
    """A population prior, or the training stars of a pulsation mode, in the model's folder.

    Parameters
    ----------
    file : str
        Its file.
    sha256 : str
        Checksum of that file.
    """

    file: str = Field(pattern=r"^[\w.]+$")
    sha256: str


class ModelCard(_Strict):
    """All there is to know of a model but its weights.

    Parameters
    ----------
    architecture : tuple of str
        Names in the registry: the kinds of predictor that the model combines.
    beside : tuple of str
        Kinds that have members too, but no part in the model's metallicity.
    static : {"none", "period", "shape"}
        Which shape parameters networks get beside the curve.
    by_mode : bool
        Whether each pulsation mode has members of its own.
    dropout : float or None
        Rate of the layers of dropout; None: as published.
    preprocess : Preprocess
        Settings of the light-curve preparation.
    priors : dict of str to StoredFile
        Per mode: the prior of population smoothing; none with another smoothing.
    modes : tuple of str
        Pulsation modes that the model is for.
    scale : str
        Metallicity scale of its labels.
    synthetic : bool
        Whether it was trained on simulated stars.
    members : list of Member
        The ensemble.
    baseline : dict of str to list of LinearBaseline
        Per mode: the baseline fitted to all training stars, then the one of each fold's training.
    domain : dict of str to StoredFile
        Per mode, where training stars are; none for a mode of a single star.
    select : str
        The conditions of the training selection that are about stars and their curves.
    calibration : list of Calibration
        What makes intervals of errors: found with all training stars, then with those outside each
        fold.
    metrics : dict
        Out-of-fold scores of network and baseline, and scores on the training folds.
    training : dict
        Training section of the job.
    stars : StarCounts
        What has become of the labels.
    out_of_fold : str
        Checksum of the out-of-fold predictions.
    made_from : dict
        Fingerprints of survey and labels, and the code's version.
    """

    architecture: tuple[str, ...] = Field(min_length=1)
    beside: tuple[str, ...]
    static: Static
    by_mode: bool
    dropout: float | None
    preprocess: Preprocess
    priors: dict[str, StoredFile]
    modes: tuple[str, ...]
    scale: str
    synthetic: bool
    members: list[Member] = Field(min_length=1)
    baseline: dict[str, list[LinearBaseline]]
    domain: dict[str, StoredFile]
    select: str
    calibration: list[Calibration] = Field(min_length=1)
    metrics: dict[str, Any]
    training: dict[str, Any]
    stars: StarCounts
    out_of_fold: str
    made_from: dict[str, Any]

    @model_validator(mode="after")
    def _has_scores(self) -> Self:
        try:
            _ = self.summary
        except (LookupError, TypeError, ValueError):
            raise ValueError("its metrics are not those of a network and a baseline") from None
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        """All kinds of predictor that have members."""
        return tuple(dict.fromkeys((*self.architecture, *self.beside)))

    @property
    def groups(self) -> tuple[str, ...]:
        """Pulsation modes that have members of their own; one empty name if none has."""
        return self.modes if self.by_mode else ("",)

    @property
    def combined(self) -> list[Member]:
        """The members whose mean is the model's metallicity."""
        return [member for member in self.members if member.architecture in self.architecture]

    @property
    def summary(self) -> str:
        """What the model is, and how good out of fold, in one line."""
        network, baseline = self.metrics["network"], self.metrics["baseline"]
        return (
            f"{len(self.combined)} x {' + '.join(self.architecture)} on {network['n']:,} stars; "
            f"out of fold RMSE {network['rmse']:.3f} dex, R2 {network['r2']:.3f} "
            f"(baseline {baseline['rmse']:.3f}, {baseline['r2']:.3f})"
        )

    def __repr__(self) -> str:
        return f"<ModelCard: {self.summary}>"

    def write(self, folder: Path) -> None:
        """Write `model.json`: from here on the model is complete.

        Raises
        ------
        RunError
            If another run has completed a model there meanwhile.
        """
        write_json(folder / CARD, self.model_dump(mode="json"), exclusive=True)

    @classmethod
    def read(cls, folder: Path) -> "ModelCard":
        """Read the card of a model.

        Raises
        ------
        UserError
            If there is no model, or its card is damaged.
        """
        path = folder / CARD
        if not path.is_file():
            raise UserError(f"There is no model at {folder}; make one with 'rrl-batch train'.")
        try:
            return cls.model_validate_json(content_of(path).decode())
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is not the card of a model ({first_line(error)}).") from None
        except ValidationError as error:
            raise UserError(
                f"{path} is not the card of a model of this version ({first_fault(error)}); train "
                f"again."
            ) from None


def read_whole(folder: Path) -> ModelCard:
    """Read the card of a model, and all the files that it names but the weights' contents.

    Raises
    ------
    UserError
        If there is no model, its card is damaged, or a file is missing or another one.
    """
    card = ModelCard.read(folder)
    preparation(folder, card)
    training_domains(folder, card)
    held_out_folds(folder, card)
    for member in card.members:
        weights_path(folder, member)
    return card


def save_weights(network: "keras.Model", path: Path) -> str:
    """Write a network's weights atomically and return the file's checksum."""
    # HDF5 does not tell of a full disk in a way to build upon: the file's bytes are written here
    with TemporaryDirectory() as folder:
        plain = Path(folder) / "member.weights.h5"
        network.save_weights(plain)
        content = plain.read_bytes()
    with replacing(path) as partial:
        partial.write_bytes(content)
    return checksum(path)


def members_of(card: ModelCard, architecture: str, mode: str = "") -> list[Member]:
    """Return the members of one architecture, in the card's order.

    Parameters
    ----------
    card : ModelCard
        A model's card.
    architecture : str
        One of its kinds.
    mode : str
        One of its `groups`: the pulsation mode that they are for, if for one.
    """
    return [m for m in card.members if m.architecture == architecture and m.mode == mode]


def write_priors(folder: Path, priors: Mapping[str, PopulationPrior]) -> dict[str, StoredFile]:
    """Write the population priors of a model, by mode, and return what the card says of them."""
    files = {}
    for mode, prior in priors.items():
        path = folder / f"population_{mode}.json"
        prior.write(path)
        files[mode] = StoredFile(file=path.name, sha256=checksum(path))
    return files


def write_domains(folder: Path, domains: Mapping[str, TrainingDomain]) -> dict[str, StoredFile]:
    """Write where training stars are, by mode, and return what the card says of them."""
    files = {}
    for mode, domain in domains.items():
        path = folder / f"domain_{mode}.npz"
        files[mode] = StoredFile(file=path.name, sha256=domain.write(path))
    return files


def training_domains(folder: Path, card: ModelCard) -> dict[str, TrainingDomain]:
    """Return where the training stars of a model are, by mode.

    Raises
    ------
    UserError
        If a file is missing, damaged, or not the one that the card names.
    """
    return {
        mode: TrainingDomain.read(_checked(folder, domain.file, domain.sha256))
        for mode, domain in card.domain.items()
    }


def preparation(folder: Path, card: ModelCard) -> dict[str, Any]:
    """Return the arguments of `prepare` that give the curves which a model was trained on.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the model.
    card : ModelCard
        Its card.

    Raises
    ------
    UserError
        If a population prior is missing, or is not the one that the card names.
    """
    priors = {
        mode: PopulationPrior.read(_checked(folder, prior.file, prior.sha256))
        for mode, prior in card.priors.items()
    }
    return card.preprocess.model_dump() | {"priors": priors or None}


def weights_path(folder: Path, member: Member) -> Path:
    """Return the path of a member's weights.

    Raises
    ------
    UserError
        If the weights are missing, or are not those that the card names.
    """
    return _checked(folder, member.file, member.sha256)


def held_out_folds(folder: Path, card: ModelCard) -> pd.DataFrame:
    """Return, for each training star, the folds that it was held out in.

    Returns
    -------
    pandas.DataFrame
        A row a star, by `source_id`; a column a repeat.

    Raises
    ------
    UserError
        If the predictions are missing or not those that the card names, or are of a fold without
        a member: a star would get the value of a member that has seen it.
    """
    folds = _read_folds(_checked(folder, OUT_OF_FOLD, card.out_of_fold))
    wanted = {(repeat, fold) for repeat in folds for fold in folds[repeat].unique()}
    for name in card.kinds:
        # those of different modes stand in the same order
        places = {
            tuple((member.repeat, member.fold) for member in members_of(card, name, mode))
            for mode in card.groups
        }
        there = places.pop()
        if places or not wanted <= set(there) or len(there) != len(set(there)):
            raise UserError(
                f"{folder / CARD} does not name a member of '{name}' for every fold; train again."
            )
    return folds


def _read_folds(path: Path) -> pd.DataFrame:
    try:
        table = pq.ParquetFile(path).read()
        names = [name for name in table.column_names if re.fullmatch(r"fold_\d{1,3}", name)]
        stars = LABELS.select(["source_id", "feh"]).conform(table, str(path))["source_id"]
        folds = [table[name].cast(pa.int32()).to_numpy() for name in names]
    except UserError:
        raise
    except Exception as error:  # what libraries raise of a damaged file has no bounds
        raise UserError(
            f"{path} cannot be read as Parquet ({first_line(error)}); train again."
        ) from None
    index = pd.Index(stars.to_numpy(), name="source_id")
    if not index.is_unique:
        raise UserError(f"{path} has a star more than once; train again.")
    repeats = [int(name.removeprefix("fold_")) for name in names]
    if repeats != list(range(max(len(repeats), 1))):
        raise UserError(f"{path} lacks the folds of a repeat, in fold_0 and so on; train again.")
    return pd.DataFrame(dict(zip(repeats, folds, strict=True)), index)


def load_member(folder: Path, card: ModelCard, member: Member) -> "keras.Model":
    """Rebuild a network and fill in its weights.

    Raises
    ------
    UserError
        If the weights are missing, are not those that the card names, or do not fit the network.
    """
    path = weights_path(folder, member)
    network = build(
        member.architecture,
        card.preprocess.points,
        masked=card.preprocess.masked,
        n_static=n_static_of(member.architecture, card.static),
    )
    try:
        network.load_weights(path)
    except (OSError, RuntimeError, LookupError, ValueError) as error:
        raise UserError(
            f"{path} does not hold the weights of the architecture '{member.architecture}' "
            f"({first_line(error)}); train again."
        ) from None
    return network


def _checked(folder: Path, file: str, sha256: str) -> Path:
    """Return a file of a model, a copy of it if it is in an object store."""
    path = folder / file
    if not path.is_file() or checksum(path) != sha256:  # a device would have no end
        raise UserError(f"{path} is missing or not what {folder / CARD} names; train again.")
    return _fetched(path, sha256) if is_remote(path) else path


@cache
def _fetched(path: Path, sha256: str) -> Path:  # noqa: ARG001 -- another content, another copy
    # HDF5 reads local files; they go with the process
    folder = Path(mkdtemp(prefix="rrl-model-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    copy = folder / path.name
    copy.write_bytes(content_of(path))
    return copy
