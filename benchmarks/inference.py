"""Time the fused recurrent kernel against Keras `predict` and ONNX Runtime on the paper's GRU.

Run as ``python benchmarks/inference.py``. ONNX Runtime is no dependency: where `onnx` and
`onnxruntime` are not installed, its rows say so.
"""

import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import keras
import numba
import numpy as np
import numpy.typing as npt
from machine import gru_operations, matrix_product_rate
from record import parser, record

from rrl_batch.inference.fused import FusedEnsemble
from rrl_batch.lightcurve.inputs import Inputs
from rrl_batch.models.recurrent import UNITS
from rrl_batch.models.registry import build

N_POINTS, N_CHANNELS = 265, 2
N_STARS = 6144
N_COMPARED = 512
MEMBERS = (1, 5)
REPEATS = 4
KERAS_DEFAULT, KERAS_BATCH, ONNX_BATCH = 32, 1024, 32  # the latter two are their fastest here

FloatArray = npt.NDArray[np.float32]
Predict = Callable[[FloatArray], FloatArray]


def curves() -> FloatArray:
    """Simulate RRab-like curves: a sawtooth of four harmonics, and phase times period."""
    rng = np.random.default_rng(2024)
    phase = np.arange(N_POINTS) / N_POINTS
    harmonics = np.arange(1, 5)
    angle = 2 * np.pi * harmonics * (phase + rng.random((N_STARS, 1)))[..., None]
    period = rng.uniform(0.2, 1.0, (N_STARS, 1))
    return np.stack([np.sin(angle) @ (0.35 / harmonics), phase * period], 2).astype(np.float32)


def networks(n_members: int) -> list[keras.Model]:
    """Return members whose weights and biases are all different."""
    members = [build("gru", N_POINTS, masked=False) for _ in range(n_members)]
    rng = np.random.default_rng(1)
    for member in members:
        member.set_weights([w + rng.normal(0.0, 0.1, w.shape) for w in member.get_weights()])
    return members


def keras_engine(members: Sequence[keras.Model], batch: int) -> Predict:
    def predict(sequences: FloatArray) -> FloatArray:
        each = [member.predict(sequences, batch_size=batch, verbose=0) for member in members]
        return np.hstack(each)

    return predict


def curves_alone(sequences: FloatArray) -> Inputs:
    return Inputs(sequences, np.empty((len(sequences), 0), np.float32))


def fused_engine(members: Sequence[keras.Model]) -> Predict:
    with TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number}.weights.h5") for number in range(len(members))]
        for member, path in zip(members, paths, strict=True):
            member.save_weights(path)
        fused = FusedEnsemble.from_files(paths, N_CHANNELS)
    return lambda sequences: fused.predict(curves_alone(sequences))


