import numpy as np

from rrl_batch.models.masked_layers import Positions
from rrl_batch.models.registry import build


def dense(inputs, units):
    return inputs * units + units


def test_the_transformer_has_two_blocks_of_attention_and_a_hidden_layer():
    norm = 2 * 32
    block = 4 * dense(32, 32) + dense(32, 64) + dense(64, 32) + 2 * norm
    network = build("transformer", 265, masked=False)
    assert network.count_params() == dense(2, 32) + 2 * block + norm + dense(32, 1) == 17_281


def test_positions_are_the_sines_and_cosines_of_vaswani():
    code = np.asarray(Positions()(np.zeros((1, 300, 6), np.float32)))[0]
    for place in (0, 1, 264):
        for i in range(3):
            angle = place / 10_000 ** (2 * i / 6)
            assert np.allclose(
                code[place, 2 * i : 2 * i + 2], (np.sin(angle), np.cos(angle)), atol=1e-6
            )


def test_the_order_of_steps_matters():
    curves = np.random.default_rng(0).normal(0, 0.5, (3, 16, 2)).astype(np.float32)
    network = build("transformer", 16, masked=False)
    assert np.abs(network(curves) - network(curves[:, ::-1])).max() > 1e-3
