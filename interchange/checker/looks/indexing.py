"""Constants that are a shape, an index or a range: Reshape, Gather, Scatter, Slice, Split, Pad, Reduce."""

from __future__ import annotations

import math

from interchange.checker.looks.seen import Looked, Seen, differ, looks_at
from interchange.checker.rule import Problem
from interchange.dtypes import Array


@looks_at("Reshape")
def reshape(s: Seen) -> Looked:
    """The number of elements before and after."""
    dims, wanted = s.dims(0), s.array(1)
    if dims is None or wanted is None or wanted.ndim != 1:
        return
    target: list[int | None] = [int(d) for d in wanted]
    if any(d is not None and d < -1 for d in target):
        yield "reshape", _no_shape(s, wanted)
        return
    if not s.integer("allowzero", 0):
        target = [(dims[i] if i < len(dims) else None) if d == 0 else d for i, d in enumerate(target)]
    if None in target or None in dims or target.count(-1) > 1:
        return
    have = math.prod(d for d in dims if d is not None)
    rest = math.prod(d for d in target if d is not None and d != -1)
    fits = have == rest if -1 not in target else (rest and have % rest == 0)
    if not fits:
        yield (
            "reshape",
            s.problem(
                f"{have} elements cannot take the shape {[int(d) for d in wanted]}",
                found=s.shown(0),
                expected=f"a shape of {have} elements",
                fix=f"correct the constant {s.name(1)!r}, or use -1 for the open size",
            ),
        )


def _no_shape(s: Seen, wanted: Array) -> Problem:
    return s.problem(
        f"{[int(d) for d in wanted]} is no shape",
        at=1,
        found=f"sizes {', '.join(str(int(d)) for d in wanted if d < -1)}",
        expected="sizes of 0 or more, and at most one -1 for the open size",
        fix=f"correct the constant {s.name(1)!r}",
    )


# -- indices ----------------------------------------------------------------------------------------------------------
def _outside(s: Seen, indices: Array | None, size: int | None, axis: int) -> Looked:
    """Constant indices that an axis does not have."""
    if indices is None or size is None or indices.dtype.kind not in "iu":
        return
    bad = sorted({int(i) for i in indices.reshape(-1) if not -size <= i < size})
    if bad:
        yield (
            "gather",
            s.problem(
                f"index {bad[0]} is outside of axis {axis}, which has {size}",
                at=1,
                found=f"indices {', '.join(map(str, bad[:5]))}; {s.shown(0)}",
                expected=f"indices from {-size} to {size - 1}",
                fix=f"correct the constant {s.name(1)!r}",
            ),
        )


@looks_at("Gather", "GatherElements", "ScatterElements", "Scatter")
def one_axis(s: Seen) -> Looked:
    """Indices of one axis."""
    dims, axis = s.dims(0), s.integer("axis", 0)
    if dims is not None and -len(dims) <= axis < len(dims):
        yield from _outside(s, s.array(1), dims[axis], axis)


@looks_at("GatherND", "ScatterND")
def many_axes(s: Seen) -> Looked:
    """Each number of a tuple of indices for an axis of its own."""
    dims, indices, batch = s.dims(0), s.array(1), s.integer("batch_dims", 0)
    if dims is None or indices is None or not indices.ndim or batch + indices.shape[-1] > len(dims):
        return
    for i in range(indices.shape[-1]):
        yield from _outside(s, indices[..., i], dims[batch + i], batch + i)


@looks_at("ScatterND")
def updates(s: Seen) -> Looked:
    """The shape of the updates."""
    dims, indices, given = s.dims(0), s.dims(1), s.dims(2)
    if dims is None or not indices or given is None or indices[-1] is None or indices[-1] > len(dims):
        return
    expected = [*indices[:-1], *dims[indices[-1] :]]
    if len(expected) != len(given) or any(map(differ, expected, given)):
        yield (
            "sizes",
            s.problem(
                "the updates do not have the shape of what they replace",
                at=2,
                found=s.shown(0, 1, 2),
                expected=f"updates of {_text(expected)}",
                fix="correct the updates or the indices",
            ),
        )


@looks_at("ScatterElements", "Scatter")
def same_shape(s: Seen) -> Looked:
    """Updates have the shape of the indices."""
    indices, given = s.dims(1), s.dims(2)
    if indices is None or given is None:
        return
    if len(indices) != len(given) or any(map(differ, indices, given)):
        yield (
            "sizes",
            s.problem(
                "the updates do not have the shape of the indices",
                at=2,
                found=s.shown(1, 2),
                expected=f"updates of {_text(indices)}",
                fix="correct the updates or the indices",
            ),
        )


def _text(dims: list[int | None]) -> str:
    return f"[{', '.join('?' if d is None else str(d) for d in dims)}]"


# -- ranges -----------------------------------------------------------------------------------------------------------
@looks_at("Slice")
def empty_slice(s: Seen) -> Looked:
    """Start and end the wrong way round."""
    starts, ends = s.numbers(1), s.numbers(2)
    steps = s.numbers(4) if s.name(4) else None
    if starts is None or ends is None or (s.name(4) and steps is None):
        return
    for start, end, step in zip(starts, ends, steps or [1] * len(starts), strict=False):
        if step and (start < 0) == (end < 0) and (start > end if step > 0 else start < end):
            yield (
                "constant",
                s.problem(
                    f"from {start} to {end} in steps of {step} is nothing",
                    at=1,
                    found=f"starts {starts}, ends {ends}",
                    expected="a start before its end",
                    why="the result has no elements",
                    fix="exchange start and end, or correct them",
                    severity="warning",
                ),
            )
            return


