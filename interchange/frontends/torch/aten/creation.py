"""Tensors made of nothing: zeros, full, arange, eye, linspace, and their _like forms.

What is larger than a kilobyte is recorded as nodes, so that a mask of 4096 x 4096 is no weight of the file.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from interchange import ops
from interchange.dims import Dim, DimLike, product
from interchange.dtypes import DType, float64, int64
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor, wrap
from interchange.eager.trace import active_trace
from interchange.frontends.torch.aten.views import expanded, refused
from interchange.frontends.torch.table import Operand, Out, Real, lower, tensor
from interchange.ops.shape_tools import scalar_of, shape_tensor

_SMALL = 1024  # bytes


def recorded(x: Tensor) -> Tensor:
    """A constant as a tensor of the graph, so that what is computed of it becomes nodes."""
    trace = active_trace()
    return x if trace is None else trace.lift(x)


def counted(size: DimLike) -> Tensor:
    """0, 1, ... size - 1, int64."""
    return ranged(0, size, 1)


def ranged(start: DimLike, end: DimLike, step: int) -> Tensor:
    """start, start + step, ... before end, int64."""
    if isinstance(start, Dim) or isinstance(end, Dim):
        return ops.Range(*(scalar_of(v, int64) for v in (start, end, step)))
    if 8 * len(range(start, end, step)) <= _SMALL:
        return wrap(np.arange(int(start), int(end), int(step)))
    return ops.Range(recorded(scalar_of(start, int64)), scalar_of(end, int64), scalar_of(step, int64))


def filled(shape: Any, value: Operand, dtype: DType) -> Tensor:
    """A tensor of one value: a number, a size or a 0-d tensor."""
    if isinstance(value, (Tensor, Real, Dim)):
        return expanded(tensor(value, dtype), shape)
    number = np.array(value).astype(dtype)
    count = product(shape)
    if isinstance(count, int) and count * dtype.itemsize <= _SMALL:
        return wrap(np.full(tuple(shape), number))
    return ops.ConstantOfShape(recorded(shape_tensor(tuple(shape))), value=number.reshape(1))


# -- of one value -----------------------------------------------------------------------------------------------------
@lower(
    "aten.zeros",
    "aten.zeros_like",
    "aten.new_zeros",
    "aten.zero",
    "aten.empty",
    "aten.empty_like",
    "aten.empty_permuted",
    "aten.empty_strided",
    "aten.new_empty",
    "aten.new_empty_strided",
)
def zeros(*_: Any, out: Out, **__: Any) -> Tensor:
    """Zeros; so is what PyTorch leaves uninitialized, of which a model may only use what it overwrites."""
    return filled(out.shape, 0, out.dtype)


@lower("aten.ones", "aten.ones_like", "aten.new_ones")
def ones(*_: Any, out: Out, **__: Any) -> Tensor:
    """Ones."""
    return filled(out.shape, 1, out.dtype)


@lower("aten.full")
def full(size: Any, fill_value: Operand, *, out: Out, **_: Any) -> Tensor:
    """A tensor of one value."""
    return filled(out.shape, fill_value, out.dtype)


@lower("aten.full_like", "aten.fill")
def full_like(x: Tensor, fill_value: Operand, *, out: Out, **_: Any) -> Tensor:
    """One value in the shape of another tensor."""
    return filled(out.shape, fill_value, out.dtype)


@lower("aten.new_full")
def new_full(x: Tensor, size: Any, fill_value: Operand, *, out: Out, **_: Any) -> Tensor:
    """A tensor of one value."""
    return filled(out.shape, fill_value, out.dtype)


@lower("aten.scalar_tensor")
def scalar_tensor(value: Operand, *, out: Out, **_: Any) -> Tensor:
    """A number as a 0-d tensor."""
    return tensor(value, out.dtype)


# -- ranges -----------------------------------------------------------------------------------------------------------
@lower("aten.arange.default")
def arange(end: Operand, *, out: Out, **_: Any) -> Tensor:
    """0, 1, ... before end."""
    return arange_from(0, end, out=out)


@lower("aten.arange.start", "aten.arange.start_step")
def arange_from(start: Operand, end: Operand, step: Operand = 1, *, out: Out, **_: Any) -> Tensor:
    """start, start + step, ... before end: of floats start + i * step, not by adding up."""
    (size,) = out.shape
    if isinstance(start, (int, Dim)) and isinstance(step, int):
        if isinstance(end, (int, Dim)):
            return astype(ranged(start, end, step), out.dtype)
        if size is not None:
            return astype(ranged(start, start + size * step, step), out.dtype)
    if isinstance(size, int) and all(isinstance(v, (int, float)) for v in (start, step)):
        values = start + np.arange(size) * step
        if values.nbytes <= _SMALL:
            return wrap(values.astype(out.dtype))
    if size is None:
        raise refused(
            "a range of fractions up to an end that is data",
            found=f"arange({start}, {end}, {step})",
            expected="whole numbers, or an end made of sizes",
            fix="count in whole numbers and multiply by the step",
        )
    places = astype(counted(size), float64)
    return astype(tensor(start, float64) + places * tensor(step, float64), out.dtype)
