"""Sizes as tensors and tensors as sizes: what gradients, layers and shape rules need under symbolic dims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from interchange.dims import Condition, Dim, DimLike, Shape, product, require, same, symbols
from interchange.dtypes import DType
from interchange.eager.tensor import Tensor, wrap
from interchange.errors import OperatorError, PositionError


def has_dims(x: Any) -> bool:
    """Whether a Python value is, or holds, a symbolic size."""
    return isinstance(x, Dim) or (isinstance(x, (tuple, list)) and any(isinstance(d, Dim) for d in x))


def shape_tensor(shape: Sequence[DimLike] | DimLike) -> Tensor:
    """int64 tensor of sizes, shape [n] ([] for one size): a constant, or computed where they are symbolic."""
    if has_dims(shape):
        from interchange.eager.trace import require_trace

        return require_trace().sizes(shape)
    return wrap(np.array(shape, dtype=np.int64))


def known(x: Tensor | None) -> tuple[DimLike, ...] | None:
    """The elements of a 0-d or 1-d integer tensor as sizes, if the trace (or the data) knows them."""
    if x is None:
        return None
    value = x._known()
    return None if value is None else tuple(value.reshape(-1).tolist())


def known_or_refuse(x: Tensor | None, what: str) -> tuple[DimLike, ...]:
    """`known`, or an error: the shape of the result would depend on data."""
    found = known(x)
    if found is None:
        raise refuse(
            f"{what} is computed from data, so the shape of the result is not known while the model is traced",
            expected=f"{what} as Python numbers or from shapes",
            fix="compute it from .shape, or pass numbers",
        )
    return found


def unknown_size(name: str) -> Dim:
    """A size that only the data tell: a new dimension of the trace."""
    from interchange.eager.trace import require_trace

    return require_trace().fresh_dim(name)


def refuse(message: str, *, expected: str | None = None, fix: str | None = None) -> OperatorError:
    """OperatorError IX112, to be raised by a shape rule; the frame adds operator, inputs and the user's line."""
    return OperatorError("IX112", message, expected=expected, fix=fix)


def must_equal(a: DimLike, b: DimLike, what: str, fix: str | None = None, *, guard: bool = False) -> DimLike:
    """The size that `a` and `b` both are. What depends on the input is refused, or with `guard` see `_rounds`."""
    equal = True if a is b else same(a, b)
    if equal:
        return a
    if equal is None and guard and _rounds(a, b):
        require(Condition(a - b, "=="), f"{what}: {a} is {b}")
        return a
    if equal is None:
        from interchange.eager.trace import RefineError, active_trace

        trace = active_trace()
        if trace is not None and trace.trusts:
            return a if isinstance(a, int) else b
        if trace is not None and trace.refine:
            raise RefineError(a, b)
        fixed = next((d for d in (a, b) if isinstance(d, int)), None)
        text = f"{fixed}" if fixed is not None else "the same dimension"
        if fixed is not None:
            remedy = f"make that dimension static: {fixed}"
        elif symbols(a).keys() == symbols(b).keys():
            names = ", ".join(symbols(a))
            remedy = f"give {names} bounds at which they are, with Dim(..., min=, max=), or make it static"
        else:
            remedy = "give both the same dimension name"
        raise refuse(
            f"{what}: {a} and {b} are not the same for every admissible size",
            expected=f"both {text}" if fixed is None else f"{text}, always",
            fix=remedy,
        )
    raise refuse(f"{what}: {a} and {b} differ", expected="equal sizes", fix=fix)


def _rounds(a: DimLike, b: DimLike) -> bool:
    """Whether two sizes are the same but for a division that may leave a rest: a guard then says it leaves none."""
    return symbols(a).keys() == symbols(b).keys() and any("//" in str(d) for d in (a, b))


def at_least(a: DimLike, low: int, what: str) -> None:
    """Require ``a >= low``: a guard where it depends on the input."""
    if isinstance(a, int):
        if a < low:
            raise refuse(f"{what} would be {a}", expected=f"at least {low}")
    elif not require(Condition(a - low, ">="), f"{what} is at least {low}"):
        raise refuse(f"{what} would be {a}", expected=f"at least {low}")


def divisible(a: DimLike, by: DimLike, what: str) -> DimLike:
    """``a // by``, required to be exact and `by` not to be 0: guards where it depends on the input."""
    if isinstance(by, Dim):
        at_least(by, 1, what)
    rest = a % by
    if isinstance(rest, int):
        if rest:
            raise refuse(f"{what}: {a} is not a multiple of {by}", expected=f"a multiple of {by}")
    elif not require(Condition(rest, "=="), f"{what} is a multiple of {by}"):
        raise refuse(f"{what}: {a} is not a multiple of {by}", expected=f"a multiple of {by}")
    return a // by


