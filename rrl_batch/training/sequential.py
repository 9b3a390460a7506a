"""Fit members one after another with Keras's own loop, on any of its backends."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from rrl_batch.lightcurve.inputs import Inputs
from rrl_batch.models.registry import arrays_for
from rrl_batch.training.network import Network, fresh, optimizer
from rrl_batch.training.problem import Fit, FitSettings, History, Pass, Problem


def fit(
    problems: Sequence[Problem],
    inputs: Inputs,
    settings: FitSettings,
    on_passes: Callable[[list[Pass]], None],
) -> Iterator[Fit]:
    """Fit a member to each problem and yield it as soon as it is fitted.

    Parameters
    ----------
    problems : sequence of Problem
        One a member.
    inputs : Inputs
        Of all stars.
    settings : FitSettings
        How to fit.
    on_passes : callable
        Told which passes of members have ended, whenever some have.
    """
    for problem in problems:
        yield _fit(problem, inputs, settings, on_passes)


def _fit(
    problem: Problem,
    inputs: Inputs,
    settings: FitSettings,
    on_passes: Callable[[list[Pass]], None],
) -> Fit:
    import keras

    keras.utils.set_random_seed(problem.seed)  # of the shuffling
    n_points = inputs.sequences.shape[1]
    network = fresh(problem.member.architecture, n_points, settings, problem.seed)
    network.compile(optimizer(settings, len(problem.training)), loss="mse")
    stops = len(problem.stopping) > 0

    def end_pass(epoch: int, logs: dict[str, float]) -> None:
        on_passes([Pass(problem.member, epoch + 1, logs["loss"], logs.get("val_loss"))])
        if not np.isfinite(logs["val_loss" if stops else "loss"]):
            network.stop_training = True

    def stars(rows: np.ndarray) -> tuple[object, ...]:
        some = Inputs(*(array[rows] for array in problem.scaled(inputs)))
        return arrays_for(network, some), problem.target[rows], problem.weights[rows]

    callbacks = [keras.callbacks.LambdaCallback(on_epoch_end=end_pass)]
    if stops:
        patience = settings.patience
        stopper = keras.callbacks.EarlyStopping("val_loss", 0, patience, restore_best_weights=True)
        callbacks.insert(0, stopper)
    curves, target, weights = stars(problem.training)
    log = network.fit(
        curves,
        target,
        sample_weight=weights,
        validation_data=stars(problem.stopping) if stops else None,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        callbacks=callbacks,
        verbose=0,
    ).history
    history = History(log["loss"], log.get("val_loss", []))
    finite = np.isfinite(history.stopping[-1] if stops else history.training[-1])
    return Fit(
        problem,
        Network.of(network, problem) if finite else None,
        int(stopper.best_epoch) + 1 if stops else len(history.training),
        history,
    )
