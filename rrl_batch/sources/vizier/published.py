"""Which published tables there are, and what their columns are called: a file of configuration."""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rrl_batch.errors import UserError, hint

Names = tuple[str, ...]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Columns(_Strict):
    """Names under which columns are looked for, in order.

    Parameters
    ----------
    source_id, feh, feh_error : tuple of str
        Those of the identifier, the metallicity and its error.
    """

    source_id: Names = ()
    feh: Names = ()
    feh_error: Names = ()


class PublishedTable(_Strict):
    """A table, or a catalogue of tables, in VizieR.

    Parameters
    ----------
    reference : str
        What it was published in.
    table : str
        Its name in VizieR, e.g. "J/ApJS/261/33/table4".
    release : str
        The data release that its identifiers are of.
    scale : str
        Metallicity scale.
    columns : Columns
        Names of its columns, where they differ from those of all.
    """

    reference: str
    table: str = Field(pattern=r"^[\w+]+(/[\w.+&]+)+$")
    release: str
    scale: str = Field(min_length=1)
    columns: Columns = Columns()


class Published(_Strict):
    """The published tables that are known.

    Parameters
    ----------
    server : str
        VizieR, or a mirror of it.
    silence : float
        Seconds without an answer after which it counts as gone.
    tables : dict of str to PublishedTable
        The tables, by name.
    columns : Columns
        Names of columns in all of them.
    """

    server: str = Field(pattern=r"^[\w.-]+(:\d+)?$")
    silence: float = Field(gt=0)
    tables: dict[str, PublishedTable]
    columns: Columns

    @classmethod
    def read(cls, path: Path | None) -> Self:
        """Read a file of published tables; that of the package if none is given.

        Raises
        ------
        UserError
            If it cannot be read, or does not describe tables.
        """
        file = path or files("rrl_batch.sources.vizier") / "published.toml"
        try:
            return cls.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
        except OSError as error:
            raise UserError(f"{file} cannot be read: {error.strerror}.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{file} is not TOML: {error}.") from None
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"]))
            raise UserError(
                f"{file} does not describe published tables ({where}: {fault['msg']})."
            ) from None

    def find(self, name: str) -> PublishedTable:
        """Return a table, with the names of its columns.

        Raises
        ------
        UserError
            If there is none of that name.
        """
        if name not in self.tables:
            raise UserError(
                f"'{name}' is no file, and no published table that is known; "
                f"{hint(name, self.tables)}"
            )
        table = self.tables[name]
        own = table.columns.model_dump(exclude_unset=True)
        return table.model_copy(update={"columns": self.columns.model_copy(update=own)})
