"""Figures of merit are those of their definitions, whatever stars are without a prediction."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rrl_batch.training.metrics import FEH_EDGES, scores

FEH = st.floats(-3, 0.5)
STARS = st.integers(2, 40).flatmap(
    lambda n: st.tuples(
        arrays(float, n, elements=FEH),
        arrays(float, n, elements=FEH | st.just(np.nan)),
        arrays(float, n, elements=st.floats(0.1, 10)),
    )
)


@given(STARS)
def test_scores_are_those_of_their_definitions(
    stars: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    feh, predicted, weights = stars
    found = scores(feh, predicted, weights)
    known = ~np.isnan(predicted)
    assert (found["n"], found["n_without_prediction"]) == (known.sum(), (~known).sum())
    if not known.any():
        return
    error, weight = (predicted - feh)[known], weights[known]
    expected = {
        "rmse": np.sqrt(np.mean(error**2)),
        "mae": np.mean(np.abs(error)),
        "wrmse": np.sqrt(np.sum(weight * error**2) / weight.sum()),
        "wmae": np.sum(weight * np.abs(error)) / weight.sum(),
        "bias": np.mean(error),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    spread = np.sum((feh[known] - feh[known].mean()) ** 2)
    if spread > 1e-6:
        assert found["r2"] == pytest.approx(1 - np.sum(error**2) / spread)


@given(STARS)
def test_bins_hold_every_star_once(stars: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    feh, predicted, weights = stars
    found = scores(feh, predicted, weights)
    if found["n"] == 0:
        return
    assert sum(b["n"] for b in found["bins"]) == found["n"]
    filled = [b for b in found["bins"] if b["n"]]
    assert sum(b["n"] * b["bias"] for b in filled) / found["n"] == pytest.approx(
        found["bias"], abs=1e-12
    )
    assert sum(b["n"] * b["rmse"] ** 2 for b in filled) / found["n"] == pytest.approx(
        found["rmse"] ** 2, abs=1e-12
    )


def test_bins_meet_at_their_edges_and_are_open_at_the_ends() -> None:
    feh = [-9, *FEH_EDGES, 9]
    bins = scores(feh, feh, np.ones(len(feh)))["bins"]
    assert [(b["feh_min"], b["feh_max"], b["n"]) for b in bins] == [
        (None, -2.0, 1), (-2.0, -1.5, 1), (-1.5, -1.0, 1), (-1.0, -0.5, 1), (-0.5, None, 2),
    ]  # fmt: skip


def test_error_of_the_bias_is_that_of_a_mean() -> None:
    found = scores([-1.2, -1.2, -1.2], [-1.1, -1.0, -1.2], [1, 1, 1])["bins"][2]
    assert found["bias"] == pytest.approx(0.1)
    assert found["bias_error"] == pytest.approx(0.1 / np.sqrt(3))


def test_figures_that_too_few_stars_are_there_for_are_none() -> None:
    nothing = scores([-1.0], [np.nan], [1.0])
    assert nothing["n"] == 0
    assert {nothing[name] for name in ("rmse", "mae", "r2", "wrmse", "wmae", "bias")} == {None}
    assert scores([], [], [])["bins"] == []
    one = scores([-1.2], [-1.0], [1.0])
    assert one["rmse"] == pytest.approx(0.2)
    assert one["r2"] is None
    assert one["bins"][2]["bias_error"] is None
    assert one["bins"][0] == {
        "feh_min": None, "feh_max": -2.0, "n": 0, "bias": None, "bias_error": None, "rmse": None,
    }  # fmt: skip
