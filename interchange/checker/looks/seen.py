"""A node as a look sees it: sizes, constants and attributes by position and name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from interchange.checker.context import NodeRef, domain_of
from interchange.checker.report import Severity
from interchange.checker.rule import Problem
from interchange.checker.shapes import array_of, dims_of
from interchange.checker.typetext import reader_text
from interchange.dtypes import Array

Dims = list[int | None]
Looked = Iterator[tuple[str, Problem]]
_WHY = "the runtime loads the model and fails in every run"


@dataclass(eq=False)
class Seen:
    """One node. proto: with the attributes of a function's call in their places.  types, data: by name of a value."""

    node: NodeRef
    proto: Any
    types: Mapping[str, Any]
    data: Mapping[str, Any]

    @property
    def domain(self) -> str:
        """The operator's domain."""
        return domain_of(self.proto)

    @property
    def opset(self) -> int:
        """The version of its domain."""
        return self.node.scope.known_opsets.get(self.domain, 1)

    def name(self, position: int) -> str:
        """The name of an input, "" where it is left out."""
        return str(self.proto.input[position]) if position < len(self.proto.input) else ""

    def dims(self, position: int) -> Dims | None:
        """The sizes of an input, None for one that is not known; None for an input of unknown rank or left out."""
        found = self.types.get(self.name(position)) if self.name(position) else None
        return None if found is None else dims_of(found)

    def array(self, position: int) -> Array | None:
        """The numbers of an input that is a small constant."""
        tensor = self.data.get(self.name(position)) if self.name(position) else None
        return None if tensor is None else array_of(tensor)

    def numbers(self, position: int) -> list[int] | None:
        """The integers of an input that is a small constant."""
        found = self.array(position)
        return [int(v) for v in found.reshape(-1)] if found is not None and found.dtype.kind in "iu" else None

    @cached_property
    def attributes(self) -> Mapping[str, Any]:
        """AttributeProto by name."""
        return {a.name: a for a in self.proto.attribute}

    def integer(self, name: str, default: int) -> int:
        """An attribute of type INT."""
        return int(self.attributes[name].i) if name in self.attributes else default

    def integers(self, name: str) -> list[int]:
        """An attribute of type INTS, [] if it is not given."""
        return list(self.attributes[name].ints) if name in self.attributes else []

    def text(self, name: str, default: str) -> str:
        """An attribute of type STRING."""
        return self.attributes[name].s.decode("utf-8", "replace") if name in self.attributes else default

    def shown(self, *positions: int) -> str:
        """Inputs with their types, for a message."""
        names = [n for n in map(self.name, positions) if n]
        return "; ".join(f"{n}: {reader_text(self.types[n])}" for n in names if n in self.types)

    def problem(
        self,
        message: str,
        *,
        at: int = 0,
        found: str,
        expected: str,
        fix: str,
        why: str = _WHY,
        severity: Severity | None = None,
    ) -> Problem:
        """A problem of this node. at: the input it is about."""
        where = self.node.where(self.name(at))
        return Problem(f"node {self.node.label}: {message}", where, found, expected, why, fix, severity)


Look = Callable[[Seen], Looked]
LOOKS: dict[tuple[str, str], list[Look]] = {}


def looks_at(*ops: str, domain: str = "") -> Callable[[Look], Look]:
    """Register a look for operators."""

    def add(look: Look) -> Look:
        for op in ops:
            LOOKS.setdefault((domain, op), []).append(look)
        return look

    return add


def known(*sizes: int | None) -> bool:
    """Whether all are numbers."""
    return None not in sizes


def differ(one: int | None, other: int | None) -> bool:
    """Whether two sizes are known and not the same."""
    return one is not None and other is not None and one != other


def broadcasts(small: Sequence[int | None], large: Sequence[int | None]) -> bool:
    """Whether a shape is stretched to another without changing that one; sizes that are not known fit."""
    if len(small) > len(large):
        return False
    return not any(s != 1 and differ(s, t) for s, t in zip(reversed(small), reversed(large), strict=False))
