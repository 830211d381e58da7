"""RMSprop, Adagrad and Adadelta: steps scaled by the size of past gradients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from interchange.eager.optim.optimizer import Numbers, Optimizer, ParamGroup, Slots, cast, present, sqrt


class RMSprop(Optimizer):
    """p = p - lr g / (sqrt(v) + eps), v = alpha v + (1 - alpha) g^2 (Hinton 2012).

    centered: v less the square of the mean gradient. momentum: b = momentum b + g / (sqrt(v) + eps), p = p - lr b.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        numbers = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, {**numbers, "centered": bool(centered), "maximize": bool(maximize)})

    def slots(self, group: ParamGroup) -> dict[str, float]:
        names = {"square_avg": True, "grad_avg": group.flags["centered"]}
        names["momentum_buffer"] = present(group.numbers, "momentum")
        return {name: 0.0 for name, wanted in names.items() if wanted}

    def update(self, p: Any, g: Any, s: Slots, h: Numbers, flags: Mapping[str, bool]) -> Any:
        alpha, rest = cast(h["alpha"], p), cast(1.0 - h["alpha"], p)
        if flags["maximize"]:
            g = -g
        if present(h, "weight_decay"):
            g = g + cast(h["weight_decay"], p) * p
        s["square_avg"] = v = alpha * s["square_avg"] + g * g * rest
        if "grad_avg" in s:
            s["grad_avg"] = mean = s["grad_avg"] + (g - s["grad_avg"]) * rest
            v = v - mean * mean
        d = g / (sqrt(v) + cast(h["eps"], p))
        if "momentum_buffer" in s:
            s["momentum_buffer"] = d = cast(h["momentum"], p) * s["momentum_buffer"] + d
        return p - cast(h["lr"], p) * d


class Adagrad(Optimizer):
    """p = p - lr' g / (sqrt(v) + eps), v = v + g^2, lr' = lr / (1 + (t - 1) lr_decay) (Duchi et al. 2011)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        self._check_number("initial_accumulator_value", initial_accumulator_value)
        self._initial = float(initial_accumulator_value)
        numbers = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps}
        super().__init__(params, {**numbers, "maximize": bool(maximize)})

    def slots(self, group: ParamGroup) -> dict[str, float]:
        return {"sum": self._initial}

    def update(self, p: Any, g: Any, s: Slots, h: Numbers, flags: Mapping[str, bool]) -> Any:
        if flags["maximize"]:
            g = -g
        if present(h, "weight_decay"):
            g = g + cast(h["weight_decay"], p) * p
        s["sum"] = v = s["sum"] + g * g
        lr = h["lr"] / (1.0 + (h["t"] - 1.0) * h["lr_decay"])
        return p - cast(lr, p) * (g / (sqrt(v) + cast(h["eps"], p)))


class Adadelta(Optimizer):
    """p = p - lr d, d = g sqrt(u + eps) / sqrt(v + eps), v and u the running means of g^2 and d^2 (Zeiler 2012)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        numbers = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**numbers, "maximize": bool(maximize)})

    def slots(self, group: ParamGroup) -> dict[str, float]:
        return {"square_avg": 0.0, "acc_delta": 0.0}

    def update(self, p: Any, g: Any, s: Slots, h: Numbers, flags: Mapping[str, bool]) -> Any:
        rho, rest, eps = cast(h["rho"], p), cast(1.0 - h["rho"], p), cast(h["eps"], p)
        if flags["maximize"]:
            g = -g
        if present(h, "weight_decay"):
            g = g + cast(h["weight_decay"], p) * p
        s["square_avg"] = v = s["square_avg"] * rho + g * g * rest
        d = sqrt(s["acc_delta"] + eps) / sqrt(v + eps) * g
        s["acc_delta"] = s["acc_delta"] * rho + d * d * rest
        return p - cast(h["lr"], p) * d