def onnx_model(network: keras.Model) -> bytes:
    """Write a stack of GRU layers as ONNX: gates z, r, candidate, weights transposed."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [helper.make_node("Transpose", ["curves"], ["steps0"], perm=[1, 0, 2])]
    constants = {"direction": np.array([1], np.int64)}
    *stack, kernel, bias = network.get_weights()
    for number, units in enumerate(UNITS):
        inputs, states, biases = stack[3 * number : 3 * number + 3]
        constants |= {
            f"W{number}": inputs.T[None],
            f"R{number}": states.T[None],
            f"B{number}": biases.reshape(1, -1),
        }
        names = [f"steps{number}", f"W{number}", f"R{number}", f"B{number}"]
        outputs = [f"all{number}", f"last{number}"]
        nodes += [
            helper.make_node("GRU", names, outputs, hidden_size=units, linear_before_reset=1),
            helper.make_node("Squeeze", [outputs[0], "direction"], [f"steps{number + 1}"]),
        ]
    final = f"last{len(UNITS) - 1}"
    constants |= {"kernel": kernel, "bias": bias, "first": np.array([0], np.int64)}
    nodes += [
        helper.make_node("Squeeze", [final, "first"], ["state"]),
        helper.make_node("Gemm", ["state", "kernel", "bias"], ["feh"]),
    ]
    graph = helper.make_graph(
        nodes,
        "gru",
        [helper.make_tensor_value_info("curves", TensorProto.FLOAT, ["n", N_POINTS, N_CHANNELS])],
        [helper.make_tensor_value_info("feh", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(np.ascontiguousarray(a), name) for name, a in constants.items()],
    )
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=9).SerializeToString()


def onnx_engine(members: Sequence[keras.Model]) -> Predict:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = numba.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # on others' time
    sessions = [onnxruntime.InferenceSession(onnx_model(m), options) for m in members]

    def predict(sequences: FloatArray) -> FloatArray:
        cuts = range(0, len(sequences), ONNX_BATCH)
        batches = [sequences[cut : cut + ONNX_BATCH] for cut in cuts]
        each = [
            np.concatenate([session.run(None, {"curves": batch})[0] for batch in batches])
            for session in sessions
        ]
        return np.hstack(each)

    return predict


class Engine(NamedTuple):
    """A way to predict, and the number of stars that its speed is measured on."""

    name: str
    predict: Predict
    n_stars: int = N_STARS


def engines(members: Sequence[keras.Model]) -> list[Engine]:
    """Return the engines that this machine has; Keras at its best first, the kernel last."""
    found = [
        Engine(f"Keras `predict`, batches of {KERAS_BATCH}", keras_engine(members, KERAS_BATCH)),
        Engine(
            f"Keras `predict`, batches of {KERAS_DEFAULT} (default)",
            keras_engine(members, KERAS_DEFAULT),
            N_COMPARED,
        ),
    ]
    if find_spec("onnx") and find_spec("onnxruntime"):
        found.append(Engine(f"ONNX Runtime, batches of {ONNX_BATCH}", onnx_engine(members)))
    return [*found, Engine("fused", fused_engine(members))]


def seconds(works: Sequence[Callable[[], object]]) -> npt.NDArray[np.float64]:
    """Return the shortest elapsed and the least processor time of each, a row of two a work.

    They take turns, so that all meet the same machine. Other programs on it lengthen the elapsed
    time; processor time is that of all threads, and hardly depends on them.
    """
    times = np.full((len(works), 2), np.inf)
    for _ in range(REPEATS):
        for work, least in zip(works, times, strict=True):
            start = time.perf_counter(), time.process_time()
            work()
            end = time.perf_counter(), time.process_time()
            np.minimum(least, np.subtract(end, start), out=least)
    return times


def rows(n_members: int, sequences: FloatArray) -> tuple[list[str], dict[str, float]]:
    """Time all engines on one ensemble; return rows of the table, and ratios."""
    available = engines(networks(n_members))
    # The first call also compiles; then the curves have the shape that is timed.
    predicted = [engine.predict(sequences[: engine.n_stars])[:N_COMPARED] for engine in available]
    times = seconds([lambda e=e: e.predict(sequences[: e.n_stars]) for e in available])
    rates = np.array([[engine.n_stars] for engine in available]) / times
    fastest = matrix_product_rate()
    table, ratios = [], {}
    for engine, rate, values in zip(available, rates, predicted, strict=True):
        difference = np.abs(values - predicted[0]).max()
        elapsed, per_core = rates[-1] / rate
        gflops = 1e-9 * rate[1] * n_members * gru_operations(N_POINTS)
        ratios[f"{n_members}: fused/{engine.name.replace('`', '')}"] = per_core
        table.append(
            f"| {n_members} | {engine.name} | {rate[0]:,.0f} | {elapsed:.1f} | {rate[1]:,.0f} "
            f"| {per_core:.1f} | {difference:.0e} | {gflops:.0f} | {gflops / fastest:.0%} |"
        )
    if not any(engine.name.startswith("ONNX") for engine in available):
        table.append(f"| {n_members} | ONNX Runtime | not installed | | | | | | |")
    ratios[f"{n_members}: fused/matrix product"] = gflops / fastest
    del ratios[f"{n_members}: fused/fused"]
    return table, ratios


def main() -> None:
    """Measure on all cores."""
    options = parser(__doc__).parse_args()
    sequences = curves()
    table = [
        "| members | engine | stars/s | fused is faster × | stars per core and second "
        "| fused is faster × | largest difference from Keras (dex) | GFLOP/s a core "
        "| of numpy's float32 matrix product |",
        "|---:|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    ratios: dict[str, float] = {}
    for n_members in MEMBERS:
        timed, more = rows(n_members, sequences)
        table += timed
        ratios |= more
    record(
        f"Inference with the paper's GRU, {N_POINTS} steps",
        "\n".join(table),
        "python benchmarks/inference.py",
        ratios,
        check=options.check,
    )


if __name__ == "__main__":
    main()
