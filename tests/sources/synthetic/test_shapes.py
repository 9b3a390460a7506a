"""Fourier shapes: the stated relation, the published slopes and the curves themselves."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from rrl_batch.sources.synthetic import photometry, shapes


def _wrap(angle: np.ndarray) -> np.ndarray:
    return (angle + np.pi) % (2.0 * np.pi) - np.pi


def _noiseless(stars: pd.DataFrame, n_phases: int) -> np.ndarray:
    """Magnitudes over one cycle without modulation, (n_stars, n_phases)."""
    steady = stars.assign(sim_blazhko_depth=0.0, sim_blazhko_shift=0.0, sim_second_amplitude=0.0)
    star = np.repeat(np.arange(len(stars)), n_phases)
    phase = np.tile(np.arange(n_phases) / n_phases, len(stars))
    time = steady["epoch_g"].to_numpy()[star] + phase * steady["period"].to_numpy()[star]
    return photometry.noiseless_magnitude(steady, star, time).reshape(len(stars), n_phases)


def test_phi31_of_the_noiseless_curve_follows_the_stated_relation(stars: pd.DataFrame) -> None:
    rrab = stars[stars["best_classification"] == "RRab"].head(500)
    spectrum = np.fft.rfft(_noiseless(rrab, 256))
    phi31 = np.angle(spectrum[:, 3]) - 3.0 * np.angle(spectrum[:, 1])
    excess = rrab["sim_amplitude"] - 0.26
    expected = (
        2.24
        + 2.024 * np.log(rrab["period"] / 0.55)
        + 0.590 * (rrab["sim_feh"] + 1.5)
        - 1.941 * excess
        + 3.852 * excess**2
        + rrab[["sim_shape_0", "sim_shape_1", "sim_shape_2"]] @ np.array([0.064, -0.051, -0.013])
    )
    np.testing.assert_allclose(_wrap(phi31 - expected.to_numpy()), 0.0, atol=1e-6)
    np.testing.assert_allclose(2.0 / 256 * np.abs(spectrum[:, 1]), rrab["sim_amplitude"], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "period_slope", "phi31_slope"),
    # RRab: between Iorio & Belokurov 2021 (-5.08, 0.68) and Mullen et al. 2021 (-7.60, 1.42);
    # RRc: about Iorio & Belokurov 2021 (-9.39, 0.29).
    [("RRab", (-7.6, -5.08), (0.68, 1.42)), ("RRc", (-11.0, -6.0), (0.15, 0.45))],
)
def test_inverse_relation_has_published_slopes(
    stars: pd.DataFrame,
    name: str,
    period_slope: tuple[float, float],
    phi31_slope: tuple[float, float],
) -> None:
    selected = stars[stars["best_classification"] == name]
    series = photometry.fourier_series(selected)
    centre = {"RRab": 2.24, "RRc": 3.53}[name]
    phi31 = centre + _wrap(series.phase[:, 2] - centre)
    features = np.column_stack([selected["period"], phi31])
    fit = LinearRegression().fit(features, selected["feh"])
    assert period_slope[0] < fit.coef_[0] < period_slope[1]
    assert phi31_slope[0] < fit.coef_[1] < phi31_slope[1]
    scatter = np.std(selected["feh"] - fit.predict(features))
    assert 0.12 < scatter < 0.25


def test_metallicity_cannot_be_read_off_exactly(stars: pd.DataFrame) -> None:
    scatter = np.std(stars["feh"] - stars["sim_feh"])
    assert 0.055 < scatter < 0.065


def test_epoch_is_the_time_of_maximum_light(stars: pd.DataFrame) -> None:
    curve = _noiseless(stars.head(300), 512)
    np.testing.assert_allclose(curve[:, 0], curve.min(axis=1), atol=1e-9)
    single = (stars.head(300)["sim_second_amplitude"] == 0).to_numpy()
    np.testing.assert_allclose(
        np.ptp(curve, axis=1)[single], stars.head(300)["peak_to_peak_g"][single], atol=1e-9
    )
    mean_flux = -2.5 * np.log10(np.mean(10.0 ** (-0.4 * curve), axis=1))
    np.testing.assert_allclose(mean_flux, stars.head(300)["int_average_g"], atol=1e-6)


def test_rrab_rise_faster_than_they_fall(stars: pd.DataFrame) -> None:
    curve = _noiseless(stars.head(1_000), 200)
    rise = 1.0 - curve.argmax(axis=1) / 200
    classes = stars.head(1_000)["best_classification"]
    assert 0.10 < np.median(rise[classes == "RRab"]) < 0.25
    assert 0.35 < np.median(rise[classes == "RRc"]) < 0.55


@given(
    amplitude=st.lists(st.floats(0.01, 0.4), min_size=1, max_size=10),
    phase=st.lists(st.floats(-10.0, 10.0), min_size=10, max_size=10),
)
def test_extremes_of_any_series(amplitude: list[float], phase: list[float]) -> None:
    n = len(amplitude)
    series = shapes.FourierSeries(np.array([amplitude]), np.array([phase[:n]]))
    theta = 2.0 * np.pi * np.arange(512) / 512
    curve = sum(a * np.cos((k + 1) * theta + phase[k]) for k, a in enumerate(amplitude))
    found = shapes.extremes(series)
    assert np.isclose(curve[round(found.phase_of_maximum[0] * 512)], np.min(curve))
    assert np.isclose(found.peak_to_peak[0], np.ptp(curve))
    assert np.isclose(found.intensity_mean[0], -2.5 * np.log10(np.mean(10.0 ** (-0.4 * curve))))
