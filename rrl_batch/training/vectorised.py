"""Fit members on JAX: a pass over the stars is one call of a program that all members share.

Keras's loop comes back to Python for every batch and compiles anew for every member. Here the
batches of a pass, and the look at the stopping stars that ends it, are compiled together and once.
The program is written for one member; `vmap` runs it for several side by side.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrl_batch.lightcurve.inputs import Inputs
from rrl_batch.models.device import claim_gpu
from rrl_batch.models.registry import arrays_for
from rrl_batch.training.network import Network, fresh, optimizer
from rrl_batch.training.problem import Fit, FitSettings, History, Pass, Problem

if TYPE_CHECKING:
    import jax
    import keras


_BYTES_PER_OUTPUT = 32
"""Memory of a training step for each number that a layer gives: in single precision the number and
its derivative, and three times as much for gates and for the compiler to work with."""


class _State(NamedTuple):
    """Everything about a member that a step changes, as lists of Keras variables' values."""

    trainable: list["jax.Array"]
    other: list["jax.Array"]  # seeds of dropout, statistics of batch normalisation
    optimizer: list["jax.Array"]


class _Best(NamedTuple):
    """A member after the pass that was the best on the stopping stars."""

    state: _State
    loss: "jax.Array"
    epoch: "jax.Array"


class _Stars(NamedTuple):
    """What a member has of all stars that the others do not share: its own scaling."""

    shape: Any
    target: Any
    weights: Any


class _Batches(NamedTuple):
    """Rows of stars in batches, and how many rows of each batch count."""

    rows: Any
    counts: Any

    @classmethod
    def of(cls, rows: NDArray[np.int64], size: int, n_batches: int) -> "_Batches":
        """Cut rows into batches, filled up with the first rows again, which do not count."""
        counts = np.clip(len(rows) - size * np.arange(n_batches), 0, size)
        filled = np.resize(rows, (n_batches, size))
        return cls(filled.astype(np.int32), counts.astype(np.int32))


