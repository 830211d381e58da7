"""Arguments of layers over images: one number for all axes, or one for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from interchange.dtypes import name_of
from interchange.eager.tensor import Tensor, shape_text
from interchange.errors import OperatorError, user_line
from interchange.ops.shape import Squeeze, Unsqueeze

Sizes = int | Sequence[int]


def ints(name: str, value: Any, count: int, low: int = 0) -> tuple[int, ...]:
    """`count` whole numbers, each at least `low`: from one number, or as many. Raises OperatorError IX124."""
    values = (value,) * count if _is_int(value) else tuple(value) if isinstance(value, (tuple, list)) else ()
    if len(values) != count or not all(_is_int(v) and v >= low for v in values):
        raise OperatorError(
            "IX124",
            f"{name} is a whole number, or {count} of them",
            where=user_line(),
            found=f"{name}={value!r}",
            expected=f"at least {low}, for {count} ax{'is' if count == 1 else 'es'}",
            fix="correct the argument",
        )
    return tuple(int(v) for v in values)


def one(name: str, value: Any, low: int = 1) -> int:
    """One whole number, at least `low`. Raises OperatorError IX124."""
    return ints(name, value, 1, low)[0]


def choice(name: str, value: Any, allowed: Sequence[str]) -> str:
    """A text out of a list. Raises OperatorError IX124."""
    if value not in allowed:
        raise OperatorError(
            "IX124",
            f"{name} is one of {', '.join(allowed)}",
            where=user_line(),
            found=f"{name}={value!r}",
            expected=", ".join(allowed),
            fix="correct the spelling",
        )
    return str(value)


def _is_int(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def over_images(x: Tensor, spatial: int, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a function of [N, C, d...] to x; x [C, d...] is a batch of one. Raises OperatorError IX125."""
    if len(x.shape) == spatial + 2:
        return function(x)
    if len(x.shape) == spatial + 1:
        return Squeeze(function(Unsqueeze(x, [0])), [0])
    axes = ", ".join("DHW"[-spatial:] if spatial > 1 else "L")
    raise rank_error(x, f"[N, C, {axes}] or [C, {axes}]")


def rank_error(x: Tensor, expected: str) -> OperatorError:
    """OperatorError IX125 for an input with another number of axes, or sizes, than the layer takes."""
    return OperatorError(
        "IX125",
        "the input does not fit the layer",
        where=user_line(),
        found=f"{name_of(x.dtype)}{shape_text(x.shape)}",
        expected=expected,
        fix="reshape the input: .unsqueeze(axis) adds an axis, .reshape(...) and .transpose(...) arrange them",
    )