@looks_at("Split")
def split(s: Seen) -> Looked:
    """Sizes of 0 or more; num_outputs as many as there are."""
    sizes, count = s.numbers(1), s.integer("num_outputs", 0)
    if sizes is not None and any(n < 0 for n in sizes):
        yield (
            "sizes",
            s.problem(
                f"{min(sizes)} is no size",
                at=1,
                found=f"split {sizes}",
                expected="sizes of 0 or more",
                fix=f"correct the constant {s.name(1)!r}",
            ),
        )
    if count and count != len(s.proto.output):
        yield (
            "sizes",
            s.problem(
                f"num_outputs is {count}, and the node has {len(s.proto.output)}",
                found=f"num_outputs={count}, outputs {', '.join(s.proto.output)}",
                expected="as many outputs as num_outputs says",
                fix=f"set num_outputs to {len(s.proto.output)}",
            ),
        )


@looks_at("Pad")
def pad(s: Seen) -> Looked:
    """Pads that remove more than there is, or reflect more."""
    dims, pads, axes = s.dims(0), s.numbers(1), s.numbers(3)
    if dims is None or pads is None or (s.name(3) and axes is None):
        return
    axes = list(range(len(dims))) if axes is None else axes
    if len(pads) != 2 * len(axes) or not all(-len(dims) <= a < len(dims) for a in axes):
        return
    mode = s.text("mode", "constant")
    for i, axis in enumerate(axes):
        size, before, after = dims[axis], pads[i], pads[i + len(axes)]
        if size is None:
            continue
        removed = size + before + after < 0
        if removed or (mode == "reflect" and size > 0 and max(before, after) >= size):
            yield (
                "sizes",
                s.problem(
                    f"axis {axis} has {size}, too few to {'remove' if removed else 'reflect'} what pads say",
                    at=1,
                    found=f"pads {pads}, mode {mode}; {s.shown(0)}",
                    expected=f"pads of {-size} or more" if removed else f"pads below {size}",
                    fix=f"correct the constant {s.name(1)!r}",
                ),
            )


@looks_at("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin")
@looks_at("ReduceProd", "ReduceSum", "ReduceSumSquare")
def axes_twice(s: Seen) -> Looked:
    """One axis given twice."""
    dims, axes = s.dims(0), s.numbers(1) if s.name(1) else s.integers("axes")
    if dims is None or not axes:
        return
    axes = [a % len(dims) if -len(dims) <= a < len(dims) else a for a in axes]
    twice = sorted({a for a in axes if axes.count(a) > 1})
    if twice:
        yield (
            "constant",
            s.problem(
                f"axis {twice[0]} is given twice",
                at=1,
                found=f"axes {axes}",
                expected="each axis once",
                why="readers differ in what that means",
                fix="remove one of them",
                severity="warning",
            ),
        )


@looks_at("Transpose")
def permutation(s: Seen) -> Looked:
    """Each axis once."""
    dims, perm = s.dims(0), s.integers("perm")
    if dims is not None and perm and sorted(perm) != list(range(len(dims))):
        yield (
            "shape",
            s.problem(
                f"perm={perm} is no order of {len(dims)} axes",
                found=f"perm={perm}; {s.shown(0)}",
                expected=f"each number from 0 to {len(dims) - 1} once",
                why="runtimes refuse the model",
                fix="correct perm",
            ),
        )


@looks_at("CumSum")
def cumulative_axis(s: Seen) -> Looked:
    """The axis is an input."""
    dims, axis = s.dims(0), s.numbers(1)
    if dims is not None and axis is not None and len(axis) == 1 and not -len(dims) <= axis[0] < len(dims):
        yield "sizes", no_axis(s, axis[0], len(dims), 1)


@looks_at("CenterCropPad")
def cropped_axes(s: Seen) -> Looked:
    """The axes that are cropped."""
    dims = s.dims(0)
    bad = [] if dims is None else [a for a in s.integers("axes") if not -len(dims) <= a < len(dims)]
    if dims is not None and bad:
        yield "sizes", no_axis(s, bad[0], len(dims))
    sizes, axes = s.dims(1), len(s.integers("axes")) or (None if dims is None else len(dims))
    if sizes and len(sizes) == 1 and differ(sizes[0], axes):
        yield (
            "sizes",
            s.problem(
                f"the shape {s.name(1)!r} is not one number for each axis that is cropped",
                at=1,
                found=s.shown(0, 1),
                expected=f"{s.name(1)}[{axes or '?'}]",
                fix="give as many numbers as axes, or as the input has where there are no axes",
            ),
        )


def no_axis(s: Seen, axis: int, rank: int, at: int = 0) -> Problem:
    """An axis beyond the rank."""
    return s.problem(
        f"axis {axis} is not there: {s.name(0)!r} has {rank}",
        at=at,
        found=f"axis {axis}; {s.shown(0)}",
        expected=f"an axis from {-rank} to {rank - 1}",
        why="runtimes refuse the model, or fail when it runs",
        fix="correct the axis",
    )
