import numpy as np
import pytest
from networks import of
from numpy.testing import assert_allclose

from rrl_batch.inference import by_keras
from rrl_batch.inference.by_keras import KerasEnsemble
from rrl_batch.models.registry import build

N_POINTS = 8


def curves(n_stars):
    rng = np.random.default_rng(n_stars)
    return rng.normal(0.0, 0.4, (n_stars, N_POINTS, 2)).astype(np.float32)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(by_keras, "BATCH_SIZE", 16)


@pytest.fixture(scope="module")
def ensemble():
    return KerasEnsemble([build("gru", N_POINTS, masked=True, seed=seed) for seed in (1, 2)])


@pytest.mark.parametrize("n_stars", [1, 15, 16, 17, 50])
def test_every_member_predicts_as_the_network_itself(ensemble, n_stars):
    predicted = ensemble.predict(of(curves(n_stars)))
    expected = [network(curves(n_stars), training=False) for network in ensemble.networks]
    assert predicted.dtype == np.float32
    assert_allclose(predicted, np.hstack(expected), rtol=0, atol=1e-6)


def test_no_stars_give_no_predictions(ensemble):
    assert ensemble.predict(of(curves(0))).shape == (0, 2)


def test_a_network_is_traced_once_whatever_the_number_of_stars(monkeypatch):
    network = build("gru", N_POINTS, masked=True)
    traced, call = [], network.call
    monkeypatch.setattr(network, "call", lambda *a, **k: traced.append(1) or call(*a, **k))
    for n_stars in (5, 16, 40, 1):
        KerasEnsemble([network]).predict(of(curves(n_stars)))
    assert len(traced) == 1
