"""What a job trains, and how."""

from typing import Any, Literal

from pydantic import Field, field_serializer, field_validator

from rrl_batch.errors import UserError
from rrl_batch.job.section import Location, Section


class ModelSection(Section):
    """The ensemble: which kinds of predictor, and what they see."""

    path: Location | None = Field(None, description="folder of the model, or s3://…")
    architecture: tuple[str, ...] = Field(
        ("gru",),
        min_length=1,
        description="kind of predictor: fcn, resnet, inceptiontime, lstm, bilstm, convlstm, gru, "
        "bigru, convgru, transformer, mlp, gp, svr or ridge; of several, feh is the mean",
    )
    beside: tuple[str, ...] = Field(
        (),
        description="kinds that are trained and kept as well, but are no part of feh; a gru among "
        "them gives the catalogue's feh_gru",
    )
    static: Literal["none", "period", "shape"] = Field(
        "none",
        description="what networks get beside the curve: nothing, as published, the period, or "
        "all parameters of the curve's shape",
    )
    dropout: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="rate of all layers of dropout; that of the publication if not given",
    )

    @field_validator("architecture", "beside", mode="before")
    @classmethod
    def _one_architecture(cls, architecture: Any) -> Any:
        return (architecture,) if isinstance(architecture, str) else architecture

    @property
    def kinds(self) -> tuple[str, ...]:
        """All kinds of predictor that are trained, each once."""
        return tuple(dict.fromkeys((*self.architecture, *self.beside)))


class SelectionOptions(Section):
    """Which stars train."""

    modes: tuple[Literal["RRab", "RRc", "RRd"], ...] = Field(
        ("RRab",), min_length=1, description="pulsation modes that the model is for"
    )
    select: str = Field(
        "num_epochs_used >= 50 and amplitude <= 1.4 and phi31_error <= 0.1 and not feh_error > 0.4",
        description="condition that a training star fulfils, in the columns below",
    )

    @field_validator("select")
    @classmethod
    def _is_a_condition(cls, select: str) -> str:
        from rrl_batch.contracts.training import LABELLED_STARS
        from rrl_batch.training.expression import conditions

        try:
            conditions(select, LABELLED_STARS)
        except UserError as error:
            raise ValueError(f"training.select: {error}") from None
        return select

    @field_validator("modes", mode="before")
    @classmethod
    def _one_mode(cls, modes: Any) -> Any:
        return (modes,) if isinstance(modes, str) else modes


class FitOptions(Section):
    """How a predictor is fitted; a kind of predictor may have some of these otherwise."""

    weights: Literal["density", "denseweight"] = Field(
        "density",
        description="density: weights are the inverse density of [Fe/H], clipped, to the power of "
        "weight_strength; denseweight: 1 - weight_strength times the scaled density",
    )
    weight_strength: float = Field(
        1.0, ge=0, description="how much rare [Fe/H] weigh more; 0: all weigh alike"
    )
    weight_errors: bool = Field(
        True, description="whether labels whose errors are all known weigh by 1/error²"
    )
    weight_noise: float = Field(
        0.0,
        ge=0,
        description="how much less noisy light curves weigh: by 1 + (weight_noise times the noise "
        "in mag)²; 0: all weigh alike",
    )
    stop_fraction: float = Field(
        0.15,
        ge=0,
        lt=0.5,
        description="part of the training folds that is set aside to stop training early; 0: "
        "training makes all its passes",
    )
    epochs: int = Field(400, ge=1, description="most passes of a network over its stars")
    patience: int = Field(40, ge=1, description="passes without improvement that end it")
    schedule: Literal["constant", "onecycle"] = Field(
        "constant",
        description="learning rate of networks; onecycle: rises to learning_rate, then falls to "
        "zero with the last of the passes",
    )
    batch_size: int = Field(256, ge=1, description="stars in a training step of a network")
    learning_rate: float = Field(
        0.01, gt=0, description="(highest) learning rate of Adam, for networks"
    )


class TrainingSection(FitOptions, SelectionOptions):
    """Which stars train, and how."""

    folds: int = Field(5, ge=2, description="folds, each of which gives a member of the ensemble")
    repeats: int = Field(
        1,
        ge=1,
        description="how often the stars are divided into folds, each time with other seeds; "
        "members are as many as folds times repeats",
    )
    fraction: float = Field(
        1.0, gt=0, le=1, description="part of the training stars to use, for a learning curve"
    )
    seed: int = Field(0, ge=0, description="seed of folds, initial weights and shuffling")
    of: dict[str, FitOptions] = Field(
        {},
        description="options from weights to learning_rate that a kind of predictor has otherwise, "
        "as a section [training.of.KIND]",
    )

    @field_serializer("of")
    def _what_is_given(self, of: dict[str, FitOptions]) -> dict[str, dict[str, Any]]:
        return {kind: own.model_dump(mode="json", exclude_unset=True) for kind, own in of.items()}

    def of_kind(self, architecture: str) -> "TrainingSection":
        """Return the options for one kind of predictor."""
        own = self.of.get(architecture, FitOptions())
        return self.model_copy(update=own.model_dump(exclude_unset=True))
