"""A model that is being repaired, and the table of repairs: each a short function, by the code that it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from interchange.checker.context import Context, Scope
from interchange.checker.report import Finding
from interchange.graph.naming import Names


class Work:
    """The message that repairs change in place, and what was known of it before.

    ctx: the model as it was when the repair began: a repair reads all it needs before it changes anything.
    windows: raw data of initializers of the main graph that is not in the message, by position.
    """

    def __init__(self, ctx: Context, windows: dict[int, memoryview]) -> None:
        self.ctx, self.windows = ctx, windows
        self._names: Names | None = None

    @property
    def names(self) -> Names:
        """Free names for values: different from all in the model, so that nothing is shadowed."""
        if self._names is None:
            taken: set[str] = set()
            for scope in self.ctx.scopes:
                taken |= scope.names | scope.free | set(scope.outputs)
            self._names = Names(taken)
        return self._names

    def scope(self, finding: Finding) -> Scope | None:
        """The graph that a finding is about."""
        return next((s for s in self.ctx.scopes if s.path == finding.where.graph), None)

    def drop_initializers(self, scope: Scope, positions: set[int]) -> None:
        """Remove initializers, and keep the data that is not in the message beside the others."""
        kept = [i for i in range(len(scope.proto.initializer)) if i not in positions]
        for i in sorted(positions, reverse=True):
            del scope.proto.initializer[i]
        if scope is self.ctx.main:
            left = {new: self.windows[old] for new, old in enumerate(kept) if old in self.windows}
            self.windows.clear()
            self.windows.update(left)


Repairs = Iterator[str]
Repair = Callable[[Work, Sequence[Finding]], Repairs]


@dataclass(frozen=True, slots=True)
class Fix:
    """One repair: the code it answers, and the function, which yields what it did. needs_types: it asks for
    `Context.inferred`, which is made when all rules before it have marked what is broken."""

    code: str
    repair: Repair
    needs_types: bool


FIXES: list[Fix] = []
"""All repairs in the order in which they are tried: names before order, structure before types."""


def fixes(code: str, *, needs_types: bool = False) -> Callable[[Repair], Repair]:
    """Register the repair of what a rule finds."""

    def add(repair: Repair) -> Repair:
        FIXES.append(Fix(code, repair, needs_types))
        return repair

    return add


def rename(scope: Scope, old: str, new: str) -> None:
    """Give a value that `scope` defines another name, in it and in the subgraphs that see it."""
    proto = scope.proto
    declared: list[Any] = [*proto.value_info]
    if not scope.is_function:
        declared += [*proto.input, *proto.initializer, *(s.values for s in proto.sparse_initializer)]
    for value in declared:
        if value.name == old:
            value.name = new
    for node in proto.node:
        for i, name in enumerate(node.output):
            if name == old:
                node.output[i] = new
    if not scope.is_function:
        for note in proto.quantization_annotation:
            if note.tensor_name == old:
                note.tensor_name = new
            for entry in note.quant_parameter_tensor_names:
                if entry.value == old:
                    entry.value = new
    _rename_reads(scope, old, new)


def _rename_reads(scope: Scope, old: str, new: str) -> None:
    for node in scope.proto.node:
        for i, name in enumerate(node.input):
            if name == old:
                node.input[i] = new
    for inner in (s for held in scope.inner.values() for s in held):
        if old not in inner.names:
            _rename_reads(inner, old, new)
    for i, output in enumerate(scope.proto.output):
        if scope.is_function:
            if output == old:
                scope.proto.output[i] = new
        elif output.name == old:
            output.name = new
