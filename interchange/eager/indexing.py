"""``x[...]``: NumPy's indexing as operators of the vocabulary.

Basic: integers, slices (with steps of either sign), ``...``, None; sizes (`Dim`) wherever an integer is taken.
Advanced: integer tensors, arrays and lists, and boolean masks of any rank, in any mixture with the basic ones. The
axes that the arrays make stand where NumPy puts them: in the place of the first of them if they are neighbours, else in
front.

An integer on an axis of fixed size becomes Slice and Squeeze (whose gradient is a Pad), on one of symbolic size Gather
with a guard; arrays become Gather, or GatherND where several go together.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from interchange.dims import Condition, Dim, DimLike, require, same
from interchange.dtypes import is_integer, name_of
from interchange.eager.tensor import Tensor, Variable, shape_text, to_array, wrap
from interchange.errors import PositionError, user_line
from interchange.ops.indexing import Gather, GatherND, NonZero
from interchange.ops.shape import Cast, Concat, Expand, Identity, Reshape, Slice, Squeeze, Transpose, Unsqueeze
from interchange.ops.shape_tools import broadcast_shapes, must_equal, shape_tensor

_END = np.iinfo(np.int64).max
_ALL = slice(None)


def _refused(what: str, fix: str) -> PositionError:
    return PositionError(
        "IX117",
        f"this index is not supported: {what}",
        where=user_line(),
        found=what,
        expected="integers, slices, ..., None, integer arrays or a boolean mask",
        fix=fix,
    )


def _outside(message: str, found: str, expected: str, fix: str) -> PositionError:
    return PositionError("IX115", message, where=user_line(), found=found, expected=expected, fix=fix)


@dataclass(slots=True)
class _Points:
    """An advanced index: positions on `count` neighbouring axes, int64 [..., count], or [...] where it is one axis."""

    positions: Tensor
    count: int
    stacked: bool = False  # whether the last axis of `positions` counts the axes

    def columns(self) -> Tensor:
        return self.positions if self.stacked else Unsqueeze(self.positions, [-1])

    def shape(self) -> tuple[DimLike, ...]:
        return self.positions.shape[:-1] if self.stacked else self.positions.shape


def getitem(x: Tensor, key: Any) -> Tensor:
    """``x[key]``. Raises PositionError IX117 for an index it does not take, IX115 for one out of range."""
    keys = _complete(x, key if isinstance(key, tuple) else (key,))
    advanced = [i for i, k in enumerate(keys) if isinstance(k, _Points)]
    # NumPy counts an integer beside an array as an array when it asks whether the arrays are neighbours
    fixed = [i for i, k in enumerate(keys) if isinstance(k, (_Points, int, Dim))] if advanced else []
    together = not fixed or all(isinstance(k, (_Points, int, Dim)) for k in keys[fixed[0] : fixed[-1] + 1])

    plan = _Basic()
    arrays: list[tuple[int, _Points]] = []  # (axis after dropping and adding axes, index)
    axis = place = 0
    for k in keys:
        if k is None:
            plan.new.append(place)
            place += 1
        elif k is Ellipsis:  # stands for no axis at all here; it only keeps arrays apart
            continue
        elif isinstance(k, slice):
            plan.slice(axis, x.shape[axis], k)
            axis, place = axis + 1, place + 1
        elif isinstance(k, _Points):
            if not k.count:  # a boolean scalar: an axis of its own that it keeps or empties
                plan.new.append(place)
                k.count = 1
            else:
                axis += k.count
            arrays.append((place, k))
            place += k.count
        else:
            plan.pick(axis, x.shape[axis], k)
            axis += 1
    if not (plan.axes or plan.picked or plan.new or arrays):
        return Identity(x) if isinstance(x, Variable) else x
    x = plan.apply(x)
    return _take(x, arrays, together) if arrays else x


class _Basic:
    """Slices, integers and new axes, collected to be done by one Slice, one Squeeze and one Unsqueeze."""

    def __init__(self) -> None:
        self.starts: list[DimLike] = []
        self.ends: list[DimLike] = []
        self.axes: list[int] = []
        self.steps: list[int] = []
        self.drop: list[int] = []  # axes of x taken by an integer
        self.new: list[int] = []  # places of new axes in the result, before arrays are applied
        self.picked: list[tuple[int, DimLike]] = []  # integers on axes of symbolic size: one Gather each

    def add(self, axis: int, start: DimLike, end: DimLike, step: int) -> None:
        self.axes.append(axis)
        self.starts.append(start)
        self.ends.append(end)
        self.steps.append(step)

    def slice(self, axis: int, size: DimLike, k: slice) -> None:
        if k == _ALL:
            return
        start, stop = _bound(k.start), _bound(k.stop)
        step = _bound(k.step)
        step = 1 if step is None else step
        if not isinstance(step, int) or step == 0:
            raise _refused(f"a slice with step {step}", "use a fixed step other than 0")
        if all(isinstance(v, int) or v is None for v in (size, start, stop)):
            # as Python reads it: ONNX clamps the start of a slice that runs backwards to the first element
            taken = range(size)[slice(start, stop, step)]
            if taken == range(size):
                return
            if not taken:
                self.add(axis, 0, 0, 1)
            else:
                last = taken[-1] + (1 if step > 0 else -1)
                self.add(axis, taken[0], last if last >= 0 else -_END, step)
            return
        if step < 0 and isinstance(start, int) and start < -1:
            _require(size + start, f"axis {axis} has at least {-start} entries")
        default = (0, _END) if step > 0 else (_END, -_END)
        self.add(axis, default[0] if start is None else start, default[1] if stop is None else stop, step)

    def pick(self, axis: int, size: DimLike, k: DimLike) -> None:
        if isinstance(k, int) and isinstance(size, int):
            if not -size <= k < size:
                raise _outside(
                    f"index {k} is out of range for axis {axis} of size {size}",
                    f"{k}",
                    f"an index in [{-size}, {size})" if size else "no index: the axis is empty",
                    "check the size of the axis",
                )
            self.add(axis, k, _END if k == -1 else k + 1, 1)
            self.drop.append(axis)
            return
        if isinstance(k, int) and k < 0:
            _require(size + k, f"axis {axis} has at least {-k} entries")
        else:
            _require(size - k - 1, f"index {k} is below the size of axis {axis}, {size}")
            if isinstance(k, Dim):
                _require(k, f"index {k} is not negative")
        self.picked.append((axis, k))

    def apply(self, x: Tensor) -> Tensor:
        for axis, k in reversed(self.picked):
            x = Gather(x, shape_tensor(k), axis=axis)
        gone = [axis for axis, _ in self.picked]
        moved = {axis: axis - sum(g < axis for g in gone) for axis in (*self.axes, *self.drop)}
        if self.axes:
            axes = [moved[a] for a in self.axes]
            x = Slice(x, shape_tensor(self.starts), shape_tensor(self.ends), axes, self.steps)
        if self.drop:
            x = Squeeze(x, [moved[a] for a in self.drop])
        return Unsqueeze(x, self.new) if self.new else x


def _require(expr: DimLike, why: str) -> None:
    """Require ``expr >= 0``: a guard where it depends on the input."""
    condition = Condition(expr, ">=")
    if not require(condition, why):
        raise _outside("an index is out of range for every admissible size", str(condition), why, "check the index")


def _bound(value: Any) -> DimLike | None:
    """An end or a step of a slice: None, a size, or what Python takes for an integer."""
    if value is None or isinstance(value, Dim):
        return value
    try:
        return operator.index(value)
    except TypeError:
        raise _refused(f"a slice with {type(value).__name__} {value!r}", "use integers or sizes") from None


def _complete(x: Tensor, key: tuple[Any, ...]) -> list[Any]:
    """The index entry by entry with a slice for every axis not named, and arrays as positions.

    One ``...`` stays where it was written, behind the slices that it stands for.
    """
    given = [_entry(k) for k in key]
    dots = [i for i, k in enumerate(given) if k is Ellipsis]
    if len(dots) > 1:
        raise _refused("more than one ...", "write at most one ...")
    used = sum(_width(k) for k in given)
    rest = len(x.shape) - used
    if rest < 0:
        raise _outside(
            f"{used} indices for a tensor with {len(x.shape)} axes",
            f"{used} indices",
            f"at most {len(x.shape)}",
            "drop some, or add axes with None",
        )
    at = dots[0] if dots else len(given)
    full = given[:at] + [_ALL] * rest + given[at:]
    axis = 0
    for i, k in enumerate(full):
        width = _width(k)
        if isinstance(k, Tensor):
            full[i] = _points(k, x.shape[axis : axis + width], axis)
        axis += width
    return full


def _width(k: Any) -> int:
    """How many axes of the tensor an entry of the index takes."""
    if k is None or k is Ellipsis:
        return 0
    return len(k.shape) if isinstance(k, Tensor) and k.dtype.kind == "b" else 1


def _entry(k: Any) -> Any:
    """An entry as None, ``...``, a slice, an int, a Dim, or a tensor of integers or bools."""
    if k is None or k is Ellipsis or isinstance(k, (slice, Dim)) or type(k) is int:
        return k
    if isinstance(k, (Tensor, np.ndarray, np.generic, list, bool)):
        t = k if isinstance(k, Tensor) else wrap(to_array(k))
        if isinstance(k, list) and not t._data.size:
            t = wrap(t._data.astype(np.int64))  # as NumPy reads an empty list
        if t.dtype.kind == "b" or is_integer(t.dtype):
            return int(t._data) if isinstance(k, (np.generic, np.ndarray)) and _is_int(t) else t
        raise _refused(f"a {name_of(t.dtype)} tensor", "use integers or a boolean mask")
    if hasattr(k, "__index__"):
        return operator.index(k)
    raise _refused(f"{type(k).__name__} {k!r}", "use integers, slices, ..., None or integer arrays")


def _is_int(t: Tensor) -> bool:
    return not t.shape and is_integer(t.dtype)


def _points(index: Tensor, sizes: tuple[DimLike, ...], axis: int) -> _Points:
    """A tensor of integers, or the positions at which a mask is true."""
    if is_integer(index.dtype):
        return _Points(index if index.dtype == np.int64 else Cast(index, to=7), 1)
    for i, (a, b) in enumerate(zip(index.shape, sizes, strict=True)):
        if isinstance(a, int) and a == 0:  # as the Array API has it: a mask of no element fits, and takes nothing
            continue
        if same(a, b) is not False:
            must_equal(a, b, f"axis {i} of the mask and axis {axis + i} of the tensor")
        else:
            raise _outside(
                f"a mask of shape {shape_text(index.shape)} does not fit axis {axis + i} of size {b}",
                f"{a} in axis {i} of the mask",
                f"{b}",
                "index with a mask that has the sizes of the axes it stands for",
            )
    rank = len(index.shape)
    if not rank:
        return _Points(Squeeze(NonZero(Reshape(index, [1])), [0]), 0)
    found = NonZero(index)
    if rank == 1:
        return _Points(Squeeze(found, [0]), 1)
    return _Points(Transpose(found, perm=(1, 0)), rank, stacked=True)


def _take(x: Tensor, arrays: list[tuple[int, _Points]], together: bool) -> Tensor:
    """Arrays at axes of `x`: one axis by Gather, several by GatherND with those axes brought to the front."""
    shape = broadcast_shapes(*(p.shape() for _, p in arrays))
    axes = [axis + i for axis, p in arrays for i in range(p.count)]
    rank, n = len(x.shape), len(shape)
    others = [i for i in range(rank) if i not in axes]
    first = axes[0] if together else 0
    if len(axes) == 1:
        taken, at = Gather(x, arrays[0][1].positions, axis=axes[0]), axes[0]
    else:
        order = (*axes, *others)
        front = x if order == tuple(range(rank)) else Transpose(x, perm=order)
        columns = [p.columns() for _, p in arrays]
        if len(arrays) > 1:
            whole = [(*shape, p.count) for _, p in arrays]
            columns = [Expand(c, shape_tensor(s)) for c, s in zip(columns, whole, strict=True)]
        taken, at = GatherND(front, columns[0] if len(columns) == 1 else Concat(*columns, axis=-1)), 0
    if at == first:
        return taken
    axes_now = list(range(len(taken.shape)))
    made = axes_now[at : at + n]
    left = axes_now[:at] + axes_now[at + n :]
    return Transpose(taken, perm=(*left[:first], *made, *left[first:]))
