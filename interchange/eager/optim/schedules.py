"""Learning-rate schedules: ``step()`` once per epoch (or per batch), after the optimiser's.

The rate is a function of the number of steps k and the rate b that the optimiser was made with, and is written into the
optimiser's variable: a compiled training step follows it without being traced again.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from interchange.eager.optim.optimizer import Optimizer
from interchange.eager.state import Differences, State, load_values, values_of
from interchange.eager.tensor import Buffer, Variable
from interchange.eager.trace import active_trace
from interchange.errors import OperatorError, user_line


def _wrong(message: str, found: str, expected: str) -> OperatorError:
    return OperatorError(
        "IX130", message, where=user_line(), found=found, expected=expected, fix="correct the argument"
    )


class LRScheduler:
    """The base of the schedules. A subclass defines `rate`."""

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise _wrong("a schedule drives an optimiser", type(optimizer).__name__, "an Optimizer")
        self.optimizer = optimizer
        for group in optimizer.param_groups:  # the first schedule notes the rate that all of them start from
            if group.initial_lr is None:
                group.initial_lr = group["lr"]
        self._epoch = Buffer(0, np.int64)
        self._base = Buffer([g.initial_lr for g in optimizer.param_groups], np.float64)
        self._apply()

    @property
    def last_epoch(self) -> int:
        """How often `step` was called."""
        return int(self._epoch._data)

    @property
    def base_lrs(self) -> list[float]:
        """The rate of each group that the schedule starts from."""
        return self._base.tolist()  # type: ignore[no-any-return]

    def rate(self, base: float, k: int, group: int) -> float:
        """The learning rate after k steps of the group with this number, which was made with `base`."""
        raise NotImplementedError(f"{type(self).__name__} defines no rate")

    def get_last_lr(self) -> list[float]:
        """The present rate of each group."""
        return [g["lr"] for g in self.optimizer.param_groups]

    def step(self) -> None:
        """Go one step on. Not within a traced function, whose graph would keep the rate of the trace (IX129)."""
        self._refuse_trace()
        self._epoch.assign(np.int64(self.last_epoch + 1))
        self._apply()

    def _refuse_trace(self) -> None:
        if active_trace() is not None:
            raise OperatorError(
                "IX129",
                "a schedule is stepped inside of a traced function, which runs only while it is traced",
                where=user_line(),
                found=f"{type(self).__name__}.step() in a trace",
                expected="step() in the Python loop around it",
                fix="call it after the compiled training step: the step reads the rate from the optimiser",
            )

    def _apply(self) -> None:
        self._apply_at(self.last_epoch)

    def _apply_at(self, k: int) -> None:
        for i, (group, base) in enumerate(zip(self.optimizer.param_groups, self.base_lrs, strict=True)):
            group["lr"] = self.rate(base, k, i)

    def named_variables(self) -> Iterator[tuple[str, Variable]]:
        """What the schedule keeps."""
        yield "epoch", self._epoch
        yield "base_lrs", self._base

    def state_dict(self) -> State:
        """The present state."""
        return values_of(self.named_variables())

    def load_state_dict(self, state: Mapping[str, Any]) -> Differences:
        """Continue where `state` was taken; the rate itself is in the optimiser's state. Raises OperatorError IX121."""
        return load_values(type(self).__name__, self.named_variables(), state)


class StepLR(LRScheduler):
    """b gamma^(k // step_size)"""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        if step_size < 1:
            raise _wrong("step_size counts steps", f"step_size={step_size}", "at least 1")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def rate(self, base: float, k: int, group: int) -> float:
        return base * self.gamma ** (k // self.step_size)


class MultiStepLR(LRScheduler):
    """b gamma^n, n the number of milestones up to k"""

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def rate(self, base: float, k: int, group: int) -> float:
        return base * self.gamma ** bisect.bisect_right(self.milestones, k)


class ConstantLR(LRScheduler):
    """b factor for total_iters steps, then b"""

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5) -> None:
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer)

    def rate(self, base: float, k: int, group: int) -> float:
        return base * (self.factor if k < self.total_iters else 1.0)


class LinearLR(LRScheduler):
    """b times a factor that goes from start_factor to end_factor in total_iters steps: a warm-up"""

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5
    ) -> None:
        if total_iters < 1:
            raise _wrong("total_iters counts steps", f"total_iters={total_iters}", "at least 1")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer)

    def rate(self, base: float, k: int, group: int) -> float:
        share = min(k, self.total_iters) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * share)


