"""Metallicities of RR Lyrae stars from their light curves, at the scale of a survey.

The commands are ``rrl-batch --help``. In Python, `open_survey` and `open_model` give a survey and a
model, and `catalogue_bag` and its like compose them on a Dask cluster of one's own; they are loaded
when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rrl_batch.bags import catalogue_bag, catalogue_dataframe, curves_bag, light_curves_bag
    from rrl_batch.catalogue.verify import read_catalogue
    from rrl_batch.contracts.flags import Flag
    from rrl_batch.inference.model import open_model
    from rrl_batch.lightcurve.batch import LightCurveBatch
    from rrl_batch.report.method_figures import draw_light_curves
    from rrl_batch.sources.tables import read_labels
    from rrl_batch.survey.read import open_survey

__version__ = "0.1.0"

__all__ = [
    "Flag",
    "LightCurveBatch",
    "catalogue_bag",
    "catalogue_dataframe",
    "curves_bag",
    "draw_light_curves",
    "light_curves_bag",
    "open_model",
    "open_survey",
    "read_catalogue",
    "read_labels",
]

_HOMES = {
    "Flag": "contracts.flags",
    "LightCurveBatch": "lightcurve.batch",
    "catalogue_bag": "bags",
    "catalogue_dataframe": "bags",
    "curves_bag": "bags",
    "draw_light_curves": "report.method_figures",
    "light_curves_bag": "bags",
    "open_model": "inference.model",
    "open_survey": "survey.read",
    "read_catalogue": "catalogue.verify",
    "read_labels": "sources.tables",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
