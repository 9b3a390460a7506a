"""The folder of an experiment: what was compared, and what each case predicted for each star."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rrl_batch.contracts import Contract
from rrl_batch.contracts.experiment import COMPARED_STARS, HISTORY, MEMBERS, OUT_OF_FOLD
from rrl_batch.contracts.training import StarCounts
from rrl_batch.errors import UserError, first_fault, first_line
from rrl_batch.models.registry import ARCHITECTURES

ABOUT_FILE = "experiment.json"
STARS_FILE = "stars.parquet"
OUT_OF_FOLD_FILE = "out_of_fold.parquet"
MEMBERS_FILE = "members.parquet"
HISTORY_FILE = "history.parquet"

LINEAR = "linear"
"""The case of the linear relation in period and φ31, the baseline of all others."""

CHOSEN = "chosen within the training folds"
"""The predictor that is chosen for each fold by the others."""
STRETCHED = "the same, stretched"
"""The same with the spread of the labels, which has less bias at both ends of [Fe/H]."""

_REMEDY = "run the experiment's job again"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Case(_Strict):
    """One of the things that are compared.

    Parameters
    ----------
    settings : dict
        Options of the job that it was made with, by dotted key.
    architecture : tuple of str
        Kinds of its members.
    parameters : int or None
        Trainable parameters of a member; None where that means nothing.
    seconds : float
        What the fits of all its members took.
    diverged : list of (int, int, str)
        Repeat, fold and reason of each member that came to nothing.
    """

    settings: dict[str, Any]
    architecture: tuple[str, ...]
    parameters: int | None
    seconds: float
    diverged: list[tuple[int, int, str]]

    @property
    def network(self) -> bool:
        """Whether a network is, or is part of, what predicts."""
        return any(ARCHITECTURES[name].is_network for name in self.architecture)


class Selected(_Strict):
    """How cases came to the stars that they can train on.

    Parameters
    ----------
    cases : tuple of str
        Names of the cases.
    stars : StarCounts
        What has become of the labels.
    """

    cases: tuple[str, ...]
    stars: StarCounts


class About(_Strict):
    """What was compared with what, on which folds; the content of `experiment.json`.

    Parameters
    ----------
    title : str
        What the experiment is about.
    synthetic : bool
        Whether the stars are simulated.
    scale : str
        Metallicity scale of the labels.
    reference : str
        Name of the case that the others are compared with.
    rival : str or None
        Name of the published method whose predictions the stars carry, if they do.
    folds, repeats : int
        Of the cross-validation.
    cases : dict of str to Case
        What is compared, by name.
    selected : tuple of Selected
        How the cases' stars were selected.
    chosen : dict or None
        What the nested choice between the cases took, if there was one.
    provenance : dict
        What it was all made from.
    """

    title: str
    synthetic: bool
    scale: str
    reference: str
    rival: str | None
    folds: int = Field(ge=2)
    repeats: int = Field(ge=1)
    cases: dict[str, Case] = Field(min_length=1)
    selected: tuple[Selected, ...] = ()
    chosen: dict[str, Any] | None
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Experiment:
    """An experiment's files, read and checked.

    Parameters
    ----------
    about : About
        What was compared.
    stars : pandas.DataFrame
        The compared stars, one row a star; see `contracts.experiment` for this and the others.
    out_of_fold : pandas.DataFrame
        Predictions: a row a case, star and repeat. The categories of `case`, here and in the next
        two, are the cases in their order.
    members, history : pandas.DataFrame
        The members with their training scores, and their losses pass by pass.
    """

    about: About
    stars: pd.DataFrame
    out_of_fold: pd.DataFrame
    members: pd.DataFrame
    history: pd.DataFrame

    @cached_property
    def single(self) -> NDArray[np.float64]:
        """Predictions, (n_cases, n_repeats, n_stars), in dex; NaN where there is none."""
        return self._by_repeat("predicted")

    @cached_property
    def ensemble(self) -> pd.DataFrame:
        """Predictions of each case, the mean over its repeats, and of the rival, in dex.

        A row a star, a column a case. A member that diverged is left out of the mean.
        """
        predicted = self._mean(self.single)
        if self.about.rival is not None:
            predicted[self.about.rival] = self.stars["rival"].to_numpy()
        return predicted

    @cached_property
    def fitted(self) -> pd.DataFrame:
        """What the members that have learnt from a star give for it, as `ensemble` has it."""
        return self._mean(self._by_repeat("fitted"))

    @cached_property
    def errors(self) -> pd.DataFrame:
        """Predicted − label of `ensemble`, in dex."""
        return self.ensemble.sub(self.stars["feh"], axis=0)

    def _by_repeat(self, column: str) -> NDArray[np.float64]:
        """Return a column of `out_of_fold`, (n_cases, n_repeats, n_stars)."""
        rows = self.out_of_fold
        case = rows["case"].cat.codes
        star = pd.Index(self.stars["source_id"]).get_indexer(rows["source_id"])
        value = rows[column].to_numpy()
        cube = np.full((len(self.about.cases), self.about.repeats, len(self.stars)), np.nan)
        cube[case, rows["repeat"], star] = np.where(np.isfinite(value), value, np.nan)
        return cube

    def _mean(self, cube: NDArray[np.float64]) -> pd.DataFrame:
        """Return the means over the repeats that are known, (n_stars, n_cases)."""
        known = np.isfinite(cube)
        with np.errstate(invalid="ignore"):
            mean = np.where(known, cube, 0.0).sum(axis=1) / known.sum(axis=1)
        return pd.DataFrame(mean.T, columns=list(self.about.cases))


def read_experiment(folder: Path) -> Experiment:
    """Read an experiment and check that its files belong together.

    Parameters
    ----------
    folder : pathlib.Path
        Where the experiment was written to.

    Raises
    ------
    UserError
        If the folder holds no experiment, a file is missing or damaged, a column is missing or of
        the wrong type, or the files contradict each other.
    """
    about = _read_about(folder)
    experiment = Experiment(
        about,
        _read_table(folder / STARS_FILE, COMPARED_STARS),
        _read_cases(folder / OUT_OF_FOLD_FILE, OUT_OF_FOLD, about),
        _read_cases(folder / MEMBERS_FILE, MEMBERS, about),
        _read_cases(folder / HISTORY_FILE, HISTORY, about),
    )
    _check_stars(experiment, folder / STARS_FILE)
    _check_predictions(experiment, folder / OUT_OF_FOLD_FILE)
    return experiment


def _read_about(folder: Path) -> About:
    path = folder / ABOUT_FILE
    if not path.is_file():
        raise UserError(
            f"{folder} holds no experiment: there is no {ABOUT_FILE}; give the folder that an "
            f"experiment was written to."
        )
    try:
        about = About.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UserError(
            f"{path} does not describe an experiment ({first_fault(error)}); {_REMEDY}."
        ) from None
    if about.reference not in about.cases:
        raise UserError(
            f"{path}: the reference '{about.reference}' is none of the cases "
            f"({', '.join(about.cases)}); {_REMEDY}."
        )
    if about.rival in about.cases:
        raise UserError(f"{path}: the rival and a case are both named '{about.rival}'; {_REMEDY}.")
    return about


def _read_table(path: Path, contract: Contract) -> pd.DataFrame:
    if not path.is_file():
        raise UserError(f"There is no file {path}, which belongs to the experiment; {_REMEDY}.")
    try:
        table = pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError) as error:
        reason = first_line(error)
        raise UserError(f"{path} cannot be read as Parquet ({reason}); {_REMEDY}.") from None
    rows: pd.DataFrame = contract.conform(table, str(path)).to_pandas()
    return rows


def _read_cases(path: Path, contract: Contract, about: About) -> pd.DataFrame:
    """Read a table with a column `case`, whose categories become the cases, in their order."""
    rows = _read_table(path, contract)
    unknown = sorted(set(rows["case"].unique()) - set(about.cases))
    if unknown:
        raise UserError(
            f"{path}: the case '{unknown[0]}' in the column 'case' is not in {ABOUT_FILE}; "
            f"{_REMEDY}."
        )
    return rows.assign(case=rows["case"].cat.set_categories(list(about.cases)))


def _check_stars(experiment: Experiment, path: Path) -> None:
    stars = experiment.stars
    if stars.empty:
        raise UserError(f"{path} is empty: no star was compared; {_REMEDY}.")
    _refuse(stars["source_id"].duplicated(), stars, "occurs more than once", path)
    _refuse(~np.isfinite(stars["feh"]), stars, "has no finite label in the column 'feh'", path)
    if experiment.about.rival is not None and stars["rival"].isna().all():
        raise UserError(
            f"{path} has no value in the column 'rival', although {ABOUT_FILE} names the rival "
            f"'{experiment.about.rival}'; {_REMEDY}."
        )


def _check_predictions(experiment: Experiment, path: Path) -> None:
    rows, about = experiment.out_of_fold, experiment.about
    known = rows["source_id"].isin(experiment.stars["source_id"])
    _refuse(~known, rows, f"is not in {STARS_FILE}", path)
    for column, count in (("repeat", about.repeats), ("fold", about.folds)):
        _refuse(
            ~rows[column].between(0, count - 1), rows,
            f"has a {column} that is not within 0 to {count - 1}", path,
        )  # fmt: skip
    repeated = rows.duplicated(["case", "source_id", "repeat"])
    _refuse(repeated, rows, "is predicted twice by the same case in the same repeat", path)


def _refuse(wrong: pd.Series, rows: pd.DataFrame, what: str, path: Path) -> None:
    if wrong.any():
        star = rows.loc[wrong, "source_id"].iloc[0]
        raise UserError(f"{path}: star {star} {what} (such rows in all: {wrong.sum()}); {_REMEDY}.")
