"""Tensors made of nothing: zeros, full, arange, eye, linspace, and their _like forms.

What is larger than a kilobyte is recorded as nodes, so that a mask of 4096 x 4096 is no weight of the file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from interchange import ops
from interchange.dims import Dim, DimLike, dim_max, same
from interchange.dtypes import DType, float32, float64, int64, is_float
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor, wrap
from interchange.eager.trace import active_trace
from interchange.frontends.torch.aten.views import expanded, refused
from interchange.frontends.torch.table import Operand, Out, Real, lower, tensor
from interchange.ops.shape_tools import has_dims, scalar_of, shape_tensor

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
    if not has_dims(tuple(shape)) and math.prod(shape) * dtype.itemsize <= _SMALL:
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
    if size is None:
        raise refused(
            "a range of fractions up to an end that is data",
            found=f"arange({start}, {end}, {step})",
            expected="whole numbers, or an end made of sizes",
            fix="count in whole numbers and multiply by the step",
        )
    places = astype(counted(size), float64)
    return astype(tensor(start, float64) + places * tensor(step, float64), out.dtype)


@lower("aten.linspace")
def linspace(start: Operand, end: Operand, steps: DimLike, *, out: Out, **_: Any) -> Tensor:
    """Numbers at equal distances, counted from the nearer end; of integers, rounded towards zero."""
    wide = out.dtype if is_float(out.dtype) else float64
    first, last = (astype(tensor(v, out.dtype), wide) for v in (start, end))
    return astype(_line(first, last, steps, wide), out.dtype)


def _line(first: Tensor, last: Tensor, steps: DimLike, dtype: DType) -> Tensor:
    places = counted(steps)
    step = ops.Div(ops.Sub(last, first), scalar_of(dim_max(steps - 1, 1), dtype))
    left, right = (astype(p, dtype) for p in (places, shape_tensor(steps) - 1 - places))
    from_front, from_back = ops.Add(ops.Mul(left, step), first), ops.Sub(last, ops.Mul(right, step))
    return ops.Where(ops.Less(places, shape_tensor(dim_max(steps // 2, 1))), from_front, from_back)


@lower("aten.logspace")
def logspace(start: Operand, end: Operand, steps: DimLike, base: Operand = 10.0, *, out: Out, **_: Any) -> Tensor:
    """Powers of a base whose exponents are at equal distances; of integers, rounded towards zero."""
    if is_float(out.dtype):
        exponents = astype(linspace(start, end, steps, out=out), float64)
        return astype(ops.Pow(tensor(base, float64), exponents), out.dtype)
    first, last = (astype(tensor(v, out.dtype), float32) for v in (start, end))
    step = ops.Div(ops.Sub(last, first), scalar_of(dim_max(steps - 1, 1), float32))
    exponents = ops.Add(ops.Mul(astype(counted(steps), float32), step), first)
    return astype(ops.Pow(tensor(base, float32), exponents), out.dtype)


# -- matrices ---------------------------------------------------------------------------------------------------------
@lower("aten.eye")
def eye(*_: Any, out: Out, **__: Any) -> Tensor:
    """Ones on the diagonal of a matrix, zeros elsewhere."""
    dtype = out.dtype if out.dtype in (np.float32, np.float64, np.int64, np.int32) else float32
    return astype(ops.EyeLike(filled(out.shape, 0, dtype)), out.dtype)


def _triangle_indices(rows: DimLike, columns: DimLike, offset: DimLike, upper: int) -> Tensor:
    whole = filled((rows, columns), 1, int64)
    return ops.NonZero(ops.Trilu(whole, shape_tensor(offset), upper=upper))


@lower("aten.tril_indices")
def tril_indices(row: DimLike, col: DimLike, offset: DimLike = 0, **_: Any) -> Tensor:
    """The positions of the lower triangle of a matrix: [2, count]."""
    return _triangle_indices(row, col, offset, 0)


@lower("aten.triu_indices")
def triu_indices(row: DimLike, col: DimLike, offset: DimLike = 0, **_: Any) -> Tensor:
    """The positions of the upper triangle of a matrix: [2, count]."""
    return _triangle_indices(row, col, offset, 1)


# -- windows ----------------------------------------------------------------------------------------------------------
def _phase(length: DimLike, periodic: bool, dtype: DType) -> Tensor:
    """Places along a window from 0 on; 1 would be the next window's first (periodic), or is this one's last."""
    wide = dtype if dtype == float64 else float32
    return ops.Div(astype(counted(length), wide), scalar_of(dim_max(length if periodic else length - 1, 1), wide))


def _cosines(length: DimLike, periodic: bool, weights: Sequence[float], dtype: DType) -> Tensor:
    """The sum of (-1)^k * weights[k] * cos(2 pi k phase)."""
    if same(length, 1):
        return filled((1,), 1, dtype)
    phase = _phase(length, periodic, dtype)
    total = filled((length,), weights[0], phase.dtype)
    for k, w in enumerate(weights[1:], 1):
        total = total + ops.Cos(phase * (2 * math.pi * k)) * ((-1) ** k * w)
    return astype(total, dtype)


@lower("aten.hann_window")
def hann_window(length: DimLike, periodic: bool = True, *, out: Out, **_: Any) -> Tensor:
    """0.5 - 0.5 cos(2 pi phase)."""
    return _cosines(length, periodic, (0.5, 0.5), out.dtype)


@lower("aten.hamming_window")
def hamming_window(
    length: DimLike, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, *, out: Out, **_: Any
) -> Tensor:
    """alpha - beta cos(2 pi phase)."""
    return _cosines(length, periodic, (alpha, beta), out.dtype)


@lower("aten.blackman_window")
def blackman_window(length: DimLike, periodic: bool = True, *, out: Out, **_: Any) -> Tensor:
    """0.42 - 0.5 cos(2 pi phase) + 0.08 cos(4 pi phase)."""
    return _cosines(length, periodic, (0.42, 0.5, 0.08), out.dtype)


@lower("aten.bartlett_window")
def bartlett_window(length: DimLike, periodic: bool = True, *, out: Out, **_: Any) -> Tensor:
    """1 - |2 phase - 1|."""
    if same(length, 1):
        return filled((1,), 1, out.dtype)
    return astype(1 - ops.Abs(_phase(length, periodic, out.dtype) * 2 - 1), out.dtype)
