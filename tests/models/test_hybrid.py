import pytest
from networks import gru, layers_of, lstm, unit

from rrl_batch.models.registry import build


@pytest.mark.parametrize(
    ("architecture", "kind", "layer", "total"),
    [("convgru", "GRU", gru, 270_237), ("convlstm", "LSTM", lstm, 271_349)],
)
@pytest.mark.parametrize("n_points", [264, 265])
def test_recurrent_layers_read_the_pooled_convolutions(architecture, kind, layer, total, n_points):
    network = build(architecture, n_points, masked=False)
    convolutions = unit(8, 2, 128) + unit(5, 128, 256) + unit(3, 256, 128)
    assert network.count_params() == convolutions + layer(128, 8) + layer(8, 4) + 4 + 1 == total
    assert [la.units for la in layers_of(network, kind)] == [8, 4]
    assert layers_of(network, kind)[0].input.shape[1] == (n_points + 1) // 2
    assert [la.rate for la in layers_of(network, "Dropout")] == [0.2, 0.1]
