"""A network trained on scaled values takes and gives plain ones once its scaling is undone."""

import numpy as np
import pytest
from networks import spread, with_shape

from rrl_batch.models.registry import arrays_for, build
from rrl_batch.models.scaling import undo_scaling

N_POINTS = 8


@pytest.mark.parametrize(
    ("architecture", "n_static"), [("gru", 0), ("gru", 1), ("fcn", 16), ("mlp", 16)]
)
def test_the_network_gives_dex_from_plain_shape_parameters(architecture, n_static):
    network = spread(build(architecture, N_POINTS, masked=False, n_static=n_static))
    rng = np.random.default_rng(1)
    scaled = with_shape(rng.normal(0.0, 0.4, (50, N_POINTS, 2)).astype(np.float32))
    mean, scale = rng.normal(0.0, 2.0, n_static), rng.uniform(0.01, 30.0, n_static)
    constant = n_static - 1
    if n_static > 1:
        scale[constant] = 0.0
        scaled.shape[:, constant] = 0.0
    expected = np.asarray(network(arrays_for(network, scaled))) * 0.4 - 1.5

    undo_scaling(network, mean, scale, -1.5, 0.4)
    plain = scaled.shape.astype(np.float64)
    plain[:, :n_static] = mean + plain[:, :n_static] * scale
    inputs = scaled._replace(shape=plain.astype(np.float32))
    predicted = np.asarray(network(arrays_for(network, inputs)))
    # a mean of many scales leaves fewer digits to the plain parameter itself
    digits = 2e-6 * (1 + np.max(np.abs(mean) / np.where(scale > 0, scale, 1), initial=0))
    np.testing.assert_allclose(predicted, expected, rtol=0, atol=digits)
