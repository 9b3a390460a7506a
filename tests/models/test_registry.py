import random
from functools import cache

import keras
import numpy as np
import pytest
from networks import NETWORKS, OF_CURVES, spread, with_shape

from rrl_batch.errors import UserError
from rrl_batch.models.folder import save_weights
from rrl_batch.models.registry import (
    ARCHITECTURES,
    arrays_for,
    build,
    check_dropout,
    check_model,
    fit_regressor,
    n_static_of,
)

N_POINTS = 8


def made(architecture, *, masked=False, n_static=None, seed=0, **options):
    """Build a network, with shape parameters only if it takes no curve."""
    alone = ARCHITECTURES[architecture].takes == "shape"
    n_static = (16 if alone else 0) if n_static is None else n_static
    return build(architecture, N_POINTS, masked=masked, n_static=n_static, seed=seed, **options)


@cache
def known(architecture):
    """Return a network that no test may change or train; its seed is 3."""
    return made(architecture, seed=3)


def arrays(network):
    curves = np.random.default_rng(1).normal(0, 0.4, (5, N_POINTS, 2)).astype(np.float32)
    return arrays_for(network, with_shape(curves))


def test_there_are_the_networks_of_the_paper_two_more_and_regressors():
    assert set(ARCHITECTURES) == {
        "fcn", "resnet", "inceptiontime", "lstm", "bilstm", "gru", "bigru", "convlstm", "convgru",
        "transformer", "mlp", "ridge", "svr", "gp", "boosting", "linear",
    }  # fmt: skip


@pytest.mark.parametrize("architecture", NETWORKS)
def test_a_seed_gives_the_same_weights_whatever_else_draws(architecture):
    first = known(architecture).get_weights()
    random.random()  # noqa: S311 -- as other threads of a worker do
    again = made(architecture, seed=3).get_weights()
    other = made(architecture, seed=4).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("architecture", NETWORKS)
def test_no_two_layers_start_alike(architecture):
    weights = known(architecture).get_weights()
    kernels = [w for w in weights if w.ndim > 1 and np.unique(w).size > 3]
    starts = [tuple(np.sort(kernel, axis=None)[:4] / kernel.std()) for kernel in kernels]
    assert len(set(starts)) == len(kernels) >= 3


@pytest.mark.parametrize("architecture", NETWORKS)
def test_all_that_draws_at_random_has_a_seed_of_its_own(architecture):
    network = made(architecture, seed=3)
    again = made(architecture, seed=3)
    passes = [np.asarray(n(arrays(n), training=True)) for n in (network, again)]
    assert np.array_equal(*passes)


@pytest.mark.parametrize("architecture", NETWORKS)
def test_the_last_layer_is_linear_and_of_one_unit(architecture):
    *_, last = known(architecture).layers
    assert isinstance(last, keras.layers.Dense)
    assert (last.units, last.activation) == (1, keras.activations.linear)


