"""Dropout: random zeros in training mode, nothing in evaluation mode.

The zeros come from a generator of `interchange.eager.random`: a training step that is traced draws the same ones.
"""

from __future__ import annotations

from interchange.dims import DimLike
from interchange.eager.nn.module import Module
from interchange.eager.random import Generator, bernoulli
from interchange.eager.tensor import Tensor
from interchange.errors import OperatorError, user_line


def _check(p: float) -> None:
    if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0 <= p <= 1:
        raise OperatorError(
            "IX124",
            "a probability lies between 0 and 1",
            where=user_line(),
            found=f"p={p!r}",
            expected="0 <= p <= 1",
            fix="p is the share of elements that become zero",
        )


def _drop(x: Tensor, p: float, shape: tuple[DimLike, ...], generator: Generator | None) -> Tensor:
    if p == 1:
        return x * 0.0
    return x * (bernoulli(shape, 1 - p, generator=generator).astype(x.dtype) * (1 / (1 - p)))


def dropout(x: Tensor, p: float = 0.5, training: bool = True, *, generator: Generator | None = None) -> Tensor:
    """Each element is 0 with probability p, else x / (1 - p)."""
    _check(p)
    return _drop(x, p, x.shape, generator) if training and p else x


def _channels(n: int, x: Tensor, p: float, training: bool, generator: Generator | None) -> Tensor:
    _check(p)
    if not training or not p:
        return x
    if len(x.shape) not in (n + 1, n + 2):
        from interchange.eager.nn.sizes import rank_error

        raise rank_error(x, f"{n + 2} axes, or {n + 1} for one item")
    lead = len(x.shape) - n
    return _drop(x, p, (*x.shape[:lead], *[1] * n), generator)


def dropout1d(x: Tensor, p: float = 0.5, training: bool = True, *, generator: Generator | None = None) -> Tensor:
    """Whole channels of x [N, C, L] or [C, L] are 0 with probability p, else x / (1 - p)."""
    return _channels(1, x, p, training, generator)


def dropout2d(x: Tensor, p: float = 0.5, training: bool = True, *, generator: Generator | None = None) -> Tensor:
    """Whole channels of x [N, C, H, W] or [C, H, W] are 0 with probability p, else x / (1 - p)."""
    return _channels(2, x, p, training, generator)


def dropout3d(x: Tensor, p: float = 0.5, training: bool = True, *, generator: Generator | None = None) -> Tensor:
    """Whole channels of x [N, C, D, H, W] or [C, D, H, W] are 0 with probability p, else x / (1 - p)."""
    return _channels(3, x, p, training, generator)


def alpha_dropout(x: Tensor, p: float = 0.5, training: bool = True, *, generator: Generator | None = None) -> Tensor:
    """Dropout for SELU, which keeps mean and variance: a (x or alpha') + b (Klambauer et al. 2017)."""
    _check(p)
    if not training or not p:
        return x
    if p == 1:
        return x * 0.0
    low = -1.7580993408473766  # -alpha * scale of SELU: what it tends to for very small x
    a = float(((1 - p) * (1 + p * low * low)) ** -0.5)
    kept = bernoulli(x.shape, 1 - p, generator=generator).astype(x.dtype)
    return x * (kept * a) + ((1 - kept) * (low * a) - a * p * low)


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False, *, generator: Generator | None = None) -> None:
        _check(p)  # inplace is accepted for code written for PyTorch: tensors are immutable here
        self.p, self.generator = p, generator

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout(_Dropout):
    """In training each element is 0 with probability p, else x / (1 - p). generator: where the chance comes from."""

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, self.training, generator=self.generator)


class Dropout1d(_Dropout):
    """In training whole channels of x [N, C, L] or [C, L] are 0 with probability p, else x / (1 - p)."""

    def forward(self, x: Tensor) -> Tensor:
        return dropout1d(x, self.p, self.training, generator=self.generator)


class Dropout2d(_Dropout):
    """In training whole channels of x [N, C, H, W] or [C, H, W] are 0 with probability p, else x / (1 - p)."""

    def forward(self, x: Tensor) -> Tensor:
        return dropout2d(x, self.p, self.training, generator=self.generator)


class Dropout3d(_Dropout):
    """In training whole channels of x [N, C, D, H, W] or [C, D, H, W] are 0 with probability p, else x / (1 - p)."""

    def forward(self, x: Tensor) -> Tensor:
        return dropout3d(x, self.p, self.training, generator=self.generator)


class AlphaDropout(_Dropout):
    """Dropout for SELU: mean and variance stay, see `functional.alpha_dropout`."""

    def forward(self, x: Tensor) -> Tensor:
        return alpha_dropout(x, self.p, self.training, generator=self.generator)
