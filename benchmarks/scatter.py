"""Why real stars scatter about their curves, and which limit of it finds metallicities in doubt.

Run as ``python benchmarks/scatter.py MODEL SURVEY`` on a survey of observed stars whose epochs have
errors (README: work/model and work/gaia). No label is needed. Each RRab is predicted twice, from
halves of its visits: every other group of epochs that are less than a day apart. What the two
values differ by is compared with what their noise errors say, in bins of the scatter of all epochs,
and the scatter is tried as a warning of large differences. Quiet stars with many epochs are thinned
out, to see whether few epochs make scatter. And residuals of epochs that are close in time are
compared: photometry does not know the sign of the curve, a star whose amplitude varies does. What
comes out is printed, not recorded.
"""

import argparse
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.inference.model import Model, open_model
from rrl_batch.lightcurve.align import maximum_of_first_harmonic
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.folded import folded
from rrl_batch.lightcurve.residuals import EXTRA_SCATTER, residuals
from rrl_batch.survey.read import open_survey

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MIN_EPOCHS = 12  # of a half; those of jobs/real.toml
LARGE = (0.5, 0.6)  # dex
BINS = (0, 1, 1.5, 2, 3, 4, 6, 30)
LIMITS = np.arange(1.0, 6.01, 0.25)
SHOWN = (2.0, 2.75, 4.0)
QUIET, MANY = 1.3, 60
THINNED = (45, 30, 20)
LAGS = (0, 0.1, 0.3, 2, 10, 20, 40)  # days
SEED = 0


def with_epochs(batch: LightCurveBatch, chosen: Mask) -> LightCurveBatch:
    """Return the same stars with some of their epochs."""
    passed = np.concatenate([[0], np.cumsum(chosen)])
    return LightCurveBatch(
        **vars(batch)
        | {
            "offsets": passed[batch.offsets].astype(np.int64),
            "time": batch.time[chosen],
            "mag": batch.mag[chosen],
            "mag_error": batch.mag_error[chosen],
        }
    )


def spans(offsets: NDArray[np.int64]) -> Iterator[slice]:
    return (slice(*ends) for ends in pairwise(offsets))


def every_other_visit(batch: LightCurveBatch) -> Mask:
    """Return the first half of the epochs of each star, by visits of less than a day."""
    chosen = np.zeros(len(batch.time), bool)
    for own in spans(batch.offsets):
        order = np.argsort(batch.time[own])
        new_visit = np.diff(batch.time[own][order], prepend=-np.inf) > 1.0
        chosen[own][order] = np.cumsum(new_visit) % 2 == 1
    return chosen


def thinned(batch: LightCurveBatch, count: int) -> LightCurveBatch:
    rng = np.random.default_rng(SEED)
    chosen = np.zeros(len(batch.time), bool)
    for own in spans(batch.offsets):
        n_epochs = own.stop - own.start
        chosen[own] = rng.permutation(n_epochs) < count
    return with_epochs(batch, chosen)


def predicted_in_halves(model: Model, batch: LightCurveBatch) -> pd.DataFrame:
    """Return RRab with both halves' values, their difference and its error as they state it."""
    first = every_other_visit(batch)
    whole, one, other = map(
        model.predict, (batch, with_epochs(batch, first), with_epochs(batch, ~first))
    )
    enough = np.minimum(one["num_epochs_used"], other["num_epochs_used"]) >= MIN_EPOCHS
    stars = whole.assign(
        difference=one["feh"] - other["feh"],
        error=np.hypot(one["feh_noise_error"], other["feh_noise_error"]),
    )[enough]
    return stars.dropna(subset=["difference", "residual_scatter"])


def deviations(batch: LightCurveBatch) -> Iterator[tuple[float, Floats, Floats]]:
    """Yield scatter, times, and deviations away from the mean of the curve, in units of errors."""
    stars = folded(batch, "fourier")
    scatter, fourier, epochs = residuals(stars).scatter, stars.fourier, stars.epochs
    orders = np.arange(1, fourier.harmonics.shape[1] + 1)
    # the fit counts phases from another origin
    origin = maximum_of_first_harmonic(fourier.harmonics) - stars.brightest
    for star, own in enumerate(spans(epochs.offsets)):
        angle = 2 * np.pi * np.outer(stars.phase[own] + origin[star], orders)
        curve = (fourier.harmonics[star] * np.exp(1j * angle)).real.sum(axis=1)
        left = epochs.mag[own] - fourier.mean_mag[star] - curve
        error = np.hypot(epochs.mag_error[own], EXTRA_SCATTER) * scatter[star]
        yield scatter[star], epochs.time[own], np.clip(left / error, -6, 6) * np.sign(curve)


