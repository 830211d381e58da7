"""Losses. Formulas: torch.nn.functional. A reduction is 0 (none), 1 (mean) or 2 (sum)."""

from __future__ import annotations

import math

import numpy as np

from interchange import ops
from interchange.dims import product
from interchange.dtypes import is_float
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor, wrap
from interchange.frontends.torch.aten.activation import log_softmax_of
from interchange.frontends.torch.aten.norm import cosine, distance
from interchange.frontends.torch.table import lower, promote, promote_float, tensor
from interchange.ops.shape_tools import scalar_of

MEAN, SUM = 1, 2


def _sum(x: Tensor) -> Tensor:
    return ops.ReduceSum(x, keepdims=0) if x.shape else x


def _reduced(loss: Tensor, reduction: int) -> Tensor:
    if reduction == SUM:
        return _sum(loss)
    if reduction == MEAN and loss.shape:
        return ops.Div(_sum(loss), scalar_of(product(loss.shape), loss.dtype))
    return loss


def _at_least_zero(x: Tensor) -> Tensor:
    return ops.Relu(x) if is_float(x.dtype) else ops.Max(x, _zero(x))  # the runtime has no Relu of int64


def _lined(x: Tensor) -> Tensor:
    """A 0-d tensor as one of one element."""
    return x if x.shape else ops.Unsqueeze(x, [0])


def _zero(like: Tensor) -> Tensor:
    return wrap(np.zeros((), like.dtype))


# -- of a distance -----------------------------------------------------------------------------------------------------
def _difference(x: Tensor, y: Tensor) -> Tensor:
    a, b = promote(x, y)
    return ops.Sub(a, b)


@lower("aten.mse_loss")
def mse_loss(x: Tensor, target: Tensor, reduction: int = MEAN) -> Tensor:
    """(x - target)^2."""
    d = _difference(x, target)
    return _reduced(ops.Mul(d, d), reduction)


@lower("aten.l1_loss")
def l1_loss(x: Tensor, target: Tensor, reduction: int = MEAN) -> Tensor:
    """|x - target|."""
    return _reduced(ops.Abs(_difference(x, target)), reduction)


@lower("aten.smooth_l1_loss")
def smooth_l1_loss(x: Tensor, target: Tensor, reduction: int = MEAN, beta: float = 1.0) -> Tensor:
    """d^2 / (2 beta) where |d| < beta, else |d| - beta / 2."""
    if beta == 0:
        return l1_loss(x, target, reduction)
    away = ops.Abs(_difference(x, target))
    near = ops.Div(ops.Mul(ops.Mul(away, away), tensor(0.5, away.dtype)), tensor(beta, away.dtype))
    far = ops.Sub(away, tensor(beta / 2, away.dtype))
    return _reduced(ops.Where(ops.Less(away, tensor(beta, away.dtype)), near, far), reduction)


@lower("aten.huber_loss")
def huber_loss(x: Tensor, target: Tensor, reduction: int = MEAN, delta: float = 1.0) -> Tensor:
    """d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2)."""
    away = ops.Abs(_difference(x, target))
    at = tensor(delta, away.dtype)
    near = ops.Mul(ops.Mul(away, away), tensor(0.5, away.dtype))
    far = ops.Mul(ops.Sub(away, tensor(delta / 2, away.dtype)), at)
    return _reduced(ops.Where(ops.LessOrEqual(away, at), near, far), reduction)


# -- of probabilities --------------------------------------------------------------------------------------------------
def _weighted(loss: Tensor, weight: Tensor | None) -> Tensor:
    return loss if weight is None else ops.Mul(loss, astype(weight, loss.dtype))


def _rest(t: Tensor) -> Tensor:
    return ops.Sub(tensor(1, t.dtype), t)


@lower("aten.binary_cross_entropy")
def binary_cross_entropy(x: Tensor, target: Tensor, weight: Tensor | None = None, reduction: int = MEAN) -> Tensor:
    """-target log(x) - (1 - target) log(1 - x), a logarithm at least -100."""
    t, low = astype(target, x.dtype), tensor(-100, x.dtype)
    yes = ops.Mul(t, ops.Max(ops.Log(x), low))
    no = ops.Mul(_rest(t), ops.Max(ops.Log(_rest(x)), low))
    return _reduced(_weighted(ops.Neg(ops.Add(yes, no)), weight), reduction)


