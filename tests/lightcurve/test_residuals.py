"""Residuals of the fold tell wrong periods and modulated stars from others."""

import numpy as np
import pandas as pd
import pytest

from rrl_batch.contracts import STARS, Flag
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.folded import folded
from rrl_batch.lightcurve.prepare import prepare
from rrl_batch.lightcurve.residuals import EXTRA_SCATTER, residuals

N_STARS, N_EPOCHS, PERIOD, ERROR = 60, 45, 0.55, 0.01
HARMONICS = 0.35 * np.array([1.0, 0.5, 0.33, 0.2, 0.1])


def curve(cycles):
    k = np.arange(1, len(HARMONICS) + 1)
    angle = 2 * np.pi * np.multiply.outer(cycles, k) + 0.3 * k
    return (HARMONICS * np.cos(angle)).sum(axis=-1)


def observed(change=None, *, period=PERIOD, mode="RRab", seed=0):
    """Light curves of RRab, 1,000 days long, with the noise that their errors say."""
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(0, 1000, (N_STARS, N_EPOCHS)), axis=1)
    mag = 16 + (change or (lambda t: curve(t / PERIOD)))(time)
    mag += rng.normal(0, np.hypot(ERROR, EXTRA_SCATTER), mag.shape)
    stars = pd.DataFrame(
        {"source_id": np.arange(N_STARS), "best_classification": mode, "period": period,
         "epoch_g": 0.0}
    ).reindex(columns=STARS.names)  # fmt: skip
    return LightCurveBatch(
        stars=stars,
        offsets=np.arange(N_STARS + 1, dtype=np.int64) * N_EPOCHS,
        time=time.ravel(),
        mag=mag.ravel().astype(np.float32),
        mag_error=np.full(mag.size, ERROR, np.float32),
        has_error=np.ones(N_STARS, bool),
        malformed=np.zeros(N_STARS, bool),
    )


def part(batch, flag):
    """The part of some stars that gets a flag."""
    flags = prepare(batch, points=16).table["flags"].to_numpy()
    return np.mean((flags & int(flag)) != 0)


def blazhko(time):
    beat = np.sin(2 * np.pi * time / 43.0)
    return (1 + 0.3 * beat) * curve(time / PERIOD)


def second_mode(time):
    return curve(time / PERIOD) + 0.15 * np.cos(2 * np.pi * time / (PERIOD * 0.7445))


def test_the_scatter_of_stars_that_do_as_their_errors_say_is_one():
    found = residuals(folded(observed(), "fourier"))
    assert np.median(found.scatter) == pytest.approx(1.0, abs=0.05)
    assert np.median(found.relative) == pytest.approx(
        np.hypot(ERROR, EXTRA_SCATTER) / 0.35, rel=0.1
    )
    assert np.median(found.concentration) == pytest.approx(1.0, abs=0.1)


def test_where_phase_0_is_makes_no_difference():
    batch = observed(blazhko)
    for first, second in zip(
        residuals(folded(batch, "fourier")), residuals(folded(batch, "maximum")), strict=True
    ):
        np.testing.assert_allclose(first, second, rtol=1e-6)


@pytest.mark.parametrize("flag", [Flag.EXCESS_SCATTER, Flag.PERIOD_DOUBTFUL, Flag.MODULATED])
def test_stars_with_nothing_wrong_are_not_flagged(flag):
    assert part(observed(), flag) <= 0.02


ONE_A_DAY = 1 / (1 / PERIOD + 1.0027)
DRIFTING = 1 / (1 / PERIOD + 2e-4)  # by 0.2 cycles


@pytest.mark.parametrize(
    ("flag", "batch", "least"),
    [
        (Flag.EXCESS_SCATTER, observed(blazhko), 0.8),
        (Flag.MODULATED, observed(blazhko), 0.6),
        (Flag.EXCESS_SCATTER, observed(second_mode), 0.95),
        (Flag.PERIOD_DOUBTFUL, observed(period=ONE_A_DAY), 0.95),
        (Flag.PERIOD_DOUBTFUL, observed(period=DRIFTING), 0.8),
    ],
)
def test_stars_with_something_wrong_are_flagged(flag, batch, least):
    assert part(batch, flag) >= least


@pytest.mark.parametrize("batch", [observed(second_mode), observed(period=0.48)])
def test_scatter_that_is_everywhere_alike_is_no_modulation(batch):
    assert part(batch, Flag.MODULATED) <= 0.1


def test_the_second_mode_of_an_rrd_makes_its_period_no_more_doubtful():
    batch = observed(lambda time: second_mode(time) * 0.3 + 0.2 * np.cos(2 * np.pi * time / 0.41))
    rrd = LightCurveBatch(**vars(batch) | {"stars": batch.stars.assign(best_classification="RRd")})
    assert part(batch, Flag.PERIOD_DOUBTFUL) > 0.9
    assert part(rrd, Flag.PERIOD_DOUBTFUL) < 0.1
    assert part(rrd, Flag.EXCESS_SCATTER) > 0.9
    assert part(rrd, Flag.DOUBLE_MODE) == 1
    assert part(batch, Flag.DOUBLE_MODE) == 0


def test_an_outlier_is_no_excess_scatter():
    batch = observed()
    mag = batch.mag.copy()
    mag[::N_EPOCHS] += 0.5
    assert part(LightCurveBatch(**vars(batch) | {"mag": mag}), Flag.EXCESS_SCATTER) <= 0.02


def test_stars_without_errors_have_no_expected_scatter_but_may_have_a_doubtful_period():
    batch = observed(period=0.48)
    unknown = LightCurveBatch(**vars(batch) | {"has_error": np.zeros(N_STARS, bool)})
    assert np.isnan(residuals(folded(unknown, "fourier")).scatter).all()
    assert part(unknown, Flag.EXCESS_SCATTER) == part(unknown, Flag.MODULATED) == 0
    assert part(unknown, Flag.PERIOD_DOUBTFUL) > 0.95


def test_epochs_that_were_folded_before_have_no_drift():
    batch = observed()
    before = LightCurveBatch(**vars(batch) | {"time": np.remainder(batch.time, PERIOD)})
    assert (residuals(folded(before, "fourier")).drift == 0).all()


def test_stars_with_too_few_epochs_or_no_noise_are_not_flagged():
    time = np.linspace(0, 30.3, 7)
    few = observed().select(np.arange(N_STARS) == 0)
    few = LightCurveBatch(
        **vars(few) | {
            "offsets": np.array([0, 7]), "time": time, "mag": (16 + curve(time)).astype(np.float32),
            "mag_error": np.full(7, ERROR, np.float32),
        }
    )  # fmt: skip
    assert np.isnan(residuals(folded(few, "fourier"))).all()
    assert part(few, Flag.EXCESS_SCATTER | Flag.PERIOD_DOUBTFUL | Flag.MODULATED) == 0
