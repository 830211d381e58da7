"""Linear maps."""

from __future__ import annotations

from typing import Any

import numpy as np

from interchange.dims import same
from interchange.dtypes import float32
from interchange.eager.nn import init
from interchange.eager.nn.module import Module
from interchange.eager.tensor import Parameter, Tensor, shape_text
from interchange.errors import OperatorError, user_line
from interchange.ops.linear import Gemm, MatMul
from interchange.ops.shape import Transpose


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias: x [..., in], weight [out, in], bias [out] -> [..., out]."""
    if len(x.shape) == 2:
        return Gemm(x, weight, transB=1) if bias is None else Gemm(x, weight, bias, transB=1)
    product = MatMul(x, Transpose(weight, perm=(1, 0)))
    return product if bias is None else product + bias


def bilinear(left: Tensor, right: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y[k] = left @ weight[k] @ right + bias[k]: left [..., in1], right [..., in2], weight [out, in1, in2]."""
    out, first, second = weight.shape
    # one matrix product over left, then a product and a sum over right
    mixed = MatMul(left, weight.transpose(1, 0, 2).reshape(first, out * second))
    product = (mixed.reshape(*left.shape[:-1], out, second) * right.unsqueeze(-2)).sum(-1)
    return product if bias is None else product + bias


class Linear(Module):
    """y = x @ weight.T + bias.

    x: [..., in_features] -> y: [..., out_features]. weight: [out_features, in_features], bias: [out_features]; both
    start uniform in +- 1 / sqrt(in_features). A matrix x is one Gemm.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, dtype: Any = float32) -> None:
        self.in_features, self.out_features = _size("in_features", in_features), _size("out_features", out_features)
        self.weight = Parameter(np.empty((out_features, in_features), dtype))
        self.bias = Parameter(np.empty(out_features, dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """New initial values."""
        bound = init.default_bound(self.weight)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        if len(x.shape) == 0 or (x.shape[-1] != self.in_features if type(x.shape[-1]) is int else False):
            raise _features(x, self.in_features)
        return linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Bilinear(Module):
    """y[k] = left @ weight[k] @ right + bias[k].

    left: [..., in1_features], right: [..., in2_features] -> [..., out_features].
    weight: [out_features, in1_features, in2_features], bias: [out_features], uniform in +- 1 / sqrt(in1_features).
    """

    def __init__(
        self, in1_features: int, in2_features: int, out_features: int, bias: bool = True, *, dtype: Any = float32
    ) -> None:
        self.in1_features, self.in2_features = _size("in1_features", in1_features), _size("in2_features", in2_features)
        self.out_features = _size("out_features", out_features)
        self.weight = Parameter(np.empty((out_features, in1_features, in2_features), dtype))
        self.bias = Parameter(np.empty(out_features, dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """New initial values."""
        bound = 1 / self.in1_features**0.5
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        for x, count in ((left, self.in1_features), (right, self.in2_features)):
            if len(x.shape) == 0 or same(x.shape[-1], count) is False:
                raise _features(x, count)
        return bilinear(left, right, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )


class Identity(Module):
    """y = x. Takes and ignores any arguments, so that it can stand where another layer stood."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        return x


def _size(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise OperatorError(
            "IX124",
            f"{name} is a size",
            where=user_line(),
            found=f"{name}={value!r}",
            expected="a whole number, at least 1",
            fix="pass the number of features or channels",
        )
    return int(value)


def _features(x: Tensor, wanted: int) -> OperatorError:
    return OperatorError(
        "IX125",
        "the last axis of the input does not fit the layer",
        where=user_line(),
        found=f"{x.dtype}{shape_text(x.shape)}",
        expected=f"[..., {wanted}]",
        fix=f"make the layer for {x.shape[-1]} features, or reshape the input" if x.shape else "pass at least one axis",
    )
