"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from interchange.eager.optim.optimizer import (
    Numbers,
    Optimizer,
    ParamGroup,
    Slots,
    cast,
    maximum,
    present,
    sqrt,
)
from interchange.errors import OperatorError, user_line


class Adam(Optimizer):
    """p = p - lr m' / (sqrt(v') + eps), m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2 (Kingma & Ba 2015).

    m' = m / (1 - beta1^t), v' = v / (1 - beta2^t) at step t. weight_decay is added to g (L2). amsgrad: the largest v so
    far in place of v (Reddi et al. 2018). A group reads and sets ``beta1`` and ``beta2``.
    """

    decoupled = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise OperatorError(
                "IX127",
                "betas are two numbers",
                where=user_line(),
                found=f"betas={betas!r}",
                expected="(beta1, beta2), each from 0 to 1",
                fix="pass betas=(0.9, 0.999)",
            )
        numbers = {"lr": lr, "beta1": betas[0], "beta2": betas[1], "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**numbers, "amsgrad": bool(amsgrad), "maximize": bool(maximize)})

    def slots(self, group: ParamGroup) -> dict[str, float]:
        largest = {"max_exp_avg_sq": 0.0} if group.flags["amsgrad"] else {}
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0, **largest}

    def update(self, p: Any, g: Any, s: Slots, h: Numbers, flags: Mapping[str, bool]) -> Any:
        lr, beta1, beta2, t = h["lr"], h["beta1"], h["beta2"], h["t"]
        if flags["maximize"]:
            g = -g
        if present(h, "weight_decay"):
            if self.decoupled:
                p = p * cast(1.0 - lr * h["weight_decay"], p)
            else:
                g = g + cast(h["weight_decay"], p) * p
        s["exp_avg"] = m = s["exp_avg"] + (g - s["exp_avg"]) * cast(1.0 - beta1, p)
        s["exp_avg_sq"] = v = s["exp_avg_sq"] * cast(beta2, p) + g * g * cast(1.0 - beta2, p)
        if "max_exp_avg_sq" in s:
            s["max_exp_avg_sq"] = v = maximum(s["max_exp_avg_sq"], v)
        first, second = 1.0 - beta1**t, (1.0 - beta2**t) ** 0.5
        return p - cast(lr / first, p) * (m / (sqrt(v) * cast(1.0 / second, p) + cast(h["eps"], p)))


class AdamW(Adam):
    """Adam with decoupled weight decay: p shrinks by lr weight_decay p beside the step (Loshchilov & Hutter 2019)."""

    decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