def normalize_axis(axis: int, rank: int) -> int:
    """An axis counted from the front. Raises OperatorError IX112 when it is not in [-rank, rank)."""
    if not -rank <= axis < rank:
        raise PositionError(
            "IX112",
            f"axis {axis} is out of range",
            expected=f"an axis in [{-rank}, {rank}) of a tensor with {rank} axes",
            fix="count the axes of the input",
        )
    return axis % rank


def broadcast_shapes(*shapes: Shape) -> Shape:
    """The shape that NumPy broadcasting gives; symbolic dims must be equal, or meet a 1."""
    rank = max(map(len, shapes), default=0)
    result: list[DimLike] = []
    for i in range(rank):
        size: DimLike = 1
        for shape in shapes:
            d = shape[i - rank + len(shape)] if i - rank + len(shape) >= 0 else 1
            if d is size or (isinstance(d, int) and d == 1):
                continue
            if isinstance(size, int) and size == 1:
                size = d
            else:
                size = must_equal(size, d, f"axis {i - rank} does not broadcast", "reshape one side, or use size 1")
        result.append(size)
    return tuple(result)


def full(shape: Sequence[DimLike], value: float, dtype: DType) -> Tensor:
    """A tensor of one value; ConstantOfShape in the graph where the shape is symbolic."""
    if has_dims(tuple(shape)):
        from interchange.ops.creation import ConstantOfShape

        return ConstantOfShape(shape_tensor(shape), value=np.array([value], dtype))
    return wrap(np.full(tuple(shape), value, dtype))


def zeros(shape: Sequence[DimLike], dtype: DType) -> Tensor:
    """A tensor of zeros."""
    return full(shape, 0, dtype)


def ones(shape: Sequence[DimLike], dtype: DType) -> Tensor:
    """A tensor of ones."""
    return full(shape, 1, dtype)


def scalar_of(size: DimLike, dtype: DType) -> Tensor:
    """A size as a 0-d tensor of `dtype`: the divisor of a mean under a symbolic batch."""
    if isinstance(size, Dim):
        from interchange.ops.shape import Cast

        return Cast(shape_tensor(size), to=dtype)
    return wrap(np.array(size, dtype))


def sum_to(g: Tensor, shape: Shape) -> Tensor:
    """Undo broadcasting: the sum of `g` over the axes that `shape` was stretched along."""
    from interchange.ops.reduce import ReduceSum
    from interchange.ops.shape import reshape

    extra = len(g.shape) - len(shape)
    if type(g) is Tensor and g.shape[extra:] == shape:  # sizes are numbers: no comparison can be undecided
        return ReduceSum(g, list(range(extra)), keepdims=0) if extra else g
    axes = [i for i in range(len(g.shape)) if i < extra or (_is_one(shape[i - extra]) and not _is_one(g.shape[i]))]
    if not axes:
        return g
    if axes == list(range(extra)):
        return ReduceSum(g, axes, keepdims=0)
    summed = ReduceSum(g, axes, keepdims=1)
    return summed if not extra else reshape(summed, shape)


def _is_one(d: DimLike) -> bool:
    return isinstance(d, int) and d == 1


def reshape_target(before: Shape, after: Sequence[DimLike]) -> Tensor:
    """The shape input of a Reshape: constant where ONNX's 0 (copy) and -1 (infer) can say it, else computed."""
    if not has_dims(tuple(after)):
        return wrap(np.array(after, np.int64))
    target: list[DimLike] = list(after)
    for i, d in enumerate(target):
        if isinstance(d, Dim) and i < len(before) and isinstance(before[i], Dim) and same(d, before[i]):
            target[i] = 0
    left = [i for i, d in enumerate(target) if isinstance(d, Dim)]
    fits = same(product(before), product(after)) and all(d != -1 for d in target if isinstance(d, int))
    if len(left) == 1 and fits:  # inferring a size that does not fit would hide the mistake
        rest = product([d for i, d in enumerate(after) if i not in left])
        if not same(rest, 0) and same(product(before) // rest, after[left[0]]):  # and the shape rule infers it too
            target[left[0]] = -1
            left = []
    return shape_tensor(tuple(after)) if left else wrap(np.array(target, np.int64))
