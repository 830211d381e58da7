"""Mixtures of experts: rows sorted by expert, each run of rows times the matrix of its own."""

from __future__ import annotations

import numpy as np

from interchange import ops
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.table import Out, lower
from interchange.ops.shape_tools import shape_tensor


@lower("transformers.grouped_mm_fallback")
def grouped_mm(x: Tensor, weight: Tensor, offs: Tensor, *, out: Out) -> Tensor:
    """x[start:end] @ weight[e] for each expert e: float[rows, k], float[experts, k, n] -> float[rows, n].

    offs: int[experts], where each expert's rows end. Rows after the last end belong to no expert and are 0.
    """
    experts = weight.shape[0]
    borders = ops.Concat(np.zeros(1, np.int64), astype(offs, np.int64), shape_tensor([x.shape[0]]), axis=0)
    counts = ops.Sub(ops.Slice(borders, [1], [experts + 2], [0]), ops.Slice(borders, [0], [experts + 1], [0]))
    *runs, rest = ops.Split(x, counts, axis=0, outputs=experts + 1)
    products = [ops.MatMul(run, ops.Gather(weight, np.int64(e), axis=0)) for e, run in enumerate(runs)]
    zeros = ops.Expand(np.zeros((1, 1), out.dtype), ops.Concat(ops.Shape(rest, end=1), [out.shape[1]], axis=0))
    return ops.Concat(*products, zeros, axis=0)
