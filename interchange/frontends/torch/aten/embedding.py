"""Embedding, embedding_bag, one_hot: rows of a table by number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from interchange import ops
from interchange.dims import DimLike, product, same
from interchange.dtypes import int64
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.aten.creation import counted, filled
from interchange.frontends.torch.aten.kernels import number, where
from interchange.frontends.torch.aten.scattering import Scatter, combined, entries
from interchange.frontends.torch.aten.views import refused
from interchange.frontends.torch.table import Out, lower
from interchange.ops.shape import slice_axis
from interchange.ops.shape_tools import shape_tensor


@lower("aten.embedding")
def embedding(weight: Tensor, indices: Tensor, *_: Any, **__: Any) -> Tensor:
    """The rows of these numbers; the padding's row is one like the others when nothing is trained."""
    return ops.Gather(weight, indices, axis=0)


@lower("aten.embedding_renorm")
def embedding_renorm(weight: Tensor, indices: Tensor, max_norm: float, norm_type: float) -> Tensor:
    """The table with those rows of it that are used scaled down to max_norm, where their norm is larger."""
    size = ops.Abs(weight)
    if norm_type == math.inf:
        norm = ops.ReduceMax(size, [1], keepdims=1)
    else:
        total = ops.ReduceSum(ops.Pow(size, number(norm_type, weight)), [1], keepdims=1)
        norm = ops.Pow(total, number(1 / norm_type, weight))
    used = entries(0, ops.Reshape(indices, [-1]))(
        filled((weight.shape[0],), 0, int64), filled((product(indices.shape),), 1, int64), "none"
    )
    scaled = ops.Mul(weight, ops.Div(number(max_norm, weight), ops.Add(norm, number(1e-7, weight))))
    long = ops.And(ops.Unsqueeze(astype(used, np.bool_), [1]), ops.Greater(norm, number(max_norm, weight)))
    return where(long, scaled, weight)


@lower("aten.one_hot")
def one_hot(x: Tensor, num_classes: DimLike = -1, *, out: Out) -> Tensor:
    """1 at the position each element names along a new last axis, 0 elsewhere; int64."""
    count = out.shape[-1]
    if count is None:
        raise refused(
            "the number of classes of one_hot is the largest element, so that a size depends on data",
            found="num_classes=-1",
            expected="a number",
            fix="pass num_classes",
        )
    return ops.OneHot(astype(x, int64), shape_tensor(count), np.array([0, 1], np.int64))


@lower("aten.embedding_bag")
def embedding_bag(
    weight: Tensor,
    indices: Tensor,
    offsets: Tensor,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
    *,
    out: list[Out],
) -> list[Tensor]:
    """Sums (mode 0), means (1) or maxima (2) of the rows of each bag, which begins at its offset; 0 for an empty one.

    Rows of padding_idx do not count. Beside it what PyTorch keeps for the gradient: the bag of each index, the number
    of rows of each bag, and the index that each maximum is from.
    """
    bags, size = out[0].shape[0], indices.shape[0]
    starts = slice_axis(offsets, 0, 0, bags) if include_last_offset else offsets
    begun = entries(0, starts)(filled((size + 1,), 0, int64), filled((bags,), 1, int64), "add")
    bag = slice_axis(ops.CumSum(begun, np.int64(0)), 0, 0, size) - 1
    place = entries(0, bag)
    rows = ops.Gather(weight, indices, axis=0)
    if per_sample_weights is not None:
        rows = rows * ops.Unsqueeze(per_sample_weights, [1])
    counts = filled((size,), 1, int64)
    if padding_idx is not None:
        padding = padding_idx if padding_idx >= 0 else padding_idx + weight.shape[0]
        kept = ops.Not(ops.Equal(astype(indices, int64), shape_tensor(padding)))
        counts = astype(kept, int64)
        rows = where(ops.Unsqueeze(kept, [1]), rows, number(-np.inf if mode == 2 else 0, rows))
    lengths = place(filled((bags,), 0, int64), counts, "add")
    if mode == 2:
        highest = combined(filled(out[0].shape, -np.inf, rows.dtype), rows, "amax", True, place)
        empty = ops.Unsqueeze(ops.Equal(lengths, np.int64(0)), [1])
        where_from = _first_equal(highest, rows, bag, indices, place)
        where_from = where(empty, number(0, where_from), where_from)
        return [where(empty, number(0, rows), highest), bag, _padded(lengths, out[2]), where_from]
    result = combined(filled(out[0].shape, 0, rows.dtype), rows, "sum", True, place)
    if mode == 1:
        result = result / astype(ops.Unsqueeze(ops.Max(lengths, np.int64(1)), [1]), rows.dtype)
        return [result, bag, _padded(lengths, out[2]), lengths]
    unused = [filled(o.shape, 0, int64) for o in out[2:]]
    return [result, bag if padding_idx is not None else filled((0,), 0, int64), *unused]


def _padded(x: Tensor, out: Out) -> Tensor:
    """With zeros behind it up to the size that PyTorch says, which is one more with include_last_offset."""
    rest = out.shape[0] - x.shape[0]
    return x if same(rest, 0) else ops.Concat(x, filled((rest,), 0, int64), axis=0)


def _first_equal(highest: Tensor, rows: Tensor, bag: Tensor, indices: Tensor, place: Scatter) -> Tensor:
    """The index of the first row of each bag that has the bag's maximum, [bags, columns]."""
    is_it = ops.Equal(rows, ops.Gather(highest, bag, axis=0))
    last = shape_tensor(indices.shape[0]) - 1
    found = ops.Where(is_it, ops.Unsqueeze(counted(indices.shape[0]), [1]), last)
    first = place(ops.Expand(last, shape_tensor(highest.shape)), found, "min")
    return ops.Gather(astype(indices, int64), first, axis=0)
