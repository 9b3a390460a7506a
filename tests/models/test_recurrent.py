import numpy as np
import pytest
from networks import gru, layers_of, lstm

from rrl_batch.models.recurrent import DROPOUT, PENALTY
from rrl_batch.models.registry import build


@pytest.mark.parametrize(
    ("architecture", "kind", "expected", "total"),
    [
        ("gru", "GRU", [gru(2, 20), gru(20, 16), gru(16, 8)], 3897),
        ("lstm", "LSTM", [lstm(2, 20), lstm(20, 16), lstm(16, 8)], 5017),
        ("bigru", "Bidirectional", [2 * gru(2, 20), 2 * gru(40, 16), 2 * gru(32, 16)], 13281),
        ("bilstm", "Bidirectional", [2 * lstm(2, 20), 2 * lstm(40, 16), 2 * lstm(32, 16)], 17281),
    ],
)
def test_layers_have_the_parameters_of_the_paper(architecture, kind, expected, total):
    network = build(architecture, 265, masked=False)
    assert [layer.count_params() for layer in layers_of(network, kind)] == expected
    (last,) = layers_of(network, "Dense")
    assert network.count_params() == sum(expected) + last.count_params() == total
    rates = [layer.rate for layer in layers_of(network, "Dropout")]
    assert tuple(rates) == DROPOUT == (0.2, 0.2, 0.1)


def cells(network):
    for layer in layers_of(network, "GRU") + layers_of(network, "LSTM"):
        yield layer.cell
    for layer in layers_of(network, "Bidirectional"):
        yield from (layer.forward_layer.cell, layer.backward_layer.cell)


@pytest.mark.parametrize("architecture", ["gru", "lstm", "bigru", "bilstm"])
def test_weights_of_inputs_and_of_states_are_penalised(architecture):
    found = list(cells(build(architecture, 16, masked=False)))
    assert len(found) == (6 if architecture.startswith("bi") else 3)
    ones = np.ones((3, 5), np.float32)
    twice = 2 if architecture == "bilstm" else 4  # of L1, of L2
    for cell in found:
        assert float(cell.recurrent_regularizer(2 * ones)) == pytest.approx(2 * 15 * PENALTY)
        assert float(cell.kernel_regularizer(2 * ones)) == pytest.approx(twice * 15 * PENALTY)


@pytest.mark.parametrize("architecture", ["bigru", "bilstm"])
def test_directions_start_apart(architecture):
    for layer in layers_of(build(architecture, 16, masked=False), "Bidirectional"):
        forward, backward = (d.get_weights() for d in (layer.forward_layer, layer.backward_layer))
        assert not np.allclose(forward[0], backward[0], atol=1e-3)
        assert not np.allclose(forward[1], backward[1], atol=1e-3)
