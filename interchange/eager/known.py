"""What a trace knows of a value without running the graph: the elements of tensors that are made of sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from interchange.dims import Dim, DimLike
from interchange.dtypes import INTEGERS, Array, DType
from interchange.eager.tensor import Tensor
from interchange.errors import InterchangeError


def folded(bound: Any, tensors: Sequence[Tensor | None], dtypes: Sequence[DType]) -> Array | None:
    """The elements of a result that is made of sizes: ints when all are numbers, else an object array of dims."""
    op = bound.op
    if op.name == "Shape" and not op.domain:
        x = tensors[0]
        assert x is not None
        return sizes_array(x.shape[bound.attributes.get("start", 0) : bound.attributes.get("end")])
    if op.name == "Size" and not op.domain:
        assert tensors[0] is not None
        size = tensors[0].size
        return np.array(size, np.int64 if isinstance(size, int) else object)
    if not op.folds or dtypes[0] not in INTEGERS:
        return None
    known = [None if t is None else t._known() for t in tensors]
    if any(
        (k is None and t is not None) or (k is not None and (k.size > 64 or k.dtype.kind not in "iO"))
        for k, t in zip(known, tensors, strict=True)
    ):
        return None
    if op.name == "Cast":
        return known[0]
    try:
        result = np.asarray(bound.kernel(*known))
    except (InterchangeError, TypeError, ValueError, IndexError, ArithmeticError, AttributeError):
        return None  # sizes this arithmetic is not exact on simply stay unknown; the node is recorded all the same
    flat = result.reshape(-1).tolist()
    if any(isinstance(d, Dim) for d in flat):
        return result if result.dtype == object else None
    return result.astype(np.int64) if all(isinstance(d, int) for d in flat) else None


def sizes_array(dims: Sequence[DimLike]) -> Array:
    if all(isinstance(d, int) for d in dims):
        return np.array(dims, np.int64)
    array = np.empty(len(dims), object)
    array[:] = dims
    return array
