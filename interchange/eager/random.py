"""Random numbers from a counter: the same bits in eager code, in a traced graph, and after a restart.

Element n of draw c under a seed is a hash of (seed, c, n), made of uint32 additions, multiplications, shifts and
exclusive ors only, so that ONNX Runtime computes exactly what NumPy does. Nothing but the seed and the number of draws
so far is kept: both are buffers of a `Generator`, which a trace carries as state and a file can hold.

The hash is two rounds of a 32-bit finaliser (xorshift-multiply, constants found by exhaustive search for the lowest
bias: github.com/skeeto/hash-prospector, issue 19), the first keyed by addition, the second by exclusive or. Within one
draw 32-bit words do not repeat; a draw has at most 2**32 elements and a generator makes 2**32 draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from interchange.dims import Dim, DimLike
from interchange.dtypes import DType, dtype_of, float32, is_float, is_integer, name_of
from interchange.eager.state import Differences, State, load_values, values_of
from interchange.eager.tensor import Buffer, Tensor, Variable, no_grad, wrap
from interchange.eager.trace import active_trace
from interchange.errors import OperatorError, user_line
from interchange.ops.activation import Cos, Log
from interchange.ops.arithmetic import Sqrt
from interchange.ops.indexing import TopK, count_to
from interchange.ops.shape import Reshape
from interchange.ops.shape_tools import shape_tensor

Shape = Sequence[DimLike]

_STEPS = np.array([0x9E3779B1, 0x85EBCA77], np.uint32)  # odd: what the number of the draw is spread by
_CHUNK = 1 << 15  # elements hashed at a time: they stay in the processor's cache


def _mix(x: Any) -> Any:
    """The finaliser: a bijection of uint32 in which every input bit changes every output bit with probability 1/2."""
    x = x ^ (x >> 16)
    x = x * 0x21F0AAAD
    x = x ^ (x >> 15)
    x = x * 0xD35A2D97
    return x ^ (x >> 15)


class Generator:
    """A source of random numbers. seed: any int; the same seed gives the same numbers.

    key: uint32[2], made from the seed. counter: uint32[], the draws so far.
    """

    def __init__(self, seed: int = 0) -> None:
        self.key = Buffer(_key(seed), name="generator.key")
        self.counter = Buffer(np.zeros((), np.uint32), name="generator.counter")

    def manual_seed(self, seed: int) -> Generator:
        """Begin again with this seed."""
        self.key.assign(_key(seed))
        self.counter.assign(np.zeros((), np.uint32))
        return self

    def named_variables(self) -> Iterator[tuple[str, Variable]]:
        """What the generator keeps."""
        yield "key", self.key
        yield "counter", self.counter

    def state_dict(self) -> State:
        """The present state: loading it continues with the same numbers."""
        return values_of(self.named_variables())

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> Differences:
        """Continue where `state` was taken. Raises OperatorError IX121 when it is not a generator's."""
        return load_values("generator", self.named_variables(), state, strict)

    def bits(self, shape: Shape) -> Tensor:
        """A uint32 tensor of random bits. Counts as one draw."""
        if active_trace() is not None:
            return self._traced_bits(shape)
        draw = int(self.counter._data)
        words = _mix(self.key._data ^ (np.array([draw], np.uint32) * _STEPS))
        self.counter._data = np.array((draw + 1) & 0xFFFFFFFF, np.uint32)
        count = math.prod(_sizes(shape))
        out = np.empty(count, np.uint32)
        for start in range(0, count, _CHUNK):
            place = np.arange(start, min(count, start + _CHUNK), dtype=np.uint32)
            out[start : start + _CHUNK] = _mix(_mix(place + words[:1]) ^ words[1:])
        return wrap(out.reshape(_sizes(shape)))

    def _traced_bits(self, shape: Shape) -> Tensor:
        """The same in operators; the place of an element is summed axis by axis, so that no large constant is made."""
        draw = self.counter + 0
        words = _mix(self.key ^ (draw * _STEPS))
        self.counter.assign(draw + 1)
        place, stride = words[0], 1  # type: Tensor, DimLike
        for axis in reversed(range(len(shape))):
            steps = count_to(shape[axis]).astype(np.uint32) * _as_uint32(stride)
            place = place + Reshape(steps, np.array([-1] + [1] * (len(shape) - 1 - axis)))
            stride = stride * shape[axis]
        return _mix(_mix(place) ^ words[1])  # type: ignore[no-any-return]


def _sizes(shape: Shape) -> tuple[int, ...]:
    sizes = tuple(shape)
    if not all(isinstance(d, (int, np.integer)) and d >= 0 for d in sizes):
        raise _wrong("a shape is made of sizes", str(list(sizes)), "whole numbers, at least 0")
    return tuple(int(d) for d in sizes)


def _as_uint32(x: DimLike) -> Tensor:
    return shape_tensor(x).astype(np.uint32)


