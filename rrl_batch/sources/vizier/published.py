"""Which published tables there are, and what their columns are called: a file of configuration."""

from typing import ClassVar

from pydantic import Field

from rrl_batch.contracts.configuration import Configuration, Strict
from rrl_batch.errors import UserError, hint

Names = tuple[str, ...]


class Columns(Strict):
    """Names under which columns are looked for, in order.

    Parameters
    ----------
    source_id, feh, feh_error : tuple of str
        Those of the identifier, the metallicity and its error.
    """

    source_id: Names = ()
    feh: Names = ()
    feh_error: Names = ()


class PublishedTable(Strict):
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


class Published(Configuration):
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

    FILE: ClassVar = ("rrl_batch.sources.vizier", "published.toml")
    WHAT: ClassVar = "published tables"

    server: str = Field(pattern=r"^[\w.-]+(:\d+)?$")
    silence: float = Field(gt=0)
    tables: dict[str, PublishedTable]
    columns: Columns

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
