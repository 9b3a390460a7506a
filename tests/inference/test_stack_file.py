import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import Input, Model, Sequential, layers
from numpy.testing import assert_array_equal

from rrl_batch.errors import UserError
from rrl_batch.inference.fused import FusedEnsemble, pack
from rrl_batch.inference.stack_file import Dense, Direction, RecurrentStack, read_stack
from rrl_batch.models.registry import build

GRU, LSTM, Both = layers.GRU, layers.LSTM, layers.Bidirectional
KINDS = {
    "gru": GRU,
    "lstm": LSTM,
    "bidirectional gru": lambda units, **settings: Both(GRU(units, **settings)),
    "bidirectional lstm": lambda units, **settings: Both(LSTM(units, **settings)),
}


def network_of(kind, units, n_channels=2, name=lambda _: None):
    last = len(units) - 1
    hidden = []
    for number, n in enumerate(units):
        layer = KINDS[kind](n, return_sequences=number < last)
        layer.name = name(number) or layer.name
        hidden += [layer, layers.Dropout(0.2)]
    return Sequential([Input((6, n_channels)), *hidden, layers.Dense(1)])


def randomised(network, seed=0):
    rng = np.random.default_rng(seed)
    network.set_weights([rng.normal(0.0, 0.8, w.shape) for w in network.get_weights()])
    return network


def in_memory(network):
    """Return the weights that Keras has of a stack."""
    recurrent = [layer for layer in network.layers if isinstance(layer, layers.RNN | Both)]
    directions = [
        [layer.forward_layer, layer.backward_layer] if isinstance(layer, Both) else [layer]
        for layer in recurrent
    ]
    return RecurrentStack(
        [[Direction(*direction.get_weights()) for direction in layer] for layer in directions],
        [Dense(*la.get_weights()) for la in network.layers if isinstance(la, layers.Dense)],
    )


def assert_same(stack, expected):
    for read, layer in zip(stack.layers, expected.layers, strict=True):
        for ours, theirs in zip(read, layer, strict=True):
            for array, other in zip(ours, theirs, strict=True):
                assert_array_equal(array, other, strict=True)
    for ours, theirs in zip(stack.head, expected.head, strict=True):
        for array, other in zip(ours, theirs, strict=True):
            assert_array_equal(array, other, strict=True)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(list(KINDS)),
    units=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    n_channels=st.integers(1, 3),
    n_members=st.integers(1, 3),
)
def test_files_hold_what_the_networks_hold_to_the_last_bit(
    tmp_path, kind, units, n_channels, n_members
):
    networks = [randomised(network_of(kind, units, n_channels), n) for n in range(n_members)]
    paths = [tmp_path / f"{number}.weights.h5" for number in range(n_members)]
    for network, path in zip(networks, paths, strict=True):
        network.save_weights(path)
        assert_same(read_stack(path, n_channels), in_memory(network))
    fused = FusedEnsemble.from_files(paths, n_channels)
    packed = [pack(in_memory(network)) for network in networks]
    assert_array_equal(fused.runs, packed[0][0])
    assert_array_equal(fused.weights, np.stack([weights for _, weights in packed]), strict=True)


@pytest.mark.parametrize("kind", ["gru", "bidirectional lstm"])
@pytest.mark.parametrize(
    "name",
    [lambda _: None, lambda number: "kjihgfedcbal"[number], lambda number: f"gru_{11 - number}"],
    ids=["names of Keras", "names of another order", "names that mislead"],
)
def test_layers_come_in_the_order_of_the_network_whatever_their_names(kind, name, tmp_path):
    network = randomised(network_of(kind, [3] * 12, name=name))
    network.save_weights(tmp_path / "deep.weights.h5")
    assert_same(read_stack(tmp_path / "deep.weights.h5", 2), in_memory(network))


def test_what_the_optimiser_leaves_in_the_file_is_passed_over(tmp_path):
    network = build("gru", 8, masked=False, seed=1)
    network.compile("adam", "mse")
    network.optimizer.build(network.trainable_variables)
    network.save_weights(tmp_path / "fitted.weights.h5")
    with h5py.File(tmp_path / "fitted.weights.h5") as file:
        assert len(file["optimizer/vars"]) > 2
    assert_same(read_stack(tmp_path / "fitted.weights.h5", 2), in_memory(network))


@pytest.mark.parametrize("kind", ["gru", "bilstm"])
@pytest.mark.parametrize("n_static", [1, 16])
def test_a_hidden_layer_that_takes_static_inputs_is_read(kind, n_static, tmp_path):
    network = randomised(build(kind, 6, masked=False, n_static=n_static))
    path = tmp_path / "member.weights.h5"
    network.save_weights(path)
    assert_same(read_stack(path, 2, n_static), in_memory(network))
    for other in {0, 1, 2, 16} - {n_static}:
        with pytest.raises(UserError, match=r"member\.weights\.h5 does not hold .*; train again"):
            read_stack(path, 2, other)


def sequential(*hidden, units=1):
    return Sequential([Input((6, 2)), *hidden, layers.Dense(units)])


