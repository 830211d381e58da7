"""Operators that move, cast, cut and join: the elements stay what they are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import ml_dtypes
import numpy as np

from interchange.dims import Condition, Dim, DimLike, dim_max, dim_min, must_be_number, product, require
from interchange.dims import Shape as Sizes  # `Shape` is the operator here
from interchange.dtypes import BY_NAME, Array, DType, from_onnx, is_float
from interchange.eager.tensor import Tensor, wrap
from interchange.ops.frame import Grads, op
from interchange.ops.shape_rules import same
from interchange.ops.shape_tools import (
    at_least,
    broadcast_shapes,
    divisible,
    known,
    known_or_refuse,
    must_equal,
    normalize_axis,
    refuse,
    reshape_target,
    scalar_of,
    shape_tensor,
    sum_to,
    unknown_size,
    zeros,
)


@op(shape=same, folds=True)
def Identity(input: Array) -> Array:
    """The input itself."""
    return input


@Identity.gradient
def _(g: Tensor) -> Grads:
    return g


def _cast_to(input: Tensor, *, to: int, **rest: object) -> DType:
    dtype = from_onnx(to)
    if dtype is None:
        raise refuse(f"to={to} is no element type", expected="a dtype, or a TensorProto.DataType number")
    return dtype


@op(shape=same, dtype=_cast_to, folds=True)
def Cast(input: Array, *, to: int, saturate: int = 1, round_mode: str = "up") -> Array:
    """The elements in another dtype: floats to integers towards zero, float8 saturating unless saturate=0."""
    dtype = from_onnx(to)
    assert dtype is not None
    return _cast(input, dtype, saturate, round_mode)


def _cast(x: Array, dtype: DType, saturate: int, round_mode: str) -> Array:
    if x.dtype == dtype:
        return x
    if dtype.isbuiltin == x.dtype.isbuiltin == 1 and dtype.kind in "fiu" and x.dtype.kind in "fiub":
        return x.astype(dtype)
    if dtype.kind == "O":
        return np.array([str(v.item() if isinstance(v, np.generic) else v) for v in x.reshape(-1)], object).reshape(
            x.shape
        )
    if x.dtype.kind == "O" and dtype.kind != "b":  # strings, or sizes of a trace
        numbers = [float(v) if is_float(dtype) else int(v) for v in x.reshape(-1)]
        return np.array(numbers).astype(dtype).reshape(x.shape)
    if dtype == _E8M0:
        return _powers_of_two(x, saturate, round_mode)
    if saturate and dtype.itemsize == 1 and is_float(dtype):
        largest = float(_finfo(dtype).max)
        wide = x if is_float(x.dtype) else x.astype(np.float32)
        return np.where(np.isnan(wide), wide, np.clip(wide, -largest, largest)).astype(dtype)
    return x.astype(dtype)


_E8M0 = BY_NAME["float8e8m0"]
_finfo: Any = ml_dtypes.finfo


def _powers_of_two(x: Array, saturate: int, round_mode: str) -> Array:
    """In float8e8m0, which holds 2^-127 to 2^127 only; ONNX rounds up unless told otherwise."""
    wide = x.astype(np.float64)
    mantissa, exponent = np.frexp(wide)  # mantissa in [0.5, 1)
    power = exponent - 1 + {"up": mantissa > 0.5, "nearest": mantissa >= 0.75, "down": mantissa > 1}[round_mode]
    power = np.where(wide == 0, -128, np.where(np.isinf(wide), 128, power))
    none = np.isnan(wide) | (wide < 0) | ((abs(power) > 127) & (not saturate))
    return np.where(none, np.nan, np.ldexp(1.0, np.clip(power, -127, 127))).astype(_E8M0)


@Cast.gradient
def _(g: Tensor, input: Tensor) -> Grads:
    return Cast(g, to=input.dtype)


@op(dtype=lambda input, target_type, **_: target_type.dtype, shape=same)
def CastLike(input: Array, target_type: Array, *, saturate: int = 1, round_mode: str = "up") -> Array:
    """The elements in the dtype of the second input."""
    return _cast(input, target_type.dtype, saturate, round_mode)


@CastLike.gradient
def _(g: Tensor, input: Tensor) -> Grads:
    return Cast(g, to=input.dtype), None


# -- reshaping --------------------------------------------------------------------------------------------------------
@op(folds=True)
def Reshape(data: Array, shape: Array, *, allowzero: int) -> Array:
    """The same elements in another shape: -1 is inferred, 0 copies the input's size (unless allowzero)."""
    target = [data.shape[i] if not allowzero and d == 0 else int(d) for i, d in enumerate(shape.tolist())]
    if any(d < -1 for d in target):
        raise ValueError("a negative size")
    return data.reshape(target)


