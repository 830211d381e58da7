"""A table of vectors, looked up by number."""

from __future__ import annotations

from typing import Any

import numpy as np

from interchange.dtypes import float32, is_integer, name_of
from interchange.eager.nn import init
from interchange.eager.nn.module import Module
from interchange.eager.nn.sizes import one
from interchange.eager.tensor import Parameter, Tensor, mode, shape_text, to_array, wrap
from interchange.errors import OperatorError, user_line
from interchange.ops.arithmetic import Equal
from interchange.ops.indexing import Gather
from interchange.ops.select import Where
from interchange.ops.shape import Unsqueeze


def embedding(indices: Any, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """weight[indices]: indices [...] (integers), weight [count, d] -> [..., d]. padding_idx: a row without gradient."""
    at = indices if isinstance(indices, Tensor) else wrap(to_array(indices))
    if not is_integer(at.dtype):
        raise OperatorError(
            "IX125",
            "rows of a table are numbered by integers",
            where=user_line(),
            found=f"{name_of(at.dtype)}{shape_text(at.shape)}",
            expected="int64 or int32 indices",
            fix="convert: indices.astype('int64')",
        )
    if name_of(at.dtype) not in ("int32", "int64"):
        at = at.astype(np.int64)
    rows = Gather(weight, at, axis=0)
    if padding_idx is None or not (mode.grad and weight.requires_grad):
        return rows
    number = padding_idx if padding_idx >= 0 else int(weight.shape[0]) + padding_idx
    padding = Unsqueeze(Equal(at, np.array(number, at.dtype)), [-1])
    return Where(padding, rows.detach(), rows)  # the same values, but no gradient to the row of the padding


class Embedding(Module):
    """weight[indices]: indices [...] (integers) -> [..., embedding_dim].

    weight: [num_embeddings, embedding_dim], normal with mean 0 and standard deviation 1. padding_idx: a row that begins
    as zeros and is not trained.
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, *, dtype: Any = float32
    ) -> None:
        self.num_embeddings, self.embedding_dim = (
            one("num_embeddings", num_embeddings),
            one("embedding_dim", embedding_dim),
        )
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise OperatorError(
                "IX124",
                "padding_idx names no row of the table",
                where=user_line(),
                found=f"padding_idx={padding_idx}, {num_embeddings} rows",
                expected=f"-{num_embeddings} <= padding_idx < {num_embeddings}",
                fix="add a row for the padding",
            )
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = Parameter(np.empty((num_embeddings, embedding_dim), dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """New initial values."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            values = self.weight.numpy().copy()
            values[self.padding_idx] = 0
            self.weight.assign(values)

    def forward(self, indices: Any) -> Tensor:
        return embedding(indices, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
