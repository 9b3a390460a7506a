import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from keras import Input, Model, Sequential, layers
from networks import FUSED, OF_CURVES, of, with_shape

from rrl_batch.errors import UserError
from rrl_batch.inference.by_keras import KerasEnsemble
from rrl_batch.inference.ensemble import Ensemble, choose_engine
from rrl_batch.inference.fused import FusedEnsemble
from rrl_batch.models.folder import Member, ModelCard, Preprocess, save_weights
from rrl_batch.models.registry import arrays_for, build, fit_regressor, n_static_of

N_POINTS = 24


def curves(n_stars=200):
    rng = np.random.default_rng(0)
    return rng.normal(0.0, 0.7, (n_stars, N_POINTS, 2)).astype(np.float32)


def randomised(network, seed=0):
    """Give all weights a spread that drives gates to their ends and back."""
    rng = np.random.default_rng(seed)
    values = [rng.normal(0.0, 0.6, weight.shape) for weight in network.weights]
    variances = [weight.name == "moving_variance" for weight in network.weights]
    network.set_weights(
        [1 + v**2 if is_variance else v for v, is_variance in zip(values, variances, strict=True)]
    )
    return network


def model(folder, architecture, *, masked=False, static="none", seeds=(1, 2)):
    """Write the weights of a model; return its networks and its card."""
    n_static = n_static_of(architecture, static)
    networks = [
        randomised(build(architecture, N_POINTS, masked=masked, n_static=n_static), s)
        for s in seeds
    ]
    files = [f"member_{seed}.weights.h5" for seed in seeds]
    digests = [save_weights(net, folder / file) for net, file in zip(networks, files, strict=True)]
    members = [
        Member(file=file, sha256=digest, architecture=architecture, repeat=0, fold=fold, epochs=1)
        for fold, (file, digest) in enumerate(zip(files, digests, strict=True))
    ]
    preprocess = Preprocess(
        dataset="raw" if masked else "preprocessed",
        alignment="fourier", smoothing="robust", points=N_POINTS,
    )  # fmt: skip
    card = ModelCard.model_construct(
        architecture=(architecture,),
        static=static,
        preprocess=preprocess,
        members=members,
        by_mode=False,
        modes=("RRab",),
    )
    return networks, card


def served(network, folder):
    """Return whether the kernel, from the network's file, predicts what Keras does."""
    path = folder / "member.weights.h5"
    network.save_weights(path)
    expected = np.asarray(network(curves(), training=False))
    try:
        predicted = FusedEnsemble.from_files([path], n_channels=2).predict(of(curves()))
    except UserError:
        return False
    return predicted.shape == expected.shape and np.allclose(predicted, expected, 0, 1e-5)


@pytest.mark.usefixtures("small_networks")
@pytest.mark.parametrize("architecture", OF_CURVES)
def test_the_registry_declares_fused_what_the_kernel_evaluates_as_keras_does(
    architecture, tmp_path
):
    plain, masked = (randomised(build(architecture, N_POINTS, masked=m)) for m in (False, True))
    assert served(plain, tmp_path) == (architecture in FUSED)
    assert not served(masked, tmp_path)


def stack(*hidden, **output):
    return Sequential([Input((N_POINTS, 2)), *hidden, layers.Dense(1, **output)])


def used_twice():
    curve = Input((N_POINTS, 2))
    layer = layers.GRU(2, return_sequences=True)
    return Model(curve, layers.Dense(1)(layers.GRU(2)(layer(layer(curve)))))


