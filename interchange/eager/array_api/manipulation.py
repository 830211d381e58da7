"""Functions that move, join and repeat: the elements stay what they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from interchange.dims import Dim, DimLike, product, same_shape
from interchange.eager import composed, operators
from interchange.eager.array_api.arguments import as_tensor, integer, invalid, located, sizes
from interchange.eager.array_api.dtypes import result_type
from interchange.eager.tensor import Tensor, shape_text, wrap
from interchange.ops.indexing import Gather, count_to
from interchange.ops.shape import Concat, Expand, Slice, Split, Squeeze, Tile, Transpose, Unsqueeze, slice_axis
from interchange.ops.shape_tools import broadcast_shapes, known_or_refuse, normalize_axis, refuse, shape_tensor

_END = np.iinfo(np.int64).max


def axes_of(axis: Any, rank: int) -> list[int]:
    """An axis argument (an int, a tuple, or None for all) as axes counted from the front, each once."""
    if axis is None:
        return list(range(rank))
    found = [
        normalize_axis(integer(a, "an axis"), rank) for a in (axis if isinstance(axis, (tuple, list)) else (axis,))
    ]
    if len(set(found)) != len(found):
        raise refuse(f"axes {list(axis)} name an axis twice", expected="each axis once")
    return found


@located
def broadcast_arrays(*arrays: Any) -> list[Tensor]:
    """The tensors in the shape that they broadcast to together."""
    tensors = [as_tensor(a) for a in arrays]
    shape = broadcast_shapes(*(t.shape for t in tensors))
    return [_expanded(t, shape) for t in tensors]


@located
def broadcast_to(x: Any, /, shape: Any) -> Tensor:
    """`x` repeated along axes of size 1 and new ones in front; OperatorError IX112 if the shape does not hold it."""
    x, wanted = as_tensor(x), sizes(shape)
    if len(wanted) < len(x.shape) or not same_shape(broadcast_shapes(x.shape, wanted), wanted):
        raise refuse(
            f"{shape_text(x.shape)} does not broadcast to {shape_text(wanted)}", expected="a shape that holds it"
        )
    return _expanded(x, wanted)


def _expanded(x: Tensor, shape: tuple[DimLike, ...]) -> Tensor:
    return x if same_shape(x.shape, shape) else Expand(x, shape_tensor(shape))


def alike(arrays: Sequence[Any]) -> list[Tensor]:
    """The tensors in the dtype that all are promoted to."""
    tensors = [as_tensor(a) for a in arrays]
    if not tensors:
        raise invalid("nothing to join", found="no tensor", expected="at least one", fix="pass a tensor")
    dtype = result_type(*tensors)
    return [composed.astype(t, dtype) for t in tensors]


@located
def concat(arrays: Sequence[Any], /, *, axis: int | None = 0) -> Tensor:
    """The tensors one after the other along an axis that they have; flattened first if it is None."""
    tensors = alike(arrays)
    if axis is None:
        tensors, axis = [operators.reshape(t, -1) for t in tensors], 0
    return Concat(*tensors, axis=axis)


@located
def stack(arrays: Sequence[Any], /, *, axis: int = 0) -> Tensor:
    """The tensors, of one shape, along a new axis."""
    return Concat(*[Unsqueeze(t, [axis]) for t in alike(arrays)], axis=axis)


@located
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis, whose size must be a number, without that axis."""
    x = as_tensor(x)
    axis = normalize_axis(axis, len(x.shape))
    count = x.shape[axis]
    if isinstance(count, Dim):
        raise refuse(f"axis {axis} has the size {count}", expected="a size that is a number", fix="make it static")
    if not count:
        return ()
    return tuple(Squeeze(part, [axis]) for part in Split(x, axis=axis, num_outputs=count))


@located
def expand_dims(x: Any, /, axis: Any = 0) -> Tensor:
    """With a new axis of size 1 at a position of the result (or several, by a tuple)."""
    return operators.unsqueeze(as_tensor(x), axis)


@located
def squeeze(x: Any, /, axis: Any) -> Tensor:
    """Without the axes named, which must be of size 1."""
    return operators.squeeze(as_tensor(x), axis)


@located
def reshape(x: Any, /, shape: Any, *, copy: bool | None = None) -> Tensor:
    """The elements in another shape; one size may be -1. Tensors are immutable: nobody sees whether it is a copy."""
    return operators.reshape(as_tensor(x), *(shape if isinstance(shape, (tuple, list)) else (shape,)))


