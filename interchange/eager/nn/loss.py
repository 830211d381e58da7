"""Losses, as functions and as modules.

reduction: "mean" over all elements, "sum", or "none" (one loss for each). Results are 0-d but for "none".
Input and target must have the same shape: a [N] beside a [N, 1] is refused, where broadcasting would compare all pairs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from interchange.dims import same
from interchange.dtypes import Array, is_float, is_integer, name_of
from interchange.eager.nn.module import Module
from interchange.eager.tensor import Buffer, Tensor, shape_text, to_array, wrap
from interchange.errors import OperatorError, user_line
from interchange.ops.activation import Log, LogSoftmax, Softplus
from interchange.ops.arithmetic import Abs, Max, Sqrt
from interchange.ops.loss import NegativeLogLikelihoodLoss, SoftmaxCrossEntropyLoss
from interchange.ops.select import Where
from interchange.ops.shape import Reshape, Unsqueeze

REDUCTIONS = ("mean", "sum", "none")


def _reduce(x: Tensor, reduction: str) -> Tensor:
    _check_reduction(reduction)
    return x if reduction == "none" else x.mean() if reduction == "mean" else x.sum()


def _check_reduction(reduction: str, allowed: tuple[str, ...] = REDUCTIONS) -> None:
    if reduction not in allowed:
        raise _wrong(f"reduction is {reduction!r}", repr(reduction), ", ".join(allowed), "name one of them")


def _pair(x: Tensor, target: Any) -> Tensor:
    """The target as a tensor like `x`. Raises OperatorError IX135 for another shape."""
    t = target if isinstance(target, Tensor) else wrap(to_array(target, x.dtype))
    if len(t.shape) != len(x.shape) or any(same(a, b) is False for a, b in zip(x.shape, t.shape, strict=True)):
        raise _wrong(
            "input and target of a loss have different shapes",
            f"input {shape_text(x.shape)}, target {shape_text(t.shape)}",
            "the same shape",
            "reshape one of them; .squeeze(-1) drops a last axis of size 1",
        )
    return t


def _wrong(message: str, found: str, expected: str, fix: str) -> OperatorError:
    return OperatorError("IX135", message, where=user_line(), found=found, expected=expected, fix=fix)


# -- regression --------------------------------------------------------------------------------------------------------
def mse_loss(x: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """(x - target)^2"""
    d = x - _pair(x, target)
    return _reduce(d * d, reduction)


def l1_loss(x: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """|x - target|"""
    return _reduce(Abs(x - _pair(x, target)), reduction)


def smooth_l1_loss(x: Tensor, target: Any, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """d = |x - target|: d^2 / (2 beta) where d < beta, else d - beta/2"""
    if beta < 0:
        raise _wrong(f"beta is {beta}", f"beta={beta}", "beta >= 0", "pass a width that is not negative")
    if beta == 0:
        return l1_loss(x, target, reduction)
    d = Abs(x - _pair(x, target))
    near = d.clip(None, float(beta))  # d^2/(2b) up to b, and the line d - b/2 beyond, without a branch
    return _reduce(near * near * (0.5 / beta) + (d - near), reduction)


def huber_loss(x: Tensor, target: Any, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """d = |x - target|: d^2 / 2 where d <= delta, else delta (d - delta/2)"""
    if delta <= 0:
        raise _wrong(f"delta is {delta}", f"delta={delta}", "delta > 0", "pass a positive width")
    d = Abs(x - _pair(x, target))
    near = d.clip(None, float(delta))
    return _reduce(near * near * 0.5 + (d - near) * float(delta), reduction)


# -- classification ----------------------------------------------------------------------------------------------------
def cross_entropy(
    x: Tensor,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log(softmax(x)) at the target class.

    x: [C], [N, C] or [N, C, d...] scores. target: class numbers (int) [], [N] or [N, d...]; or probabilities (float) in
    the shape of x. weight: [C]; the mean over class numbers is weighted, that over probabilities divides by N d... .
    Targets equal to ignore_index count nowhere. label_smoothing e: e of the target is spread over all classes.
    """
    _check_reduction(reduction)
    if not 0 <= label_smoothing <= 1:
        raise _wrong(f"label_smoothing is {label_smoothing}", str(label_smoothing), "0 to 1", "pass a share of 1")
    t = target if isinstance(target, Tensor) else wrap(to_array(target))
    w = None if weight is None else weight if isinstance(weight, Tensor) else wrap(to_array(weight, x.dtype))
    if len(x.shape) == 1:  # one item: a batch of one
        batched = cross_entropy(Unsqueeze(x, [0]), Unsqueeze(t, [0]), w, ignore_index, reduction, label_smoothing)
        return batched.squeeze(0) if reduction == "none" else batched
    if is_float(t.dtype):
        return _soft_cross_entropy(x, _pair(x, t), w, reduction, label_smoothing)
    _check_classes(x, t)
    if not label_smoothing:
        ignored = _ignored(t, ignore_index)
        loss: Tensor = SoftmaxCrossEntropyLoss(x, t, *([] if w is None else [w]), reduction=reduction, **ignored)
        return loss
    return _smoothed(LogSoftmax(x, axis=1), t, w, ignore_index, reduction, label_smoothing)


