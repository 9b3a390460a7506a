"""Fit the population prior on the cluster: EM over all light curves of a survey."""

import operator
from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
from dask import delayed
from distributed import span

from rrl_batch import tasks
from rrl_batch.cluster.monitor import gather
from rrl_batch.cluster.worker import compile_once
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.population import ITERATIONS, Noise, update
from rrl_batch.lightcurve.population_prior import PopulationPrior
from rrl_batch.lightcurve.prepare import prepare
from rrl_batch.storage.sky import neighbours
from rrl_batch.survey.read import Survey, SurveyPartition

if TYPE_CHECKING:
    from dask.delayed import Delayed
    from distributed import Client, Future

STARS_PER_EXPECTATION = 10_000
"""Fewest stars in a task of an iteration."""

MAX_POPULATION = 300_000
"""Stars from which a population is known well enough; they are held in memory, at about 1 kB each
with 40 epochs."""

TERMS_PER_SUM = 8


def fit_population(
    client: "Client", survey: Survey, modes: Sequence[str]
) -> dict[str, PopulationPrior]:
    """Find how the light curves of each pulsation mode are distributed, without any label.

    EM over the survey: the curves of a part of the sky stay on a worker; an iteration is an E-step
    a part, a sum of what they found and an M-step, whose prior the next iteration begins with.
    """
    first = {mode: PopulationPrior.first(mode) for mode in modes}
    empty = LightCurveBatch.empty()
    compile_once(client, prepare, empty, smoothing="population", priors=first)
    attempts = _Attempts(client, _part_of(survey), list(first.values()))
    found: list[PopulationPrior] = gather(
        client, attempts.futures, stage="population", unit="iterations",
        planned=[1] * len(attempts.futures), again=attempts.again, careful=True,
    )  # fmt: skip
    return dict(zip(modes, found[ITERATIONS - 1 :: ITERATIONS], strict=True))


class _Attempts:
    """All iterations, each of which needs those before: one that fails takes the others with it.

    Parameters
    ----------
    client : distributed.Client
        The cluster's client.
    pieces : sequence of SurveyPartition
        Where the light curves are.
    first : sequence of PopulationPrior
        Priors to begin with, one a mode.
    """

    def __init__(
        self, client: "Client", pieces: Sequence[SurveyPartition], first: Sequence[PopulationPrior]
    ) -> None:
        self._client, self._pieces, self._first = client, pieces, first
        self._begin(careful=False)

    def again(self, number: int, careful: bool) -> "Future":
        """Return an iteration in the place of one that has failed, of an attempt of its own."""
        if number in self._given or careful != self._careful:
            self._begin(careful)
        self._given.add(number)
        return self.futures[number]

    def _begin(self, careful: bool) -> None:
        groups = neighbours([piece.rows for piece in self._pieces], STARS_PER_EXPECTATION)
        modes = [prior.mode for prior in self._first]
        read = delayed(tasks.folded_curves, nout=len(modes))
        parts = [tuple(read(self._pieces[group], modes, careful)) for group in groups]
        steps = [
            step
            for prior, curves in zip(self._first, zip(*parts, strict=True), strict=True)
            for step in _iterate(curves, prior)
        ]
        with span("population"):
            self.futures: list[Future] = self._client.compute(steps)
        self._careful = careful
        self._given: set[int] = set()


def _part_of(survey: Survey) -> list[SurveyPartition]:
    """Return all partitions of a survey, or random ones of a survey that is larger than needed."""
    order = np.random.default_rng(0).permutation(len(survey.partitions))
    before = np.cumsum([0, *(survey.partitions[i].rows for i in order)])[:-1]
    return [survey.partitions[i] for i in sorted(order[before < MAX_POPULATION])]


def _iterate(curves: "Sequence[Delayed]", first: PopulationPrior) -> "list[Delayed]":
    """Return the prior after each iteration of EM on parts of the light curves, to be computed."""
    expect = delayed(tasks.expectation, nout=2)
    prior, priors = first, []
    noise: Sequence[Delayed] = [delayed(Noise.first)(part) for part in curves]
    for _ in range(ITERATIONS):
        steps = [expect(part, known, prior) for part, known in zip(curves, noise, strict=True)]
        found, noise = zip(*steps, strict=True)
        prior = delayed(update)(_tree_sum(found), first.mode)
        priors.append(prior)
    return priors


def _tree_sum(terms: "Sequence[Delayed]") -> "Delayed":
    """Return a sum that is taken few terms at a time, always in the same order."""
    while len(terms) > 1:
        few = (terms[i : i + TERMS_PER_SUM] for i in range(0, len(terms), TERMS_PER_SUM))
        terms = [delayed(reduce)(operator.add, list(some)) for some in few]
    return terms[0]
