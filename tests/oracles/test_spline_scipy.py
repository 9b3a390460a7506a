from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_allclose
from scipy.interpolate import make_smoothing_spline

from rrl_batch.lightcurve.spline import smooth

N_POINTS = 265
# Rows of those among the first 2,000 stars for which scipy finds other curves than we do.
DIFFERENT = [
    137, 186, 240, 343, 683, 1068, 1216, 1226, 1240, 1256, 1286, 1287, 1654, 1655, 1690, 1698,
    1739, 1765, 1819, 1822, 1897, 1962, 1976,
]  # fmt: skip
SAME = 1e-6  # mag
# scipy searches lambda to an absolute precision of 1e-5 and its criterion carries rounding errors.
LAMBDA_PRECISION = 1e-5
ROUNDING = 1e-7


def scipy_curve(star):
    """Return scipy's curve on the grid, and the lambda it chose.

    The residuals of a smoothing spline are lambda times the jumps of its third derivative.
    """
    phase, mag = star
    spline = make_smoothing_spline(phase, mag)
    third = np.diff(spline.derivative(2)(phase)) / np.diff(phase)
    jumps = np.diff(third, prepend=0.0, append=0.0)
    lam = jumps @ (mag - spline(phase)) / (jumps @ jumps)
    return spline(np.linspace(phase[0], phase[-1], N_POINTS)), lam


def criterion(star, lam):
    """Return the GCV criterion of a natural smoothing spline by dense algebra."""
    phase, mag = star
    n = len(phase)
    h = np.diff(phase)
    differences = np.diff(np.diff(np.eye(n), axis=0) / h[:, None], axis=0)
    gram = np.diag(h[:-1] + h[1:]) / 3 + np.diag(h[1:-1], 1) / 6 + np.diag(h[1:-1], -1) / 6
    system = gram + lam * differences @ differences.T
    rejected = lam * differences.T @ np.linalg.solve(system, differences)
    residual = rejected @ (mag - mag.mean())
    return n * residual @ residual / np.trace(rejected) ** 2


def count_differences(stars, expected):
    """Explain each curve that differs from scipy's by the criterion; return two counts of them.

    The first counts what differs from scipy as it is, the second what still differs from scipy
    given magnitudes less their mean, which in exact arithmetic changes nothing.
    """
    offsets = np.concatenate([[0], np.cumsum([len(phase) for phase, _ in stars])])
    phase, mag = np.concatenate([np.array(star) for star in stars], axis=1)
    ours = smooth(phase, mag, offsets, N_POINTS, "scipy")
    differ = differ_from_centred = 0
    for i, (star, (values, lam)) in enumerate(zip(stars, expected, strict=True)):
        own = ours.smoothing[i]
        at_own = make_smoothing_spline(*star, lam=own)(ours.phase[i])
        assert_allclose(ours.mag[i], at_own, rtol=0, atol=2e-5)
        if np.abs(ours.mag[i] - values).max() <= SAME:
            continue
        differ += 1
        lower = criterion(star, own) <= criterion(star, lam) * (1 + ROUNDING)
        assert lower or abs(own - lam) < LAMBDA_PRECISION
        zero = star[1].mean()
        centred, _ = scipy_curve((star[0], star[1] - zero))
        differ_from_centred += np.abs(ours.mag[i] - zero - centred).max() > SAME
    return differ, differ_from_centred


def test_synthetic_curves():
    rng = np.random.default_rng(7)
    stars = []
    for n_epochs in rng.integers(5, 120, 50):
        phase = np.sort(rng.random(n_epochs))
        shape = 0.4 * np.sin(2 * np.pi * phase) + 0.2 * np.sin(4 * np.pi * phase + 1.0)
        stars.append((phase, 17.0 + shape + rng.normal(0.0, 0.03, n_epochs)))
    _, differ_from_centred = count_differences(stars, [scipy_curve(star) for star in stars])
    assert differ_from_centred <= 1


@pytest.fixture(scope="module")
def real_stars(shared_data: Path):
    """Fold the first 2,000 RRab and RRc stars of the Gaia sample in G; no two phases are equal."""
    folder = shared_data / "gaia_dr3"
    table = pq.read_table(folder / "stars.parquet")
    table = table.filter(pc.is_in(table["best_classification"], pc.cast(["RRab", "RRc"], "string")))
    transits = pq.read_table(
        folder / "epoch_photometry.parquet",
        columns=["source_id", "time", "mag"],
        filters=[
            ("band", "=", "G"),
            ("rejected_by_photometry", "=", False),
            ("rejected_by_variability", "=", False),
        ],
    ).join(table.select(["source_id", "period", "epoch_g"]), "source_id", join_type="inner")
    source_id, time, mag, period, epoch = (
        transits[name].to_numpy() for name in ("source_id", "time", "mag", "period", "epoch_g")
    )
    phase = ((time - epoch) / period) % 1.0
    order = np.lexsort((phase, source_id))
    starts = np.flatnonzero(np.diff(source_id[order])) + 1
    stars = [(phase[own], mag[own].astype(float)) for own in np.split(order, starts)]
    return stars[:2000]


def test_real_curves(real_stars):
    stars = real_stars[::5]
    differ, differ_from_centred = count_differences(stars, [scipy_curve(star) for star in stars])
    assert len(stars) == 400
    assert differ < 0.02 * len(stars)
    assert differ_from_centred == 0


def test_real_curves_that_differ_do_not_once_scipy_is_given_magnitudes_about_their_mean(real_stars):
    stars = [real_stars[row] for row in DIFFERENT]
    _, differ_from_centred = count_differences(stars, [scipy_curve(star) for star in stars])
    assert differ_from_centred == 0