GRU, LSTM, Both = layers.GRU, layers.LSTM, layers.Bidirectional
LOOK_ALIKES = {
    "output a step": lambda: stack(GRU(3, return_sequences=True)),
    "output not linear": lambda: stack(GRU(3), activation="tanh"),
    "another activation": lambda: stack(LSTM(3, activation="relu")),
    "another gate": lambda: stack(GRU(3, recurrent_activation="hard_sigmoid")),
    "backwards": lambda: stack(GRU(3, go_backwards=True)),
    "product of directions": lambda: stack(Both(GRU(3), merge_mode="mul")),
    "half precision": lambda: stack(GRU(3, dtype="mixed_bfloat16")),
    "a layer used twice": used_twice,
}


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_a_network_whose_file_looks_like_a_stack_could_not_be_declared_fused(name, tmp_path):
    assert served(randomised(stack(GRU(3))), tmp_path)
    assert not served(randomised(LOOK_ALIKES[name]()), tmp_path)


@pytest.mark.parametrize(
    ("architecture", "masked", "static"),
    [(name, True, "none") for name in OF_CURVES]
    + [(name, False, "none") for name in (*FUSED, "fcn")]
    + [("gru", False, "period"), ("bigru", False, "shape"), ("gru", True, "shape")]
    + [("mlp", False, "none")],
)
@pytest.mark.usefixtures("small_networks")
def test_whichever_engine_serves_a_model_gives_what_keras_gives(
    architecture, masked, static, tmp_path
):
    networks, card = model(tmp_path, architecture, masked=masked, static=static)
    engine = choose_engine(tmp_path, card, architecture)
    fused = architecture in FUSED and not masked
    assert isinstance(engine, FusedEnsemble if fused else KerasEnsemble)
    inputs = with_shape(curves())
    arrays = arrays_for(networks[0], inputs)
    expected = np.hstack([network(arrays, training=False) for network in networks])
    # weights so large make numbers of a convolutional network large too
    assert np.allclose(engine.predict(inputs), expected, rtol=0, atol=1e-5 * max(1, expected.std()))
    assert engine.predict(with_shape(curves(0))).shape == (0, 2)


def regressors(folder, names=("ridge", "svr", "gp")):
    """Write regressors; return them and their members."""
    rng = np.random.default_rng(0)
    shape, feh = rng.normal(size=(60, 16)), rng.normal(size=60)
    fitted = [fit_regressor(name, shape, feh, np.ones(60), seed=0) for name in names]
    members = [
        Member(
            file=f"{name}.npz", sha256=regressor.write(folder / f"{name}.npz"),
            architecture=name, repeat=0, fold=0, epochs=0,
        )
        for name, regressor in zip(names, fitted, strict=True)
    ]  # fmt: skip
    return fitted, members


def test_a_model_of_several_kinds_gives_what_each_of_its_members_gives(tmp_path):
    networks, card = model(tmp_path, "gru", static="period")
    (ridge, gp), others = regressors(tmp_path, ("ridge", "gp"))
    members = [others[0], card.members[0], others[1], card.members[1]]
    kinds = ("gp", "gru", "ridge")
    card = card.model_copy(update={"architecture": kinds, "members": members})
    engines = {name: {"": choose_engine(tmp_path, card, name)} for name in kinds}
    inputs = with_shape(curves())
    modes = np.full(len(inputs.shape), "RRab", object)
    predicted = Ensemble(card, engines, {}, pd.DataFrame()).predict_members(inputs, modes)
    assert list(predicted) == list(kinds)
    assert all(values.dtype == np.float64 for values in predicted.values())
    of_gru = np.hstack([network(arrays_for(network, inputs)) for network in networks])
    assert np.allclose(predicted["gru"], of_gru, rtol=0, atol=1e-5 * max(1, of_gru.std()))
    assert np.array_equal(predicted["gp"], gp.predict(inputs.shape)[:, None])
    assert np.array_equal(predicted["ridge"], ridge.predict(inputs.shape)[:, None])