@pytest.mark.usefixtures("small_networks")
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("architecture", NETWORKS)
def test_weights_come_back_from_their_file(architecture, masked, tmp_path):
    network = spread(made(architecture, masked=masked, seed=1))
    save_weights(network, tmp_path / "member.weights.h5")
    again = made(architecture, masked=masked, seed=2)
    again.load_weights(tmp_path / "member.weights.h5")
    for a, b in zip(network.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(a, b)
    assert np.array_equal(network(arrays(network)), again(arrays(again)))


def test_an_unknown_architecture_names_the_nearest():
    with pytest.raises(UserError, match=r"no architecture 'grv'; did you mean 'gru'\?"):
        build("grv", 16, masked=False)


@pytest.mark.parametrize("architecture", OF_CURVES)
def test_shape_parameters_meet_the_features_of_the_curve_in_a_hidden_layer(architecture):
    alone, beside = known(architecture), made(architecture, n_static=2, seed=3)
    kernel = alone.get_layer("feh").get_weights()[0]
    n_features = len(kernel)
    head, last = beside.get_layer("head"), beside.layers[-1]
    assert head.get_weights()[0].shape == (n_features + 2, 32)
    assert (head.activation, last.activation) == (keras.activations.silu, keras.activations.linear)
    assert [tensor.name for tensor in beside.inputs] == ["curve", "shape"]
    more = (n_features + 2) * 32 + 32 + 32 + 1
    assert beside.count_params() == alone.count_params() - n_features - 1 + more
    # whatever is ahead of the head starts as it does without
    firsts = [
        [w for w in network.get_weights() if w.ndim > 1 and w.shape[0] != n_features + 2]
        for network in (alone, beside)
    ]
    assert all(np.array_equal(a, b) for a, b in zip(*(f[:-1] for f in firsts), strict=True))


@pytest.mark.parametrize("architecture", ["fcn", "mlp"])
def test_a_network_sees_the_shape_parameters_that_it_is_given_and_no_others(architecture):
    n_static = n_static_of(architecture, "period")
    network = spread(made(architecture, n_static=n_static))
    inputs = with_shape(np.zeros((5, N_POINTS, 2), np.float32))
    before = np.asarray(network(arrays_for(network, inputs)))
    for column in range(16):
        changed = inputs._replace(shape=inputs.shape + np.eye(16, dtype="f4")[column])
        same = np.array_equal(network(arrays_for(network, changed)), before)
        assert same == (column >= n_static)


def test_the_period_is_one_shape_parameter_and_kinds_without_a_curve_get_all():
    assert [n_static_of("gru", static) for static in ("none", "period", "shape")] == [0, 1, 16]
    assert {n_static_of(name, "none") for name in ("mlp", "gp", "boosting")} == {16}


def test_the_mlp_has_two_hidden_layers():
    network = known("mlp")
    assert network.count_params() == 16 * 64 + 64 + 64 * 64 + 64 + 64 + 1 == 5313
    assert [tensor.name for tensor in network.inputs] == ["shape"]
    names = [type(layer).__name__ for layer in network.layers]
    assert names == ["InputLayer", "Dense", "Dropout", "Dense", "Dropout", "Dense"]


def dropouts(network):
    return [layer for layer in network.layers if isinstance(layer, keras.layers.Dropout)]


@pytest.mark.parametrize("architecture", NETWORKS)
def test_the_registry_knows_which_networks_have_dropout(architecture):
    assert bool(dropouts(known(architecture))) == ARCHITECTURES[architecture].dropout


@pytest.mark.parametrize("rate", [0.0, 0.35])
@pytest.mark.parametrize("architecture", ["gru", "mlp"])
def test_one_rate_is_that_of_all_layers_of_dropout(architecture, rate, tmp_path):
    network = made(architecture, dropout=rate, seed=3)
    assert {layer.rate for layer in dropouts(network)} == {rate}
    passes = [np.asarray(network(arrays(network), training=training)) for training in (True, False)]
    assert np.array_equal(*passes) == (rate == 0)
    # the published rates make a network that reads the same file
    save_weights(network, tmp_path / "member.weights.h5")
    published = made(architecture)
    published.load_weights(tmp_path / "member.weights.h5")
    assert np.array_equal(network(arrays(network)), published(arrays(published)))


@pytest.mark.parametrize("architecture", ["fcn", "ridge"])
def test_a_rate_for_what_has_no_dropout_names_those_that_have_it(architecture):
    message = rf"'{architecture}' has no dropout; remove model\.dropout, .* lstm, .*gru, .*mlp\."
    with pytest.raises(UserError, match=message):
        check_dropout(architecture, 0.1)
    check_dropout(architecture, None)


def test_a_network_without_dropout_is_not_built_with_it():
    with pytest.raises(UserError, match="'fcn' has no dropout"):
        made("fcn", dropout=0.1)


def test_a_model_cannot_be_made_of_what_serves_for_comparison():
    for name in set(ARCHITECTURES) - {"boosting", "linear"}:
        check_model(name)
    with pytest.raises(UserError, match=r"'boosting' serves for comparison only.*choose from fcn"):
        check_model("boosting")


def test_a_network_is_no_regressor_and_a_regressor_no_network():
    with pytest.raises(ValueError, match="'gru' is no regressor"):
        fit_regressor("gru", np.zeros((2, 16)), np.zeros(2), np.ones(2), 0)
    with pytest.raises(ValueError, match="'gp' is no network"):
        build("gp", 16, masked=False, n_static=16)
