"""What the functions of the namespace do with their arguments, in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interchange.dims import Dim, DimLike
from interchange.dtypes import is_float, is_integer, name_of
from interchange.eager.operators import located, operand, promote
from interchange.eager.tensor import Tensor, shape_text, wrap
from interchange.errors import OperatorError, user_line


def invalid(message: str, *, found: Any, expected: str, fix: str) -> OperatorError:
    """OperatorError IX119: an argument has a value the function does not take."""
    return OperatorError("IX119", message, where=user_line(), found=str(found), expected=expected, fix=fix)


def check_device(device: Any) -> None:
    """There is one device: OperatorError IX119 for any other than ``"cpu"`` or None."""
    if device is not None and device != "cpu":
        raise invalid(
            f"there is no device {device!r}",
            found=repr(device),
            expected="'cpu' or None",
            fix="leave the device out; where a model runs is chosen when it is deployed",
        )


def as_tensor(x: Any) -> Tensor:
    """`x`, or an array, a number or a nested sequence as a tensor."""
    if isinstance(x, Tensor):
        return x
    from interchange.eager.array_api.creation import asarray

    return asarray(x)


def pair(x1: Any, x2: Any) -> tuple[Tensor, Tensor]:
    """Two operands in one dtype; a Python number takes the dtype of the other one (OperatorError IX111, IX114)."""
    if not isinstance(x1, Tensor):
        if isinstance(x2, Tensor):
            x1 = operand(x1, x2)
        elif isinstance(x1, (int, float)) and isinstance(x2, (int, float)):
            x1 = as_tensor(float(x1) if isinstance(x2, float) else x1)
        else:
            x1 = as_tensor(x1)
    if not isinstance(x2, Tensor):
        x2 = operand(x2, x1)
    return promote(x1, x2)


def sizes(shape: Any) -> tuple[DimLike, ...]:
    """A shape argument, an int or a sequence of them, as a tuple of sizes that are not negative."""
    given = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    found = tuple(d if isinstance(d, Dim) else integer(d, "a size") for d in given)
    if any(isinstance(d, int) and d < 0 for d in found):
        raise invalid(
            "a size is negative", found=shape_text(found), expected="sizes from 0 on", fix="correct the shape"
        )
    return found


def integer(value: Any, what: str) -> int:
    """An int, numpy integer or 0-d integer tensor as an int. Raises OperatorError IX119."""
    if not isinstance(value, bool) and hasattr(value, "__index__"):
        return value.__index__()  # type: ignore[no-any-return]
    raise invalid(
        f"{what} is not an integer",
        found=f"{type(value).__name__} {value!r}",
        expected="an integer",
        fix="convert it with int()",
    )


def need(x: Tensor, allowed: Callable[[Tensor], bool], expected: str, function: str) -> Tensor:
    """`x` if its dtype is allowed, else OperatorError IX111."""
    if not allowed(x):
        raise OperatorError(
            "IX111",
            f"{function} does not take {name_of(x.dtype)}",
            where=user_line(),
            found=f"{name_of(x.dtype)}{shape_text(x.shape)}",
            expected=expected,
            fix="convert it with .astype(...)",
        )
    return x


def is_real(x: Tensor) -> bool:
    """Whether the elements are floats or integers."""
    return is_float(x.dtype) or is_integer(x.dtype)


def constant(value: float, like: Tensor) -> Tensor:
    """A number as a 0-d tensor of the dtype of `like`; keeps the sign of -0.0."""
    import numpy as np

    return wrap(np.array(value, like.dtype))


__all__ = ["as_tensor", "check_device", "constant", "integer", "invalid", "is_real", "located", "need", "pair", "sizes"]
