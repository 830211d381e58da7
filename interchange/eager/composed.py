"""What Python's operators mean where no operator of ONNX means it: composed of several, eagerly and in a graph.

The operands are of one dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from interchange.dtypes import dtype_of, is_integer, name_of, to_onnx
from interchange.eager.tensor import Tensor, wrap
from interchange.errors import OperatorError, user_line
from interchange.ops.arithmetic import Abs, And, BitShift, Div, Equal, Floor, Mod, Mul, Neg, Not, Pow, Round, Sub, Xor
from interchange.ops.frame import Op
from interchange.ops.linear import MatMul
from interchange.ops.select import Where
from interchange.ops.shape import Cast


def astype(x: Tensor, dtype: Any) -> Tensor:
    """The elements in another dtype; the tensor itself when it has it already."""
    wanted = dtype_of(dtype)
    return x if x.dtype == wanted else Cast(x, to=to_onnx(wanted))


def divide(a: Tensor, b: Tensor) -> Tensor:
    """a / b of floats. Integers are refused: ONNX would drop the fraction, NumPy and PyTorch would not."""
    if is_integer(a.dtype) or a.dtype.kind == "b":
        raise OperatorError(
            "IX131",
            "/ of integers would lose the fraction or change the dtype",
            where=user_line(),
            found=f"{name_of(a.dtype)} / {name_of(b.dtype)}",
            expected="floating-point operands, or //",
            fix="use // for whole numbers, or .astype('float32') first",
        )
    return Div(a, b)


def floor_divide(a: Tensor, b: Tensor) -> Tensor:
    """The largest whole number not above a / b: the exact one, as in Python, not the floor of a rounded quotient."""
    quotient = Div(a, b)
    if a.dtype.kind == "u":
        return quotient
    if is_integer(a.dtype):  # ONNX divides towards zero
        below = And(Not(Equal(Mod(a, b), 0)), Xor(a < 0, b < 0))
        return Sub(quotient, astype(below, a.dtype))
    whole = Round(Div(Sub(a, remainder(a, b)), b))  # a whole number but for its rounding
    # 0 has the sign of the quotient; with infinities, or over 0, there is no exact remainder to go by
    return Where(Abs(whole) < np.inf, Where(Equal(whole, 0), Mul(quotient, 0), whole), Floor(quotient))


def remainder(a: Tensor, b: Tensor) -> Tensor:
    """a - floor(a / b) * b, with the sign of b."""
    if is_integer(a.dtype):
        return Mod(a, b)
    rest = Mod(a, b, fmod=1)
    negative = b < 0
    zero = Where(negative, wrap(np.array(-0.0, a.dtype)), wrap(np.array(0.0, a.dtype)))
    return Where(rest == 0, zero, Where((rest < 0) != negative, rest + b, rest))


def power(a: Tensor, b: Tensor) -> Tensor:
    """a to the power b; integers that ONNX has no powers of go through int64, which wraps as they do."""
    if is_integer(a.dtype) and a.dtype.name not in ("int32", "int64"):
        return astype(Pow(astype(a, np.int64), astype(b, np.int64)), a.dtype)
    return Pow(a, b)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The matrix product; ONNX has none of 8- and 16-bit integers, which go through int32."""
    if is_integer(a.dtype) and a.dtype.itemsize < 4:
        return astype(MatMul(astype(a, np.int32), astype(b, np.int32)), a.dtype)
    return MatMul(a, b)


def negative(x: Tensor) -> Tensor:
    """-x; of unsigned integers modulo 2 to the number of bits."""
    return Sub(wrap(np.zeros((), x.dtype)), x) if x.dtype.kind == "u" else Neg(x)


def bitwise(logical: Op[Any], bits: Op[Any]) -> Callable[[Tensor, Tensor], Tensor]:
    """One function of bools and of the bits of integers."""
    return lambda a, b: logical(a, b) if a.dtype.kind == "b" else bits(a, b)


def shift_left(a: Tensor, b: Tensor) -> Tensor:
    """a * 2^b, modulo 2 to the number of bits. b is not negative."""
    if a.dtype.kind != "i":
        return BitShift(a, b, direction="LEFT")
    # older opsets shift unsigned integers only; the bits are the same
    return astype(BitShift(astype(a, np.uint64), astype(b, np.uint64), direction="LEFT"), a.dtype)


def shift_right(a: Tensor, b: Tensor) -> Tensor:
    """The largest integer not above a / 2^b. b is not negative."""
    if a.dtype.kind != "i":
        return BitShift(a, b, direction="RIGHT")
    below = a < 0  # -1 - x is ~x: shifting zeros into the complement shifts ones into a negative number
    bits = BitShift(astype(Where(below, -1 - a, a), np.uint64), astype(b, np.uint64), direction="RIGHT")
    shifted = astype(bits, a.dtype)
    return Where(below, -1 - shifted, shifted)
