"""A data release of the archive: one file says where it is and what its columns are called."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from rrl_batch.errors import UserError

_OWN = Path(__file__).parent / "releases"

DEFAULT = "gaia_dr3"
"""The release that is taken if none is named."""

_NEEDED_OF_STARS = {"source_id", "ra", "dec", "best_classification"}
_NEEDED_OF_TRANSITS = {"source_id", "time", "mag"}

Names = dict[str, str]
"""Columns: our name, and the archive's."""


@dataclass(frozen=True)
class StarChoice:
    """Which stars of a release.

    Parameters
    ----------
    where : str, optional
        Condition on columns of the release's tables, in ADQL; all stars if not given.
    limit : int, optional
        Number of stars: some that lie all over the sky, always the same.

    Raises
    ------
    UserError
        If the condition is more than a condition, or the number none of stars.
    """

    where: str | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise UserError(f"--limit {self.limit} leaves no star; give at least 1.")
        if self.where is not None:
            _require_condition(self.where)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Server(_Section):
    """Where the archive is."""

    url: str
    tap: str
    data: str


class Access(_Section):
    """How much is asked of the archive, and how patiently. Times are in seconds."""

    calls_at_once: PositiveInt
    stars_per_call: Annotated[int, Field(ge=1, le=5000)]
    ask_again: PositiveInt
    attempts: PositiveInt
    first_wait: PositiveFloat
    longest_wait: PositiveFloat
    silence: PositiveFloat
    longest_call: PositiveFloat
    poll: PositiveFloat


class StarQuery(_Section):
    """Tables and columns of the stars."""

    format: str
    tables: str
    random_order: str
    columns: Names


class LightCurves(_Section):
    """The DataLink product with the light curves, and its columns in either structure."""

    product: str
    structures: Annotated[list[str], Field(min_length=1)]
    arrays: Names
    transits: Names


class Release(_Section):
    """A data release, as its file has it.

    Parameters
    ----------
    name : str
        What DataLink calls it, e.g. "Gaia DR3".
    server : Server
        Where the archive is.
    access : Access
        How much is asked of it, and how patiently.
    stars : StarQuery
        Tables and columns of the stars.
    light_curves : LightCurves
        The product with the light curves.
    """

    name: str
    server: Server
    access: Access
    stars: StarQuery
    light_curves: LightCurves

    @classmethod
    def read(cls, name: str, url: str | None = None) -> Self:
        """Read a release.

        Parameters
        ----------
        name : str
            One that comes with the package, e.g. "gaia_dr3", or the path of a file.
        url : str, optional
            Address of another server that has it.

        Raises
        ------
        UserError
            If there is no such release, its file is not one, or the address is none.
        """
        own = {path.stem: path for path in _OWN.glob("*.toml")}
        path = own.get(name, Path(name))
        if not path.is_file() and path.suffix:
            raise UserError(f"There is no file {path}, in which a release is described.")
        if not path.is_file():
            raise UserError(
                f"There is no release '{name}'; give a file, or one of: {', '.join(sorted(own))}."
            )
        try:
            release = cls.model_validate(tomllib.loads(path.read_text()))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path} is not TOML: {error}.") from None
        except ValidationError as error:
            fault = error.errors()[0]
            key = ".".join(map(str, fault["loc"]))
            raise UserError(f"{path}: '{key}' is not valid: {fault['msg'].lower()}.") from None
        release._check(path)
        return release._at(url or release.server.url)

    def query(self, stars: StarChoice) -> str:
        """Return the ADQL query for the stars."""
        top = f"TOP {stars.limit} " if stars.limit else ""
        columns = ", ".join(f"{theirs} AS {ours}" for ours, theirs in self.stars.columns.items())
        query = f"SELECT {top}{columns} FROM {self.stars.tables}"  # noqa: S608 -- of tables to read
        if stars.where is not None:
            query += f" WHERE ({stars.where})"
        return f"{query} ORDER BY {self.stars.random_order}" if stars.limit else query

    def _check(self, path: Path) -> None:
        sections = {
            "stars.columns": (self.stars.columns, _NEEDED_OF_STARS),
            "light_curves.arrays": (self.light_curves.arrays, _NEEDED_OF_TRANSITS),
            "light_curves.transits": (self.light_curves.transits, _NEEDED_OF_TRANSITS),
        }
        for section, (columns, needed) in sections.items():
            if lacking := needed - columns.keys():
                raise UserError(f"{path}: [{section}] has no '{min(lacking)}', which is needed.")

    def _at(self, url: str) -> Self:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise UserError(
                f"'{url}' is no address of an archive; give protocol and host, e.g. "
                f"https://gea.esac.esa.int."
            )
        if parts.username or parts.password:
            raise UserError(
                "The address of the archive holds a password; put it into a file and name that "
                "with --credentials."
            )
        server = self.server.model_copy(update={"url": url.rstrip("/")})
        return self.model_copy(update={"server": server})


def _require_condition(where: str) -> None:
    """Refuse a condition that does not stay within the parentheses that are put around it."""
    depth, quote = 0, ""
    for i, character in enumerate(where):
        if quote:
            quote = "" if character == quote else quote
            continue
        if character in "'\"":
            quote = character
        elif character == ";" or where[i : i + 2] in ("--", "/*"):
            raise UserError(
                f"--where is one condition, e.g. \"best_classification = 'RRab'\", without "
                f"'{where[i : i + 2].strip()}'."
            )
        depth += (character == "(") - (character == ")")
        if depth < 0:
            break
    if quote or depth:
        what = f"quotation marks ({quote})" if quote else "parentheses"
        raise UserError(f"--where {where}: the {what} are not balanced.")
    if not where.strip():
        raise UserError("--where is empty; leave it out to have all stars.")