@lower("aten.binary_cross_entropy_with_logits")
def binary_cross_entropy_with_logits(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
    reduction: int = MEAN,
) -> Tensor:
    """(1 - target) x + (1 + (pos_weight - 1) target) log(1 + e^-x)."""
    x, t = promote_float(x, target)
    soft = ops.Softplus(ops.Neg(x))
    if pos_weight is not None:
        more = ops.Sub(astype(pos_weight, x.dtype), tensor(1, x.dtype))
        soft = ops.Mul(ops.Add(ops.Mul(more, t), tensor(1, x.dtype)), soft)
    return _reduced(_weighted(ops.Add(ops.Mul(_rest(t), x), soft), weight), reduction)


def _t_log_t(t: Tensor) -> Tensor:
    """t log(t), 0 at 0."""
    return ops.Where(ops.Equal(t, _zero(t)), _zero(t), ops.Mul(t, ops.Log(t)))


@lower("aten.kl_div")
def kl_div(x: Tensor, target: Tensor, reduction: int = MEAN, *, log_target: bool = False) -> Tensor:
    """t (log(t) - x), where t is the target, or with log_target e^target."""
    x, t = promote_float(x, target)
    if log_target:
        return _reduced(ops.Mul(ops.Exp(t), ops.Sub(t, x)), reduction)
    return _reduced(ops.Sub(_t_log_t(t), ops.Mul(t, x)), reduction)


@lower("aten.poisson_nll_loss")
def poisson_nll_loss(x: Tensor, target: Tensor, log_input: bool, full: bool, eps: float, reduction: int) -> Tensor:
    """e^x - t x, or x - t log(x + eps); full adds Stirling's t log(t) - t + log(2 pi t) / 2 where t > 1."""
    x, t = promote_float(x, target)
    if log_input:
        loss = ops.Sub(ops.Exp(x), ops.Mul(t, x))
    else:
        loss = ops.Sub(x, ops.Mul(t, ops.Log(ops.Add(x, tensor(eps, x.dtype)))))
    if full:
        half_log = ops.Mul(ops.Log(ops.Mul(t, tensor(2 * math.pi, t.dtype))), tensor(0.5, t.dtype))
        more = ops.Add(ops.Sub(ops.Mul(t, ops.Log(t)), t), half_log)
        loss = ops.Add(loss, ops.Where(ops.LessOrEqual(t, tensor(1, t.dtype)), _zero(t), more))
    return _reduced(loss, reduction)


# -- of classes --------------------------------------------------------------------------------------------------------
class _Classes:
    """Class numbers [N, d...] of scores [N, C, d...].

    kept: which are not ignored. index: the numbers, 0 where ignored. share: what each weighs, 0 where ignored.
    """

    def __init__(self, target: Tensor, weight: Tensor | None, ignore_index: int, like: Tensor) -> None:
        self.kept = ops.Not(ops.Equal(target, tensor(ignore_index, target.dtype)))
        self.index = astype(ops.Where(self.kept, target, tensor(0, target.dtype)), np.int64)
        self.share = astype(self.kept, like.dtype)
        if weight is not None:
            self.share = ops.Mul(ops.Gather(astype(weight, like.dtype), self.index, axis=0), self.share)

    def reduced(self, loss: Tensor, reduction: int) -> Tensor:
        """The losses, their sum, or the mean weighted by the shares."""
        total = _reduced(loss, SUM if reduction == MEAN else reduction)
        return ops.Div(total, _sum(self.share)) if reduction == MEAN else total


def _picked(x: Tensor, index: Tensor) -> Tensor:
    """x [N, C, d...] (or [C]) at the class numbers [N, d...] (or [])."""
    axis = min(1, len(x.shape) - 1)
    return ops.Squeeze(ops.GatherElements(x, ops.Unsqueeze(index, [axis]), axis=axis), [axis])


def _nll(x: Tensor, classes: _Classes, reduction: int) -> Tensor:
    loss = ops.Mul(ops.Neg(_picked(x, classes.index)), classes.share)
    return classes.reduced(ops.Where(classes.kept, loss, _zero(loss)), reduction)


@lower("aten.nll_loss", "aten.nll_loss_nd", "aten.nll_loss2d")
def nll_loss(
    x: Tensor, target: Tensor, weight: Tensor | None = None, reduction: int = MEAN, ignore_index: int = -100
) -> Tensor:
    """-x at the target class, times its weight; the mean is weighted."""
    return _nll(x, _Classes(target, weight, ignore_index, x), reduction)