def reshape(x: Tensor, shape: Sizes) -> Tensor:
    """`x` in this shape, in which sizes may be symbolic, or 0: what gradient rules and layers use."""
    if any(isinstance(d, int) and d == 0 for d in shape):
        return Reshape(x, shape_tensor(shape), allowzero=1)
    return Reshape(x, reshape_target(x.shape, shape))


@Reshape.shape
def _(data: Tensor, shape: Tensor, *, allowzero: int) -> Sizes:
    target = list(known_or_refuse(shape, "the new shape"))
    if any(isinstance(d, int) and d < -1 for d in target):
        raise refuse(f"a size of {min(d for d in target if isinstance(d, int))}", expected="sizes, 0 or -1")
    for i, d in enumerate(target):
        if isinstance(d, int) and d == 0 and not allowzero:
            if i >= len(data.shape):
                raise refuse(
                    "a 0 copies a size that the input does not have", expected=f"0 only before {len(data.shape)}"
                )
            target[i] = data.shape[i]
    inferred = [i for i, d in enumerate(target) if isinstance(d, int) and d == -1]
    total = product(data.shape)
    if len(inferred) > 1:
        raise refuse("only one size can be inferred", expected="at most one -1")
    if inferred:
        rest = product([d for i, d in enumerate(target) if i not in inferred])
        if isinstance(rest, int) and rest == 0:
            raise refuse("-1 cannot be inferred beside a size 0", expected="every size given")
        target[inferred[0]] = divisible(total, rest, f"the number of elements, {total}")
    else:
        must_equal(total, product(target), "the number of elements", guard=True)
    return tuple(target)


@Reshape.gradient
def _(g: Tensor, data_shape: Sizes) -> Grads:
    return reshape(g, data_shape), None


@op(folds=True)
def Flatten(input: Array, *, axis: int) -> Array:
    """Two axes: all before `axis`, and all from it on."""
    if not -input.ndim <= axis <= input.ndim:
        raise ValueError("the axis is out of range")
    axis = axis + input.ndim if axis < 0 else axis
    rows = int(np.prod(input.shape[:axis], dtype=np.int64))
    return input.reshape(rows, int(np.prod(input.shape[axis:], dtype=np.int64)))


@Flatten.shape
def _(input: Tensor, *, axis: int) -> Sizes:
    rank = len(input.shape)
    if not -rank <= axis <= rank:
        raise refuse(f"axis {axis} is out of range", expected=f"an axis in [{-rank}, {rank}]")
    axis = axis + rank if axis < 0 else axis
    return product(input.shape[:axis]), product(input.shape[axis:])


@Flatten.gradient
def _(g: Tensor, input_shape: Sizes) -> Grads:
    return reshape(g, input_shape)


@op()
def Transpose(data: Array, *, perm: tuple[int, ...] | None = None) -> Array:
    """The axes in another order; reversed when perm is left out."""
    if perm and min(perm) < 0:
        raise ValueError("a negative axis")
    return data.transpose(perm)


@Transpose.shape
def _(data: Tensor, *, perm: tuple[int, ...] | None = None) -> Sizes:
    rank = len(data.shape)
    order = tuple(range(rank))[::-1] if perm is None else tuple(perm)
    if sorted(order) != list(range(rank)):
        raise refuse(
            f"perm {list(order)} does not name each axis once", expected=f"an order of the axes 0 to {rank - 1}"
        )
    return tuple(data.shape[i] for i in order)


@Transpose.gradient
def _(g: Tensor, perm: tuple[int, ...] | None) -> Grads:
    return Transpose(g) if perm is None else Transpose(g, perm=tuple(np.argsort(perm).tolist()))


def _axes(axes: Tensor | None, rank: int, what: str) -> list[int]:
    found = [normalize_axis(int(a), rank) for a in known_or_refuse(axes, what)]
    if len(set(found)) != len(found):
        raise refuse(f"{what} name an axis twice", expected="each axis once")
    return found


@op(folds=True)
def Squeeze(data: Array, axes: Array | None = None) -> Array:
    """Without the axes of size 1 (or without those named)."""
    return data.squeeze(tuple(axes.reshape(-1).tolist()) if axes is not None else None)