def fit(
    problems: Sequence[Problem],
    inputs: Inputs,
    settings: FitSettings,
    on_passes: Callable[[list[Pass]], None],
) -> Iterator[Fit]:
    """Fit a member to each problem and yield it as soon as it is fitted.

    Loss, optimiser and stopping are those of the sequential trainer. So is the short batch that
    ends a pass, but for batch normalisation, which sees it filled up to full size.

    Parameters
    ----------
    problems : sequence of Problem
        One a member, all of one architecture.
    inputs : Inputs
        Of all stars.
    settings : FitSettings
        How to fit.
    on_passes : callable
        Told which passes of members have ended, whenever some have.
    """

    def n_batches(problem: Problem) -> int:
        return -(-len(problem.training) // settings.batch_size)

    # the schedule of the learning rate is part of a program, and depends on the number of steps
    for _, group in groupby(sorted(problems, key=n_batches), n_batches):
        alike = list(group)
        program = _Program(alike, inputs, settings)
        together = _members_together(program.network, len(alike), settings.batch_size)
        for first in range(0, len(alike), together):
            yield from program.fit(alike[first : first + together], on_passes)


def _members_together(network: "keras.Model", n_members: int, batch_size: int) -> int:
    """Return how many members to fit side by side.

    A core is busy with one: several only leave its cache. One alone leaves a GPU idle, and more
    than its memory has room for would end the run.
    """
    if not claim_gpu():
        return 1
    import jax

    room = jax.devices()[0].memory_stats()["bytes_limit"]
    outputs = sum(math.prod(layer.output.shape[1:]) for layer in network.layers)
    at_most = int(room // (_BYTES_PER_OUTPUT * batch_size * outputs))
    # parts of equal size are one program
    return -(-n_members // -(-n_members // max(1, min(n_members, at_most))))


class _Program:
    """The compiled pass of an architecture, and the data that it works on.

    Parameters
    ----------
    problems : sequence of Problem
        All that it is for, alike in their number of batches.
    inputs : Inputs
        Of all stars.
    settings : FitSettings
        How to fit.
    """

    def __init__(self, problems: Sequence[Problem], inputs: Inputs, settings: FitSettings) -> None:
        import jax

        self._settings = settings
        self._architecture = problems[0].member.architecture
        self._inputs = inputs
        self._curves = jax.numpy.asarray(inputs.sequences)
        self.network = self._build(seed=0)
        longest = max(len(p.training) for p in problems)
        self._optimizer = optimizer(settings, longest)
        self._optimizer.build(self.network.trainable_variables)
        self._n_training = self._batches_for(longest)
        self._n_stopping = self._batches_for(max(len(p.stopping) for p in problems))
        self._pass = jax.jit(jax.vmap(self._pass_of_one, in_axes=(0, 0, 0, 0, 0, None, None)))

    def fit(
        self, problems: Sequence[Problem], on_passes: Callable[[list[Pass]], None]
    ) -> Iterator[Fit]:
        """Fit members side by side; one that has stopped stays as it is until all have."""
        state = _stack([self._start(problem.seed) for problem in problems])
        infinity = np.full(len(problems), np.inf, np.float32)
        best = _Best(state, infinity, np.zeros(len(problems), np.int32))
        stars = _stack(
            [_Stars(p.scaled(self._inputs).shape, p.target, p.weights) for p in problems]
        )
        stopping = _stack([self._batches(p.stopping, self._n_stopping) for p in problems])
        generators = [np.random.default_rng(problem.seed) for problem in problems]
        running = np.ones(len(problems), bool)
        losses = []
        for epoch in range(1, self._settings.epochs + 1):
            training = _stack(
                [
                    self._batches(generator.permutation(problem.training), self._n_training)
                    for generator, problem in zip(generators, problems, strict=True)
                ]
            )
            training = training._replace(counts=training.counts * running[:, None])
            state, best, loss = self._pass(
                state, best, stars, training, stopping, self._curves, epoch
            )
            losses.append(np.asarray(loss))  # of training and, if there are any, stopping stars
            finite, best_epoch = np.isfinite(losses[-1]).all(axis=1), np.asarray(best.epoch)
            on_passes(
                [
                    Pass(problems[i].member, epoch, *losses[-1][i].tolist())
                    for i in np.flatnonzero(running).tolist()
                ]
            )
            patient = epoch - best_epoch < self._settings.patience
            ended = running & ~(finite & patient & (epoch < self._settings.epochs))
            running &= ~ended
            for i in np.flatnonzero(ended).tolist():
                network = self._filled(best.state, i, problems[i]) if finite[i] else None
                history = np.array([loss[i] for loss in losses]).T.tolist()
                stopping_loss = history[1] if len(history) > 1 else []
                yield Fit(
                    problems[i], network, int(best_epoch[i]), History(history[0], stopping_loss)
                )
            if not running.any():
                return

    def _pass_of_one(
        self,
        state: _State,
        best: _Best,
        stars: _Stars,
        training: _Batches,
        stopping: _Batches,
        curves: "jax.Array",
        epoch: "jax.Array",
    ) -> "tuple[_State, _Best, jax.Array]":
        """Take a member through its batches; return it, its best, and the losses of the pass."""
        import jax
        from jax import numpy as jnp

        def step(state: _State, batch: _Batches) -> "tuple[_State, jax.Array]":
            return self._step(state, batch, stars, curves)

        def look(nothing: None, batch: _Batches) -> "tuple[None, jax.Array]":
            loss, _ = self._loss(state.trainable, state.other, batch, stars, curves, False)
            return nothing, loss

        state, of_steps = jax.lax.scan(step, state, training)
        loss = jnp.average(of_steps, weights=training.counts)[None]
        if self._n_stopping == 0:
            return state, _Best(state, loss[0], epoch), loss
        _, of_looks = jax.lax.scan(look, None, stopping)
        stopping_loss = jnp.average(of_looks, weights=stopping.counts)
        best = _where(stopping_loss < best.loss, _Best(state, stopping_loss, epoch), best)
        return state, best, jnp.append(loss, stopping_loss)

    def _step(
        self, state: _State, batch: _Batches, stars: _Stars, curves: "jax.Array"
    ) -> "tuple[_State, jax.Array]":
        import jax

        gradient = jax.value_and_grad(self._loss, has_aux=True)
        (loss, other), slopes = gradient(state.trainable, state.other, batch, stars, curves, True)
        trainable, optimizer = self._optimizer.stateless_apply(
            state.optimizer, slopes, state.trainable
        )
        # an empty batch is no step: momentum and regularisation would move the weights all the same
        return _where(batch.counts > 0, _State(trainable, other, optimizer), state), loss

    def _loss(
        self,
        trainable: list["jax.Array"],
        other: list["jax.Array"],
        batch: _Batches,
        stars: _Stars,
        curves: "jax.Array",
        training: bool,
    ) -> "tuple[jax.Array, list[jax.Array]]":
        """Return a batch's weighted squared error and the layers' penalties, and their state."""
        from jax import numpy as jnp

        inputs = arrays_for(self.network, Inputs(curves[batch.rows], stars.shape[batch.rows]))
        predicted, other, penalties = self.network.stateless_call(
            trainable, other, inputs, training=training, return_losses=True
        )
        counts = jnp.arange(len(batch.rows)) < batch.counts
        weights = jnp.where(counts, stars.weights[batch.rows], 0)
        squares = weights * (predicted[:, 0] - stars.target[batch.rows]) ** 2
        return squares.sum() / jnp.maximum(batch.counts, 1) + sum(penalties), other

    def _build(self, seed: int) -> "keras.Model":
        return fresh(self._architecture, self._curves.shape[1], self._settings, seed)

    def _start(self, seed: int) -> _State:
        """Return a member before its first step."""
        network = self._build(seed)
        variables = (
            network.trainable_variables,
            network.non_trainable_variables,
            self._optimizer.variables,
        )
        return _State(*([v.value for v in group] for group in variables))

    def _filled(self, state: _State, member: int, problem: Problem) -> Network:
        """Return the one network that there is, with the weights of a member."""
        network = self.network
        for variables, values in (
            (network.trainable_variables, state.trainable),
            (network.non_trainable_variables, state.other),
        ):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value[member])
        return Network.of(network, problem)

    def _batches(self, rows: NDArray[np.int64], n_batches: int) -> _Batches:
        return _Batches.of(rows, self._settings.batch_size, n_batches)

    def _batches_for(self, n_stars: int) -> int:
        return -(-n_stars // self._settings.batch_size)


def _stack(members: list[Any]) -> Any:
    """Return the arrays of members, alike in structure, with a first axis of members."""
    import jax

    return jax.tree.map(lambda *leaves: jax.numpy.stack(leaves), *members)


def _where(condition: "jax.Array", chosen: Any, otherwise: Any) -> Any:
    """Return one of two structures of arrays."""
    import jax

    return jax.tree.map(lambda a, b: jax.numpy.where(condition, a, b), chosen, otherwise)
