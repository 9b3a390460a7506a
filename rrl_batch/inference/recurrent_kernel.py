"""Stacks of GRU and LSTM layers over many curves at once, stars side by side in vector registers.

A block of `LANES` stars goes through the network together. A value of the network (an input, a
unit's state) is a row of `LANES` numbers, so that every operation is one on vectors, without a
horizontal sum and without any dependence of one star on another. For each unit the weighted sums
of its four gates stay in registers from the first input to the new state.

The sigmoid and tanh are quotients of ``E = exp(-x)`` and ``exp(-2 x)``: ``1 / (1 + E)`` and
``(1 - E) / (1 + E)``. Brought to a common denominator, a unit costs two divisions, and a gate that
is nearly closed or open keeps its relative precision, which the state needs to survive hundreds of
steps. Weights come multiplied by `SIGMOID` or `TANH`, so that the exponentials are powers of two.

Everything is here in one file because numba's cache on disk knows when this file changes, but not
when one that it imports from does.

References
----------
Cho K. et al. 2014, EMNLP, 1724 (GRU). Hochreiter S. & Schmidhuber J. 1997, Neural Computation 9,
1735 (LSTM). Schuster M. & Paliwal K. 1997, IEEE Trans. Signal Process. 45, 2673 (bidirectional).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import binding, ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

Float32Array = npt.NDArray[np.float32]

# LLVM cuts vectors that are wider than the processor's, so the width is a matter of speed alone.
WIDTH = 16 if binding.get_host_cpu_features().get("avx512f") else 8
# Four sums of three vectors hide the latency of the multiply-add; a fourth vector gains nothing
# with 32 registers (AVX-512) and costs 20 % with 16 (AVX2).
VECTORS = 3
LANES = WIDTH * VECTORS

SIGMOID = -1.0 / math.log(2.0)
TANH = -2.0 / math.log(2.0)

RUN = np.dtype(
    [
        ("is_lstm", np.bool_),
        ("backward", np.bool_),  # from the last step to the first
        ("layer", np.int64),  # number of its layer
        ("n_inputs", np.int64),
        ("n_units", np.int64),
        ("width", np.int64),  # units of the layer, both directions together
        ("first_row", np.int64),  # of its units among those of the layer
        ("weights", np.int64),  # where its weights begin
    ]
)
"""One layer in one direction.

