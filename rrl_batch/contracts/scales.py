"""Metallicity scales, and the relations between them: one file of configuration."""

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from rrl_batch.contracts.configuration import Configuration, Strict


class Relation(Strict):
    """How values on one scale become values on another.

    Parameters
    ----------
    source, to : str
        The scales; `source` is called `from` in the file.
    coefficients : tuple of float
        Of the polynomial, beginning with the constant.
    range : tuple of float
        Least and largest [Fe/H] on the scale `from` for which it holds, in dex.
    scatter : float
        Standard deviation of single values about it, in dex.
    reference : str
        Where it was published.
    """

    source: str = Field(alias="from")
    to: str
    coefficients: tuple[float, ...] = Field(min_length=2)
    range: tuple[float, float]
    scatter: float = Field(ge=0)
    reference: str = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.source == self.to or self.range[0] >= self.range[1]:
            raise ValueError("a relation leads from one scale to another, within a range")
        return self

    def holds_for(self, feh: ArrayLike) -> NDArray[np.bool_]:
        """Return whether values on the scale `from`, in dex, are within the relation's range."""
        value = np.asarray(feh, np.float64)
        return (value >= self.range[0]) & (value <= self.range[1])

    def apply(
        self, feh: ArrayLike, feh_error: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return values on the other scale, and their errors with the relation's scatter.

        Parameters
        ----------
        feh, feh_error : (n,) array_like
            Values and standard errors on the scale `from`, in dex; NaN where unknown.

        Returns
        -------
        feh, feh_error : (n,) float64 ndarray
            Values and standard errors on the scale `to`, in dex; NaN beyond the relation's range,
            and where the value, or its error, is unknown.
        """
        curve = np.polynomial.Polynomial(self.coefficients)
        value = np.where(self.holds_for(feh), np.asarray(feh, np.float64), np.nan)
        error = np.hypot(curve.deriv()(value) * np.asarray(feh_error, np.float64), self.scatter)
        return curve(value), error

    def content(self) -> dict[str, Any]:
        """Return it as provenance has it."""
        return self.model_dump(mode="json", by_alias=True)


class Scales(Configuration):
    """The scales that are known, and the relations between them.

    Parameters
    ----------
    scales : dict of str to str
        What each is, by name.
    relations : tuple of Relation
        The relations; no two lead from one scale to the same other.
    """

    FILE: ClassVar = ("rrl_batch.contracts", "scales.toml")
    WHAT: ClassVar = "metallicity scales"

    scales: dict[str, str]
    relations: tuple[Relation, ...]

    @model_validator(mode="after")
    def _check(self) -> Self:
        pairs = [(relation.source, relation.to) for relation in self.relations]
        if len(set(pairs)) < len(pairs):
            raise ValueError("there are two relations between the same scales")
        unknown = {name for pair in pairs for name in pair} - set(self.scales)
        if unknown:
            raise ValueError(f"[scales] does not say what {', '.join(sorted(unknown))} is")
        return self

    def relation(self, source: str, to: str) -> Relation | None:
        """Return how values on one scale become values on another, if that is known."""
        return next((r for r in self.relations if (r.source, r.to) == (source, to)), None)
