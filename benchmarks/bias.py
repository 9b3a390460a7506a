"""What would lessen regression to the mean: corrections of out-of-fold values, and FDS in training.

Run as ``python benchmarks/bias.py MODEL`` on a model that was trained on shape parameters
(``jobs/real.toml``); its training set is in its folder. Every figure is of stars that neither the
fit nor the correction has seen: corrections are fitted to the other folds' stars. Feature
distribution smoothing (FDS; Yang et al. 2021, ICML) is tried on the small network of the model,
which is written out here in JAX, with and without it and with weights by label distribution
smoothing (LDS), that is by the density of the labels. What comes out is printed, not recorded.
"""

import argparse
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from sklearn.isotonic import IsotonicRegression

from rrl_batch.experiment.choice import Stretch
from rrl_batch.lightcurve.shape import SHAPE_COLUMNS
from rrl_batch.models.folder import OUT_OF_FOLD
from rrl_batch.training.metrics import scores
from rrl_batch.training.weights import density_weights, noise_weights

Floats = NDArray[np.float64]

UNITS, EPOCHS, BATCH, RATE = 64, 120, 128, 0.01
NOISE = 60.0  # 1/mag; the weights of jobs/real.toml
BIN, SMOOTHING, MOMENTUM = 0.1, 2.0, 0.9  # dex; bins; of the running statistics, as published


def stretched(predicted: Floats, label: Floats) -> Callable[[Floats], Floats]:
    stretch = Stretch.of(predicted, label)
    return lambda values: stretch(pd.Series(values)).to_numpy()


def inverted(predicted: Floats, label: Floats) -> Callable[[Floats], Floats]:
    """Invert the line of predictions against labels: no bias against the label, at any price."""
    slope, intercept = np.polyfit(label, predicted, 1)
    return lambda values: (values - intercept) / slope


def matched(predicted: Floats, label: Floats) -> Callable[[Floats], Floats]:
    """Give the predictions the distribution of the labels, quantile by quantile."""
    ranks = np.linspace(0.005, 0.995, 100)
    ours, theirs = np.quantile(predicted, ranks), np.quantile(label, ranks)
    return lambda values: values + np.interp(values, ours, theirs - ours)


def isotonic(predicted: Floats, label: Floats) -> Callable[[Floats], Floats]:
    """Regress labels on predictions, without a form: it mends what is wrong at a prediction."""
    found: Callable[[Floats], Floats] = (
        IsotonicRegression(out_of_bounds="clip").fit(predicted, label).predict
    )
    return found


CORRECTIONS = {
    "stretched on either side of the mean": stretched,
    "line of predictions on labels, inverted": inverted,
    "distribution of the labels": matched,
    "isotonic, labels on predictions": isotonic,
}


def cross_fitted(correction: Callable, predicted: Floats, label: Floats, fold: Floats) -> Floats:
    """Correct each fold by what the others say."""
    found = np.empty_like(predicted)
    for held_out in np.unique(fold):
        own = fold == held_out
        found[own] = correction(predicted[~own], label[~own])(predicted[own])
    return found


def forward(weights: list, x: jnp.ndarray, recolour: Callable = lambda z: z) -> jnp.ndarray:
    (w1, b1), (w2, b2), (w3, b3) = weights
    features = jax.nn.silu(jax.nn.silu(x @ w1 + b1) @ w2 + b2)
    return (recolour(features) @ w3 + b3)[:, 0]


def features_of(weights: list, x: jnp.ndarray) -> jnp.ndarray:
    (w1, b1), (w2, b2), _ = weights
    return jax.nn.silu(jax.nn.silu(x @ w1 + b1) @ w2 + b2)


def loss(weights, x, y, weight, before, after):
    (m0, s0), (m1, s1) = before, after
    predicted = forward(weights, x, lambda z: (z - m0) / s0 * s1 + m1)
    return jnp.mean(weight * (predicted - y) ** 2)


@jax.jit
def step(weights, moments, number, rate, x, y, weight, before, after):
    gradient = jax.grad(loss)(weights, x, y, weight, before, after)

    def adam(w, m, v, g):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        return w - rate * (m / (1 - 0.9**number)) / (jnp.sqrt(v / (1 - 0.999**number)) + 1e-7), m, v

    leaves, tree = jax.tree.flatten(weights)
    first, second = (jax.tree.leaves(part) for part in moments)
    slopes = jax.tree.leaves(gradient)
    new = [adam(*four) for four in zip(leaves, first, second, slopes, strict=True)]
    unflat = [jax.tree.unflatten(tree, [n[i] for n in new]) for i in range(3)]
    return unflat[0], (unflat[1], unflat[2])


