"""Relations of absolute magnitude and metallicity, and the law of extinction: a file."""

from typing import ClassVar

from pydantic import Field

from rrl_batch.contracts.configuration import Configuration, Strict
from rrl_batch.errors import UserError, hint


class LuminosityRelation(Strict):
    """A relation M_G = slope · [Fe/H] + zero point.

    Parameters
    ----------
    slope, slope_error : float
        In mag/dex; the error is that of the relation, the same for all stars.
    zero_point, zero_point_error : float
        In mag; likewise.
    scatter : float
        Intrinsic standard deviation of single stars about it, in mag.
    scale : str
        Metallicity scale that it is on.
    modes : tuple of str
        Pulsation modes of the stars that it holds for.
    reference : str
        Where it was published.
    """

    slope: float
    slope_error: float = Field(ge=0)
    zero_point: float
    zero_point_error: float = Field(ge=0)
    scatter: float = Field(ge=0)
    scale: str
    modes: tuple[str, ...] = Field(min_length=1)
    reference: str = Field(min_length=1)


class ExtinctionLaw(Strict):
    """How much light a reddening stands for.

    Parameters
    ----------
    absorption_per_reddening : float
        A_G / E(B−V).
    relative_error : float
        Standard error of E(B−V) as a part of it, where no error is given.
    reference : str
        Where it was published.
    """

    absorption_per_reddening: float = Field(gt=0)
    relative_error: float = Field(ge=0)
    reference: str = Field(min_length=1)


class Luminosity(Configuration):
    """What distances are computed with.

    Parameters
    ----------
    relations : dict of str to LuminosityRelation
        The relations that are known, by name.
    extinction : ExtinctionLaw
        The law of extinction.
    """

    FILE: ClassVar = ("rrl_batch.catalogue.distances", "luminosity.toml")
    WHAT: ClassVar = "luminosities"

    relations: dict[str, LuminosityRelation]
    extinction: ExtinctionLaw

    def find(self, name: str) -> LuminosityRelation:
        """Return a relation.

        Raises
        ------
        UserError
            If there is none of that name.
        """
        if name not in self.relations:
            raise UserError(f"No relation '{name}' is known; {hint(name, self.relations)}")
        return self.relations[name]
