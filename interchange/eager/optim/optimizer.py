"""`Optimizer`: what the optimisers share: groups of parameters, their hyper-parameters, and state.

An update rule is written once, over arrays and tensors alike: eagerly it runs on NumPy arrays; in a trace the same
lines record operators, so that a whole training step becomes a graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from interchange.eager.state import Differences, State, load_values, values_of
from interchange.eager.tensor import Buffer, Tensor, Variable, enable_grad, no_grad
from interchange.eager.trace import active_trace
from interchange.errors import OperatorError, user_line
from interchange.ops.arithmetic import Max, Sqrt

Slots = dict[str, Any]  # state of one parameter by name: arrays, or tensors in a trace
Numbers = Mapping[str, Any]  # hyper-parameters and the step count "t": floats, or float64 tensors in a trace


class ParamGroup:
    """Parameters that share hyper-parameters: ``group["lr"]`` reads one, ``group["lr"] = 0.1`` changes it.

    Numbers are kept as 0-d float64 Variables (`numbers`), so that a traced step takes them as input and a schedule need
    not trace again. Flags are fixed.
    """

    def __init__(self, params: list[Variable], names: list[str], options: Mapping[str, Any]) -> None:
        self.params, self.names = params, names
        self.initial_lr: float | None = None  # noted by the first schedule
        self.flags = {k: v for k, v in options.items() if isinstance(v, bool)}
        self.numbers = {
            k: Buffer(float(v), np.float64, name=f"optimizer.{k}") for k, v in options.items() if k not in self.flags
        }

    def __getitem__(self, name: str) -> Any:
        if name == "params":
            return self.params
        if name in self.flags:
            return self.flags[name]
        number = self._number(name)
        return number if active_trace() else float(number._data)

    def __setitem__(self, name: str, value: Any) -> None:
        number = self._number(name)
        if name != "lr" and active_trace() is None and (float(value) == 0) != (float(number._data) == 0):
            raise OperatorError(
                "IX127",
                f"{name} cannot change between zero and not zero: its term is part of the update or is not",
                where=user_line(),
                found=f"{name} from {float(number._data)} to {float(value)}",
                expected="zero for good, or never zero",
                fix="make the optimiser with a small value instead of zero",
            )
        number.assign(value if isinstance(value, Tensor) else np.float64(value))

    def _number(self, name: str) -> Buffer:
        if name not in self.numbers:
            raise OperatorError(
                "IX127",
                f"this optimiser has no number {name!r} to read or set",
                where=user_line(),
                found=repr(name),
                expected=", ".join(self.numbers),
                fix="make another optimiser to change a flag; spell a number as its argument",
            )
        return self.numbers[name]

    def keys(self) -> list[str]:
        """The names that can be read."""
        return ["params", *self.numbers, *self.flags]

    def __repr__(self) -> str:
        values = {**{k: float(v._data) for k, v in self.numbers.items()}, **self.flags}
        return f"ParamGroup({len(self.params)} parameters, {', '.join(f'{k}={v}' for k, v in values.items())})"


class Optimizer:
    """The base of the optimisers. A subclass names its state in `slots` and its rule in `update`.

    params: parameters, (name, parameter) pairs, or groups ``{"params": ..., "lr": ...}`` with hyper-parameters of their
    own. Raises OperatorError IX128 for no parameters, one given twice, or what is no parameter; IX127 for a bad number.
    """

    def __init__(self, params: Iterable[Any], defaults: Mapping[str, Any]) -> None:
        self.defaults = dict(defaults)
        self.param_groups: list[ParamGroup] = []
        self.state: dict[Variable, dict[str, Buffer]] = {}
        given = _listed(params)
        groups = given if given and all(isinstance(g, Mapping) for g in given) else [{"params": given}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters, with hyper-parameters of their own where `group` names some."""
        own = {k: v for k, v in group.items() if k != "params"}
        wrong = sorted(own.keys() - self.defaults.keys())
        if wrong or "params" not in group:
            raise OperatorError(
                "IX128",
                f"this group of parameters has {'unknown entries' if wrong else 'no params'}",
                where=user_line(),
                found=", ".join(wrong or own) or "an empty group",
                expected=f"params, and any of {', '.join(self.defaults)}",
                fix="correct the spelling",
            )
        params, names = _named(group["params"], sum(len(g.params) for g in self.param_groups))
        taken = {id(p) for g in self.param_groups for p in g.params}
        for p, name in zip(params, names, strict=True):
            if id(p) in taken:
                raise _no_parameters(f"{p.name or name} is given twice", "give each parameter to one group, once")
            taken.add(id(p))
        options = {**self.defaults, **own}
        self.check(options)
        added = ParamGroup(params, names, {**options, "step": 0.0})
        self.param_groups.append(added)
        for p in params:
            self.state[p] = self._new_state(p, added)

    def _new_state(self, p: Variable, group: ParamGroup) -> dict[str, Buffer]:
        return {
            name: Buffer(np.full(p._data.shape, value, p.dtype), name=f"{p.name or 'parameter'}.{name}")
            for name, value in self.slots(group).items()
        }

    # -- what a subclass defines ---------------------------------------------------------------------------------------
    def check(self, options: Mapping[str, Any]) -> None:
        """Refuse hyper-parameters out of range (OperatorError IX127)."""
        for name, value in options.items():
            if not isinstance(value, bool):
                self._check_number(name, value, high=1.0 if name in ("beta1", "beta2", "rho") else None)

    @staticmethod
    def _check_number(name: str, value: Any, high: float | None = None) -> None:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = float("nan")
        if not 0 <= number < (float("inf") if high is None else high):
            raise OperatorError(
                "IX127",
                f"{name} is out of range",
                where=user_line(),
                found=f"{name}={value!r}",
                expected=f"0 <= {name}" + (f" < {high:g}" if high else ""),
                fix="correct the argument",
            )

    def slots(self, group: ParamGroup) -> dict[str, float]:
        """Names of the state kept per parameter, in its shape and dtype, with the value each begins with."""
        return {}

    def update(self, p: Any, g: Any, s: Slots, h: Numbers, flags: Mapping[str, bool]) -> Any:
        """The new value of a parameter `p` with gradient `g`; new state is put into `s`."""
        raise NotImplementedError(f"{type(self).__name__} defines no update")

    # -- use -----------------------------------------------------------------------------------------------------------
    def zero_grad(self) -> None:
        """Forget the gradients (they become None)."""
        for group in self.param_groups:
            for p in group.params:
                if p.requires_grad:
                    p.grad = None

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient. closure: computes the loss again first; its value is returned."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        traced = active_trace() is not None
        with no_grad():
            for group in self.param_groups:
                if traced:
                    self._traced_step(group)
                else:
                    self._eager_step(group)
        return loss

    def _eager_step(self, group: ParamGroup) -> None:
        h = {name: float(v._data) for name, v in group.numbers.items()}
        step = h["step"] + 1
        group.numbers["step"]._data = np.array(step)
        for p in group.params:
            state = self.state[p]
            g = p.grad
            if g is None:
                self._missed(p, state)
                continue
            missed = state.get("missed")
            h["t"] = step - float(missed._data) if missed else step
            arrays = {name: v._data for name, v in state.items()}
            new = self.update(p._data, g._data, arrays, h, group.flags)
            p._data = np.asarray(new, p._data.dtype)  # arithmetic on 0-d arrays gives scalars, on some wider ones
            for name, array in arrays.items():
                state[name]._data = np.asarray(array, state[name]._data.dtype)

    def _traced_step(self, group: ParamGroup) -> None:
        step = group.numbers["step"] + 1.0
        group.numbers["step"].assign(step)
        for p in group.params:
            state = self.state[p]
            if p.grad is None:
                self._missed(p, state)
                continue
            t = step - state["missed"] if "missed" in state else step
            tensors: Slots = dict(state)
            p.assign(self.update(p, p.grad, tensors, {**group.numbers, "t": t}, group.flags))
            for name, value in tensors.items():
                if value is not state[name]:
                    state[name].assign(value)

    def _missed(self, p: Variable, state: dict[str, Buffer]) -> None:
        """Count the steps a parameter had no gradient in: its own step count is the group's, less these."""
        if "missed" not in state:
            state["missed"] = Buffer(0.0, np.float64, name=f"{p.name or 'parameter'}.missed")
        state["missed"].assign(state["missed"] + 1.0)

    # -- state ---------------------------------------------------------------------------------------------------------
    def named_variables(self) -> Iterator[tuple[str, Variable]]:
        """(name, variable) of all numbers (``groups.0.lr``) and state (``state.fc1.weight.exp_avg``)."""
        for i, group in enumerate(self.param_groups):
            for name, number in group.numbers.items():
                yield f"groups.{i}.{name}", number
        for group in self.param_groups:
            for p, key in zip(group.params, group.names, strict=True):
                for name, value in self.state[p].items():
                    yield f"state.{key}.{name}", value

    def state_dict(self) -> State:
        """Numbers and state by name, as they are now."""
        return values_of(self.named_variables())

    def load_state_dict(self, state: Mapping[str, Any]) -> Differences:
        """Continue where `state` was taken: an optimiser of the same kind over parameters in the same order.

        Raises OperatorError IX121 that lists everything that does not fit.
        """
        before = {p: dict(slots) for p, slots in self.state.items()}
        for group in self.param_groups:
            for p, key in zip(group.params, group.names, strict=True):
                self.state[p].pop("missed", None)
                if f"state.{key}.missed" in state:
                    self.state[p]["missed"] = Buffer(0.0, np.float64)
        try:
            return load_values(type(self).__name__, self.named_variables(), state)
        except OperatorError:
            self.state = before
            raise

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.param_groups))})"


