"""Of the GPUs that a process sees, one is used, and no more of its memory than is needed."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import tensorflow as tf

from rrl_batch.models.device import WITHOUT_GPU, claim_gpu


@pytest.fixture
def asked(monkeypatch):
    """What TensorFlow is asked for, in order."""
    calls = []

    def record(place, name):
        monkeypatch.setattr(place, name, lambda *given: calls.append((name, *given)))

    record(tf.config, "set_visible_devices")
    record(tf.config.experimental, "set_memory_growth")
    record(tf.config.experimental, "enable_tensor_float_32_execution")
    claim_gpu.cache_clear()
    yield calls
    claim_gpu.cache_clear()


def test_of_several_gpus_the_first_is_used_and_its_memory_grows(asked, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: ["GPU:0", "GPU:1"])
    assert claim_gpu()
    assert asked == [
        ("set_visible_devices", ["GPU:0"], "GPU"),
        ("set_memory_growth", "GPU:0", True),
        ("enable_tensor_float_32_execution", False),
    ]
    assert claim_gpu()
    assert len(asked) == 3  # once a process


def test_without_a_gpu_the_cpu_is_used(asked):
    assert not claim_gpu()
    assert asked == [("set_visible_devices", [], "GPU")]


def test_a_process_that_has_used_its_gpus_keeps_what_was_set_then(asked, monkeypatch):
    def too_late(*_):
        raise RuntimeError("Visible devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: ["GPU:0"])
    monkeypatch.setattr(tf.config, "set_visible_devices", too_late)
    assert claim_gpu()
    assert asked == [("enable_tensor_float_32_execution", False)]


@pytest.mark.skipif(find_spec("jax") is None, reason="jax is not installed")
@pytest.mark.parametrize("hidden", [False, True])
def test_jax_is_told_before_it_looks_for_devices(hidden):
    code = (
        "import os\n"
        "from rrl_batch.models.device import claim_gpu\n"
        "assert not claim_gpu()\n"
        "import jax\n"
        "from jaxlib.xla_client import generate_pjrt_gpu_plugin_options\n"
        "assert generate_pjrt_gpu_plugin_options()['preallocate'] is False\n"
        "assert jax.config.values['jax_cuda_visible_devices'] == '0'\n"
        "print(jax.devices()[0].platform)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"KERAS_BACKEND": "jax"} | (WITHOUT_GPU if hidden else {}),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout.strip(), done.returncode) == ("cpu", 0), done.stderr