def _ignored(target: Tensor, index: int) -> dict[str, int]:
    """ignore_index as an attribute, left out where it is seen to be unused: the loss is one step shorter."""
    known = target._known()
    if known is not None and known.dtype != object and not (known == index).any():
        return {}
    return {"ignore_index": index}


def _check_classes(x: Tensor, target: Tensor) -> None:
    if not is_integer(target.dtype):
        raise _wrong(
            f"classes are numbered by integers, not {name_of(target.dtype)}",
            f"{name_of(target.dtype)}{shape_text(target.shape)}",
            "int64 or int32 class numbers, or floating-point probabilities in the shape of the input",
            "convert: target.astype('int64')",
        )
    wanted = x.shape[:1] + x.shape[2:]
    if len(target.shape) != len(wanted) or any(same(a, b) is False for a, b in zip(target.shape, wanted, strict=True)):
        raise _wrong(
            "the class numbers do not fit the scores",
            f"scores {shape_text(x.shape)}, classes {shape_text(target.shape)}",
            f"classes {shape_text(wanted)}: one for each item, the class axis is axis 1 of the scores",
            "drop a last axis of size 1, or .argmax(1) of one-hot rows",
        )


def _soft_cross_entropy(x: Tensor, t: Tensor, w: Tensor | None, reduction: str, smoothing: float) -> Tensor:
    classes = x.shape[1]
    if smoothing:
        t = t * (1 - smoothing) + (smoothing / _number_of(classes))
    log_p = LogSoftmax(x, axis=1)
    if w is not None:
        log_p = log_p * _per_class(w, x)
    loss = -(log_p * t).sum(1)
    return _reduce(loss, reduction)


def _smoothed(log_p: Tensor, t: Tensor, w: Tensor | None, ignore: int, reduction: str, smoothing: float) -> Tensor:
    """(1 - e) nll + e/C sum of -w log p over the classes; the mean divides both by the weights of the targets."""
    weights = [] if w is None else [w]
    part = "sum" if reduction == "mean" else reduction
    hard = NegativeLogLikelihoodLoss(log_p, t, *weights, reduction=part, ignore_index=ignore)
    kept = (t != ignore).astype(log_p.dtype)
    spread = -(log_p if w is None else log_p * _per_class(w, log_p)).sum(1)
    spread = Where(t != ignore, spread, np.zeros((), log_p.dtype))
    if reduction != "none":
        spread = spread.sum()
    loss = hard * (1 - smoothing) + spread * (smoothing / _number_of(log_p.shape[1]))
    if reduction != "mean":
        return loss
    count = kept if w is None else -_picked(w, log_p, t, ignore)
    return loss / count.sum()


