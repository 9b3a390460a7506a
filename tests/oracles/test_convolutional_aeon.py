"""Convolutional networks against the regressors of aeon, where it is installed.

The test extra does not name aeon: it needs older numba and pandas. Its networks work without.
"""

import numpy as np
import pytest
from networks import layers_of, spread

from rrl_batch.models.registry import build

N_POINTS = 45


@pytest.fixture(scope="module")
def regressors():
    return pytest.importorskip("aeon.regression.deep_learning", reason="aeon is not installed")


@pytest.mark.parametrize(
    ("architecture", "regressor"),
    [
        ("fcn", "FCNRegressor"),
        ("resnet", "ResNetRegressor"),
        ("inceptiontime", "IndividualInceptionRegressor"),
    ],
)
def test_a_network_has_the_layers_of_aeon_and_the_same_output(architecture, regressor, regressors):
    ours = spread(build(architecture, N_POINTS, masked=False))
    theirs = getattr(regressors, regressor)().build_model((N_POINTS, 2))
    assert theirs.count_params() == ours.count_params()
    for kind in ("Conv1D", "BatchNormalization", "Dense"):
        mine = layers_of(ours, "MaskedConv1D" if kind == "Conv1D" else kind)
        for a, b in zip(mine, layers_of(theirs, kind), strict=True):
            first, second = (settings(layer) for layer in (a, b))
            assert first == second
            b.set_weights(a.get_weights())
    curves = np.random.default_rng(0).normal(0, 0.5, (4, N_POINTS, 2)).astype(np.float32)
    expected = np.asarray(theirs(curves))
    assert expected.std() > 1e-3
    np.testing.assert_allclose(ours(curves), expected, rtol=1e-5, atol=1e-6)


def settings(layer):
    """Return what a layer does; its name and the seed of its weights are its own."""
    config = layer.get_config()
    drawn = config.pop("kernel_initializer", {}).get("class_name")
    return {name: value for name, value in config.items() if name != "name"} | {"drawn": drawn}
