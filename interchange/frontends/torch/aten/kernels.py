"""Which dtypes the runtime computes in, and a way through the next larger one for those that it does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from interchange import ops
from interchange.dtypes import DType, is_float
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor, wrap

SUMS = frozenset(("int32", "int64"))  # ReduceSum, ReduceProd, ReduceMean, CumSum, Pow
EXTREMES = frozenset(("int8", "uint8", "int32", "int64"))  # ReduceMax, ReduceMin, ArgMax, ArgMin
BOUNDS = frozenset(("int8", "uint8", "int32", "uint32", "int64", "uint64"))  # Max, Min, Clip
CHOICES = frozenset(("int8", "uint8", "int32", "uint32", "int64"))  # Where
ORDERS = frozenset(("int8", "uint8", "int16", "int32", "int64"))  # TopK
ALL = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))  # arithmetic, comparisons


def kernel_dtype(dtype: DType, integers: frozenset[str]) -> DType:
    """A dtype that has a kernel and holds all values of `dtype`. (Of uint64 int64 holds them modulo 2 ** 64.)"""
    if is_float(dtype) or dtype.kind == "c" or dtype.name in integers:
        return dtype
    small = dtype.kind == "b" or dtype.itemsize < 4
    return np.dtype(np.int32) if small and "int32" in integers else np.dtype(np.int64)


def widened(integers: frozenset[str], function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """The function of tensors of one dtype, by way of a dtype that has a kernel, in their own dtype."""
    dtype = tensors[0].dtype
    wide = kernel_dtype(dtype, integers)
    return astype(function(*(astype(x, wide) for x in tensors)), dtype)


def where(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """x where the condition holds, else y, of any dtype."""
    if x.dtype.kind == "b":
        return ops.Or(ops.And(condition, x), ops.And(ops.Not(condition), y))
    return widened(CHOICES, lambda a, b: ops.Where(condition, a, b), x, y)


def number(value: Any, like: Tensor) -> Tensor:
    """A 0-d tensor of the dtype of another."""
    return wrap(np.array(value).astype(like.dtype))


def is_bool(x: Tensor) -> bool:
    """Whether the elements are bools."""
    return x.dtype.kind == "b"
