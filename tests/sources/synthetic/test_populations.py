"""Classes, metallicities, periods, amplitudes and modulation of the simulated stars."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from rrl_batch.sources.synthetic import populations


@pytest.mark.parametrize("n", [12_000, 270_905])
def test_class_ratio(n: int) -> None:
    classes = populations.draw_classes(n, np.random.default_rng(0))
    for name, count in populations.CLASSES.items():
        assert abs((classes == name).sum() - n * count / 270_905) <= 1.0


def test_metallicities_peak_near_minus_1_6_and_reach_both_tails(stars: pd.DataFrame) -> None:
    feh = stars["feh"].to_numpy()
    count, edge = np.histogram(feh, np.arange(-3.0, 0.31, 0.1))
    peak = edge[count.argmax()] + 0.05
    assert -1.75 < peak < -1.4
    assert 0.001 < np.mean(feh < -2.5) < 0.03
    assert 0.005 < np.mean(feh > -0.5) < 0.10
    assert feh.min() >= -3.0
    assert feh.max() <= 0.2
    mean = stars.groupby("component")["feh"].mean()
    assert mean["smc"] < mean["lmc"] < mean["bulge"]


def _select(stars: pd.DataFrame, name: str) -> pd.DataFrame:
    return stars[stars["best_classification"] == name]


def _excess(stars: pd.DataFrame) -> NDArray[np.float64]:
    """Shift in log period from the Oosterhoff I locus of solitary metallicity -1.5."""
    amplitude = stars["sim_amplitude"].to_numpy()
    fixed = np.full(len(stars), -1.5)
    locus = populations.oosterhoff_locus(fixed, amplitude)
    return np.asarray(np.log10(stars["period"].to_numpy()) - locus)


def test_oosterhoff_dichotomy(stars: pd.DataFrame) -> None:
    rrab = _select(stars, "RRab")
    assert np.corrcoef(np.log10(rrab["period"]), rrab["peak_to_peak_g"])[0, 1] < -0.5
    intermediate = rrab[rrab["feh"].between(-1.7, -1.3)]
    poor = rrab[rrab["feh"] < -2.0]
    # Mean periods of the groups: 0.55 and 0.65 d (Smith 1995, RR Lyrae Stars).
    assert 0.53 < intermediate["period"].mean() < 0.59
    assert 0.61 < poor["period"].mean() < 0.68
    assert np.median(_excess(poor)) - np.median(_excess(intermediate)) > 0.05
    # At one metallicity the two groups overlap: the distribution is skewed to long periods.
    excess = _excess(rrab[rrab["feh"].between(-1.9, -1.6)])
    low, middle, high = np.quantile(excess, [0.05, 0.5, 0.95])
    assert high - middle > 1.2 * (middle - low)


def test_period_ranges(stars: pd.DataFrame) -> None:
    rrab, rrc, rrd = (_select(stars, name) for name in ("RRab", "RRc", "RRd"))
    assert 0.36 <= rrab["period"].min() < rrab["period"].max() < 0.98
    assert 0.20 <= rrc["period"].min() < rrc["period"].max() < 0.46
    assert rrab["peak_to_peak_g"].median() > 1.7 * rrc["peak_to_peak_g"].median()
    assert np.corrcoef(rrc["period"], rrc["feh"])[0, 1] < -0.5
    ratio = rrd["period"] / rrd["sim_second_period"]
    assert ratio.between(0.740, 0.750).all()
    assert (stars.loc[stars["best_classification"] != "RRd", "sim_second_amplitude"] == 0).all()


def test_blazhko_fractions(stars: pd.DataFrame) -> None:
    modulated = (stars["sim_blazhko_depth"] > 0).groupby(stars["best_classification"]).mean()
    assert abs(modulated["RRab"] - 0.35) < 0.02
    assert abs(modulated["RRc"] - 0.07) < 0.015
    assert modulated["RRd"] == 0.0
