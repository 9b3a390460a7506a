"""Search for settings: which to try next, and which trials are not worth going on with.

Optuna proposes and prunes; every trial that has ended is kept in a file of ours, from which a
search that was stopped goes on.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rrl_batch.storage.commit import write_json

if TYPE_CHECKING:
    import optuna

_FIRST_TRIALS = 8
"""Trials that are drawn at random before the sampler learns from them."""

_KEPT = 50.0
"""Per cent of the trials that go on from one fold to the next."""


@dataclass(frozen=True)
class Trial:
    """A trial that has ended.

    Parameters
    ----------
    settings : dict
        What was tried, by ``section.key``.
    rmse : list of float
        Errors of the inner folds that it came to, in dex; empty if it diverged at the first.
    state : {"complete", "pruned", "diverged"}
        How it ended.
    """

    settings: dict[str, Any]
    rmse: list[float]
    state: Literal["complete", "pruned", "diverged"]


class Search:
    """A search of a space of settings.

    Parameters
    ----------
    path : pathlib.Path
        File of the trials that have ended; those in it already count.
    space : mapping of str to sequence
        Options and the values to try.
    method : {"grid", "tpe"}
        Every combination, or Optuna's tree-structured Parzen estimator.
    n_trials : int
        Most trials.
    prune : bool
        Whether a trial ends when its mean over the first folds is not among the best half.
    seed : int
        Seed of the sampler.
    """

    def __init__(
        self,
        path: Path,
        space: Mapping[str, Sequence[Any]],
        method: Literal["grid", "tpe"],
        n_trials: int,
        prune: bool,
        seed: int,
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._path = path
        self._space: dict[str, optuna.distributions.BaseDistribution] = {
            name: optuna.distributions.CategoricalDistribution(tuple(values))
            for name, values in space.items()
        }
        self._study = optuna.create_study(
            sampler=optuna.samplers.TPESampler(n_startup_trials=_FIRST_TRIALS, seed=seed),
            pruner=optuna.pruners.PercentilePruner(_KEPT, n_startup_trials=2)
            if prune
            else optuna.pruners.NopPruner(),
        )
        self.trials: list[Trial] = []
        if path.exists():
            for record in json.loads(path.read_text()):
                self._add(Trial(**record))
        self._left = n_trials - len(self.trials)
        if method == "grid":
            points = [dict(zip(space, point, strict=True)) for point in product(*space.values())]
            done = [trial.settings for trial in self.trials]
            missing = [point for point in points if point not in done]
            for point in missing:
                self._study.enqueue_trial(point)
            self._left = min(self._left, len(missing))

    def ask(self) -> "optuna.Trial | None":
        """Return a trial to make, whose `params` are the settings; None after the last."""
        if self._left <= 0:
            return None
        self._left -= 1
        return self._study.ask(self._space)

    def goes_on(self, trial: "optuna.Trial", rmse: Sequence[float]) -> bool:
        """Return whether a trial is worth another fold, after those whose errors are given."""
        trial.report(float(np.mean(rmse)), len(rmse))
        return not trial.should_prune()

    def end(
        self,
        trial: "optuna.Trial",
        rmse: Sequence[float],
        state: Literal["complete", "pruned", "diverged"],
    ) -> Trial:
        """Keep a trial that has ended, and return it."""
        import optuna

        ended = Trial(dict(trial.params), list(rmse), state)
        if state == "complete":
            self._study.tell(trial, float(np.mean(rmse)))
        else:
            pruned = optuna.trial.TrialState.PRUNED
            failed = optuna.trial.TrialState.FAIL
            self._study.tell(trial, state=pruned if state == "pruned" else failed)
        self.trials.append(ended)
        write_json(self._path, [asdict(one) for one in self.trials])
        return ended

    def best(self) -> Trial | None:
        """Return the complete trial with the least mean error; None if there is none."""
        complete = [trial for trial in self.trials if trial.state == "complete"]
        return min(complete, key=lambda trial: np.mean(trial.rmse), default=None)

    def _add(self, trial: Trial) -> None:
        """Let the sampler know of a trial that ended earlier."""
        import optuna

        states = optuna.trial.TrialState
        by_name = {"complete": states.COMPLETE, "pruned": states.PRUNED, "diverged": states.FAIL}
        means = np.cumsum(trial.rmse) / np.arange(1, len(trial.rmse) + 1)
        self.trials.append(trial)
        self._study.add_trial(
            optuna.create_trial(
                params=trial.settings,
                distributions=self._space,
                state=by_name[trial.state],
                value=float(means[-1]) if trial.state == "complete" else None,
                intermediate_values=dict(enumerate(means.tolist(), start=1)),
            )
        )
