"""The diagram of a network shows its layers, their sizes, and what is connected with what."""

import pytest
from matplotlib.patches import FancyBboxPatch

from rrl_batch.models.registry import build
from rrl_batch.report.method_figures import network_diagram


def _texts(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


@pytest.mark.parametrize("masked", [False, True])
def test_layers_follow_each_other_without_those_of_the_mask(masked: bool) -> None:
    network = build("gru", 64, masked=masked)
    figure = network_diagram(network, synthetic=False)
    texts = _texts(figure)
    assert len(texts) == len(network.layers)
    assert "GRU\nstars × 64 × 20, 1,440 parameters" in texts
    assert texts[-1] == "feh · Dense\nstars × 1, 9 parameters"
    assert figure.axes[0].get_title() == "gru: 3,897 parameters"
    boxes = [p for p in figure.axes[0].patches if isinstance(p, FancyBboxPatch)]
    heights = [box.get_y() for box in boxes]
    assert heights == sorted(set(heights))
    arrows = len(figure.axes[0].texts) - len(texts)
    assert arrows == len(network.layers) - 1


def test_shortcuts_pass_beside_the_layers_that_they_leap_over() -> None:
    network = build("transformer", 16, masked=False)
    figure = network_diagram(network, synthetic=False)
    (axes,) = figure.axes
    assert len(axes.lines) == 4  # two in each of two blocks
    right = max(box.get_x() + box.get_width() for box in axes.patches)
    assert all(max(line.get_xdata()) > right for line in axes.lines)
