"""``x[...]``: NumPy's indexing as operators of the vocabulary.

Integers, slices (with steps), ``...``, None, one integer-array or boolean-mask axis, and several integer arrays at
neighbouring axes from the front. What is not one of these is refused by name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from interchange.dims import Dim, DimLike
from interchange.dtypes import is_integer, name_of
from interchange.eager.tensor import Tensor, to_array, wrap
from interchange.errors import OperatorError, user_line
from interchange.ops.indexing import Gather, GatherND, NonZero
from interchange.ops.shape import Cast, Concat, Expand, Slice, Squeeze, Transpose, Unsqueeze
from interchange.ops.shape_tools import broadcast_shapes, shape_tensor

_END = np.iinfo(np.int64).max


def _refused(what: str, fix: str) -> OperatorError:
    return OperatorError(
        "IX117",
        f"this index is not supported: {what}",
        where=user_line(),
        found=what,
        expected="integers, slices, ..., None, integer arrays or a boolean mask",
        fix=fix,
    )


def getitem(x: Tensor, key: Any) -> Tensor:
    """``x[key]``. Raises OperatorError IX117 for an index it does not take, IX115 for one out of range."""
    keys = _complete(x, key if isinstance(key, tuple) else (key,))
    starts: list[DimLike] = []
    ends: list[DimLike] = []
    axes: list[int] = []
    steps: list[int] = []
    drop: list[int] = []  # axes of x taken by an integer
    new: list[int] = []  # places of new axes in the result, before arrays are applied
    arrays: list[tuple[int, Tensor]] = []  # (axis after dropping and adding, index)
    axis = place = 0
    for k in keys:
        if k is None:
            new.append(place)
            place += 1
            continue
        if isinstance(k, slice):
            step = 1 if k.step is None else int(k.step)
            if k != slice(None):
                axes.append(axis)
                starts.append((0 if step > 0 else _END) if k.start is None else k.start)
                ends.append((_END if step > 0 else -_END) if k.stop is None else k.stop)
                steps.append(step)
        elif isinstance(k, (int, Dim)) and not isinstance(k, bool):
            _in_range(k, x.shape[axis], axis)
            axes.append(axis)
            starts.append(k)
            ends.append(_END if isinstance(k, int) and k == -1 else k + 1)
            steps.append(1)
            drop.append(axis)
            axis += 1
            continue
        else:
            arrays.append((place, k))
        axis += 1
        place += 1
    if axes:
        x = Slice(x, shape_tensor(starts), shape_tensor(ends), axes, steps)
    if drop:
        x = Squeeze(x, drop)
    if new:
        x = Unsqueeze(x, new)
    return _take(x, arrays) if arrays else x


def _complete(x: Tensor, key: tuple[Any, ...]) -> list[Any]:
    """One entry per axis (None for new ones): the ellipsis spelled out, arrays as tensors, masks as positions."""
    given: list[Any] = []
    for k in key:
        if isinstance(k, (Tensor, np.ndarray, list, np.generic)):
            t = k if isinstance(k, Tensor) else wrap(to_array(k))
            if is_integer(t.dtype) and not t.shape and not isinstance(k, Tensor):
                given.append(int(t._data))
            elif t.dtype.kind == "b":
                if not t.shape:
                    raise _refused("a boolean scalar", "index with a mask of the tensor's shape")
                rows = NonZero(t)
                given += [rows[i] for i in range(len(t.shape))]
            elif is_integer(t.dtype):
                given.append(t if t.dtype == np.int64 else Cast(t, to=7))
            else:
                raise _refused(f"a {name_of(t.dtype)} tensor", "use integers or a boolean mask")
        elif isinstance(k, bool) or not (k is None or k is Ellipsis or isinstance(k, (int, slice, Dim))):
            raise _refused(f"{type(k).__name__} {k!r}", "use integers, slices, ..., None or integer arrays")
        else:
            given.append(k)
    dots = [i for i, k in enumerate(given) if k is Ellipsis]
    if len(dots) > 1:
        raise _refused("more than one ...", "write at most one ...")
    used = sum(k is not None and k is not Ellipsis for k in given)
    rest = len(x.shape) - used
    if rest < 0:
        raise OperatorError(
            "IX115",
            f"{used} indices for a tensor with {len(x.shape)} axes",
            where=user_line(),
            found=f"{used} indices",
            expected=f"at most {len(x.shape)}",
            fix="drop some, or add axes with unsqueeze",
        )
    at = dots[0] if dots else len(given)
    return given[:at] + [slice(None)] * rest + given[at + 1 :]


def _in_range(k: DimLike, size: DimLike, axis: int) -> None:
    if isinstance(k, int) and isinstance(size, int) and not -size <= k < size:
        raise OperatorError(
            "IX115",
            f"index {k} is out of range for axis {axis}",
            where=user_line(),
            found=f"{k}",
            expected=f"an index in [{-size}, {size})",
            fix="check the size of the axis",
        )


def _take(x: Tensor, arrays: list[tuple[int, Tensor]]) -> Tensor:
    """Integer arrays: one axis by Gather, neighbouring axes by GatherND."""
    if len(arrays) == 1:
        return Gather(x, arrays[0][1], axis=arrays[0][0])
    axes = [a for a, _ in arrays]
    if axes != list(range(axes[0], axes[0] + len(axes))):
        raise _refused("integer arrays at axes that are not neighbours", "transpose first, or index in two steps")
    shape = broadcast_shapes(*(t.shape for _, t in arrays))
    columns = [Unsqueeze(Expand(t, shape_tensor(shape)), [-1]) for _, t in arrays]
    first, rank = axes[0], len(x.shape)
    front = Transpose(x, perm=(*axes, *range(first), *range(axes[-1] + 1, rank))) if first else x
    taken = GatherND(front, Concat(*columns, axis=-1))
    if not first:
        return taken
    n = len(shape)
    return Transpose(taken, perm=(*range(n, n + first), *range(n), *range(n + first, len(taken.shape))))
