import numpy as np
import pytest

from rrl_batch.inference import ensemble
from rrl_batch.inference.ensemble import choose_engine
from rrl_batch.inference.fused import FusedEnsemble
from rrl_batch.models.registry import ARCHITECTURES, build


def is_fused(engine):
    return isinstance(getattr(engine, "__self__", None), FusedEnsemble)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("masked", [False, True])
def test_whichever_engine_serves_a_network_gives_what_keras_gives(architecture, masked):
    networks = [build(architecture, 24, masked=masked, seed=seed) for seed in (1, 2)]
    curves = np.random.default_rng(0).normal(0, 0.4, (200, 24, 2)).astype(np.float32)
    expected = np.concatenate([n.predict(curves, verbose=0) for n in networks], axis=1)
    assert np.allclose(choose_engine(networks)(curves), expected, atol=1e-5)


def test_the_kernel_serves_unmasked_gru_on_a_cpu_only(monkeypatch):
    plain, masked = (build("gru", 24, masked=masked) for masked in (False, True))
    assert is_fused(choose_engine([plain]))
    assert not is_fused(choose_engine([masked]))
    monkeypatch.setattr(ensemble, "_has_gpu", lambda: True)
    assert not is_fused(choose_engine([plain]))
