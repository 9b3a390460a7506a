"""What Keras computes on: one GPU, of whose memory no more is taken than is needed, or the CPU."""

import os
from contextlib import suppress
from functools import cache

WITHOUT_GPU = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
"""Environment of a process that leaves the GPUs of its host alone.

JAX, told of a driver but of no GPU, raises an error unless it is asked for the CPU alone.
"""


@cache
def claim_gpu() -> bool:
    """Let Keras use the first of the GPUs that this process may see; return whether there is one.

    Left alone, TensorFlow takes all memory of all of them when it is first used, and JAX three
    quarters of it. Here it grows as it is needed, up to that. Single precision stays what it is:
    by default both round the factors of a product to 10 bits on a GPU (TensorFloat-32), and its
    predictions would differ from a CPU's in the third digit.

    A process that has computed with its framework before keeps what was set then.

    References
    ----------
    https://www.tensorflow.org/guide/gpu (limiting GPU memory growth),
    https://docs.jax.dev/en/latest/gpu_memory_allocation.html
    """
    # JAX reads it when it looks for its devices
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import keras

    claim = {"tensorflow": _claim_for_tensorflow, "jax": _claim_for_jax}
    backend = keras.config.backend()
    return backend in claim and claim[backend]()


def _claim_for_tensorflow() -> bool:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")[:1]
    with suppress(RuntimeError):
        tf.config.set_visible_devices(gpus, "GPU")
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    if gpus:
        tf.config.experimental.enable_tensor_float_32_execution(False)
    return bool(gpus)


def _claim_for_jax() -> bool:
    import jax

    # of those that CUDA_VISIBLE_DEVICES names, of which dask-cuda puts a worker's own first
    jax.config.update("jax_cuda_visible_devices", "0")
    has_gpu: bool = jax.default_backend() == "gpu"
    if has_gpu:
        jax.config.update("jax_default_matmul_precision", "highest")
    return has_gpu
