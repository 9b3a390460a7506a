"""Comparisons and searches: a job many times, with some options otherwise."""

from collections.abc import Mapping, Sequence
from itertools import product
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from rrl_batch.errors import UserError
from rrl_batch.job.section import Section, Values

MOST_COMBINATIONS = 10_000
"""Most cases that a grid, and most points that a search, may have."""


class ExperimentSection(Section):
    """A comparison of predictors on the same stars and folds.

    A case is this job with some options of preprocess, model or training set otherwise.
    """

    path: Path | None = Field(None, description="folder of the experiment")
    title: str = Field("Comparison of predictors", description="title of its report")
    reference: str | None = Field(
        None, description="case that all others are compared with; the first if not given"
    )
    grid: dict[str, Values] = Field(
        {}, description='options and values, as "section.key" = [...]: a case each combination'
    )
    cases: dict[str, dict[str, Any]] = Field(
        {}, description='further cases by name, each as {"section.key" = value, ...}'
    )
    blends: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        {}, description="further predictors by name: the means of what some cases predict"
    )
    choose_from: tuple[str, ...] = Field(
        (),
        description="cases and blends among which the best is chosen within the training folds, "
        "for each fold anew",
    )

    def settings(self) -> dict[str, dict[str, Any]]:
        """Return what each case has otherwise than the job, by its name.

        Raises
        ------
        UserError
            If a case of the grid and another have the same name.
        """
        require_finite("experiment.grid", self.grid)
        combinations = product(*self.grid.values()) if self.grid else ()
        settings = {
            ", ".join(map(str, values)): dict(zip(self.grid, values, strict=True))
            for values in combinations
        }
        for name in settings.keys() & self.cases:
            raise UserError(f"[experiment] has a case '{name}' in its grid, too; rename one.")
        return settings | self.cases


def require_finite(section: str, options: Mapping[str, Sequence[Any]]) -> None:
    """Refuse options whose combinations nobody could try.

    Raises
    ------
    UserError
        If they are more than 10,000.
    """
    number = prod(len(values) for values in options.values())
    if number > MOST_COMBINATIONS:
        raise UserError(
            f"[{section}] has {number:,} combinations of its values, more than the "
            f"{MOST_COMBINATIONS:,} that are allowed; give it fewer options or values."
        )


class SearchSection(Section):
    """A search for the best settings, within the training folds; fold 0 is kept for the end."""

    path: Path | None = Field(None, description="folder of the search")
    method: Literal["grid", "tpe"] = Field(
        "tpe",
        description="grid: every combination of the listed values; tpe: Optuna's sampler, which "
        "learns from the trials before",
    )
    trials: int = Field(40, ge=1, description="most trials; a grid ends when it is done")
    prune: bool = Field(
        True,
        description="whether a trial ends when its first folds are not among the best half "
        "(successive halving)",
    )
    seed: int = Field(0, ge=0, description="seed of the sampler")
    space: dict[str, Values] = Field(
        {}, description='options and the values to try, as "section.key" = [...]'
    )