def _listed(params: Any) -> list[Any]:
    if isinstance(params, Tensor) or not isinstance(params, Iterable):
        raise _no_parameters(type(params).__name__, "pass model.parameters(), or a list of parameters")
    given = list(params.items()) if isinstance(params, Mapping) else list(params)
    if not given:
        raise _no_parameters(
            "none", "pass model.parameters() of a model that has some; a generator is used up once read"
        )
    return given


def _named(params: Any, first: int) -> tuple[list[Variable], list[str]]:
    """The parameters, and a name for each in `state_dict`: the one it is given with, else its number."""
    found: list[Variable] = []
    names: list[str] = []
    for i, item in enumerate([params] if isinstance(params, Variable) else _listed(params)):
        name, p = item if isinstance(item, tuple) and len(item) == 2 else (str(first + i), item)
        if not isinstance(p, Variable):
            raise _no_parameters(type(p).__name__, "pass Parameters: a plain tensor cannot get a new value")
        found.append(p)
        names.append(str(name))
    return found, names


def _no_parameters(found: str, fix: str) -> OperatorError:
    return OperatorError(
        "IX128",
        "an optimiser takes parameters, each once",
        where=user_line(),
        found=found,
        expected="parameters, (name, parameter) pairs, or groups {'params': ...}",
        fix=fix,
    )


# -- for update rules: the same on arrays and on tensors ---------------------------------------------------------------
def cast(x: Any, like: Any) -> Any:
    """A number of float64 in the dtype of `like`; a Python float takes it by itself."""
    return x.astype(like.dtype) if isinstance(x, Tensor) else x


def sqrt(x: Any) -> Any:
    """The square root of an array or a tensor."""
    return Sqrt(x) if isinstance(x, Tensor) else np.sqrt(x)


def maximum(a: Any, b: Any) -> Any:
    """The larger of two arrays or tensors, by element."""
    return Max(a, b) if isinstance(a, Tensor) else np.maximum(a, b)


def present(h: Numbers, name: str) -> bool:
    """Whether a term with this factor is part of the update: decided when the optimiser is made."""
    return bool(h[name]._data != 0) if isinstance(h[name], Tensor) else h[name] != 0
