"""Modules that hold modules, and lists of parameters."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from interchange.eager.nn.module import Module
from interchange.eager.tensor import Parameter
from interchange.errors import OperatorError, user_line

T = TypeVar("T")


class _Sequence(Module, Generic[T]):
    """A list whose entries are registered under "0", "1", ..."""

    _kind: type[Module | Parameter] = Module

    def _items(self) -> dict[str, Any]:
        return self._modules

    def _fill(self, values: Iterable[T]) -> None:
        values = list(values)
        for name in list(self._items()):
            delattr(self, name)
        for i, value in enumerate(values):
            self._add(str(i), value, self._kind)

    def _place(self, index: int) -> int:
        n = len(self)
        try:
            i = operator.index(index)
        except TypeError:
            i = n
        if not -n <= i < n:
            raise IndexError(f"index {index!r} is out of range for a {type(self).__name__} of {n}")
        return i % n

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._items().values()))

    def __getitem__(self, index: int | slice) -> Any:
        values = list(self._items().values())
        if isinstance(index, slice):
            return self._like(list(self._items().items())[index])
        return values[self._place(index)]

    def _like(self, items: list[tuple[str, Any]]) -> Any:
        return type(self)([v for _, v in items])

    def __setitem__(self, index: int, value: T) -> None:
        self._add(list(self._items())[self._place(index)], value, self._kind)

    def __delitem__(self, index: int | slice) -> None:
        values = list(self._items().values())
        del values[index]
        self._fill(values)

    def append(self, value: T) -> Any:
        """Add one at the end; returns self."""
        self._add(str(len(self)), value, self._kind)
        return self

    def extend(self, values: Iterable[T]) -> Any:
        """Add several at the end; returns self."""
        for value in list(values):
            self.append(value)
        return self

    def insert(self, index: int, value: T) -> Any:
        """Add one before a place; returns self."""
        values = list(self._items().values())
        values.insert(index, value)
        self._fill(values)
        return self


class Sequential(_Sequence[Module]):
    """y = last(...second(first(x))): modules that are called one after the other.

    Sequential(first, second, ...), or Sequential({"name": module, ...}) to name them. Slices share the modules.
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.register_module(name, module)
        else:
            for i, given in enumerate(modules):
                self._add(str(i), given, Module)

    def _like(self, items: list[tuple[str, Any]]) -> Sequential:
        named = any(not name.isdigit() for name, _ in items)
        return Sequential(dict(items)) if named else Sequential(*(m for _, m in items))

    def forward(self, x: Any) -> Any:
        for module in self._modules.values():
            x = module(x)
        return x


class ModuleList(_Sequence[Module]):
    """A list of modules, each registered under its place: ``for layer in self.layers: x = layer(x)``."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self._fill(modules)


class ParameterList(_Sequence[Parameter]):
    """A list of parameters, each registered under its place."""

    _kind = Parameter

    def __init__(self, parameters: Iterable[Parameter] = ()) -> None:
        self._fill(parameters)

    def _items(self) -> dict[str, Any]:
        return self._parameters


class ModuleDict(Module):
    """A dict of modules, each registered under its key: ``self.heads["price"](x)``."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()) -> None:
        self.update(modules)

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace several."""
        for name, module in dict(modules).items():
            self[name] = module

    def __setitem__(self, name: str, module: Module) -> None:
        self.register_module(name, module)

    def __getitem__(self, name: str) -> Module:
        try:
            return self._modules[name]
        except KeyError:
            raise self._no_key(name) from None

    def _no_key(self, name: str) -> OperatorError:
        return OperatorError(
            "IX120",
            f"the ModuleDict has no module {name!r}",
            where=user_line(),
            found=repr(name),
            expected=", ".join(self._modules) or "no key: it is empty",
            fix="use one of its keys",
        )

    def __delitem__(self, name: str) -> None:
        if name not in self._modules:
            raise self._no_key(name)
        self._forget(name)
        self.__dict__.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._modules))

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> Iterable[Module]:
        """The modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """(name, module)"""
        return self._modules.items()
