"""Embedding, embedding_bag, one_hot: rows of a table by number."""

from __future__ import annotations

from typing import Any

from interchange import ops
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.table import lower


@lower("aten.embedding")
def embedding(weight: Tensor, indices: Tensor, *_: Any, **__: Any) -> Tensor:
    """The rows of these numbers; the padding's row is one like the others when nothing is trained."""
    return ops.Gather(weight, indices, axis=0)
