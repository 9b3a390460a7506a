"""A trained model, as one object: what the pipeline and a notebook predict with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rrl_batch.inference.predict import predict
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.prepare import PreparedStars, prepare
from rrl_batch.models.folder import CARD, ModelCard, preparation, read_whole
from rrl_batch.storage.commit import checksum
from rrl_batch.storage.remote import path_of


@dataclass(frozen=True)
class Model:
    """A model that can be predicted with; its weights are read, once a process, when it first is.

    It is small: it goes with every task.

    Parameters
    ----------
    path : pathlib.Path
        Its folder, as the workers see it.
    mark : str
        Checksum of its card: a model that was trained anew in the same folder is another one.
    summary : str
        What it is, in one line.
    preparation : dict
        Arguments of `prepare` that give the curves which it was trained on.
    """

    path: Path
    mark: str
    summary: str
    preparation: dict[str, Any]

    @property
    def card(self) -> ModelCard:
        """All there is to know of the model but its weights, read from its folder."""
        return ModelCard.read(self.path)

    def prepare(self, stars: LightCurveBatch) -> PreparedStars:
        """Clean, fold, align, smooth and measure light curves as those that were trained on.

        Parameters
        ----------
        stars : LightCurveBatch
            Stars of a survey.

        Returns
        -------
        PreparedStars
            One row a star; a star without a curve has flags that say why.
        """
        return prepare(stars, **self.preparation)

    def predict(self, stars: LightCurveBatch) -> pd.DataFrame:
        """Return the catalogue's rows of some stars.

        Parameters
        ----------
        stars : LightCurveBatch
            Stars of a survey.

        Returns
        -------
        pandas.DataFrame
            Columns of the catalogue contract, one row a star, in the stars' order.

        Raises
        ------
        UserError
            If a file of the model is missing or damaged.
        """
        return predict(self.prepare(stars), self.path, self.mark)

    def __repr__(self) -> str:
        return f"<Model {self.path}: {self.summary}>"


def open_model(path: Path | str) -> Model:
    """Open the folder of a model; loading one executes nothing.

    Parameters
    ----------
    path : pathlib.Path or str
        Folder that ``train`` has written.

    Raises
    ------
    UserError
        If there is no model, its card is damaged, or a file is missing or another one.
    """
    folder = path_of(path)
    card = read_whole(folder)
    mark = checksum(folder / CARD)
    return Model(folder.resolve(), mark, card.summary, preparation(folder, card))