def _key(seed: int) -> Any:
    """Two words that differ in every bit with probability 1/2 for neighbouring seeds (the finaliser of splitmix64)."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise _wrong("a seed is a whole number", repr(seed), "an int")
    z, mask = (int(seed) + 0x9E3779B97F4A7C15) & (2**64 - 1), 2**64 - 1
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    z ^= z >> 31
    return np.array([z & 0xFFFFFFFF, z >> 32], np.uint32)


default_generator = Generator(0)


def manual_seed(seed: int) -> Generator:
    """Seed the default generator, which layers, `Dropout` and the functions here use; it starts with seed 0."""
    return default_generator.manual_seed(seed)


# -- distributions -----------------------------------------------------------------------------------------------------
def bits(shape: Shape, *, generator: Generator | None = None) -> Tensor:
    """uint32 of the shape, uniform over all 2**32 values."""
    return (generator or default_generator).bits(shape)


def uniform(
    shape: Shape, low: float = 0.0, high: float = 1.0, *, dtype: Any = float32, generator: Generator | None = None
) -> Tensor:
    """Numbers in [low, high), equally likely (high itself only where low + x rounds up to it).

    A float32 is low + k (high - low) / 2**24 with k a random whole number; 2**53 for float64, 2**11 for float16, 2**8
    for bfloat16.
    """
    wanted = _float(dtype)
    with no_grad():
        unit = _unit(shape, wanted, generator or default_generator)
        if low == 0 and high == 1:
            return unit
        return (unit * (high - low) + low).astype(wanted)


_DIGITS = {"float16": 11, "bfloat16": 8}


def _unit(shape: Shape, dtype: DType, source: Generator) -> Tensor:
    """Multiples of 2**-digits in [0, 1), each exact in the dtype."""
    if name_of(dtype) == "float64":
        high, low = source.bits(shape) >> 5, source.bits(shape) >> 6
        return (high.astype(dtype) * 2.0**26 + low.astype(dtype)) * 2.0**-53
    digits = _DIGITS.get(name_of(dtype), 24)
    return ((source.bits(shape) >> (32 - digits)).astype(float32) * 2.0**-digits).astype(dtype)


def normal(
    shape: Shape, mean: float = 0.0, std: float = 1.0, *, dtype: Any = float32, generator: Generator | None = None
) -> Tensor:
    """Normally distributed numbers, by Box and Muller: sqrt(-2 ln u) cos(2 pi v). Takes two draws.

    Logarithm and cosine may differ in the last bit between NumPy and ONNX Runtime.
    """
    wanted, source = _float(dtype), generator or default_generator
    work = wanted if name_of(wanted) == "float64" else float32
    with no_grad():
        u = source.bits(shape).astype(work) * 2.0**-32 + 2.0**-33  # never 0
        angle = source.bits(shape).astype(work) * (2 * math.pi * 2.0**-32)
        z = Sqrt(Log(u) * -2.0) * Cos(angle)
        return (z * std + mean).astype(wanted)


def bernoulli(shape: Shape, p: float = 0.5, *, generator: Generator | None = None) -> Tensor:
    """bool of the shape, each True with probability p (rounded to a multiple of 2**-24)."""
    if not 0 <= p <= 1:
        raise _wrong("a probability lies between 0 and 1", str(p), "0 <= p <= 1")
    with no_grad():
        return ((generator or default_generator).bits(shape) >> 8).astype(float32) < round(p * 2**24)


def randint(low: int, high: int, shape: Shape, *, dtype: Any = np.int64, generator: Generator | None = None) -> Tensor:
    """Whole numbers in [low, high), high - low at most 2**32; the bias is below (high - low) / 2**32."""
    wanted = dtype_of(dtype)
    if not 0 < high - low <= 2**32 or not is_integer(wanted):
        raise _wrong(
            "not a range of whole numbers",
            f"[{low}, {high}) in {name_of(wanted)}",
            "low < high <= low + 2**32, integers",
        )
    with no_grad():
        words = (generator or default_generator).bits(shape).astype(np.int64)
        return (words % (high - low) + low).astype(wanted)


def permutation(n: DimLike, *, generator: Generator | None = None) -> Tensor:
    """0 ... n - 1 in random order, int64[n]: the positions of random bits in sorted order."""
    if not isinstance(n, Dim):
        (n,) = _sizes([n])
    with no_grad():
        words = (generator or default_generator).bits([n]).astype(np.int64)
        return TopK(words, shape_tensor([n]), axis=0, largest=0)[1]


def _float(dtype: Any) -> DType:
    wanted = dtype_of(dtype)
    if not is_float(wanted):
        raise _wrong("random fractions have a floating-point dtype", name_of(wanted), "float32, float64, ...")
    return wanted


def _wrong(message: str, found: str, expected: str) -> OperatorError:
    return OperatorError(
        "IX133", message, where=user_line(), found=found, expected=expected, fix="correct the argument"
    )


__all__ = [
    "Generator",
    "bernoulli",
    "bits",
    "default_generator",
    "manual_seed",
    "normal",
    "permutation",
    "randint",
    "uniform",
]
