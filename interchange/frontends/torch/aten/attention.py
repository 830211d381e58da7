"""Scaled dot-product attention, and the layers that PyTorch computes whole around it.

The scores q k^T are scaled once and masked by adding 0 or -inf, which ONNX Runtime joins into few kernels. A query that
sees no key at all gives zeros, as in PyTorch (where softmax alone would give NaN).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from interchange import ops
from interchange.dims import Dim, DimLike
from interchange.dtypes import DType
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor, wrap
from interchange.errors import ConvertError
from interchange.frontends.torch.aten.creation import counted, recorded
from interchange.frontends.torch.aten.random import dropout
from interchange.frontends.torch.table import lower
from interchange.ops.linear import transpose_last
from interchange.ops.shape import reshape
from interchange.ops.shape_tools import scalar_of


def causal(queries: DimLike, keys: DimLike) -> Tensor:
    """bool [queries, keys]: key j is not after query i (counted from the top left, also where the sizes differ)."""
    rows, columns = recorded(counted(queries)), counted(keys)
    return ops.GreaterOrEqual(ops.Unsqueeze(rows, [1]), ops.Unsqueeze(columns, [0]))


def _bias(mask: Tensor, dtype: DType) -> tuple[Tensor, Tensor | None]:
    """A mask as what is added to the scores, and whether each query sees a key (None where that is certain)."""
    low, nothing = np.array(-np.inf, dtype), np.zeros((), dtype)
    bias = ops.Where(mask, nothing, low) if mask.dtype.kind == "b" else astype(mask, dtype)
    seen = mask if mask.dtype.kind == "b" else ops.Not(ops.Equal(bias, low))
    if type(seen) is Tensor and seen.numpy().any(-1).all():
        return bias, None
    return bias, ops.ReduceMax(astype(seen, np.float32), [-1], keepdims=1) > 0


def _scale(q: Tensor, scale: float | None) -> Tensor:
    """scale, or 1 / sqrt(E), as a 0-d tensor."""
    features = q.shape[-1]
    if scale is None and isinstance(features, Dim):
        return ops.Reciprocal(ops.Sqrt(scalar_of(features, q.dtype)))
    if scale is None:
        assert isinstance(features, int)
        scale = 1 / math.sqrt(features) if features else 1.0
    return wrap(np.array(scale, q.dtype))


def _drops(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, dropout_p: float = 0.0, *_: Any, **__: Any
) -> bool:
    return dropout_p > 0


def _flash_drops(q: Tensor, k: Tensor, v: Tensor, dropout_p: float = 0.0, *_: Any, **__: Any) -> bool:
    return dropout_p > 0


def attend(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: Tensor, groups: int = 1, dropout_p: float = 0.0
) -> tuple[Tensor, Tensor]:
    """softmax(q k^T * scale + bias) v and the scores. groups: how many heads of q, one after the other, share k and v.

    q [..., L, E], k [..., S, E], v [..., S, Ev]. dropout_p: the probability that a weight is dropped.
    """
    full, wide = q.shape, q
    if groups > 1:  # the queries of the heads that share a key as the rows of one product
        heads, length = k.shape[-3], q.shape[-2]
        wide = reshape(q, (*q.shape[:-3], heads, groups * length, q.shape[-1]))
    scores = ops.Mul(ops.MatMul(wide, transpose_last(k)), scale)
    if groups > 1:
        scores = reshape(scores, (*full[:-1], k.shape[-2]))
    if bias is not None:
        scores = ops.Add(scores, bias)
    weights = dropout(ops.Softmax(scores, axis=-1), dropout_p, True)
    if groups == 1:
        return ops.MatMul(weights, v), scores
    together = reshape(weights, (*wide.shape[:-1], k.shape[-2]))
    return reshape(ops.MatMul(together, v), (*full[:-1], v.shape[-1])), scores


@lower("aten.scaled_dot_product_attention", random=_drops)
def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(q k^T * scale + mask) v of any rank; a query without a key gives zeros."""
    return _attention(q, k, v, attn_mask, dropout_p, is_causal, scale, enable_gqa)[0]


def _attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    dropout_p: float,
    is_causal: bool,
    scale: float | None,
    enable_gqa: bool = False,
) -> tuple[Tensor, Tensor]:
    groups = 1
    if enable_gqa and len(q.shape) > 2:
        groups = _groups(q.shape[-3], k.shape[-3])
    bias, sees = None, None
    if is_causal:
        mask = causal(q.shape[-2], k.shape[-2])
    if mask is not None:
        bias, sees = _bias(mask, q.dtype)
    result, scores = attend(q, k, v, bias, _scale(q, scale), groups, dropout_p)
    if sees is not None and not is_causal:
        result = ops.Where(sees, result, np.zeros((), q.dtype))
    return result, scores


def _groups(heads: DimLike, shared: DimLike) -> int:
    count = heads // shared
    if not isinstance(count, int):
        raise ConvertError(
            "IX928",
            "grouped-query attention with a dynamic number of heads",
            found=f"{heads} heads of queries and {shared} of keys",
            expected="static numbers of heads",
            fix="make the axis of the heads static",
        )
    return count


@lower("aten._scaled_dot_product_flash_attention_for_cpu", random=_flash_drops)
def flash_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Attention, and the logarithm of the sum of e^score of each query."""
    result, scores = _attention(q, k, v, attn_mask, dropout_p, is_causal, scale)
    return result, ops.ReduceLogSumExp(scores, [-1], keepdims=0)


@lower("aten._scaled_dot_product_attention_math", random=_drops)
def math_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    dropout_mask: Any = None,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Tensor, Tensor]:
    """Attention, and its weights."""
    result, scores = _attention(q, k, v, attn_mask, dropout_p, is_causal, scale, enable_gqa)
    return result, ops.Softmax(scores, axis=-1)
