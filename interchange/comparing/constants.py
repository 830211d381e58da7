"""Comparing the data of constants piece by piece: they may be mapped files larger than the memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from interchange.dtypes import Array, DType, bits, is_integer, name_of, string
from interchange.graph.tensor import SparseTensor, Tensor, unpack

_PIECE = 1 << 20  # elements that are looked at at once; a multiple of 8, so that packed elements are not cut


class Gap(NamedTuple):
    """How far two constants are apart; see `report.WeightChange`."""

    changed: int | None
    max_abs: float | None = None
    relative: float | None = None
    not_finite: int = 0


def type_text(data: Tensor | SparseTensor) -> str:
    """``float32[10, 84]``."""
    tensor, shape = (data.values, data.dims) if isinstance(data, SparseTensor) else (data, data.shape)
    sparse = "sparse " if isinstance(data, SparseTensor) else ""
    return f"{sparse}{name_of(tensor.dtype)}[{', '.join(map(str, shape))}]"


def equal(a: Tensor | SparseTensor, b: Tensor | SparseTensor) -> bool:
    """Whether dtype, shape and every bit are the same."""
    if isinstance(a, SparseTensor) or isinstance(b, SparseTensor):
        if not (isinstance(a, SparseTensor) and isinstance(b, SparseTensor)):
            return False
        return a.dims == b.dims and equal(a.values, b.values) and equal(a.indices, b.indices)
    return (a.dtype, a.shape) == (b.dtype, b.shape) and gap(a, b).changed == 0


def gap(a: Tensor, b: Tensor) -> Gap:
    """How far two tensors are apart; `changed` is None where they have not as many elements, or texts and numbers."""
    if a.size != b.size or (a.dtype == string) != (b.dtype == string):
        return Gap(None)
    if a.dtype == string:
        differ = [x != y for x, y in zip(a.numpy().flat, b.numpy().flat, strict=True)]
        return Gap(sum(differ))
    if a.dtype == b.dtype and all(np.array_equal(x, y) for x, y in zip(_bytes(a), _bytes(b), strict=True)):
        return Gap(0, 0.0, 0.0)
    changed, largest, square, norm, odd = 0, 0.0, 0.0, 0.0, 0
    for x, y in zip(_codes(a), _codes(b), strict=True):
        p, q = _numbers(x, a.dtype), _numbers(y, b.dtype)
        with np.errstate(invalid="ignore"):  # a signalling NaN
            differ = (x != y).any(axis=1) if a.dtype == b.dtype else (p != q) & ~(np.isnan(p) & np.isnan(q))
        changed += int(differ.sum())
        odd += int((np.isfinite(p) != np.isfinite(q)).sum())
        finite = np.isfinite(p) & np.isfinite(q)
        away = _distance(p[finite], q[finite])
        largest = max(largest, float(away.max(initial=0)))
        with np.errstate(over="ignore"):  # then the norm is infinite
            square += float((away * away).sum())
            norm += float((np.abs(p[np.isfinite(p)]).astype(np.float64) ** 2).sum())
    relative = math.sqrt(square) / math.sqrt(norm) if norm else math.inf if square else 0.0
    return Gap(changed, largest, relative if not math.isnan(relative) else None, odd)


def _bytes(tensor: Tensor) -> Iterator[Array]:
    data = np.frombuffer(tensor.raw(), np.uint8)
    for at in range(0, data.size, 8 * _PIECE):
        yield data[at : at + 8 * _PIECE]


def _codes(tensor: Tensor) -> Iterator[Array]:
    """uint8[n, bytes of an element] for each piece; packed elements one a byte."""
    data, width = np.frombuffer(tensor.raw(), np.uint8), bits(tensor.dtype)
    for at in range(0, tensor.size, _PIECE):
        count = min(_PIECE, tensor.size - at)
        piece = data[at * width // 8 : ((at + count) * width + 7) // 8]
        codes = unpack(piece, width, count) if width < 8 else piece
        yield codes.reshape(count, -1)


def _numbers(codes: Array, dtype: DType) -> Array:
    """The elements as numpy computes with them: its own integers, float64 or complex128."""
    if dtype.kind == "b":
        return codes.reshape(-1)
    values: Array = np.ascontiguousarray(codes).reshape(-1).view(dtype)
    if is_integer(dtype):
        return values if dtype.isbuiltin == 1 else values.astype(np.int8 if dtype.kind == "i" else np.int16)
    with np.errstate(invalid="ignore"):
        return values.astype(np.complex128 if dtype.kind == "c" else np.float64)


def _distance(p: Array, q: Array) -> Any:
    """float64: exact for integers as long as the distance itself is."""
    if p.dtype == q.dtype and p.dtype.kind in "iu":
        high, low = np.maximum(p, q), np.minimum(p, q)
        if p.dtype.itemsize == 8:
            return (high.astype(np.uint64) - low.astype(np.uint64)).astype(np.float64)
        return high.astype(np.float64) - low
    wide = np.complex128 if "c" in (p.dtype.kind, q.dtype.kind) else np.float64
    with np.errstate(over="ignore", invalid="ignore"):
        return np.abs(p.astype(wide) - q.astype(wide))