@lower("aten.nll_loss_forward", "aten.nll_loss2d_forward")
def nll_loss_forward(
    x: Tensor, target: Tensor, weight: Tensor | None, reduction: int, ignore_index: int
) -> tuple[Tensor, Tensor]:
    """The loss, and what all targets weigh (0 where nothing is reduced)."""
    classes = _Classes(target, weight, ignore_index, x)
    total = _sum(classes.share) if reduction else _zero(x)
    return _nll(x, classes, reduction), total


@lower("aten.cross_entropy_loss")
def cross_entropy(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: int = MEAN,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log(softmax(x)) at the target class, or in the mean of target probabilities.

    label_smoothing: the share of the loss that goes to all classes alike.
    """
    axis = min(1, len(x.shape) - 1)
    log_p, count = log_softmax_of(x, axis), x.shape[axis]
    if weight is not None:  # [C] as [C, 1, ...]
        column = ops.Unsqueeze(astype(weight, x.dtype), list(range(1, len(x.shape) - axis)))
    every = log_p if weight is None else ops.Mul(log_p, column)
    if is_float(target.dtype):
        t = astype(target, x.dtype)
        if label_smoothing:
            each = ops.Div(tensor(label_smoothing, x.dtype), scalar_of(count, x.dtype))
            t = ops.Add(ops.Mul(t, tensor(1 - label_smoothing, x.dtype)), each)
        loss = ops.Neg(ops.ReduceSum(ops.Mul(every, t), [axis], keepdims=0))
        return _reduced(loss, reduction)
    classes = _Classes(target, weight, ignore_index, x)
    loss = _nll(log_p, classes, reduction)
    if not label_smoothing:
        return loss
    smooth = ops.Neg(ops.ReduceSum(every, [axis], keepdims=0))
    smooth = classes.reduced(ops.Where(classes.kept, smooth, _zero(smooth)), reduction)
    part = ops.Div(tensor(label_smoothing, x.dtype), scalar_of(count, x.dtype))
    return ops.Add(ops.Mul(loss, tensor(1 - label_smoothing, x.dtype)), ops.Mul(smooth, part))


@lower("aten.multi_margin_loss")
def multi_margin_loss(
    x: Tensor,
    target: Tensor,
    p: float = 1,
    margin: float = 1,
    weight: Tensor | None = None,
    reduction: int = MEAN,
) -> Tensor:
    """The mean over the classes j other than the target t of max(0, margin - x[t] + x[j])^p, times weight[t]."""
    x, target = _lined(x), _lined(target)
    axis = len(x.shape) - 1
    index = ops.Unsqueeze(target, [axis]) if len(target.shape) == axis else target
    away = ops.Sub(ops.Add(x, tensor(margin, x.dtype)), ops.GatherElements(x, index, axis=axis))
    cost = _at_least_zero(away)
    if p == 2:
        cost = ops.Mul(cost, cost)
    if weight is not None:
        cost = ops.Mul(cost, ops.Gather(astype(weight, x.dtype), index, axis=0))
    classes = ops.Range(tensor(0, index.dtype), scalar_of(x.shape[axis], index.dtype), tensor(1, index.dtype))
    others = ops.Where(ops.Equal(index, classes), _zero(x), cost)
    return _reduced(ops.Div(ops.ReduceSum(others, [axis], keepdims=0), scalar_of(x.shape[axis], x.dtype)), reduction)


def _multilabel_margin(x: Tensor, target: Tensor, reduction: int) -> tuple[Tensor, Tensor]:
    x, target = _lined(x), _lined(target)
    last = len(x.shape) - 1
    count = x.shape[last]
    ended = ops.CumSum(astype(ops.Equal(target, tensor(-1, target.dtype)), np.int64), wrap(np.array(last)))
    named = ops.Equal(ended, wrap(np.array(0)))  # targets are listed up to the first -1
    index = astype(ops.Where(named, target, tensor(0, target.dtype)), np.int64)
    classes = ops.Range(wrap(np.array(0)), scalar_of(count, index.dtype), wrap(np.array(1)))
    hit = ops.And(ops.Equal(ops.Unsqueeze(index, [last + 1]), classes), ops.Unsqueeze(named, [last + 1]))
    is_target = ops.ReduceMax(astype(hit, x.dtype), [last], keepdims=0)
    at = ops.Unsqueeze(ops.GatherElements(x, index, axis=last), [last + 1])
    cost = _at_least_zero(ops.Add(ops.Sub(ops.Unsqueeze(x, [last]), at), tensor(1, x.dtype)))
    counted = ops.And(ops.Unsqueeze(named, [last + 1]), ops.Not(ops.Unsqueeze(ops.Greater(is_target, 0.0), [last])))
    total = ops.ReduceSum(ops.Where(counted, cost, _zero(x)), [last, last + 1], keepdims=0)
    return _reduced(ops.Div(total, scalar_of(count, x.dtype)), reduction), is_target


@lower("aten.multilabel_margin_loss")
def multilabel_margin_loss(x: Tensor, target: Tensor, reduction: int = MEAN) -> Tensor:
    """The sum over targets t and other classes j of max(0, 1 - x[t] + x[j]), divided by the number of classes."""
    return _multilabel_margin(x, target, reduction)[0]


@lower("aten.multilabel_margin_loss_forward")
def multilabel_margin_loss_forward(x: Tensor, target: Tensor, reduction: int) -> tuple[Tensor, Tensor]:
    """The loss, and which classes are targets."""
    return _multilabel_margin(x, target, reduction)


# -- of a sign ---------------------------------------------------------------------------------------------------------
@lower("aten.soft_margin_loss")
def soft_margin_loss(x: Tensor, target: Tensor, reduction: int = MEAN) -> Tensor:
    """log(1 + e^(-target x)), infinite where PyTorch's e^ is."""
    z = ops.Neg(ops.Mul(*promote(target, x)))
    loss = ops.Where(ops.IsInf(ops.Exp(z)), wrap(np.array(np.inf, z.dtype)), ops.Softplus(z))
    return _reduced(loss, reduction)


@lower("aten.margin_ranking_loss")
def margin_ranking_loss(x: Tensor, y: Tensor, target: Tensor, margin: float = 0.0, reduction: int = MEAN) -> Tensor:
    """max(0, margin - target (x - y))."""
    a, b, t = promote(x, y, target)
    return _reduced(_at_least_zero(ops.Sub(tensor(margin, a.dtype), ops.Mul(t, ops.Sub(a, b)))), reduction)


@lower("aten.hinge_embedding_loss")
def hinge_embedding_loss(x: Tensor, target: Tensor, margin: float = 1.0, reduction: int = MEAN) -> Tensor:
    """x where target is 1, max(0, margin - x) where it is -1, both added elsewhere."""
    x, t = promote(x, target)
    apart = _at_least_zero(ops.Sub(tensor(margin, x.dtype), x))
    away = ops.Where(ops.Equal(t, tensor(1, t.dtype)), _zero(x), apart)
    here = ops.Where(ops.Equal(t, tensor(-1, t.dtype)), _zero(x), x)
    return _reduced(ops.Add(away, here), reduction)


@lower("aten.cosine_embedding_loss")
def cosine_embedding_loss(x: Tensor, y: Tensor, target: Tensor, margin: float = 0.0, reduction: int = MEAN) -> Tensor:
    """1 - cos(x, y) where target is 1, max(0, cos(x, y) - margin) where it is -1."""
    a, b = promote_float(x, y)
    cos = cosine(a, b, len(target.shape))
    near = ops.Where(ops.Equal(target, tensor(1, target.dtype)), ops.Sub(tensor(1, cos.dtype), cos), _zero(cos))
    apart = _at_least_zero(ops.Sub(cos, tensor(margin, cos.dtype)))
    far = ops.Where(ops.Equal(target, tensor(-1, target.dtype)), apart, _zero(cos))
    return _reduced(ops.Add(near, far), reduction)


@lower("aten.triplet_margin_loss")
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: int = MEAN,
) -> Tensor:
    """max(0, margin + |anchor - positive| - |anchor - negative|); swap: the negative's nearer distance."""
    near, far = distance(anchor, positive, p, eps), distance(anchor, negative, p, eps)
    if swap:
        far = ops.Min(far, distance(positive, negative, p, eps))
    return _reduced(_at_least_zero(ops.Sub(ops.Add(near, tensor(margin, near.dtype)), far)), reduction)
