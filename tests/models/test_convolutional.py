import numpy as np
import pytest
from networks import convolution, layers_of, normalisation, unit

from rrl_batch.models.registry import build


def shapes(network):
    return [(la.filters, *la.kernel_size) for la in layers_of(network, "MaskedConv1D")]


def test_the_fcn_is_that_of_the_paper():
    network = build("fcn", 265, masked=False)
    assert shapes(network) == [(128, 8), (256, 5), (128, 3)]
    units = unit(8, 2, 128) + unit(5, 128, 256) + unit(3, 256, 128)
    assert network.count_params() == units + 128 + 1 == 266_881


def test_blocks_of_the_resnet_have_64_128_and_128_filters_and_convolutions_as_shortcuts():
    network = build("resnet", 265, masked=False)
    expected, inputs, total = [], 2, 0
    for filters in (64, 128, 128):
        expected += [(filters, kernel) for kernel in (8, 5, 3, 1)]
        total += unit(8, inputs, filters) + unit(5, filters, filters) + unit(3, filters, filters)
        total += unit(1, inputs, filters)
        inputs = filters
    assert shapes(network) == expected
    assert network.count_params() == total + 128 + 1 == 523_777


def test_inceptiontime_has_six_modules_in_two_residual_blocks():
    network = build("inceptiontime", 265, masked=False)
    expected, inputs, total = [], 2, 0
    for number in range(6):
        expected += [(32, kernel) for kernel in (1, 40, 20, 10, 1)]
        total += sum(convolution(kernel, 32, 32, bias=False) for kernel in (40, 20, 10))
        total += 2 * convolution(1, inputs, 32, bias=False) + normalisation(128)
        if number % 3 == 2:
            expected.append((128, 1))
            block = 2 if number == 2 else 128
            total += convolution(1, block, 128, bias=False) + normalisation(128)
        inputs = 128
    assert shapes(network) == expected
    assert network.count_params() == total + 128 + 1 == 492_033


@pytest.mark.usefixtures("small_networks")
def test_a_network_is_used_with_the_statistics_of_its_last_passes():
    """In these the weights hardly change; three thousand stars in four passes are 100 batches."""
    network = build("fcn", 12, masked=False)
    curves = np.random.default_rng(4).normal(0, 0.3, (64, 12, 2)).astype(np.float32)
    for _ in range(100):
        trained = network(curves, training=True)
    trained, used = np.asarray(trained), np.asarray(network(curves, training=False))
    np.testing.assert_allclose(used, trained, rtol=0, atol=0.05 * trained.std())
