"""Facts that users may replace by a file of their own: TOML, checked field by field."""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from rrl_batch.errors import UserError, first_fault


class Strict(BaseModel):
    """A part of a file: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Configuration(Strict):
    """A whole file, of which the package has one.

    Attributes
    ----------
    FILE : tuple of str
        The package's own: where it is, and its name.
    WHAT : str
        What it describes, in messages.
    """

    FILE: ClassVar[tuple[str, str]]
    WHAT: ClassVar[str]

    @classmethod
    def read(cls, path: Path | None = None) -> Self:
        """Read a file; that of the package if none is given.

        Raises
        ------
        UserError
            If it cannot be read, or does not describe what it should.
        """
        package, name = cls.FILE
        file = path or files(package) / name
        try:
            return cls.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
        except OSError as error:
            raise UserError(f"{file} cannot be read: {error.strerror}.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{file} is not TOML: {error}.") from None
        except ValidationError as error:
            fault = first_fault(error)
            raise UserError(f"{file} does not describe {cls.WHAT} ({fault}).") from None