def test_members_for_a_pulsation_mode_predict_its_stars_and_no_others(tmp_path):
    _, card = model(tmp_path, "gru")
    fitted, members = regressors(tmp_path, ("ridge", "gp"))
    modes = ("RRc", "RRab")
    members = [
        member.model_copy(update={"architecture": "gp", "mode": mode})
        for member, mode in zip(members, modes, strict=True)
    ]
    changed = {"architecture": ("gp",), "members": members, "by_mode": True, "modes": modes}
    card = card.model_copy(update=changed)
    engines = {mode: choose_engine(tmp_path, card, "gp", mode) for mode in card.groups}
    ensemble = Ensemble(card, {"gp": engines}, {}, pd.DataFrame())
    inputs = with_shape(curves())
    mode = np.resize(np.array(["RRab", "RRc", "RRc"], object), len(inputs.shape))
    predicted = ensemble.predict_members(inputs, mode)["gp"]
    for regressor, name in zip(fitted, modes, strict=True):
        expected = regressor.predict(inputs.shape)[:, None]
        assert np.array_equal(predicted[mode == name], expected[mode == name])
    none = ensemble.predict_members(with_shape(curves(0)), mode[:0])["gp"]
    assert none.shape == (0, 1)
    assert ensemble.places("gp").tolist() == [[0, 0]]


def test_a_star_without_shape_parameters_has_no_value_and_the_others_have_theirs(tmp_path):
    _, card = model(tmp_path, "gru")
    _, members = regressors(tmp_path)
    card = card.model_copy(update={"members": members})
    inputs = with_shape(curves())
    clean = [choose_engine(tmp_path, card, m.architecture).predict(inputs) for m in members]
    inputs.shape[7, 3] = np.nan
    spoilt = [choose_engine(tmp_path, card, m.architecture).predict(inputs) for m in members]
    for before, after in zip(clean, spoilt, strict=True):
        assert np.flatnonzero(np.isnan(after)).tolist() == [7]
        assert np.array_equal(np.delete(before, 7, 0), np.delete(after, 7, 0))


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ("gur", "no architecture 'gur'; did you mean 'gru'"),
        ("boosting", "'boosting' serves for comparison only"),
    ],
)
def test_a_card_of_an_architecture_that_no_model_has_is_a_sentence(architecture, message, tmp_path):
    _, card = model(tmp_path, "gru")
    with pytest.raises(UserError, match=message):
        choose_engine(tmp_path, card, architecture)


@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")
@pytest.mark.parametrize("masked", [False, True])
def test_weights_of_another_network_than_the_card_names_are_a_sentence(masked, tmp_path):
    _, card = model(tmp_path, "gru", masked=masked)
    other = Sequential([Input((N_POINTS, 2)), layers.Dense(1)])
    digest = save_weights(other, tmp_path / card.members[0].file)
    members = [card.members[0].model_copy(update={"sha256": digest}), card.members[1]]
    with pytest.raises(UserError, match=r"member_1\.weights\.h5 does not hold .*train again"):
        choose_engine(tmp_path, card.model_copy(update={"members": members}), "gru")


def test_a_process_that_predicts_on_a_cpu_loads_no_framework(run):
    code = (
        "import sys, pathlib, numpy as np\n"
        "from rrl_batch.lightcurve.inputs import Inputs\n"
        "from rrl_batch.inference.ensemble import Ensemble\n"
        "from rrl_batch.inference import predict\n"
        "from rrl_batch.inference.recurrent_kernel import evaluate\n"
        "model = Ensemble.load(pathlib.Path(sys.argv[1]))\n"
        "assert not evaluate.signatures\n"
        "def of(n): return Inputs(np.zeros((n, 16, 2), np.float32), np.zeros((n, 0), np.float32))\n"
        "def modes(n): return np.full(n, 'RRab', object)\n"
        "model.predict_members(of(0), modes(0))\n"
        "compiled = list(evaluate.signatures)\n"
        "assert len(compiled) == 1\n"
        "members = model.predict_members(of(5), modes(5))['gru']\n"
        "assert members.shape == (5, 2) and np.isfinite(members).all()\n"
        "assert list(evaluate.signatures) == compiled\n"
        "print({'keras', 'tensorflow', 'jax', 'torch', 'sklearn'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, run.model],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.strip() == "set()"
