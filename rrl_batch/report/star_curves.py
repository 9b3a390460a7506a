"""What is drawn of single stars, from survey and model."""

import numpy as np

from rrl_batch.inference.model import Model
from rrl_batch.inference.sensitivity import sensitivity
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.drawn import drawn_curves
from rrl_batch.report.star_figures import StarCurve
from rrl_batch.storage.sky import Pixel
from rrl_batch.survey.read import Survey


def star_curves(survey: Survey, model: Model, wanted: dict[int, Pixel]) -> dict[int, StarCurve]:
    """Return the light curves of some stars of a survey.

    Parameters
    ----------
    survey : Survey
        The survey; only the partitions of the stars are read.
    model : Model
        The model.
    wanted : dict of int to Pixel
        By identifier, the partition that each star is in.

    Returns
    -------
    dict of int to StarCurve
        By identifier.
    """
    found: dict[int, StarCurve] = {}
    for piece in survey.partitions:
        own = [star for star, pixel in wanted.items() if pixel == piece.pixel]
        for batch in piece.batches() if own else ():
            rows = np.isin(batch.stars["source_id"].to_numpy(), own)
            if rows.any():
                found |= curves_of(batch.select(rows), model)
    return found


def curves_of(stars: LightCurveBatch, model: Model) -> dict[int, StarCurve]:
    """Return the light curves of all stars of a batch, by identifier."""
    drawn = drawn_curves(stars, model.preparation)
    depends = sensitivity(stars, model)
    names = map(int, stars.stars["source_id"])
    return {
        name: StarCurve(curve, change)
        for name, curve, change in zip(names, drawn, depends, strict=True)
    }
