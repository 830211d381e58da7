"""The primitives (prims.*) that PyTorch's own decompositions are written in: most are operators of ATen by name."""

from __future__ import annotations

from typing import Any

from interchange import ops
from interchange.dtypes import is_float
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.aten import bitwise, comparison, elementwise, reduce, unary  # noqa: F401  their names
from interchange.frontends.torch.aten.kernels import ALL, widened
from interchange.frontends.torch.table import TABLE, Operand, Out, lower, promote

_AS_IN_ATEN = (
    "abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_not bitwise_or bitwise_xor ceil cos cosh eq "
    "erf exp exp2 expm1 floor fmax fmin fmod frexp gcd ge gt hypot isfinite le log log10 log1p log2 lt maximum minimum "
    "mul ne neg nextafter pow real reciprocal remainder round rsqrt sign signbit sin sinh sqrt sub tan tanh trunc"
)

for _name in _AS_IN_ATEN.split():
    TABLE[f"prims.{_name}"] = TABLE[f"aten.{_name}"]

TABLE["prims.where"] = TABLE["aten.where.self"]
TABLE["prims.shift_left"] = TABLE["aten.bitwise_left_shift"]
TABLE["prims.shift_right_arithmetic"] = TABLE["aten.bitwise_right_shift"]


@lower("prims.convert_element_type")
def convert_element_type(x: Tensor, dtype: Any) -> Tensor:
    """The elements in another dtype."""
    return astype(x, dtype)


@lower("prims.div")
def div(a: Operand, b: Operand) -> Tensor:
    """a / b; of integers towards zero."""
    x, y = promote(a, b)
    return ops.Div(x, y) if is_float(x.dtype) else widened(ALL, ops.Div, x, y)


@lower("prims.sum")
def sum_(x: Tensor, dims: Any, *, output_dtype: Any = None, out: Out) -> Tensor:
    """The sum over axes."""
    return reduce.sum_(x, dims, out=out)


@lower("prims.prod")
def prod(x: Tensor, dims: Any, *, output_dtype: Any = None, out: Out) -> Tensor:
    """The product over axes."""
    return reduce.prod(x, dims, out=out)


@lower("prims.amax")
def amax(x: Tensor, dims: Any, *, output_dtype: Any = None) -> Tensor:
    """The largest element over axes."""
    return reduce.amax(x, dims)


@lower("prims.amin")
def amin(x: Tensor, dims: Any, *, output_dtype: Any = None) -> Tensor:
    """The smallest element over axes."""
    return reduce.amin(x, dims)


@lower("prims.var")
def var(x: Tensor, dims: Any, correction: float | None = 1, *, output_dtype: Any = None) -> Tensor:
    """The sum of the squared distances from the mean over axes, divided by n - correction."""
    return reduce.var_mean(x, dims, 1 if correction is None else correction, False)[0]
