"""Bits: of bools logic, of integers bit by bit; shifts as C has them, sign-preserving to the right."""

from __future__ import annotations

import numpy as np

from interchange import ops
from interchange.eager.composed import shift_left, shift_right
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.aten.elementwise import pow_
from interchange.frontends.torch.aten.kernels import is_bool, number, where
from interchange.frontends.torch.table import Operand, lower, promote


@lower("aten.bitwise_and", "aten.__and__")
def bitwise_and(a: Operand, b: Operand) -> Tensor:
    """a & b."""
    x, y = promote(a, b)
    return ops.And(x, y) if is_bool(x) else ops.BitwiseAnd(x, y)


@lower("aten.bitwise_or", "aten.__or__")
def bitwise_or(a: Operand, b: Operand) -> Tensor:
    """a | b."""
    x, y = promote(a, b)
    return ops.Or(x, y) if is_bool(x) else ops.BitwiseOr(x, y)


@lower("aten.bitwise_xor", "aten.__xor__")
def bitwise_xor(a: Operand, b: Operand) -> Tensor:
    """a ^ b."""
    x, y = promote(a, b)
    return ops.Xor(x, y) if is_bool(x) else ops.BitwiseXor(x, y)


@lower("aten.bitwise_not")
def bitwise_not(x: Tensor) -> Tensor:
    """~x."""
    return ops.Not(x) if is_bool(x) else ops.BitwiseNot(x)


@lower("aten.bitwise_left_shift", "aten.__lshift__")
def left_shift(a: Operand, b: Operand) -> Tensor:
    """a * 2 ** b, modulo 2 to the number of bits; 0 where b is negative or the number of bits or more."""
    x, y = promote(a, b)
    if x.dtype.kind not in "iu":  # PyTorch shifts floats by multiplication
        return ops.Mul(x, pow_(number(2, x), y))
    inside, by = _in_range(x, y)
    shifted = shift_left(x, by)
    return shifted if inside is None else where(inside, shifted, number(0, x))


@lower("aten.bitwise_right_shift", "aten.__rshift__")
def right_shift(a: Operand, b: Operand) -> Tensor:
    """The largest integer not above a / 2 ** b; only the sign is left where b is negative or the number of bits."""
    x, y = promote(a, b)
    if x.dtype.kind not in "iu":
        return ops.Div(x, pow_(number(2, x), y))
    inside, by = _in_range(x, y)
    if inside is None:
        return shift_right(x, by)
    if x.dtype.kind == "u":
        return where(inside, shift_right(x, by), number(0, x))
    return shift_right(x, where(inside, by, number(8 * x.dtype.itemsize - 1, x)))


def _in_range(x: Tensor, by: Tensor) -> tuple[Tensor | None, Tensor]:
    """Whether a shift is from 0 to below the number of bits (None: all are), and the shift, 0 elsewhere."""
    known = by._known()
    bits = 8 * x.dtype.itemsize
    if known is not None and bool(np.all((known >= 0) & (known < bits))):
        return None, by
    inside = ops.And(ops.GreaterOrEqual(by, number(0, by)), ops.Less(by, number(bits, by)))
    return inside, where(inside, by, number(0, by))