class ExponentialLR(LRScheduler):
    """b gamma^k"""

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = gamma
        super().__init__(optimizer)

    def rate(self, base: float, k: int, group: int) -> float:
        return float(base * self.gamma**k)


class PolynomialLR(LRScheduler):
    """b (1 - k / total_iters)^power, 0 from total_iters on"""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer)

    def rate(self, base: float, k: int, group: int) -> float:
        return float(base * (1 - min(k, self.total_iters) / self.total_iters) ** self.power)


class CosineAnnealingLR(LRScheduler):
    """eta_min + (b - eta_min) (1 + cos(pi k / T_max)) / 2 (Loshchilov & Hutter 2017)"""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        if T_max < 1:
            raise _wrong("T_max counts steps", f"T_max={T_max}", "at least 1")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def rate(self, base: float, k: int, group: int) -> float:
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * k / self.T_max)) / 2


class CosineAnnealingWarmRestarts(LRScheduler):
    """The same, begun again from b after T_0 steps, then after T_mult times as many, ..."""

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> None:
        if T_0 < 1 or T_mult < 1:
            raise _wrong("T_0 and T_mult are at least 1", f"T_0={T_0}, T_mult={T_mult}", "at least 1")
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer)

    def rate(self, base: float, k: int, group: int) -> float:
        period = self.T_0
        while k >= period:
            k -= period
            period *= self.T_mult
            if self.T_mult == 1:
                k %= period
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * k / period)) / 2


class LambdaLR(LRScheduler):
    """b f(k); a list has a function for each group"""

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]]
    ) -> None:
        self.lambdas = [lr_lambda] * len(optimizer.param_groups) if callable(lr_lambda) else list(lr_lambda)
        if len(self.lambdas) != len(optimizer.param_groups):
            raise _wrong("a function for each group", f"{len(self.lambdas)}", f"{len(optimizer.param_groups)}")
        super().__init__(optimizer)

    def rate(self, base: float, k: int, group: int) -> float:
        return base * float(self.lambdas[group](k))


