"""State: what a model, an optimiser or a generator keeps between steps, as variables with names.

Whatever has `named_variables()` can be saved, compared and loaded by these functions, all in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from interchange.dtypes import name_of
from interchange.eager.tensor import Tensor, Variable, shape_text, to_array, wrap
from interchange.errors import OperatorError, user_line

State = dict[str, Tensor]


@runtime_checkable
class Stateful(Protocol):
    """An object whose state can be saved and loaded: Module, Optimizer, Generator, a schedule, DataLoader."""

    def state_dict(self) -> State: ...
    def load_state_dict(self, state: Mapping[str, Any]) -> Any: ...


class Differences(NamedTuple):
    """Names that a state lacks, and names that nothing takes. Both are empty after a strict load."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def values_of(variables: Iterable[tuple[str, Variable]]) -> State:
    """The present values by name. A later `assign` does not change them."""
    return {name: wrap(v._data) for name, v in variables}


def load_values(
    owner: str, variables: Iterable[tuple[str, Variable]], state: Mapping[str, Any], strict: bool = True
) -> Differences:
    """Assign the values of `state` to the variables: all, or (when something does not fit) none.

    A variable with several names is found under any of them. strict=False allows missing and unexpected names.
    Raises OperatorError IX121 that lists everything that does not fit.
    """
    names: dict[int, list[str]] = {}
    known: dict[int, Variable] = {}
    for name, variable in variables:
        names.setdefault(id(variable), []).append(name)
        known[id(variable)] = variable
    problems: list[str] = []
    missing: list[str] = []
    new: list[tuple[Variable, Any]] = []
    for key, variable in known.items():
        present = [n for n in names[key] if n in state]
        if not present:
            missing.append(names[key][0])
        arrays = [_array(state[n]) for n in present]
        for n, array in zip(present, arrays, strict=True):
            if array.shape != variable._data.shape or array.dtype != variable._data.dtype:
                found, expected = _described(array), _described(variable._data)
                problems.append(f"{n}: {found} in the state, {expected} in the {owner}")
        if arrays:
            new.append((variable, arrays[0]))
            if any(a.shape == arrays[0].shape and a.tobytes() != arrays[0].tobytes() for a in arrays[1:]):
                problems.append(f"{', '.join(present)}: one shared variable, different values")
    taken = {n for group in names.values() for n in group}
    unexpected = [n for n in state if n not in taken]
    if strict:
        problems += [f"{n}: missing in the state" for n in missing]
        problems += [f"{n}: unexpected, the {owner} has no such name" for n in unexpected]
    if problems:
        raise OperatorError(
            "IX121",
            f"this state does not fit the {owner}: {len(problems)} problem{'s' if len(problems) > 1 else ''}",
            where=user_line(),
            found="; ".join(problems),
            expected="the same names, shapes and dtypes on both sides",
            fix=f"load it into the {owner} that saved it; strict=False ignores missing and unexpected names",
        )
    for variable, array in new:
        variable.assign(wrap(array.copy()))
    return Differences(missing, unexpected)


def _array(value: Any) -> Any:
    return value._data if isinstance(value, Tensor) else to_array(value)


def _described(array: Any) -> str:
    return f"{name_of(array.dtype)}{shape_text(array.shape)}"
