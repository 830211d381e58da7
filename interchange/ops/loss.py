"""Losses of a classifier, as single operators: their gradients are much cheaper than those of their parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from interchange.dims import Shape, product
from interchange.dtypes import Array, DType
from interchange.eager.tensor import Tensor
from interchange.ops.activation import Exp, LogSoftmax
from interchange.ops.frame import Grads, op
from interchange.ops.indexing import Gather, GatherElements, ScatterElements, check_range
from interchange.ops.reduce import ReduceMean, ReduceSum
from interchange.ops.select import Where
from interchange.ops.shape import Squeeze, Unsqueeze
from interchange.ops.shape_tools import full, must_equal, ones, refuse, scalar_of, zeros


def _loss(log_p: Array, target: Array, weight: Array | None, ignore_index: int | None, reduction: str) -> Array:
    """-weight[target] * log_p[target], reduced; the mean is weighted, and ignored targets count nowhere."""
    if weight is not None and weight.shape != log_p.shape[1:2]:
        raise ValueError("not one weight a class")
    if weight is None and ignore_index is None and target.shape == log_p.shape[:1] and log_p.ndim == 2:
        check_range(target, log_p.shape[1], 1, low=0)  # what nearly every training step asks for, at half the cost
        each = -log_p[np.arange(len(target)), target]
        if reduction == "none":
            return each
        total = (each.astype(np.float32) if each.dtype.itemsize < 4 else each).sum()
        if reduction == "mean":
            total = total / each.size if each.size else np.nan
        return np.asarray(total, log_p.dtype)
    kept = np.ones(target.shape, bool) if ignore_index is None else target != ignore_index
    safe = np.where(kept, target, 0)
    check_range(safe, log_p.shape[1], 1, low=0)
    picked = np.take_along_axis(log_p, np.expand_dims(safe, 1), 1).squeeze(1)
    factor = (kept if weight is None else np.where(kept, weight[safe], 0)).astype(log_p.dtype)
    loss = np.where(kept, -picked * factor, np.zeros((), log_p.dtype))
    if reduction == "none":
        return loss
    total = loss.sum(dtype=log_p.dtype)
    if reduction == "mean":
        with np.errstate(invalid="ignore", divide="ignore"):  # no target counts: 0 / 0
            total = total / factor.sum(dtype=log_p.dtype)
    return np.asarray(total, log_p.dtype)


def _loss_shape(scores: Tensor, target: Tensor, weight: Tensor | None, reduction: str) -> Shape:
    s, t = scores.shape, target.shape
    if len(s) < 2 or len(t) != len(s) - 1:
        raise refuse(
            f"scores with {len(s)} axes and labels with {len(t)}",
            expected="scores [N, C, d1, ...] and labels [N, d1, ...]",
            fix="labels are class numbers, one for each item, not one-hot rows",
        )
    for i, (a, b) in enumerate(zip(s[:1] + s[2:], t, strict=True)):
        must_equal(a, b, f"axis {i} of the labels")
    if weight is not None:
        if len(weight.shape) != 1:
            raise refuse(f"the weights have {len(weight.shape)} axes", expected="one weight a class: [C]")
        must_equal(s[1], weight.shape[0], "the number of classes and of weights")
    return t if reduction == "none" else ()


class _Targets:
    """In operators: the labels, 0 in the place of ignored ones; which are kept; the weight of each (None: 1)."""

    def __init__(self, target: Tensor, weight: Tensor | None, ignore_index: int | None, dtype: DType) -> None:
        self.safe, self.kept, self.factor = target, None, None
        if ignore_index is not None:
            self.kept = target != ignore_index
            self.safe = target * self.kept.astype(target.dtype)
            self.factor = self.kept.astype(dtype)
        if weight is not None:
            own = Gather(weight, self.safe)
            self.factor = own if self.factor is None else own * self.factor

    @property
    def column(self) -> Tensor:
        """The labels along the class axis."""
        return Unsqueeze(self.safe, [1])

    def slope(self, g: Tensor, reduction: str) -> Tensor:
        """The gradient by -log_p of each target."""
        if reduction == "none":
            return g if self.factor is None else g * self.factor
        if self.factor is None:
            return g / scalar_of(product(self.safe.shape), g.dtype) if reduction == "mean" else g
        return self.factor * (g / ReduceSum(self.factor, keepdims=0) if reduction == "mean" else g)


def _in_operators(
    log_p: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int | None, reduction: str
) -> Tensor:
    targets = _Targets(target, weight, ignore_index, log_p.dtype)
    loss = -Squeeze(GatherElements(log_p, targets.column, axis=1), [1])
    if targets.kept is not None:
        loss = Where(targets.kept, loss, zeros((), loss.dtype))
    if targets.factor is not None:
        loss = loss * targets.factor
    if reduction == "none":
        return loss
    if reduction == "sum":
        return ReduceSum(loss, keepdims=0)
    if targets.factor is None:
        return ReduceMean(loss, keepdims=0)
    return ReduceSum(loss, keepdims=0) / ReduceSum(targets.factor, keepdims=0)


def _by_weight(
    g: Tensor, log_p: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int | None, reduction: str
) -> Tensor:
    from interchange.eager.tape import vjp

    _, pullback = vjp(lambda w: _in_operators(log_p, target, w, ignore_index, reduction), weight)  # type: ignore[arg-type]
    return pullback(g)[0]


@op()
def NegativeLogLikelihoodLoss(
    input: Array, target: Array, weight: Array | None = None, *, ignore_index: int | None = None, reduction: str
) -> Array:
    """-input at the target class: input [N, C, d...] log-probabilities, target [N, d...] class numbers, weight [C]."""
    return _loss(input, target, weight, ignore_index, reduction)


@NegativeLogLikelihoodLoss.shape
def _(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, ignore_index: int | None = None, reduction: str
) -> Shape:
    return _loss_shape(input, target, weight, reduction)


@NegativeLogLikelihoodLoss.decompose
def _(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, ignore_index: int | None = None, reduction: str
) -> Tensor:
    return _in_operators(input, target, weight, ignore_index, reduction)


@NegativeLogLikelihoodLoss.gradient
def _(
    g: Tensor, input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int | None, reduction: str
) -> Grads:
    def by_input() -> Tensor:
        targets = _Targets(target, weight, ignore_index, g.dtype)
        slope = Unsqueeze(targets.slope(-g, reduction) * ones(target.shape, g.dtype), [1])
        return ScatterElements(zeros(input.shape, g.dtype), targets.column, slope, axis=1)

    return by_input, None, lambda: _by_weight(g, input, target, weight, ignore_index, reduction)


@op()
def SoftmaxCrossEntropyLoss(
    scores: Array,
    labels: Array,
    weights: Array | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str,
) -> Any:
    """-log(softmax(scores)) at the label: scores [N, C, d...], labels [N, d...], weights [C].

    outputs=2 returns log(softmax(scores)) too; in a trace that spares the gradient computing it again.
    """
    log_prob = LogSoftmax.bind({"axis": 1}).kernel(scores)
    return _loss(log_prob, labels, weights, ignore_index, reduction), log_prob


@SoftmaxCrossEntropyLoss.shape
def _(
    scores: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str,
) -> list[Shape]:
    return [_loss_shape(scores, labels, weights, reduction), scores.shape]


@SoftmaxCrossEntropyLoss.decompose
def _(
    scores: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str,
) -> tuple[Tensor, Tensor]:
    log_prob = LogSoftmax(scores, axis=1)
    return _in_operators(log_prob, labels, weights, ignore_index, reduction), log_prob


@SoftmaxCrossEntropyLoss.gradient
def _(
    g_output: Tensor | None,
    g_log_prob: Tensor | None,
    scores: Tensor,
    labels: Tensor,
    weights: Tensor | None,
    log_prob: Tensor | None,
    ignore_index: int | None,
    reduction: str,
) -> Grads:
    log_p = LogSoftmax(scores, axis=1) if log_prob is None else log_prob

    def by_scores() -> Tensor:
        p = Exp(log_p)
        through = None if g_log_prob is None else g_log_prob - p * ReduceSum(g_log_prob, [1])
        if g_output is None:
            assert through is not None
            return through
        targets = _Targets(labels, weights, ignore_index, scores.dtype)
        column = targets.column
        # softmax - one_hot(labels), times what each item weighs
        away = ScatterElements(p, column, full(column.shape, -1, p.dtype), axis=1, reduction="add")
        slope = targets.slope(g_output, reduction)
        by_loss = away * (Unsqueeze(slope, [1]) if slope.shape else slope)
        return by_loss if through is None else by_loss + through

    if g_output is None or weights is None:
        return by_scores, None, None
    return by_scores, None, lambda: _by_weight(g_output, log_p, labels, weights, ignore_index, reduction)
