"""Other shapes of the same elements: reshaping, the order of axes, repetition, other dtypes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from interchange import ops
from interchange.dims import DimLike, Shape, same
from interchange.dtypes import DType, is_integer, name_of
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor
from interchange.errors import ConvertError
from interchange.frontends.torch.table import Out, axes_of, axis_of, is_one, lower
from interchange.ops.shape import reshape
from interchange.ops.shape_tools import shape_tensor

Sizes = Sequence[DimLike | None]


def refused(message: str, *, found: str, expected: str, fix: str) -> ConvertError:
    """ConvertError IX928: this form of an operator has no lowering."""
    return ConvertError("IX928", message, found=found, expected=expected, fix=fix)


# -- reshaping --------------------------------------------------------------------------------------------------------
def reshaped(x: Tensor, shape: Sizes) -> Tensor:
    """The elements in another shape, of which one size may be None: what is left."""
    if len(shape) == len(x.shape) and all(d is not None and same(a, d) for a, d in zip(x.shape, shape, strict=True)):
        return x
    if None not in shape:
        return reshape(x, tuple(shape))  # type: ignore[arg-type]
    return ops.Reshape(x, shape_tensor([-1 if d is None else d for d in shape]))


@lower(
    "aten.view",
    "aten.view_as",
    "aten.view_copy",
    "aten.reshape",
    "aten.reshape_as",
    "aten._reshape_alias",
    "aten._unsafe_view",
    "aten.flatten",
    "aten.unflatten",
    "aten.ravel",
    "aten.atleast_1d",
    "aten.atleast_2d",
    "aten.atleast_3d",
)
def view(x: Tensor, *_: Any, out: Out, **__: Any) -> Tensor:
    """The elements in the shape that PyTorch says."""
    return reshaped(x, out.shape)


@lower("aten.atleast_1d.Sequence", "aten.atleast_2d.Sequence", "aten.atleast_3d.Sequence")
def at_least(xs: Sequence[Tensor], *, out: Sequence[Out]) -> list[Tensor]:
    """Each tensor in the shape that PyTorch says."""
    return [reshaped(x, o.shape) for x, o in zip(xs, out, strict=True)]


@lower("aten.unsqueeze", "aten.unsqueeze_copy")
def unsqueeze(x: Tensor, dim: int) -> Tensor:
    """A new axis of size 1."""
    return ops.Unsqueeze(x, [dim % (len(x.shape) + 1)])


@lower("aten.squeeze", "aten.squeeze_copy")
def squeeze(x: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Without the axes (those of `dim`) of size 1."""
    drop = [a for a in axes_of(dim, len(x.shape)) if is_one(x.shape[a])]
    return ops.Squeeze(x, drop) if drop else x


# -- the order of axes ------------------------------------------------------------------------------------------------
def permuted(x: Tensor, order: Sequence[int]) -> Tensor:
    """The axes in another order; the tensor itself where it is the same."""
    return x if list(order) == list(range(len(order))) else ops.Transpose(x, perm=tuple(order))


@lower("aten.permute", "aten.permute_copy")
def permute(x: Tensor, dims: Sequence[int]) -> Tensor:
    """The axes in another order."""
    return permuted(x, axes_of(dims, len(x.shape)))


@lower("aten.transpose", "aten.transpose_copy", "aten.swapaxes", "aten.swapdims")
def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged."""
    rank = len(x.shape)
    order, a, b = list(range(rank)), axis_of(dim0, rank), axis_of(dim1, rank)
    if rank:
        order[a], order[b] = b, a
    return permuted(x, order)


@lower("aten.t", "aten.t_copy", "aten.numpy_T", "aten.matrix_H")
def reverse_axes(x: Tensor) -> Tensor:
    """The axes in reversed order."""
    return permuted(x, range(len(x.shape))[::-1])


@lower("aten.mT", "aten.mH", "aten.adjoint")
def matrix_transpose(x: Tensor) -> Tensor:
    """The last two axes exchanged."""
    return transpose(x, -2, -1)


@lower("aten.movedim", "aten.moveaxis")
def movedim(x: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Some axes at other places, the others in their order around them."""
    rank = len(x.shape)
    places = dict(zip(axes_of(destination, rank), axes_of(source, rank), strict=True))
    rest = iter(i for i in range(rank) if i not in places.values())
    return permuted(x, [places[i] if i in places else next(rest) for i in range(rank)])


