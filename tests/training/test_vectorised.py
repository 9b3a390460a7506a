"""Training on JAX, in a process of its own: Keras has one backend a process, here TensorFlow."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.skipif(find_spec("jax") is None, reason="jax is not installed")
def test_members_are_fitted_on_jax_as_on_tensorflow(tmp_path):
    compiler = {
        # what runs for a moment is best compiled fast
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    files = [str(HERE / name) for name in ("on_jax.py", "test_fit.py", "test_networks.py")]
    # where the trainer makes a difference; of the networks, which are slow to compile, the one
    # whose kind the other tests do not have
    of_fits = "(influence and shape) or leak_would or all_its_passes or are_missing or diverges"
    chosen = f"on_jax or {of_fits} or mlp"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, *files],
        env=os.environ | compiler | {"KERAS_BACKEND": "jax"},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
