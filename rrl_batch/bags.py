"""The pipeline's steps as bags, for those who compose them on a cluster of their own.

An element is a batch of stars, never one star; a partition is a task. Nothing is computed, and no
light curve read, before a bag is: `bag.compute()`, or `client.compute(bag)`.
"""

from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
from dask import bag

from rrl_batch import tasks
from rrl_batch.contracts import CATALOGUE
from rrl_batch.errors import UserError
from rrl_batch.inference.model import Model
from rrl_batch.stages.sky import STARS_PER_TASK, sky_bag
from rrl_batch.storage.sky import neighbours
from rrl_batch.survey.alignment import check_epochs
from rrl_batch.survey.read import Survey

if TYPE_CHECKING:
    import dask.dataframe as dd


def light_curves_bag(survey: Survey) -> bag.Bag:
    """Return the light curves of a survey.

    Parameters
    ----------
    survey : Survey
        As `open_survey` gives it; the workers must see its files.

    Returns
    -------
    dask.bag.Bag of LightCurveBatch
        All stars, at most 5,000 in a batch, along the sky.
    """
    groups = neighbours([piece.rows for piece in survey.partitions], STARS_PER_TASK)
    return sky_bag(survey.partitions, groups).map_partitions(tasks.light_curves)


def curves_bag(stars: Survey | bag.Bag, model: Model) -> bag.Bag:
    """Return curves as a model takes them, and what was measured on them.

    Parameters
    ----------
    stars : Survey or dask.bag.Bag of LightCurveBatch
        Stars: a whole survey, or a bag of those that were chosen.
    model : Model
        As `open_model` gives it; the workers must see its folder.

    Returns
    -------
    dask.bag.Bag of PreparedStars
        Every star, in the order of the light curves.
    """
    return _light_curves(stars, model).map(tasks.prepare_batch, model=model)


def catalogue_bag(stars: Survey | bag.Bag, model: Model) -> bag.Bag:
    """Return the catalogue's rows of some stars, as `predict` writes them.

    Parameters
    ----------
    stars : Survey or dask.bag.Bag of LightCurveBatch
        Stars: a whole survey, or a bag of those that were chosen.
    model : Model
        As `open_model` gives it; the workers must see its folder.

    Returns
    -------
    dask.bag.Bag of pandas.DataFrame
        Columns of the catalogue contract; every star has its row, in the order of the light curves.

    Raises
    ------
    UserError
        If the stars are something else, the path of a survey for example.
    """
    return _light_curves(stars, model).map(tasks.predict_batch, model=model)


def catalogue_dataframe(stars: Survey | bag.Bag, model: Model) -> "dd.DataFrame":
    """Return the catalogue of some stars as a Dask dataframe, with the types of the contract.

    Parameters
    ----------
    stars : Survey or dask.bag.Bag of LightCurveBatch
        Stars: a whole survey, or a bag of those that were chosen.
    model : Model
        As `open_model` gives it; the workers must see its folder.
    """
    import dask.dataframe as dd

    rows = catalogue_bag(stars, model).map_partitions(_joined)
    return dd.from_delayed(rows.to_delayed(), meta=_joined([]))


def _light_curves(stars: Survey | bag.Bag, model: Model) -> bag.Bag:
    if isinstance(stars, bag.Bag):
        return stars
    if not isinstance(stars, Survey):
        raise UserError(
            f"Stars are a survey or a bag of light curves, not a {type(stars).__name__}; "
            f"open_survey(…) opens a survey's folder."
        )
    if model.preparation["alignment"] == "maximum":
        check_epochs(stars.largest, stars.path, model.path)
    return light_curves_bag(stars)


def _joined(batches: "list[pd.DataFrame]") -> pd.DataFrame:
    """Return rows as the catalogue's files hold them."""
    tables = [
        CATALOGUE.conform(pa.Table.from_pandas(rows, preserve_index=False), "catalogue")
        for rows in batches
    ]
    return pa.concat_tables([CATALOGUE.schema.empty_table(), *tables]).to_pandas()
