"""Run the trials of a search on the cluster, as many side by side as there are workers."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pandas as pd

from rrl_batch import tasks
from rrl_batch.cluster.placement import all_workers, workers_for_keras
from rrl_batch.models.registry import ARCHITECTURES
from rrl_batch.training.finish import held_out_rmse
from rrl_batch.training.problem import MemberId, Plan
from rrl_batch.training.search import Search

if TYPE_CHECKING:
    import optuna
    from distributed import Client, Future

SCORED_FOLD = 0
"""The fold that no trial sees."""

log = logging.getLogger(__name__)


def run_trials(
    client: "Client",
    study: Search,
    plan_of: Callable[[dict[str, Any]], tuple[str, Plan]],
    n_folds: int,
    feh: pd.Series,
) -> None:
    """Run trials until the study asks for no more, with a line for each that has ended.

    Parameters
    ----------
    client : distributed.Client
        The cluster's client.
    study : Search
        What is tried.
    plan_of : callable
        From settings to the architecture and the plan of its members.
    n_folds : int
        Number of folds; one is never seen.
    feh : pandas.Series
        Labels by `source_id`, in dex.
    """
    from distributed import as_completed, span

    for_networks, for_regressors = workers_for_keras(client), all_workers(client)
    inner = [fold for fold in range(n_folds) if fold != SCORED_FOLD]
    running: dict[Future, tuple[optuna.Trial, list[float], MemberId, Plan]] = {}
    queue = as_completed()

    def submit(trial: "optuna.Trial", rmse: list[float]) -> None:
        architecture, plan = plan_of(trial.params)
        member = MemberId(architecture, 0, (SCORED_FOLD, inner[len(rmse)]))
        is_network = ARCHITECTURES[architecture].is_network
        with span("search"):
            future = client.submit(
                tasks.fit_share, ([member], plan), pure=False, key=None,
                resources=(for_networks if is_network else for_regressors).resources,
            )  # fmt: skip
        running[future] = trial, rmse, member, plan
        queue.add(future)

    def start() -> None:
        if trial := study.ask():
            submit(trial, [])

    for _ in for_networks.addresses:
        start()
    for future in queue:
        trial, rmse, member, plan = running.pop(future)
        (fitted,) = future.result()
        if fitted.failure:
            ended = study.end(trial, rmse, "diverged")
        else:
            rmse = [*rmse, held_out_rmse(plan.out, fitted, feh, fold=member.held_out[1])]
            if len(rmse) == len(inner):
                ended = study.end(trial, rmse, "complete")
            elif study.goes_on(trial, rmse):
                submit(trial, rmse)
                continue
            else:
                ended = study.end(trial, rmse, "pruned")
        settings = ", ".join(f"{name} = {value}" for name, value in ended.settings.items())
        mean = f"RMSE {sum(ended.rmse) / len(ended.rmse):.4f} dex" if ended.rmse else "no value"
        log.warning(
            "trial %d: %s; %s in %d of %d folds, %s",
            len(study.trials), settings, mean, len(ended.rmse), len(inner), ended.state,
        )  # fmt: skip
        start()
