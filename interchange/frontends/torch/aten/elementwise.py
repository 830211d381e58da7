"""Arithmetic, comparisons and logic, element by element, with PyTorch's promotion."""

from __future__ import annotations

from typing import Any

from interchange import ops
from interchange.dtypes import is_float
from interchange.eager import composed
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.table import Operand, lower, promote, promote_float, tensor


def scaled(x: Operand, alpha: Any, like: Operand) -> Operand:
    """alpha * x in the dtype that x meets `like` in."""
    if isinstance(alpha, (int, float)) and alpha == 1:
        return x
    a, b = promote(x, like)
    return ops.Mul(a, tensor(alpha, b.dtype))


@lower("aten.add")
def add(a: Operand, b: Operand, *, alpha: Any = 1) -> Tensor:
    """a + alpha * b; of bools, or."""
    x, y = promote(a, scaled(b, alpha, a))
    return ops.Or(x, y) if x.dtype.kind == "b" else ops.Add(x, y)


@lower("aten.sub", "aten.subtract")
def sub(a: Operand, b: Operand, *, alpha: Any = 1) -> Tensor:
    """a - alpha * b."""
    x, y = promote(a, scaled(b, alpha, a))
    return ops.Sub(x, y)


@lower("aten.rsub")
def rsub(a: Operand, b: Operand, alpha: Any = 1) -> Tensor:
    """b - alpha * a."""
    return sub(b, a, alpha=alpha)


@lower("aten.mul", "aten.multiply")
def mul(a: Operand, b: Operand) -> Tensor:
    """a * b; of bools, and."""
    x, y = promote(a, b)
    return ops.And(x, y) if x.dtype.kind == "b" else ops.Mul(x, y)


@lower("aten.div", "aten.divide", "aten.true_divide")
def div(a: Operand, b: Operand, *, rounding_mode: str | None = None) -> Tensor:
    """a / b, a float; with a rounding mode of the operands' dtype."""
    if rounding_mode is None:
        x, y = promote_float(a, b)
        return ops.Div(x, y)
    x, y = promote(a, b)
    if rounding_mode == "floor":
        return composed.floor_divide(x, y)
    quotient = ops.Div(x, y)
    if not is_float(x.dtype):
        return quotient
    return ops.Where(ops.Less(quotient, 0), ops.Ceil(quotient), ops.Floor(quotient))


@lower("aten.pow")
def pow_(a: Operand, b: Operand) -> Tensor:
    """a to the power b."""
    if isinstance(b, (int, float)) and b == 2 and isinstance(a, Tensor):
        x, _ = promote(a, b)
        return ops.Mul(x, x)
    x, y = promote(a, b)
    return composed.power(x, y)


@lower("aten.relu")
def relu(x: Tensor) -> Tensor:
    """max(x, 0)."""
    return ops.Relu(x)