def branched():
    curve = Input((6, 2))
    return Model(curve, layers.Dense(1)(layers.Add()([GRU(3)(curve), GRU(3)(curve)])))


OTHER_NETWORKS = {
    "masked": lambda: build("gru", 6, masked=True),
    "convolution": lambda: sequential(layers.Conv1D(4, 3), GRU(3)),
    "no recurrent layer": lambda: sequential(layers.Flatten()),
    "only an output": sequential,
    "two outputs": lambda: sequential(GRU(3), units=2),
    "dense in between": lambda: sequential(GRU(3), layers.Dense(4)),
    "kinds whose order is not in the file": lambda: sequential(
        GRU(3, return_sequences=True), LSTM(3)
    ),
    "reset before": lambda: sequential(GRU(3, reset_after=False)),
    "without biases": lambda: sequential(GRU(3, use_bias=False)),
    "double precision": lambda: sequential(GRU(3, dtype="float64")),
    "sum of directions": lambda: sequential(Both(GRU(3), merge_mode="sum")),
    "other channels": lambda: network_of("gru", [3], n_channels=3),
    "branched": branched,
}


@pytest.mark.parametrize("name", OTHER_NETWORKS)
def test_a_network_that_is_no_recurrent_stack_is_refused(name, tmp_path):
    path = tmp_path / "member.weights.h5"
    OTHER_NETWORKS[name]().save_weights(path)
    with pytest.raises(UserError, match=r"member\.weights\.h5 does not hold .*; train again\.$"):
        read_stack(path, 2)


@pytest.fixture
def path(tmp_path):
    """File of a stack of two layers."""
    network = randomised(network_of("gru", [3, 2]))
    network.save_weights(tmp_path / "member.weights.h5")
    return tmp_path / "member.weights.h5"


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_refused(path, part):
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(UserError, match=r"member\.weights\.h5 does not hold"):
        read_stack(path, 2)


def test_a_file_of_another_format_is_refused(path):
    path.write_text("weights")
    with pytest.raises(UserError, match=r"member\.weights\.h5 does not hold"):
        read_stack(path, 2)


ARRAY = "layers/gru_1/cell/vars/0"


def refuses(path, change):
    with h5py.File(path, "r+") as file:
        del file[ARRAY]
        change(file)
    with pytest.raises(UserError, match=r"member\.weights\.h5 does not hold"):
        read_stack(path, 2)
    return True


OTHER_ARRAYS = {
    "a number": {"data": np.float32(1.0)},
    "text": {"data": "text"},
    "in double precision": {"data": np.zeros((3, 6))},
    "transposed": {"data": np.zeros((6, 3), np.float32)},
    "of three axes": {"data": np.zeros((3, 6, 1), np.float32)},
    "empty": {"shape": (0, 6), "dtype": "f4"},
    "never written": {"shape": (3, 6), "dtype": "f4"},
    "larger than the file": {"shape": (3, 10**12), "dtype": "f4"},
}


@pytest.mark.parametrize("name", OTHER_ARRAYS)
def test_an_array_of_another_kind_is_refused(name, path):
    assert refuses(path, lambda file: file.create_dataset(ARRAY, **OTHER_ARRAYS[name]))


def test_an_array_that_is_missing_or_a_group_is_refused(path):
    assert refuses(path, lambda file: file.create_group(ARRAY))
    assert refuses(path, lambda _: None)


def test_an_array_of_another_file_which_no_checksum_is_of_is_refused(path):
    other, plain = path.with_name("other.h5"), path.with_name("plain")
    array = np.zeros((3, 6), np.float32)
    with h5py.File(other, "w") as file:
        file[ARRAY] = array
    plain.write_bytes(array.tobytes())
    layout = h5py.VirtualLayout(array.shape, np.float32)
    layout[:] = h5py.VirtualSource(other, ARRAY, array.shape)
    external = [(str(plain), 0, array.nbytes)]
    assert refuses(path, lambda f: f.create_virtual_dataset(ARRAY, layout))
    assert refuses(path, lambda f: f.create_dataset(ARRAY, array.shape, "f4", external=external))
    assert refuses(path, lambda f: f.update({ARRAY: h5py.ExternalLink(str(other), ARRAY)}))


@pytest.mark.parametrize("name", ["layers", "layers/gru/cell/vars", "layers/dense/vars"])
def test_a_group_that_is_missing_or_something_else_is_refused(name, path):
    with h5py.File(path, "r+") as file:
        del file[name]
    with pytest.raises(UserError, match=r"member\.weights\.h5 does not hold"):
        read_stack(path, 2)
    with h5py.File(path, "r+") as file:
        file[name] = np.zeros(3)
    with pytest.raises(UserError, match=r"member\.weights\.h5 does not hold"):
        read_stack(path, 2)


def test_a_gap_in_the_numbers_of_layers_is_refused(path):
    with h5py.File(path, "r+") as file:
        file.move("layers/gru_1", "layers/gru_2")
    with pytest.raises(UserError, match=r"it has the layers .*gru_2"):
        read_stack(path, 2)