def fitted(x: Floats, y: Floats, weight: Floats, label: Floats, seed: int, *, fds: bool):
    """Fit the network with one cycle of the learning rate; return its weights."""
    rng = np.random.default_rng(seed)
    sizes = [x.shape[1], UNITS, UNITS, 1]
    weights = [
        (jnp.array(rng.uniform(-1, 1, (a, b)) * np.sqrt(6 / (a + b)), jnp.float32), jnp.zeros(b))
        for a, b in pairwise(sizes)
    ]
    moments = tuple(jax.tree.map(jnp.zeros_like, weights) for _ in range(2))
    which = np.clip(((label + 3.0) / BIN).astype(int), 0, 39)
    mean, scale = np.zeros((40, UNITS)), np.ones((40, UNITS))
    smooth_mean, smooth_scale = mean.copy(), scale.copy()
    total, number = EPOCHS * (len(x) // BATCH), 0
    for epoch in range(EPOCHS):
        order = rng.permutation(len(x))
        for rows in np.split(order[: len(x) // BATCH * BATCH], len(x) // BATCH):
            part = number / total
            rise = RATE * (1 / 25 + (1 - 1 / 25) * part / 0.15)
            fall = 0.5 * RATE * (1 + np.cos(np.pi * (part - 0.15) / 0.85))
            number += 1
            bins = which[rows]
            weights, moments = step(
                weights, moments, number, rise if part < 0.15 else fall,
                x[rows], y[rows], weight[rows], (mean[bins], scale[bins]),
                (smooth_mean[bins], smooth_scale[bins]),
            )  # fmt: skip
        if fds:
            features = np.asarray(features_of(weights, x), np.float64)
            counts = np.bincount(which, minlength=40)[:, None]
            kept = 0.0 if epoch == 0 else MOMENTUM
            for b in np.flatnonzero(counts[:, 0] > 1):
                mean[b] = kept * mean[b] + (1 - kept) * features[which == b].mean(axis=0)
                spread = features[which == b].std(axis=0) + 1e-3
                scale[b] = kept * scale[b] + (1 - kept) * spread
            filled = counts > 1
            there = gaussian_filter1d(filled.astype(float), SMOOTHING, axis=0) + 1e-9
            smooth_mean, smooth_scale = (
                np.where(filled, gaussian_filter1d(v * filled, SMOOTHING, axis=0) / there, v)
                for v in (mean, scale)
            )
            smooth_scale = scale * np.clip(smooth_scale / scale, np.sqrt(0.1), np.sqrt(10))
    return weights


def network(shape: Floats, label: Floats, fold: Floats, strength: float, *, fds: bool) -> Floats:
    """Return out-of-fold predictions of the small network."""
    log_noise = shape[:, SHAPE_COLUMNS.index("log_noise")]
    predicted = np.empty(len(label))
    for held_out in np.unique(fold):
        own = fold == held_out
        rows = np.flatnonzero(~own)
        centre, unit = shape[rows].mean(axis=0), shape[rows].std(axis=0)
        middle, spread = label[rows].mean(), label[rows].std()
        weight = density_weights(label[rows], np.full(len(rows), np.nan), strength=strength)
        weight = weight * noise_weights(np.exp(log_noise[rows]), NOISE)
        x = ((shape - centre) / unit).astype(np.float32)
        y = ((label[rows] - middle) / spread).astype(np.float32)
        weight = (weight / weight.mean()).astype(np.float32)
        weights = fitted(x[rows], y, weight, label[rows], int(held_out), fds=fds)
        predicted[own] = np.asarray(forward(weights, x[own])) * spread + middle
    return predicted


def row(name: str, label: Floats, predicted: Floats) -> str:
    found = scores(label, predicted, np.ones(len(label)))
    biases = " | ".join(f"{b['bias']:+.3f}".replace("-", "−") for b in found["bins"])
    return f"| {name} | {found['rmse']:.4f} | {found['mae']:.4f} | {biases} |"


def main() -> None:
    """Print the table."""
    command_line = argparse.ArgumentParser(description=__doc__)
    command_line.add_argument("model", type=Path)
    model = command_line.parse_args().model
    stars = pd.read_parquet(model / OUT_OF_FOLD)
    label, fold = stars["feh"].to_numpy(), stars["fold_0"].to_numpy()
    bins = "below −2 | −2 to −1.5 | −1.5 to −1 | −1 to −0.5 | above −0.5"
    print(f"| predictor | RMSE | MAE | {bins} |\n|---|---:|---:|---:|---:|---:|---:|---:|")
    predicted = stars["predicted"].to_numpy()
    print(row("the model", label, predicted), flush=True)
    for name, correction in CORRECTIONS.items():
        print(row(name, label, cross_fitted(correction, predicted, label, fold)), flush=True)
    shards = [pq.read_table(f, columns=["source_id", "shape"])
              for f in sorted(model.glob("training/*/shards/*.parquet"))]  # fmt: skip
    shape = pd.concat([shard.to_pandas() for shard in shards]).set_index("source_id")["shape"]
    shape = np.stack(shape.loc[stars["source_id"]]).astype(np.float64)
    for name, strength, fds in (
        ("small network", 0.0, False),
        ("small network, FDS", 0.0, True),
        ("small network, LDS (density to 0.5)", 0.5, False),
        ("small network, LDS and FDS", 0.5, True),
    ):
        print(row(name, label, network(shape, label, fold, strength, fds=fds)), flush=True)


if __name__ == "__main__":
    main()
