"""Clipping of gradients: between ``loss.backward()`` and ``optimizer.step()``."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from interchange.eager.tensor import Tensor, Variable, no_grad, wrap
from interchange.errors import OperatorError, user_line
from interchange.ops.arithmetic import Max, Min


def clip_grad_norm_(
    parameters: Variable | Iterable[Variable],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients by the same factor so that their common norm is at most max_norm; returns the norm before.

    norm_type: the p of the p-norm over all elements together, math.inf for the largest. The factor is
    max_norm / (norm + 1e-6), at most 1. error_if_nonfinite: OperatorError IX134 for a norm that is NaN or infinite.
    """
    params = _with_gradients(parameters)
    if not params:
        return wrap(np.array(0.0, np.float32))
    with no_grad():
        total = _norm([p.grad for p in params if p.grad is not None], float(norm_type))
        if error_if_nonfinite and not math.isfinite(float(total)):
            raise OperatorError(
                "IX134",
                "the gradients have no finite norm",
                where=user_line(),
                found=f"a norm of {float(total)}",
                expected="finite gradients",
                fix="look for the first loss that is not finite; lower the learning rate",
            )
        factor = Min(float(max_norm) / (total + 1e-6), np.array(1.0, total.dtype))
        for p in params:
            assert p.grad is not None
            p.grad = p.grad * factor.astype(p.dtype)
    return total


def _norm(grads: list[Tensor], p: float) -> Tensor:
    """The p-norm of all elements of all gradients."""
    if not p > 0:
        raise OperatorError(
            "IX127",
            "norm_type is above zero",
            where=user_line(),
            found=f"norm_type={p}",
            expected="a number > 0, or math.inf",
            fix="2 for the Euclidean norm",
        )
    if p == math.inf:
        largest = grads[0].abs().max()
        for g in grads[1:]:
            largest = Max(largest, g.abs().max().astype(largest.dtype))
        return largest
    total: Tensor | None = None
    for g in grads:
        part = (g * g if p == 2 else g.abs() ** p).sum()
        total = part if total is None else total + part
    assert total is not None
    return total.sqrt() if p == 2 else total ** (1 / p)


def clip_grad_value_(parameters: Variable | Iterable[Variable], clip_value: float) -> None:
    """Limit every element of every gradient to [-clip_value, clip_value]."""
    with no_grad():
        for p in _with_gradients(parameters):
            assert p.grad is not None
            p.grad = p.grad.clip(-float(clip_value), float(clip_value))


def _with_gradients(parameters: Variable | Iterable[Variable]) -> list[Variable]:
    given = [parameters] if isinstance(parameters, Variable) else list(parameters)
    return [p for p in given if p.grad is not None]
