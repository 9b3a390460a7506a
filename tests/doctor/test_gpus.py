"""GPUs of hosts that are not here: what is made of what their drivers and Keras say."""

import pytest

from rrl_batch.doctor.gpus import Gpus, _found_by_keras, _judged, _model, _version

PROPRIETARY = """\
NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024
GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)
"""
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (dvs)\n"


@pytest.mark.parametrize(("text", "version"), [
    (PROPRIETARY, "550.54.15"), (OPEN, "570.86.15"), ("", "of unknown version"),
])  # fmt: skip
def test_the_drivers_version_is_read(text, version):
    assert _version(text) == version


def test_the_model_is_read():
    assert _model("Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 42\n") == "NVIDIA H100 80GB HBM3"


@pytest.mark.parametrize(("there", "state", "text"), [
    (Gpus(), "ok", "no NVIDIA driver; networks train on the CPU"),
    (Gpus("550.1", ["H100"], "jax", 1, "", True), "ok", "H100, driver 550.1; 1 found by jax"),
    (Gpus("550.1", ["H100"], "jax", 0, "it sees CPUs only", True), "warning",
     "but jax finds none (it sees CPUs only); install it with its CUDA libraries (pip install"),
    (Gpus("550.1", ["H100"], "jax", 1, "", False), "warning", "pip install 'rrl-batch[cuda]'"),
])  # fmt: skip
def test_what_is_missing_is_said(there, state, text):
    found = _judged("head", there)
    assert found.state == state
    assert found.text.startswith("head: ")
    assert text in found.text


def test_a_backend_that_does_not_load_says_why(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "nonsense")
    found, reason = _found_by_keras()
    assert found == 0
    assert "nonsense" in reason
