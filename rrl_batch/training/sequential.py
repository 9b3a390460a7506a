"""Fit members one after another with Keras's own loop, on any of its backends."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from rrl_batch.lightcurve.sequences import Sequences
from rrl_batch.models.registry import build
from rrl_batch.training.problem import Fit, FitSettings, Problem


def fit(
    problems: Sequence[Problem],
    sequences: Sequences,
    settings: FitSettings,
    on_passes: Callable[[int], None],
) -> Iterator[Fit]:
    """Fit a member to each problem and yield it as soon as it is fitted.

    Parameters
    ----------
    problems : sequence of Problem
        One a member.
    sequences : (n_stars, n_points, 2) float32
        Curves of all stars.
    settings : FitSettings
        How to fit.
    on_passes : callable
        Told how many passes of members have ended, whenever some have.
    """
    for problem in problems:
        yield _fit(problem, sequences, settings, on_passes)


def _fit(
    problem: Problem,
    sequences: Sequences,
    settings: FitSettings,
    on_passes: Callable[[int], None],
) -> Fit:
    import keras

    keras.utils.set_random_seed(problem.seed)  # of the shuffling
    network = build(
        settings.architecture, sequences.shape[1], masked=settings.masked, seed=problem.seed
    )
    network.compile(keras.optimizers.Adam(settings.learning_rate), loss="mse")

    def end_pass(_: int, logs: dict[str, float]) -> None:
        on_passes(1)
        if not np.isfinite(logs["val_loss"]):
            network.stop_training = True

    stopper = keras.callbacks.EarlyStopping(
        "val_loss", patience=settings.patience, restore_best_weights=True
    )
    training, stopping = (
        (sequences[rows], problem.target[rows], problem.weights[rows])
        for rows in (problem.training, problem.stopping)
    )
    curves, target, weights = training
    history = network.fit(
        curves,
        target,
        sample_weight=weights,
        validation_data=stopping,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        callbacks=[stopper, keras.callbacks.LambdaCallback(on_epoch_end=end_pass)],
        verbose=0,
    )
    finite = np.isfinite(history.history["val_loss"][-1])
    return Fit(
        problem, network if finite else None, int(stopper.best_epoch) + 1, len(history.epoch)
    )
