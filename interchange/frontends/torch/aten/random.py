"""Operators with chance in them: dropout and its kin, and random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from interchange import ops
from interchange.eager.tensor import Tensor, wrap
from interchange.frontends.torch.table import lower
from interchange.ops.shape_tools import ones


def _training(x: Tensor, p: float = 0.5, train: bool = True, **_: Any) -> bool:
    return bool(train) and p > 0


def _dropped(x: Tensor, p: float) -> Tensor:
    """x where a coin with probability p does not fall on 0, divided by 1 - p."""
    if p == 1:  # ONNX has no ratio of 1
        return ops.Mul(x, wrap(np.array(0, x.dtype)))
    return ops.Dropout(x, wrap(np.array(p, np.float32)), wrap(np.array(True)))


@lower("aten.dropout", random=_training)
def dropout(x: Tensor, p: float, train: bool) -> Tensor:
    """The elements themselves; in train mode some are zero."""
    return _dropped(x, p) if _training(x, p, train) else x


@lower("aten.feature_dropout", random=_training)
def feature_dropout(x: Tensor, p: float, train: bool) -> Tensor:
    """Whole channels are zero, in train mode."""
    return ops.Mul(x, _dropped(_channels(x), p)) if _training(x, p, train) else x


def _channels(x: Tensor) -> Tensor:
    """Ones, a number for each sample and channel."""
    return ones((*x.shape[:2], *([1] * (len(x.shape) - 2))), x.dtype)