Its weights are those of its units, one unit after the other: the biases of the four sums; for each
input, the weights of the gates that take it in; for each unit of the layer and direction, the
weights of the gates that take in its state. The sums of an LSTM are the gates i, f, c, o, all of
which take in both. Those of a GRU are z, r and the two parts of the candidate, from the input (all
but the last take that in) and from the state (all but the third).
"""

GRU_INPUT, GRU_STATE = (0, 1, 2), (0, 1, 3)
LSTM_BOTH = (0, 1, 2, 3)

_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, WIDTH)
_INT32 = ir.IntType(32)
_INT32_VECTOR = ir.VectorType(_INT32, WIDTH)
_INT64 = ir.IntType(64)

# 2^x on [-1/2, 1/2]; the largest relative error is 2e-9 (minimax), with rounding 8e-8.
_EXP2 = (
    1.0,
    0.69314718,
    0.24022646,
    0.055503286,
    0.0096184891,
    0.0013399931,
    0.00015345813,
)
# A product of three (1 + 2^x) is still finite, and 2^-40 is nothing beside 1.
_LARGEST_EXPONENT = 40.0
# Added to x, it leaves round(x) plus the exponent's bias in the last bits.
_ROUND = 1.5 * 2.0**23 + 127.0
_MANTISSA_BITS = 23


@dataclass(frozen=True)
class _Vector:
    """A value of `WIDTH` stars; an operation on it emits the LLVM instruction."""

    builder: ir.IRBuilder
    value: ir.Value

    @staticmethod
    def constant(builder: ir.IRBuilder, number: float) -> "_Vector":
        rounded = float(np.float32(number))
        return _Vector(builder, ir.Constant(_VECTOR, [rounded] * WIDTH))

    @staticmethod
    def load(builder: ir.IRBuilder, data: ir.Value, at: ir.Value) -> "_Vector":
        pointer = builder.bitcast(builder.gep(data, [at]), _VECTOR.as_pointer())
        return _Vector(builder, builder.load(pointer, align=4))

    @staticmethod
    def broadcast(builder: ir.IRBuilder, data: ir.Value, at: ir.Value) -> "_Vector":
        number = builder.load(builder.gep(data, [at]))
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        first = builder.insert_element(undefined, number, _INT32(0))
        everywhere = ir.Constant(_INT32_VECTOR, [0] * WIDTH)
        return _Vector(builder, builder.shuffle_vector(first, undefined, everywhere))

    def store(self, data: ir.Value, at: ir.Value) -> None:
        pointer = self.builder.bitcast(self.builder.gep(data, [at]), _VECTOR.as_pointer())
        self.builder.store(self.value, pointer, align=4)

    def _with(self, value: ir.Value) -> "_Vector":
        return _Vector(self.builder, value)

    def __add__(self, other: "_Vector") -> "_Vector":
        return self._with(self.builder.fadd(self.value, other.value))

    def __sub__(self, other: "_Vector") -> "_Vector":
        return self._with(self.builder.fsub(self.value, other.value))

    def __mul__(self, other: "_Vector") -> "_Vector":
        return self._with(self.builder.fmul(self.value, other.value))

    def __truediv__(self, other: "_Vector") -> "_Vector":
        return self._with(self.builder.fdiv(self.value, other.value))

    def times_plus(self, factor: "_Vector", summand: "_Vector") -> "_Vector":
        """Multiply and add, rounding once where the processor can."""
        signature = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        name = f"llvm.fmuladd.v{WIDTH}f32"
        function = cgutils.get_or_insert_function(self.builder.module, signature, name)
        arguments = [self.value, factor.value, summand.value]
        return self._with(self.builder.call(function, arguments))

    def clamp(self, limit: float) -> "_Vector":
        """Limit the absolute value; NaN, for which no comparison holds, stays NaN."""
        value = self.value
        for comparison, bound in (("<", limit), (">", -limit)):
            constant = self.constant(self.builder, bound).value
            beyond = self.builder.fcmp_ordered(comparison, constant, value)
            value = self.builder.select(beyond, constant, value)
        return self._with(value)

    def exp2(self) -> "_Vector":
        """Return 2 to the power of this: a polynomial of the fraction, scaled by the integer."""
        exponent = self.clamp(_LARGEST_EXPONENT)
        rounding = self.constant(self.builder, _ROUND)
        shifted = exponent + rounding
        fraction = exponent - (shifted - rounding)
        power = self.constant(self.builder, _EXP2[-1])
        for coefficient in reversed(_EXP2[:-1]):
            power = power.times_plus(fraction, self.constant(self.builder, coefficient))
        bits = self.builder.bitcast(shifted.value, _INT32_VECTOR)
        shift = ir.Constant(_INT32_VECTOR, [_MANTISSA_BITS] * WIDTH)
        scale = self.builder.bitcast(self.builder.shl(bits, shift), _VECTOR)
        return power * self._with(scale)


class _Unit:
    """Emits what the units of GRU and LSTM have in common, from the arguments of an intrinsic."""

    def __init__(self, context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> None:
        weights, self.weights_at, work, self.x, self.n_inputs = args[:5]
        self.before, self.n_units, unit, after = args[5:9]
        self.builder = builder
        self.weights = context.make_array(signature.args[0])(context, builder, weights).data
        self.work = context.make_array(signature.args[2])(context, builder, work).data
        self.own = builder.mul(unit, _INT64(LANES))
        self.after = after

    def row(self, first: ir.Value, vector: int) -> ir.Value:
        """Return where a vector of this unit's row is, after the first row of its layer."""
        return self.builder.add(self.builder.add(first, self.own), _INT64(vector * WIDTH))

    def load(self, first: ir.Value, vector: int) -> _Vector:
        return _Vector.load(self.builder, self.work, self.row(first, vector))

    def store(self, value: _Vector, first: ir.Value, vector: int) -> None:
        value.store(self.work, self.row(first, vector))

    def sums(self, of_input: Sequence[int], of_state: Sequence[int]) -> list[list[_Vector]]:
        """Return, for each vector of stars, the four weighted sums."""
        builder, at = self.builder, self.weights_at
        registers = [
            [cgutils.alloca_once(builder, _VECTOR) for _ in range(4)] for _ in range(VECTORS)
        ]
        for gate in range(4):
            bias = _Vector.broadcast(builder, self.weights, builder.add(at, _INT64(gate)))
            for vector in range(VECTORS):
                builder.store(bias.value, registers[vector][gate])
        at = builder.add(at, _INT64(4))
        self._add_rows(registers, of_input, at, self.x, self.n_inputs)
        at = builder.add(at, builder.mul(self.n_inputs, _INT64(len(of_input))))
        self._add_rows(registers, of_state, at, self.before, self.n_units)
        return [[_Vector(builder, builder.load(sum_)) for sum_ in four] for four in registers]

    def _add_rows(
        self,
        registers: list[list[ir.Value]],
        gates: Sequence[int],
        weights_at: ir.Value,
        first: ir.Value,
        n_rows: ir.Value,
    ) -> None:
        builder = self.builder
        with cgutils.for_range(builder, n_rows) as loop:
            at = builder.add(weights_at, builder.mul(loop.index, _INT64(len(gates))))
            row = builder.add(first, builder.mul(loop.index, _INT64(LANES)))
            values = [
                _Vector.load(builder, self.work, builder.add(row, _INT64(vector * WIDTH)))
                for vector in range(VECTORS)
            ]
            for number, gate in enumerate(gates):
                weight = _Vector.broadcast(builder, self.weights, builder.add(at, _INT64(number)))
                for value, four in zip(values, registers, strict=True):
                    so_far = _Vector(builder, builder.load(four[gate]))
                    builder.store(weight.times_plus(value, so_far).value, four[gate])


