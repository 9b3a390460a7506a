"""What all sections of a job file have in common."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    field_validator,
)

from rrl_batch.errors import UserError
from rrl_batch.storage.remote import path_of


def _location(value: Any) -> Path:
    if not isinstance(value, (str, Path)) and not hasattr(value, "fs"):
        raise ValueError("Input is not a valid path")
    try:
        return path_of(value)
    except UserError as error:
        raise ValueError(str(error)) from None


if TYPE_CHECKING:
    Location = Path
else:
    Location = Annotated[
        Any, PlainValidator(_location), PlainSerializer(str, when_used="json-unless-none")
    ]
    """A path, or that of an object store."""

Values = Annotated[tuple[Any, ...], Field(min_length=1)]
"""What an option is given, one after the other."""


class Section(BaseModel):
    """A section of a job file; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*")
    @classmethod
    def _is_no_path_of_nothing(cls, value: Any) -> Any:
        if isinstance(value, Path) and "\0" in str(value):
            raise ValueError("a path cannot hold a character of value zero")
        return value
