"""Shape rules that many operators share. A rule is called as the kernel is: tensors first, then attributes."""

from __future__ import annotations

from typing import Any

from interchange.dims import Shape
from interchange.eager.tensor import Tensor
from interchange.ops.shape_tools import broadcast_shapes, normalize_axis


def same(x: Tensor, *rest: Tensor | None, **attributes: Any) -> Shape:
    """The output has the shape of the first input."""
    return x.shape


def broadcast(*inputs: Tensor, **attributes: Any) -> Shape:
    """NumPy broadcasting of all inputs."""
    return broadcast_shapes(*(x.shape for x in inputs))


def along(x: Tensor, *rest: Tensor | None, axis: int, **attributes: Any) -> Shape:
    """The shape of the first input, which must have the axis."""
    normalize_axis(axis, len(x.shape))
    return x.shape