def correlations(stars: list[tuple[float, Floats, Floats]]) -> list[float]:
    """Return the mean correlation of the deviations of pairs of epochs, by their distance."""
    lags, products, squares = [], [], []
    for _, time, deviation in stars:
        i, j = np.triu_indices(len(time), 1)
        lags.append(np.abs(time[i] - time[j]))
        products.append(deviation[i] * deviation[j])
        squares.append(deviation**2)
    lag, product = np.concatenate(lags), np.concatenate(products)
    variance = np.concatenate(squares).mean()
    found = pd.Series(product).groupby(np.digitize(lag, LAGS)).mean() / variance
    return [float(found[number]) for number in range(1, len(LAGS))]


def rms(values: pd.Series) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def main() -> None:
    command_line = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    command_line.add_argument("model", type=Path)
    command_line.add_argument("survey", type=Path)
    options = command_line.parse_args()
    model, halves, quiet = open_model(options.model), [], []
    moving: list[tuple[float, Floats, Floats]] = []
    for partition in open_survey(options.survey).partitions:
        for batch in partition.batches():
            own = batch.select((batch.stars["best_classification"] == "RRab").to_numpy())
            stars = predicted_in_halves(model, own)
            halves.append(stars)
            moving += deviations(own)
            still = stars[(stars["num_epochs_used"] >= MANY) & (stars["residual_scatter"] < QUIET)]
            quiet.append(own.select(own.stars["source_id"].isin(still["source_id"]).to_numpy()))

    stars = pd.concat(halves).set_index("source_id")
    difference, pull = stars["difference"], stars["difference"] / stars["error"]
    print(f"{len(stars):,} RRab with {MIN_EPOCHS} epochs in both halves\n")
    print("scatter | stars | error of a half | as stated | scatter of pulls")
    for cut, rows in stars.groupby(
        pd.cut(stars["residual_scatter"], BINS), observed=True
    ).groups.items():
        inner = 1.4826 * pull[rows].abs().median()
        print(f"{cut} | {len(rows):,} | {rms(difference[rows]) / 2**0.5:.3f} | "
              f"{rms(stars['error'][rows]) / 2**0.5:.3f} | {inner:.2f}")  # fmt: skip

    for large in LARGE:
        bad = difference.abs() > large
        scatter = stars["residual_scatter"]
        gain = [(scatter[bad] > x).mean() - (scatter[~bad] > x).mean() for x in LIMITS]
        print(f"\ndifferences above {large} dex: {bad.sum()}; best limit {LIMITS[np.argmax(gain)]}")
        for limit in SHOWN:
            flagged = scatter > limit
            print(f"above {limit}: {flagged.mean():.1%} of the stars, {flagged[bad].mean():.1%} of "
                  f"the large differences; error of a half with "
                  f"{rms(difference[flagged]) / 2**0.5:.3f}, without "
                  f"{rms(difference[~flagged]) / 2**0.5:.3f}")  # fmt: skip

    print(f"\nquiet stars ({sum(len(b.stars) for b in quiet)}), thinned out:")
    for count in THINNED:
        found = np.concatenate(
            [residuals(folded(thinned(batch, count), "fourier")).scatter for batch in quiet]
        )
        print(f"{count} epochs: median {np.median(found):.2f}, above 2 {(found > 2).mean():.1%}")

    print("\ncorrelation of deviations by days between epochs", *LAGS)
    for low, high in ((0, 1.3), (2, 3), (3, 30)):
        some = [star for star in moving if low <= star[0] < high]
        print(f"scatter {low} to {high}:", *(f"{value:+.2f}" for value in correlations(some)))


if __name__ == "__main__":
    main()