@located
def permute_dims(x: Any, /, axes: Sequence[int]) -> Tensor:
    """The axes in another order."""
    x = as_tensor(x)
    return Transpose(x, perm=tuple(normalize_axis(integer(a, "an axis"), len(x.shape)) for a in axes))


@located
def moveaxis(x: Any, source: Any, destination: Any, /) -> Tensor:
    """The axes in `source` at the positions in `destination`, the others in their order."""
    x = as_tensor(x)
    rank = len(x.shape)
    moved, places = axes_of(source, rank), axes_of(destination, rank)
    if len(moved) != len(places):
        raise refuse(f"{len(moved)} axes to {len(places)} positions", expected="as many positions as axes")
    order = [i for i in range(rank) if i not in moved]
    for place, axis in sorted(zip(places, moved, strict=True)):
        order.insert(place, axis)
    return x if order == list(range(rank)) else Transpose(x, perm=tuple(order))


@located
def flip(x: Any, /, *, axis: Any = None) -> Tensor:
    """The order of the elements along the axes reversed."""
    x = as_tensor(x)
    axes = axes_of(axis, len(x.shape))
    n = len(axes)
    return Slice(x, [-1] * n, [-_END] * n, axes, [-1] * n) if axes else x


@located
def roll(x: Any, /, shift: Any, *, axis: Any = None) -> Tensor:
    """The elements moved by `shift` along each axis, those that leave at one end coming in at the other."""
    x = as_tensor(x)
    if axis is None:
        return operators.reshape(roll(operators.reshape(x, -1), shift, axis=0), *x.shape)
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    shifts = shift if isinstance(shift, (tuple, list)) else (shift,) * len(axes)
    if len(shifts) != len(axes):
        raise refuse(f"{len(shifts)} shifts along {len(axes)} axes", expected="one shift for each axis")
    rolled: Tensor = x
    for by, a in zip(shifts, axes, strict=True):
        at = normalize_axis(integer(a, "an axis"), len(x.shape))
        size = x.shape[at]
        by = by if isinstance(by, Dim) else integer(by, "a shift")
        if isinstance(size, Dim) or isinstance(by, Dim):
            rolled = Gather(rolled, (count_to(size) - by) % size, axis=at)
        elif size and by % size:
            cut = -by % size
            rolled = Concat(slice_axis(rolled, at, cut, size), slice_axis(rolled, at, 0, cut), axis=at)
    return rolled


@located
def repeat(x: Any, repeats: Any, /, *, axis: int | None = None) -> Tensor:
    """Each element (of the flattened tensor, without an axis) `repeats` times; a tensor says how often each one."""
    x = as_tensor(x)
    if axis is None:
        x, axis = operators.reshape(x, -1), 0
    axis = normalize_axis(axis, len(x.shape))
    size = x.shape[axis]
    each = known_or_refuse(as_tensor(repeats), "repeats")
    if len(each) == 1:
        (times,) = each
        wide = Unsqueeze(x, [axis + 1])
        wide = Expand(wide, shape_tensor((*wide.shape[: axis + 1], times, *wide.shape[axis + 2 :])))
        return operators.reshape(wide, *x.shape[:axis], size * times, *x.shape[axis + 1 :])
    if len(each) != size:
        raise refuse(f"{len(each)} repeats for an axis of size {size}", expected="one number, or one for each entry")
    return Gather(x, wrap(np.repeat(np.arange(len(each)), [integer(t, "repeats") for t in each])), axis=axis)


@located
def tile(x: Any, repetitions: Sequence[DimLike], /) -> Tensor:
    """The tensor repeated along each axis, with axes of size 1 in front where there are more repetitions than axes."""
    x, times = as_tensor(x), sizes(tuple(repetitions))
    missing = len(times) - len(x.shape)
    if missing > 0:
        x = Unsqueeze(x, list(range(missing)))
    return Tile(x, shape_tensor((*[1] * -missing, *times))) if x.shape else x


def size_of(x: Tensor, axes: Sequence[int]) -> DimLike:
    """The number of elements over some axes."""
    return product([x.shape[i] for i in axes])


__all__ = [
    "broadcast_arrays",
    "broadcast_to",
    "concat",
    "expand_dims",
    "flip",
    "moveaxis",
    "permute_dims",
    "repeat",
    "reshape",
    "roll",
    "squeeze",
    "stack",
    "tile",
    "unstack",
]