def _picked(w: Tensor, log_p: Tensor, t: Tensor, ignore: int) -> Tensor:
    """-weight of each target, 0 for ignored ones."""
    table = log_p.detach() * 0 + _per_class(w, log_p)
    return NegativeLogLikelihoodLoss(table, t, reduction="none", ignore_index=ignore)


def _number_of(size: Any) -> int:
    if not isinstance(size, int):
        raise _wrong("the number of classes is not fixed", str(size), "a number", "make the class axis static")
    return size


def _per_class(w: Tensor, x: Tensor) -> Tensor:
    """[C] so that it broadcasts along axis 1."""
    return w if len(x.shape) == 2 else Reshape(w, [-1] + [1] * (len(x.shape) - 2))


def nll_loss(x: Tensor, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """-x at the target class: x [C], [N, C] or [N, C, d...] log-probabilities, target [], [N] or [N, d...]."""
    _check_reduction(reduction)
    t = target if isinstance(target, Tensor) else wrap(to_array(target))
    w = [] if weight is None else [weight if isinstance(weight, Tensor) else wrap(to_array(weight, x.dtype))]
    if len(x.shape) == 1:
        batched = nll_loss(Unsqueeze(x, [0]), Unsqueeze(t, [0]), weight, ignore_index, reduction)
        return batched.squeeze(0) if reduction == "none" else batched
    _check_classes(x, t)
    return NegativeLogLikelihoodLoss(x, t, *w, reduction=reduction, **_ignored(t, ignore_index))


def binary_cross_entropy(x: Tensor, target: Any, weight: Any = None, reduction: str = "mean") -> Tensor:
    """-(t log x + (1 - t) log(1 - x)), x in [0, 1]; logarithms are at least -100, so that the loss is finite."""
    t = _pair(x, target)
    loss = -(t * Log(x).clip(-100.0) + (1 - t) * Log(1 - x).clip(-100.0))
    return _reduce(loss if weight is None else loss * weight, reduction)


def binary_cross_entropy_with_logits(
    x: Tensor, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Tensor:
    """`binary_cross_entropy` of sigmoid(x), computed as (1 - t) x + l log(1 + e^-x), l = 1 + (pos_weight - 1) t."""
    t = _pair(x, target)
    positive = Softplus(-x)
    if pos_weight is not None:
        factor = pos_weight if isinstance(pos_weight, Tensor) else wrap(to_array(pos_weight, x.dtype))
        positive = positive * ((factor - 1) * t + 1)
    loss = (1 - t) * x + positive
    return _reduce(loss if weight is None else loss * weight, reduction)


def kl_div(x: Tensor, target: Any, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """t (log t - x), x log-probabilities, t probabilities (their logarithms with log_target).

    "batchmean" divides the sum by the size of axis 0: the divergence as it is defined.
    """
    _check_reduction(reduction, (*REDUCTIONS, "batchmean"))
    t = _pair(x, target)
    if log_target:
        loss = t.exp() * (t - x)
    else:
        safe = Where(t > 0, t, np.ones((), t.dtype))  # 0 log 0 is 0
        loss = t * (Log(safe) - x)
    if reduction == "batchmean":
        from interchange.ops.shape_tools import scalar_of

        return loss.sum() / scalar_of(x.shape[0], x.dtype)
    return _reduce(loss, reduction)


def hinge_embedding_loss(x: Tensor, target: Any, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """x where target is 1, max(0, margin - x) where it is -1"""
    t = _pair(x, target)
    zero = np.zeros((), x.dtype)
    return _reduce(Where(t == 1, x, zero) + Where(t == -1, (float(margin) - x).relu(), zero), reduction)


def cosine_similarity(x: Tensor, y: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x y / max(|x| |y|, eps) along an axis"""
    floor = np.array(eps * eps, x.dtype)
    squares = Max((x * x).sum(dim), floor), Max((y * y).sum(dim), floor)
    return (x * y).sum(dim) / Sqrt(squares[0] * squares[1])


def cosine_embedding_loss(x: Tensor, y: Tensor, target: Any, margin: float = 0.0, reduction: str = "mean") -> Tensor:
    """1 - cos(x, y) where target is 1, max(0, cos(x, y) - margin) where it is -1; x, y [N, D] or [D]"""
    cos = cosine_similarity(x, _pair(x, y), dim=-1)
    t = _pair(cos, target)
    zero = np.zeros((), x.dtype)
    return _reduce(Where(t == 1, 1 - cos, zero) + Where(t == -1, (cos - float(margin)).relu(), zero), reduction)


# -- modules -----------------------------------------------------------------------------------------------------------
class _Loss(Module):
    def __init__(self, reduction: str = "mean") -> None:
        _check_reduction(reduction)
        self.reduction = reduction

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}"


class MSELoss(_Loss):
    """(x - target)^2, see `functional.mse_loss`."""

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return mse_loss(x, target, self.reduction)


class L1Loss(_Loss):
    """|x - target|, see `functional.l1_loss`."""

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return l1_loss(x, target, self.reduction)


class SmoothL1Loss(_Loss):
    """A parabola up to beta, lines beyond, see `functional.smooth_l1_loss`."""

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return smooth_l1_loss(x, target, self.reduction, self.beta)


class HuberLoss(_Loss):
    """delta times SmoothL1Loss with beta = delta, see `functional.huber_loss`."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return huber_loss(x, target, self.reduction, self.delta)


class _Weighted(_Loss):
    """A loss with a weight per class, which is a buffer that is not saved."""

    weight: Any

    def __init__(self, weight: Any, reduction: str) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", _as_float(weight), persistent=False)


class CrossEntropyLoss(_Weighted):
    """-log(softmax(x)) at the target class, see `functional.cross_entropy`."""

    def __init__(
        self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return cross_entropy(x, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing)


class NLLLoss(_Weighted):
    """-x at the target class, see `functional.nll_loss`."""

    def __init__(self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return nll_loss(x, target, self.weight, self.ignore_index, self.reduction)


class BCELoss(_Weighted):
    """Binary cross entropy of probabilities, see `functional.binary_cross_entropy`."""

    def __init__(self, weight: Any = None, reduction: str = "mean") -> None:
        super().__init__(weight, reduction)

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return binary_cross_entropy(x, target, self.weight, self.reduction)


class BCEWithLogitsLoss(_Weighted):
    """Binary cross entropy of logits, see `functional.binary_cross_entropy_with_logits`."""

    pos_weight: Any

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(weight, reduction)
        self.register_buffer("pos_weight", _as_float(pos_weight), persistent=False)

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return binary_cross_entropy_with_logits(x, target, self.weight, self.reduction, self.pos_weight)


class KLDivLoss(_Loss):
    """The Kullback-Leibler divergence, see `functional.kl_div`."""

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        _check_reduction(reduction, (*REDUCTIONS, "batchmean"))
        self.reduction, self.log_target = reduction, log_target

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return kl_div(x, target, self.reduction, self.log_target)


class HingeEmbeddingLoss(_Loss):
    """See `functional.hinge_embedding_loss`."""

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return hinge_embedding_loss(x, target, self.margin, self.reduction)


class CosineEmbeddingLoss(_Loss):
    """See `functional.cosine_embedding_loss`."""

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, x: Tensor, y: Tensor, target: Any) -> Tensor:
        return cosine_embedding_loss(x, y, target, self.margin, self.reduction)


def _as_float(weight: Any) -> Buffer | None:
    if weight is None:
        return None
    array: Array = to_array(weight)
    return Buffer(array if is_float(array.dtype) else array.astype(np.float32))