class OneCycleLR(LRScheduler):
    """Up from max_lr / div_factor to max_lr in pct_start of total_steps, then down to the start / final_div_factor.

    anneal_strategy: "cos" or "linear". three_phase: down to the start in as many steps as up, then to the end.
    cycle_momentum: the momentum (beta1) goes the other way, from max_momentum to base_momentum and back. After
    total_steps the rate stays (Smith & Topin 2019).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        total = total_steps if total_steps is not None else (epochs or 0) * (steps_per_epoch or 0)
        if total < 1:
            raise _wrong(
                "how many steps?", f"total_steps={total_steps}, epochs={epochs}", "total_steps, or both others"
            )
        if anneal_strategy not in ("cos", "linear") or not 0 <= pct_start <= 1:
            found = f"anneal_strategy={anneal_strategy!r}, pct_start={pct_start}"
            raise _wrong("not a cycle", found, "'cos' or 'linear', and a share from 0 to 1")
        self.total_steps, self.linear, self.div_factor = total, anneal_strategy == "linear", div_factor
        count = len(optimizer.param_groups)
        self.max_lrs = list(max_lr) if isinstance(max_lr, Sequence) else [max_lr] * count
        if len(self.max_lrs) != count:
            raise _wrong("a max_lr for each group", f"{len(self.max_lrs)}", f"{count}")
        self.final = 1 / final_div_factor
        first = pct_start * total - 1
        # (end, rate there as a share between start (0) and maximum (1), or -1 for the final one)
        self._ends = [(first, 1), (2 * first, 0), (total - 1, -1)] if three_phase else [(first, 1), (total - 1, -1)]
        names = [n for n in ("momentum", "beta1") if n in optimizer.param_groups[0].numbers]
        if cycle_momentum and not names:
            raise _wrong(
                "this optimiser has no momentum to cycle", type(optimizer).__name__, "SGD, Adam, AdamW, RMSprop"
            )
        self._momentum = names[0] if cycle_momentum else None
        self._momenta = (max_momentum, base_momentum)
        super().__init__(optimizer)

    def _blend(self, start: float, end: float, share: float) -> float:
        return start + (end - start) * (share if self.linear else (1 - math.cos(math.pi * share)) / 2)

    def _between(self, k: int, start: float, top: float, final: float) -> float:
        values = {0: start, 1: top, -1: final}
        before, value = 0.0, start
        for end, goal in self._ends:
            if k <= end or (end, goal) == self._ends[-1]:
                return self._blend(
                    value, values[goal], min((k - before) / (end - before), 1.0) if end != before else 1.0
                )
            before, value = end, values[goal]
        return value

    def rate(self, base: float, k: int, group: int) -> float:
        start = self.max_lrs[group] / self.div_factor
        return self._between(k, start, self.max_lrs[group], start * self.final)

    def _apply_at(self, k: int) -> None:
        super()._apply_at(k)
        if self._momentum is not None:
            high, low = self._momenta
            for group in self.optimizer.param_groups:
                group[self._momentum] = self._between(k, high, low, high)


class SequentialLR(LRScheduler):
    """One schedule after the other: the next one begins, at its step 0, at each milestone."""

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int]) -> None:
        self.schedulers, self.milestones = list(schedulers), list(milestones)
        if len(self.schedulers) != len(self.milestones) + 1 or self.milestones != sorted(self.milestones):
            found = f"{len(self.schedulers)} schedules, milestones {self.milestones}"
            raise _wrong("a milestone between any two schedules", found, "ascending, one less than schedules")
        if any(s.optimizer is not optimizer for s in self.schedulers):
            raise _wrong("the schedules drive different optimisers", "another optimiser", "the same one for all")
        super().__init__(optimizer)

    def _apply_at(self, k: int) -> None:
        index = bisect.bisect_right(self.milestones, k)
        self.schedulers[index]._apply_at(k - self.milestones[index - 1] if index else k)


def warmup(after: LRScheduler, steps: int, start_factor: float = 0.01) -> SequentialLR:
    """`after`, preceded by `steps` steps in which the rate rises from start_factor of its own to all of it."""
    first = LinearLR(after.optimizer, start_factor, 1.0, steps)
    return SequentialLR(after.optimizer, [first, after], [steps])


class ReduceLROnPlateau(LRScheduler):
    """The rate times factor when a metric, given to ``step(metric)``, has not improved for more than patience steps.

    mode: "min" or "max". threshold: by how much it must improve to count, relative ("rel") or absolute ("abs").
    cooldown: steps to wait after a reduction. min_lr: the lowest rate. eps: smaller changes are not made.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs") or not 0 < factor < 1:
            found = f"mode={mode!r}, threshold_mode={threshold_mode!r}, factor={factor}"
            raise _wrong("not a way to reduce a rate", found, "'min' or 'max', 'rel' or 'abs', 0 < factor < 1")
        self.mode, self.factor, self.patience, self.cooldown = mode, factor, patience, cooldown
        self.threshold, self.threshold_mode, self.min_lr, self.eps = threshold, threshold_mode, min_lr, eps
        self._best = Buffer(math.inf if mode == "min" else -math.inf, np.float64)
        self._counts = Buffer([0, 0], np.int64)  # steps without improvement, steps left to wait
        super().__init__(optimizer)

    def _apply_at(self, k: int) -> None:
        """The rate changes by the metric alone."""

    def step(self, metric: Any = None) -> None:
        """Go one step on, with the value of the metric: a number, or a tensor of one element."""
        self._refuse_trace()
        if metric is None:
            raise _wrong("the schedule follows a metric", "step()", "step(metric)")
        value, (bad, wait) = float(metric), self._counts.tolist()
        if self._better(value):
            self._best.assign(np.float64(value))
            bad = 0
        else:
            bad += 1
        if wait > 0:
            wait, bad = wait - 1, 0
        if bad > self.patience:
            for group in self.optimizer.param_groups:
                new = max(group["lr"] * self.factor, self.min_lr)
                if group["lr"] - new > self.eps:
                    group["lr"] = new
            wait, bad = self.cooldown, 0
        self._counts.assign(np.array([bad, wait], np.int64))
        self._epoch.assign(np.int64(self.last_epoch + 1))

    def _better(self, value: float) -> bool:
        best = float(self._best._data)
        if self.threshold_mode == "rel":
            return value < best * (1 - self.threshold) if self.mode == "min" else value > best * (1 + self.threshold)
        return value < best - self.threshold if self.mode == "min" else value > best + self.threshold

    def named_variables(self) -> Iterator[tuple[str, Variable]]:
        yield from super().named_variables()
        yield "best", self._best
        yield "counts", self._counts
