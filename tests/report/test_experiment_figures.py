"""The figures of an experiment show its tables: every case, every bin, every fold."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from experiments import CASES, FOLDS, REPEATS, RIVAL, write_experiment
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from numpy.testing import assert_allclose
from PIL import Image

from rrl_batch.experiment.folder import Experiment, read_experiment
from rrl_batch.experiment.tables import opponents, tables, weights_of
from rrl_batch.lightcurve.drawn import DrawnCurve
from rrl_batch.report import experiment_figures as figures
from rrl_batch.report.drawing import save
from rrl_batch.report.method_figures import light_curves


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return read_experiment(write_experiment(tmp_path_factory.mktemp("experiment")))


@pytest.fixture(scope="module")
def found(experiment: Experiment) -> dict[str, pd.DataFrame]:
    return tables(experiment)


@pytest.fixture
def marked(experiment: Experiment) -> dict[str, str]:
    return {**opponents(experiment), "best": "gp"}


def _legend(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def _points(figure: Figure) -> list[np.ndarray]:
    """What each series with intervals is drawn at."""
    return [np.asarray(bars.lines[0].get_xydata()) for bars in figure.axes[0].containers]


def test_cases_are_in_the_order_of_their_rmse(found, marked) -> None:
    figure = figures.score_chart(found["scores"], marked, synthetic=False)
    (axes,) = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    scores = found["scores"].query("of == 'ensemble'").set_index("case")["rmse"]
    assert names == list(scores.sort_values(kind="stable").index)
    assert set(names) == {*CASES, RIVAL}
    assert_allclose(np.concatenate(_points(figure))[:, 0], scores[names])
    assert {"linear (baseline)", "gru (reference)", f"{RIVAL} (rival)"} <= set(_legend(figure))
    assert "gp (best without a network, best)" in _legend(figure)


def test_bias_and_noise_have_a_point_a_bin_and_case(found, marked) -> None:
    for draw, table, column in (
        (figures.bias_chart, "bias", "bias"),
        (figures.noise_chart, "noise", "rmse"),
    ):
        figure = draw(found[table], marked, synthetic=False)
        drawn = dict(zip(_legend(figure), _points(figure), strict=True))
        rows = found[table].set_index("case")[column]
        assert_allclose(drawn["gru (reference)"][:, 1], rows["gru"])
        assert_allclose(drawn[f"{RIVAL} (rival)"][:, 1], rows[RIVAL])
        assert len(drawn) == len(set(marked.values()))


def test_a_learning_curve_has_its_levels(found) -> None:
    levels = {"baseline": ("linear", 0.2), "rival": (RIVAL, 0.18)}
    figure = figures.learning_chart(found["learning"], levels, synthetic=False)
    (points,) = _points(figure)
    assert_allclose(points, found["learning"][["n_training", "rmse"]])
    assert len(_legend(figure)) == 3


def test_every_member_has_a_line_in_each_loss(experiment) -> None:
    of_case = [rows[rows["case"] == "gru"] for rows in (experiment.history, experiment.members)]
    figure = figures.loss_chart(*of_case, synthetic=False)
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 4]
    assert len(lines) == 2 * (FOLDS * REPEATS + 1)
    assert_allclose(lines[0].get_ydata(), [1, 1 / 2, 1 / 3, 1 / 4])
    assert "training stars, median of 6 members" in _legend(figure)


def test_training_and_validation_are_a_row_each(experiment) -> None:
    true = experiment.stars["feh"].to_numpy()
    predicted = experiment.ensemble["gru"].to_numpy(copy=True)
    predicted[:7] = np.nan
    sets = {"Training": (true, true), "Validation": (true, predicted)}
    figure = figures.prediction_chart(sets, synthetic=False)
    assert [axes.get_title() for axes in figure.axes[::2]] == list(sets)
    assert "n = 300\nRMSE = 0.000 dex" in figure.axes[1].texts[0].get_text()
    assert "n = 293\n" in figure.axes[3].texts[0].get_text()
    counts = [sum(bar.get_height() for bar in axes.containers[0]) for axes in figure.axes[::2]]
    assert counts == [300, 293]


def test_weights_are_drawn_at_their_labels(experiment) -> None:
    feh = experiment.stars["feh"].to_numpy()
    figure = figures.label_chart(feh, weights_of(experiment), synthetic=False)
    points = next(c for c in figure.axes[1].collections if isinstance(c, PathCollection))
    assert_allclose(points.get_offsets(), np.stack([feh, weights_of(experiment)], axis=1))


def test_each_star_has_its_epochs_and_curve() -> None:
    stars = pd.DataFrame({"source_id": [7, 8], "period": [0.5, 0.6]})
    grid = np.linspace(0, 1, 5)
    curves = [
        DrawnCurve(np.arange(n) / n, np.full(n, 15.0), np.full(n, np.nan), grid, 15 + grid, grid)
        for n in (4, 5)
    ]
    figure = light_curves(stars, curves, True)
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in shown] == ["7, P = 0.5000 d", "8, P = 0.6000 d"]
    phases = [axes.collections[0].get_offsets()[:, 0] for axes in shown]
    assert_allclose(phases[0], np.arange(4) / 4, atol=1e-6)
    assert_allclose(phases[1], np.arange(5) / 5, atol=1e-6)
    assert_allclose(shown[0].lines[0].get_xydata(), np.stack([grid, 15 + grid], axis=1))
    assert all(axes.yaxis_inverted() for axes in shown)
    assert "SYNTHETIC" in figure.get_suptitle()


def test_names_of_cases_are_not_taken_as_mathematics(found, tmp_path: Path) -> None:
    name = r"$\frac{$_^"
    scores, learning = (found[t].replace("gru", name) for t in ("scores", "learning"))
    for figure in (
        figures.score_chart(scores, {"reference": name}, synthetic=True),
        figures.learning_chart(learning, {"baseline": (name, 0.2)}, synthetic=True),
    ):
        save(figure, tmp_path / "figure.png", synthetic=True)
        assert any(name in text for text in _legend(figure))
        with Image.open(tmp_path / "figure.png") as image:
            assert "SYNTHETIC" in image.info["Comment"]