# -- repetition -------------------------------------------------------------------------------------------------------
def expanded(x: Tensor, shape: Sizes) -> Tensor:
    """Broadcast to a shape. Sizes that stay are written as 1, which keeps them: they need not be computed."""
    lead = len(shape) - len(x.shape)
    target: list[DimLike] = []
    for i, d in enumerate(shape):
        before = x.shape[i - lead] if i >= lead else None
        stays = before is not None and (d is None or same(before, d))
        target.append(1 if d is None or stays else d)
    if not lead and all(is_one(d) for d in target):
        return x
    return ops.Expand(x, shape_tensor(target))


@lower("aten.expand", "aten.expand_as", "aten.expand_copy", "aten.broadcast_to")
def expand(x: Tensor, *_: Any, out: Out, **__: Any) -> Tensor:
    """Broadcast to a shape."""
    return expanded(x, out.shape)


@lower("aten.broadcast_tensors")
def broadcast_tensors(xs: Sequence[Tensor], *, out: Sequence[Out]) -> list[Tensor]:
    """All in the shape that they broadcast to."""
    return [expanded(x, o.shape) for x, o in zip(xs, out, strict=True)]


@lower("aten.repeat", "aten.tile")
def repeat(x: Tensor, repeats: Sequence[DimLike], *, out: Out) -> Tensor:
    """The tensor so often along each axis, of which new ones stand in front."""
    rank = len(out.shape)
    times = [1] * (rank - len(repeats)) + list(repeats)
    shape: Shape = (*(1,) * (rank - len(x.shape)), *x.shape)
    if all(is_one(t) or is_one(d) for t, d in zip(times, shape, strict=True)):
        return expanded(x, out.shape)
    return ops.Tile(reshaped(x, shape), shape_tensor(times))


# -- dtypes -----------------------------------------------------------------------------------------------------------
@lower("aten.to", "aten._to_copy", "aten.type_as", "aten._cast_Float", "aten._cast_Double", "aten._cast_Long")
def to(x: Tensor, *_: Any, out: Out, **__: Any) -> Tensor:
    """The elements in another dtype."""
    return astype(x, out.dtype)


@lower("aten.view.dtype")
def view_dtype(x: Tensor, dtype: DType) -> Tensor:
    """The same bits read as another dtype: of integers of one width a cast, which wraps."""
    whole = is_integer(x.dtype) and is_integer(dtype) and x.dtype.itemsize == dtype.itemsize
    if whole or dtype == x.dtype or (x.dtype.kind == "b" and dtype in (np.int8, np.uint8)):
        return astype(x, dtype)
    raise refused(
        "the bits of a tensor read as another dtype have no form in ONNX",
        found=f"{name_of(x.dtype)}.view({name_of(dtype)})",
        expected="integers of the same width",
        fix="cast with .to(dtype), or do this outside of the model",
    )


@lower(
    "aten.alias",
    "aten.alias_copy",
    "aten.clone",
    "aten.conj",
    "aten.conj_physical",
    "aten.contiguous",
    "aten.detach",
    "aten.detach_copy",
    "aten.lift",
    "aten.lift_fresh",
    "aten.lift_fresh_copy",
    "aten.positive",
    "aten.real",
    "aten.resolve_conj",
    "aten.resolve_neg",
)
def same_tensor(x: Tensor, **_: Any) -> Tensor:
    """The tensor itself: in a graph nothing is written into it. Only of real numbers."""
    if x.dtype.kind == "c":
        raise refused(
            "complex numbers have no form in ONNX",
            found=name_of(x.dtype),
            expected="real numbers",
            fix="keep real and imaginary part as two tensors",
        )
    return x