@Squeeze.shape
def _(data: Tensor, axes: Tensor | None = None) -> Sizes:
    rank = len(data.shape)
    if axes is None:
        symbolic = [d for d in data.shape if not isinstance(d, int)]
        if symbolic:
            must_be_number(symbolic[0])
            raise refuse(
                f"whether the axis of size {symbolic[0]} is dropped depends on the input",
                expected="the axes to drop, by number",
                fix="pass axes",
            )
        return tuple(d for d in data.shape if d != 1)
    drop = _axes(axes, rank, "axes")
    for a in drop:
        must_equal(data.shape[a], 1, f"axis {a} cannot be dropped")
    return tuple(d for i, d in enumerate(data.shape) if i not in drop)


@Squeeze.gradient
def _(g: Tensor, data_shape: Sizes) -> Grads:
    return reshape(g, data_shape), None


@op(folds=True)
def Unsqueeze(data: Array, axes: Array) -> Array:
    """With new axes of size 1 at these positions of the result."""
    if axes.size == 1 and 0 <= (axis := axes.item()) <= data.ndim:  # many times quicker than expand_dims
        return data.reshape(*data.shape[:axis], 1, *data.shape[axis:])
    return np.expand_dims(data, tuple(axes.reshape(-1).tolist()))


@Unsqueeze.shape
def _(data: Tensor, axes: Tensor) -> Sizes:
    count = len(known_or_refuse(axes, "axes"))
    new = _axes(axes, len(data.shape) + count, "axes")
    left = iter(data.shape)
    return tuple(1 if i in new else next(left) for i in range(len(data.shape) + count))


@Unsqueeze.gradient
def _(g: Tensor, axes: Tensor) -> Grads:
    return Squeeze(g, axes), None


# -- repeating --------------------------------------------------------------------------------------------------------
@op(folds=True)
def Expand(input: Array, shape: Array) -> Array:
    """Broadcast to a shape (and with it: a 1 in the shape keeps the input's size)."""
    target = tuple(shape.tolist())
    if input.ndim:
        target = np.broadcast_shapes(input.shape, target)
    result = np.empty(target, input.dtype)
    result[...] = input
    return result


@Expand.shape
def _(input: Tensor, shape: Tensor) -> Sizes:
    return broadcast_shapes(input.shape, known_or_refuse(shape, "the shape to expand to"))


@Expand.gradient
def _(g: Tensor, input_shape: Sizes) -> Grads:
    return sum_to(g, input_shape), None


@op()
def Tile(input: Array, repeats: Array) -> Array:
    """The input repeated along each axis."""
    if repeats.shape != (input.ndim,) or (repeats < 0).any():
        raise ValueError("not one number of repeats an axis")
    return np.tile(input, repeats.tolist())


@Tile.shape
def _(input: Tensor, repeats: Tensor) -> Sizes:
    times = known_or_refuse(repeats, "repeats")
    must_equal(len(times), len(input.shape), "the number of repeats")
    for t in times:
        at_least(t, 0, "a number of repeats")
    return tuple(d * t for d, t in zip(input.shape, times, strict=True))


@Tile.gradient
def _(g: Tensor, input_shape: Sizes, repeats: Tensor) -> Grads:
    from interchange.ops.reduce import ReduceSum

    split: list[DimLike] = []
    for times, d in zip(known_or_refuse(repeats, "repeats"), input_shape, strict=True):
        split += [times, d]
    return ReduceSum(reshape(g, tuple(split)), list(range(0, len(split), 2)), keepdims=0), None


# -- joining and cutting ----------------------------------------------------------------------------------------------
@op(folds=True)
def Concat(*inputs: Array, axis: int) -> Array:
    """The inputs one after the other along an axis."""
    return np.concatenate(inputs, axis)


@Concat.shape
def _(*inputs: Tensor, axis: int) -> Sizes:
    rank = len(inputs[0].shape)
    axis = normalize_axis(axis, rank)
    result = list(inputs[0].shape)
    for k, x in enumerate(inputs[1:], 1):
        if len(x.shape) != rank:
            raise refuse(f"input {k} has {len(x.shape)} axes, input 0 has {rank}", expected="the same number of axes")
        for i in range(rank):
            if i == axis:
                result[i] = result[i] + x.shape[i]
            else:
                result[i] = must_equal(result[i], x.shape[i], f"axis {i} of inputs 0 and {k}")
    return tuple(result)


