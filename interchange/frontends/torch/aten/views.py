"""Other shapes of the same elements: view, permute, slice, split, expand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interchange import ops
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.table import Out, lower
from interchange.ops.shape import reshape


@lower("aten.view", "aten.reshape", "aten._unsafe_view", "aten.flatten", "aten.unflatten", "aten.squeeze")
def view(x: Tensor, *_: Any, out: Out, **__: Any) -> Tensor:
    """The elements in the shape that PyTorch says."""
    return reshape(x, out.shape)


@lower("aten.unsqueeze")
def unsqueeze(x: Tensor, dim: int, *, out: Out) -> Tensor:
    """A new axis of size 1."""
    return ops.Unsqueeze(x, [dim % len(out.shape)])


@lower("aten.permute")
def permute(x: Tensor, dims: Sequence[int]) -> Tensor:
    """The axes in another order."""
    return ops.Transpose(x, perm=[d % len(x.shape) for d in dims])


@lower("aten.to", "aten._to_copy", "aten.type_as")
def to(x: Tensor, *_: Any, out: Out, **__: Any) -> Tensor:
    """The elements in another dtype."""
    return astype(x, out.dtype)


@lower(
    "aten.detach",
    "aten.alias",
    "aten.contiguous",
    "aten.clone",
    "aten.lift_fresh_copy",
    "aten.detach_copy",
    "aten.lift_fresh",
)
def same(x: Tensor, **_: Any) -> Tensor:
    """The tensor itself: in a graph nothing is written into it."""
    return x
