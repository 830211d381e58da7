"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from interchange.eager.optim.optimizer import Numbers, Optimizer, ParamGroup, Slots, cast, present
from interchange.eager.tensor import Tensor
from interchange.errors import OperatorError, user_line


class SGD(Optimizer):
    """p = p - lr d, where d = g + weight_decay p; with momentum d is replaced by b = momentum b + (1 - dampening) d.

    In the first step b = d. nesterov: by d + momentum b. maximize: g has the other sign.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        numbers = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(params, {**numbers, "nesterov": bool(nesterov), "maximize": bool(maximize)})

    def check(self, options: Mapping[str, Any]) -> None:
        super().check({k: v for k, v in options.items() if k != "dampening"})
        if options["nesterov"] and (options["momentum"] <= 0 or options["dampening"] != 0):
            raise OperatorError(
                "IX127",
                "nesterov needs a momentum and no dampening",
                where=user_line(),
                found=f"momentum={options['momentum']}, dampening={options['dampening']}",
                expected="momentum > 0, dampening = 0",
                fix="pass momentum=0.9, or leave nesterov out",
            )

    def slots(self, group: ParamGroup) -> dict[str, float]:
        return {"momentum_buffer": 0.0} if present(group.numbers, "momentum") else {}

    def update(self, p: Any, g: Any, s: Slots, h: Numbers, flags: Mapping[str, bool]) -> Any:
        d = -g if flags["maximize"] else g
        if present(h, "weight_decay"):
            d = d + cast(h["weight_decay"], p) * p
        if "momentum_buffer" in s:
            momentum = cast(h["momentum"], p)
            new = d
            if present(h, "dampening"):
                later = h["t"] > 1.5
                share = 1.0 - h["dampening"] * (later.astype("float64") if isinstance(later, Tensor) else later)
                new = cast(share, p) * d
            s["momentum_buffer"] = b = momentum * s["momentum_buffer"] + new
            d = d + momentum * b if flags["nesterov"] else b
        return p - cast(h["lr"], p) * d
