"""The figures show every star that was compared, or say how many they do not show."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.figure import Figure
from PIL import Image

from rrl_batch.report.drawing import save
from rrl_batch.report.figures import distribution, predicted_against_true


def _stars(n: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    feh = rng.normal(-1.4, 0.4, n)
    return pd.DataFrame(
        {
            "feh_label": feh,
            "feh": (feh + rng.normal(0, 0.15, n)).astype(np.float32),
            "feh_baseline": (feh + rng.normal(0, 0.2, n)).astype(np.float32),
        }
    )


def _metrics(n: int, *, synthetic: bool = False, scale: str = "crestani2021") -> dict[str, Any]:
    figures = {"n": n, "rmse": 0.1234 if n else None, "r2": 0.9 if n > 1 else None}
    return {
        "network": figures,
        "baseline": figures,
        "synthetic": synthetic,
        "scale": scale,
        "provenance": {"model": {"architecture": "gru"}},
    }


def _texts(figure: Figure) -> str:
    texts = [t.get_text() for axes in figure.axes for t in axes.texts]
    legends = [t.get_text() for a in figure.axes if a.get_legend() for t in a.get_legend().texts]
    return "\n".join(texts + legends)


def test_panels_share_square_axes_that_hold_every_label() -> None:
    stars = _stars(200)
    network, baseline = predicted_against_true(stars, _metrics(200)).axes
    assert network.get_xlim() == network.get_ylim() == baseline.get_xlim() == baseline.get_ylim()
    assert network.get_xlim()[0] < stars["feh_label"].min()
    assert network.get_xlim()[1] > stars["feh_label"].max()
    for axes, column in ((network, "feh"), (baseline, "feh_baseline")):
        points = next(c for c in axes.collections if isinstance(c, PathCollection)).get_offsets()
        np.testing.assert_allclose(points, stars[["feh_label", column]])


def test_many_stars_are_counted_in_hexagons_on_one_scale() -> None:
    figure = predicted_against_true(_stars(5000), _metrics(5000))
    cells = [
        c for axes in figure.axes[:2] for c in axes.collections if isinstance(c, PolyCollection)
    ]
    assert [int(c.get_array().sum()) for c in cells] == [5000, 5000]
    assert cells[0].norm.vmax == cells[1].norm.vmax == max(c.get_array().max() for c in cells)
    assert figure.axes[2].get_ylabel() == "Stars per hexagon"


def test_medians_are_drawn_where_there_are_stars_enough() -> None:
    stars = _stars(300)
    axes = predicted_against_true(stars, _metrics(300)).axes[0]
    drawn = axes.containers[0].lines[0].get_xydata()
    for centre, median in drawn:
        within = stars[stars["feh_label"].between(centre - 0.125, centre + 0.125)]
        assert len(within) >= 5
        assert median == pytest.approx(within["feh"].median())
    assert len(drawn) >= 4


def test_stars_beyond_the_axes_are_counted() -> None:
    stars = _stars(200)
    stars.loc[:2, "feh_baseline"] = 40.0
    network, baseline = predicted_against_true(stars, _metrics(200)).axes
    assert "beyond" not in network.texts[0].get_text()
    assert "n = 200 (3 beyond the axes)" in baseline.texts[0].get_text()


def test_histograms_are_densities_of_the_stars_within() -> None:
    stars = _stars(2000)
    catalogue = pd.concat([stars["feh"], pd.Series([90.0])], ignore_index=True)
    figure = distribution(catalogue, stars, _metrics(2000))
    (axes,) = figure.axes
    assert "Catalogue, predicted: 2,001 (1 beyond the axes)" in _texts(figure)
    assert len(axes.patches) == 3
    for patch in axes.patches:
        x, y = patch.get_path().vertices.T
        assert abs(np.trapezoid(y, x)) == pytest.approx(1)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_stars_are_drawn_without_a_warning(tmp_path: Path, n: int) -> None:
    stars, metrics = _stars(2)[:n], _metrics(n)
    save(predicted_against_true(stars, metrics), tmp_path / "a.png", synthetic=False)
    save(distribution(stars["feh"], stars, metrics), tmp_path / "b.png", synthetic=False)
    assert f"n = {n}\n" in _texts(predicted_against_true(stars, metrics))


@pytest.mark.parametrize("n", [200, 5000])
def test_simulated_stars_are_labelled_on_the_figure_and_in_the_file(tmp_path: Path, n: int) -> None:
    for draw in (predicted_against_true, lambda s, m: distribution(s["feh"], s, m)):
        for synthetic in (False, True):
            figure = draw(_stars(n), _metrics(n, synthetic=synthetic))
            save(figure, tmp_path / "figure.png", synthetic)
            assert ("SYNTHETIC" in figure.get_suptitle()) == synthetic
            with Image.open(tmp_path / "figure.png") as image:
                assert ("SYNTHETIC" in image.info.get("Comment", "")) == synthetic


def test_name_of_a_scale_is_not_taken_as_mathematics(tmp_path: Path) -> None:
    figure = predicted_against_true(_stars(20), _metrics(20, scale=r"$\frac{$_^"))
    save(figure, tmp_path / "figure.png", synthetic=False)
    assert r"scale $\frac{$_^" in figure.axes[0].get_xlabel()
