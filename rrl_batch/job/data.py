"""What a job reads, how it prepares it, and what it writes."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from rrl_batch.job.section import Location, Section


class SimulateSection(Section):
    """A synthetic survey, made if the survey's folder does not hold one yet."""

    stars: int = Field(gt=0, description="number of stars")
    seed: int = Field(0, ge=0, description="seed: the same seed gives the same survey")


class SurveySection(Section):
    """The survey: light curves in partitioned Parquet."""

    path: Location | None = Field(None, description="folder of the survey, or s3://…")


class LabelsSection(Section):
    """The metallicities to train on, and to compare the catalogue with."""

    path: Path | None = Field(None, description="Parquet, CSV, VOTable or ECSV file of labels")
    scale: str | None = Field(
        None, description="metallicity scale to use; needed if the file holds several"
    )
    fold: str | None = Field(
        None, description="column with the fold of each star; folds are drawn if not given"
    )
    rival: str | None = Field(
        None,
        description="column with another work's out-of-fold predictions, which an experiment is "
        "compared with, in dex",
    )

    @field_validator("scale", mode="before")
    @classmethod
    def _scale_of_the_truth(cls, scale: Any) -> Any:
        # the scale `true` of simulated stars, given without the quotes that TOML wants
        return "true" if scale is True else scale


class PreprocessSection(Section):
    """From epochs to the input of the network (Eq. 3 of Monti et al. 2024)."""

    dataset: Literal["preprocessed", "smoothed", "raw"] = Field(
        "preprocessed",
        description="preprocessed: smoothed, mean subtracted; smoothed: mean kept; "
        "raw: the epochs themselves, padded and masked",
    )
    alignment: Literal["fourier", "maximum", "rising"] = Field(
        "fourier",
        description="what phase 0 is; fourier: maximum of the first harmonic, measured on the "
        "curve; maximum: maximum light, epoch_g of the star table, as published; rising: where "
        "the curve last gets brighter than its mean on its way to maximum light",
    )
    smoothing: Literal["robust", "scipy", "population"] = Field(
        "robust",
        description="robust: periodic spline with guarded cross-validation; "
        "scipy: the answer of scipy's make_smoothing_spline, as published; "
        "population: harmonics under a prior that all curves of the survey give, for RRab and RRc",
    )
    points: int = Field(
        64,
        ge=8,
        le=1024,
        description="time steps of a sequence; a longer raw curve keeps so many, evenly spread",
    )


class CatalogueSection(Section):
    """The catalogue that is written."""

    path: Location | None = Field(None, description="folder of the catalogue, or s3://…")


class EvaluationSection(Section):
    """The comparison of the catalogue with the labels."""

    path: Path | None = Field(None, description="folder of metrics and figures")