@Concat.gradient
def _(g: Tensor, inputs_shapes: list[Sizes], axis: int) -> Grads:
    axis = axis % len(g.shape)
    starts: list[DimLike] = [0]
    for s in inputs_shapes:
        starts.append(starts[-1] + s[axis])
    return tuple((lambda a=a, b=b: slice_axis(g, axis, a, b)) for a, b in pairwise(starts))


def slice_axis(x: Tensor, axis: int, start: DimLike, end: DimLike) -> Tensor:
    """``x[..., start:end, ...]`` along one axis; the ends may be symbolic."""
    return Slice(x, shape_tensor((start,)), shape_tensor((end,)), [axis])


@op()
def Split(
    input: Array, split: Array | None = None, *, axis: int, num_outputs: int | None = None, outputs: int = 0
) -> tuple[Array, ...]:
    """Parts along an axis: of the sizes in `split`, or num_outputs of equal size (the last one may be smaller)."""
    sizes = split.tolist() if split is not None else _equal_parts(input.shape[axis], num_outputs or outputs)
    if sum(sizes) != input.shape[axis] or min(sizes) < 0 or len(sizes) != outputs:
        raise ValueError("the parts are not the whole")
    return tuple(np.split(input, np.cumsum(sizes)[:-1], axis))


def _equal_parts(size: int, count: int) -> list[int]:
    part = -(-size // count)
    return [min(part, max(0, size - i * part)) for i in range(count)]


@Split.shape
def _(
    input: Tensor, split: Tensor | None = None, *, axis: int, num_outputs: int | None = None, outputs: int = 0
) -> list[Sizes]:
    axis = normalize_axis(axis, len(input.shape))
    total = input.shape[axis]
    if split is not None and known(split) is None:  # only the data tell
        sizes: Sequence[DimLike] = [unknown_size("part") for _ in range(outputs)]
    elif split is not None:
        sizes = known_or_refuse(split, "split")
        for d in sizes:
            at_least(d, 0, "a part")
        must_equal(len(sizes), outputs, "the number of parts and of outputs", "pass outputs= the number of parts")
        must_equal(sum(sizes[1:], sizes[0]), total, "the sum of the parts")
    elif isinstance(total, int):
        sizes = _equal_parts(total, num_outputs or outputs)
    else:
        count = num_outputs or outputs
        sizes = [divisible(total, count, f"the size {total}")] * count
    return [(*input.shape[:axis], d, *input.shape[axis + 1 :]) for d in sizes]


@Split.decompose
def _(
    input: Tensor, split: Tensor | None = None, *, axis: int, num_outputs: int | None = None, outputs: int = 0
) -> tuple[Tensor, ...]:
    """Without num_outputs, which came with opset 18: the sizes written out."""
    count = num_outputs or outputs
    total = input.shape[axis]
    sizes = _equal_parts(total, count) if isinstance(total, int) else [total // count] * count
    return Split(input, shape_tensor(sizes), axis=axis, outputs=count)


@Split.gradient
def _(gs: list[Tensor | None], input: Tensor, split: Tensor | None, axis: int) -> Grads:
    axis = axis % len(input.shape)
    if split is not None:
        sizes: Sequence[DimLike] = known_or_refuse(split, "split")
    elif isinstance(input.shape[axis], int):
        sizes = _equal_parts(input.shape[axis], len(gs))  # type: ignore[arg-type]
    else:
        sizes = [input.shape[axis] // len(gs)] * len(gs)
    shape = [[*input.shape[:axis], d, *input.shape[axis + 1 :]] for d in sizes]
    parts = [zeros(s, input.dtype) if g is None else g for g, s in zip(gs, shape, strict=True)]
    return Concat(*parts, axis=axis), None


def _slices(
    starts: Array, ends: Array, axes: Array | None, steps: Array | None, rank: int
) -> list[tuple[int, int, int, int]]:
    where = range(len(starts)) if axes is None else [normalize_axis(int(a), rank) for a in axes]
    step = [1] * len(starts) if steps is None else [int(s) for s in steps]
    return [(a, int(s), int(e), st) for a, s, e, st in zip(where, starts, ends, step, strict=True)]


@op(folds=True)
def Slice(data: Array, starts: Array, ends: Array, axes: Array | None = None, steps: Array | None = None) -> Array:
    """data[start:end:step] along the axes named; negative positions count from the end."""
    index = [slice(None)] * data.ndim
    for axis, start, end, step in _slices(starts, ends, axes, steps, data.ndim):
        stop = None if step < 0 and end < -data.shape[axis] else end
        index[axis] = slice(start, stop, step)
    return data[tuple(index)]


_BIG = 2**31 - 1


@Slice.shape
def _(data: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None) -> Sizes:
    first, last = known_or_refuse(starts, "starts"), known_or_refuse(ends, "ends")
    where = tuple(range(len(first))) if axes is None else known_or_refuse(axes, "axes")
    stride = (1,) * len(first) if steps is None else known_or_refuse(steps, "steps")
    for what, values in (("ends", last), ("axes", where), ("steps", stride)):
        must_equal(len(first), len(values), f"the number of starts and of {what}")
    result = list(data.shape)
    for start, end, axis, step in zip(first, last, where, stride, strict=True):
        axis = normalize_axis(int(axis), len(data.shape))
        size = data.shape[axis]
        if not isinstance(step, int) or step == 0:
            raise refuse(f"a step of {step}", expected="a fixed step other than 0")
        if isinstance(size, int) and isinstance(start, int) and isinstance(end, int):
            stop = None if step < 0 and end < -size else end
            result[axis] = len(range(size)[slice(start, stop, step)])
        else:
            result[axis] = _slice_size(size, start, end, step)
    return tuple(result)


def _position(p: DimLike, size: DimLike, low: DimLike, high: DimLike) -> DimLike:
    """Where a start or an end of a slice lies, counted from the front and moved into [low, high].

    A symbolic one is counted from one side only: from the front, which becomes a guard, unless it is always negative.
    """
    if isinstance(p, int) and p < 0:
        p = size + p if p > -_BIG else low
    elif isinstance(p, int) and p >= _BIG:
        p = high
    elif isinstance(p, Dim) and not require(Condition(p, ">="), f"the position {p} of a slice is not negative"):
        p = size + p
    return dim_max(low, dim_min(p, high))


def _slice_size(size: DimLike, start: DimLike, end: DimLike, step: int) -> DimLike:
    """How many positions a slice of a symbolic size (or with symbolic ends) takes."""
    if step > 0:
        a, b = _position(start, size, 0, size), _position(end, size, 0, size)
        return dim_max(0, (b - a + step - 1) // step)
    a = _position(start, size, -1, size - 1)
    b = -1 if isinstance(end, int) and end <= -_BIG else _position(end, size, -1, size - 1)
    return dim_max(0, (a - b - step - 1) // -step)


@Slice.gradient
def _(g: Tensor, data_shape: Sizes, starts: Tensor, ends: Tensor, axes: Tensor | None, steps: Tensor | None) -> Grads:
    from interchange.ops.pad import Pad

    rank, first = len(data_shape), known_or_refuse(starts, "starts")
    if any(step != 1 for step in (() if steps is None else known_or_refuse(steps, "steps"))):
        return _scatter_slice(g, data_shape, starts, ends, axes, steps), None, None
    where = range(rank) if axes is None else [normalize_axis(int(a), rank) for a in known_or_refuse(axes, "axes")]
    pads: list[DimLike] = [0] * (2 * rank)
    for a, start in zip(where, first, strict=False):
        pads[a] = _position(start, data_shape[a], 0, data_shape[a])
        pads[rank + a] = data_shape[a] - pads[a] - g.shape[a]
    return Pad(g, shape_tensor(pads)), None, None


def _scatter_slice(
    g: Tensor, shape: Sizes, starts: Tensor, ends: Tensor, axes: Tensor | None, steps: Tensor | None
) -> Tensor:
    """The gradient of a slice with steps: added into zeros at the positions it was taken from."""
    from interchange.ops.creation import Range
    from interchange.ops.indexing import ScatterElements

    count = product(shape)
    flat = Range(wrap(np.array(0, np.int64)), scalar_of(count, np.dtype(np.int64)), wrap(np.array(1, np.int64)))
    rows = reshape(flat, shape)
    taken = Reshape(Slice(rows, starts, ends, axes, steps), [-1])
    into = zeros((count,), g.dtype)
    summed = ScatterElements(into, taken, Reshape(g, [-1]), axis=0, reduction="add")
    return reshape(summed, shape)


# -- sizes ------------------------------------------------------------------------------------------------------------
@op()
def Shape(data: Array, *, start: int, end: int | None = None) -> Array:
    """The sizes of the axes start to end, int64."""
    return np.array(data.shape[start:end], np.int64)


@Shape.shape
def _(data: Tensor, *, start: int, end: int | None = None) -> tuple[DimLike, ...]:
    return (len(data.shape[start:end]),)


@op(shape=lambda data: ())
def Size(data: Array) -> Array:
    """The number of elements, int64 of shape []."""
    return np.array(data.size, np.int64)