@intrinsic
def _gru_unit(typing, weights, weights_at, work, x, n_inputs, before, n_units, unit, after):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Advance one unit of a GRU by one step.

    In `work`, rows of `LANES` begin at `x` (the inputs), `before` and `after` (the layer's states).
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        u = _Unit(context, builder, signature, args)
        one = _Vector.constant(builder, 1.0)
        for vector, (z, r, of_input, of_state) in enumerate(u.sums(GRU_INPUT, GRU_STATE)):
            e_z = z.exp2()
            e_n = (of_input + of_state / (one + r.exp2())).exp2()
            state = u.load(u.before, vector).times_plus(one + e_n, e_z * (one - e_n))
            u.store(state / ((one + e_z) * (one + e_n)), u.after, vector)
        return context.get_dummy_value()

    arguments = weights, weights_at, work, x, n_inputs, before, n_units, unit, after
    return types.void(*arguments), generate


@intrinsic
def _lstm_unit(typing, weights, weights_at, work, x, n_inputs, before, n_units, unit, after, cell):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Advance one unit of an LSTM by one step: as `_gru_unit`, with the cells' rows at `cell`."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        u = _Unit(context, builder, signature, args)
        one = _Vector.constant(builder, 1.0)
        tanh = _Vector.constant(builder, TANH)
        for vector, (i, f, c, o) in enumerate(u.sums(LSTM_BOTH, LSTM_BOTH)):
            e_c = c.exp2()
            forget = one + f.exp2()
            update = (one + i.exp2()) * (one + e_c)
            cells = u.load(args[9], vector).times_plus(update, forget * (one - e_c))
            cells = cells / (forget * update)
            u.store(cells, args[9], vector)
            e = (cells * tanh).exp2()
            u.store((one - e) / ((one + o.exp2()) * (one + e)), u.after, vector)
        return context.get_dummy_value()

    arguments = weights, weights_at, work, x, n_inputs, before, n_units, unit, after, cell
    return types.void(*arguments), generate


@njit(cache=True, error_model="numpy")
def _load_block(values: Float32Array, first: int, work: Float32Array) -> None:
    """Turn values of a block of stars into rows; lanes beyond the last star stay as they are."""
    a_line = 16  # of the cache: each is read once
    n_values = values.shape[1]
    for begin in range(0, n_values, a_line):
        for star in range(first, min(first + LANES, values.shape[0])):
            for i in range(begin, min(begin + a_line, n_values)):
                work[i * LANES + star - first] = values[star, i]


@njit(cache=True, error_model="numpy")
def _advance(
    run: np.record,
    weights: Float32Array,
    work: Float32Array,
    source: int,
    target: int,
    zeros: int,
    cells: int,
    n_steps: int,
) -> None:
    """Take a block through one layer in one direction, from its inputs to its states."""
    n_inputs, n_units = run.n_inputs, run.n_units
    unit_size = 4 + (4 if run.is_lstm else 3) * (n_inputs + n_units)
    work[cells : cells + n_units * LANES] = 0.0
    before = zeros
    for i in range(n_steps):
        step = n_steps - 1 - i if run.backward else i
        x = source + step * n_inputs * LANES
        after = target + (step * run.width + run.first_row) * LANES
        for unit in range(n_units):
            at = run.weights + unit * unit_size
            if run.is_lstm:
                _lstm_unit(weights, at, work, x, n_inputs, before, n_units, unit, after, cells)
            else:
                _gru_unit(weights, at, work, x, n_inputs, before, n_units, unit, after)
        before = after


@njit(cache=True, error_model="numpy")
def _weighted_sum(
    work: Float32Array, source: int, n_rows: int, weights: Float32Array, at: int, target: int
) -> None:
    """Put a weighted sum of rows into a row; its weights are followed by its bias."""
    work[target : target + LANES] = weights[at + n_rows]
    for i in range(n_rows):
        weight, row = weights[at + i], source + i * LANES
        for lane in range(LANES):
            work[target + lane] += weight * work[row + lane]


@njit(cache=True, error_model="numpy")
def _evaluate_head(
    weights: Float32Array, n_hidden: int, work: Float32Array, features: int, n_rows: int
) -> int:
    """Take a block from its features to the output; return where its row is."""
    after = features + n_rows * LANES
    at = weights.size - n_hidden * (n_rows + 1) - (n_hidden or n_rows) - 1
    if n_hidden:
        for unit in range(n_hidden):
            row = after + unit * LANES
            _weighted_sum(work, features, n_rows, weights, at, row)
            at += n_rows + 1
            for lane in range(row, row + LANES):
                work[lane] /= np.float32(1.0) + math.exp(-work[lane])
        features, n_rows, after = after, n_hidden, after + n_hidden * LANES
    _weighted_sum(work, features, n_rows, weights, at, after)
    return after


@njit(cache=True, error_model="numpy")
def _evaluate_block(
    runs: npt.NDArray[np.void],
    weights: Float32Array,
    n_hidden: int,
    work: Float32Array,
    layers: tuple[int, int],
    zeros: int,
    cells: int,
    features: int,
    n_static: int,
    n_steps: int,
    predicted: Float32Array,
) -> None:
    """Take a block, whose inputs are in `work`, through one member."""
    width = runs[-1].width
    for run in runs:
        source = 0 if run.layer == 0 else layers[(run.layer - 1) % 2]
        target = layers[run.layer % 2]
        _advance(run, weights, work, source, target, zeros, cells, n_steps)
        if run.layer == runs[-1].layer:
            final_step = 0 if run.backward else n_steps - 1
            first = target + (final_step * width + run.first_row) * LANES
            own = features + run.first_row * LANES
            for i in range(run.n_units * LANES):
                work[own + i] = work[first + i]
    output = _evaluate_head(weights, n_hidden, work, features, width + n_static)
    predicted[:] = work[output : output + predicted.size]


@njit(cache=True, error_model="numpy", parallel=True, nogil=True)
def evaluate(
    sequences: Float32Array,
    n_channels: int,
    static: Float32Array,
    runs: npt.NDArray[np.void],
    weights: Float32Array,
    n_hidden: int,
    n_threads: int,
    predicted: Float32Array,
) -> None:
    """Evaluate all members of an ensemble.

    Parameters
    ----------
    sequences : (n_stars, n_points * n_channels) float32
        The curves, read-only.
    n_channels : int
        Numbers a point.
    static : (n_stars, n_static) float32
        Inputs beside the curves, read-only.
    runs : (n_runs,) structured, `RUN`
        The recurrent layers, in the order of evaluation.
    weights : (n_members, n_weights) float32
        The weights of all runs. Then those of each hidden unit, of the last layer's states, of the
        static inputs, and its bias. Then those of the output, of the hidden units or, if there are
        none, of what they would take, and its bias.
    n_hidden : int
        Number of hidden units between the last layer and the output; they have SiLU activation.
    n_threads : int
        Number of threads.
    predicted : (n_stars, n_members) float32
        The output, filled in.
    """
    n_stars, n_values = sequences.shape
    n_static = static.shape[1]
    n_steps = n_values // n_channels
    inputs_size = n_values * LANES
    layer_size = n_steps * runs["width"].max() * LANES
    units_size = runs["n_units"].max() * LANES
    layers = inputs_size, inputs_size + layer_size  # the states of two layers, in turn
    zeros = inputs_size + 2 * layer_size  # the states before the first step
    cells = zeros + units_size
    features = cells + units_size  # last states and static inputs, hidden units, output
    beside = features + runs[-1].width * LANES
    size = beside + (n_static + n_hidden + 1) * LANES
    for thread in prange(n_threads):
        memory = np.zeros(size + WIDTH, np.float32)
        # A vector that crosses from one line of the cache to the next costs two loads.
        work = memory[(-memory.ctypes.data // 4) % WIDTH :]
        for first in range(thread * LANES, n_stars, n_threads * LANES):
            _load_block(sequences, first, work)
            _load_block(static, first, work[beside:])
            block = predicted[first : first + LANES]
            for member in range(len(weights)):
                _evaluate_block(
                    runs,
                    weights[member],
                    n_hidden,
                    work,
                    layers,
                    zeros,
                    cells,
                    features,
                    n_static,
                    n_steps,
                    block[:, member],
                )
