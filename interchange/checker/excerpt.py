"""The part of a graph around a finding, as text: what feeds the node, the node, what reads it. Broken models too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from interchange.checker.report import Excerpt, Finding
from interchange.checker.typetext import reader_text
from interchange.errors import one_line

if TYPE_CHECKING:
    from interchange.checker.context import Context, NodeRef, Scope

_EACH = 20  # findings of one code that get an excerpt: nobody reads on
_FEEDS = 3  # inputs of a node whose origin is shown
_WIDTH = 110  # characters of a line
_PARTS = 30  # inputs, outputs and attributes of a node that are looked at: what is beyond is cut anyway
_SHORT = 24  # characters of an attribute


def with_excerpts(ctx: Context, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings, the first ones of each code with their excerpt."""
    counts: Counter[str] = Counter()
    graphs = _Graphs(ctx)
    told = []
    for finding in findings:
        counts[finding.code] += 1
        shown = counts[finding.code] <= _EACH and not finding.excerpt
        told.append(replace(finding, excerpt=graphs.around(finding)) if shown else finding)
    return tuple(told)


class _Graphs:
    """The scopes of a model by path, with the types of their values and who reads them."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.scopes: dict[str, Scope] = {}
        for scope in ctx.scopes:
            self.scopes.setdefault(scope.path, scope)
        self._types: dict[Scope, dict[str, Any]] = {}
        self._readers: dict[Scope, dict[str, int]] = {}

    def around(self, finding: Finding) -> Excerpt:
        """(number of the node or -1, text) for each line; nothing for a finding about the whole file."""
        where = finding.where
        scope = self.scopes.get(where.graph)
        if scope is None:
            return ()
        if 0 <= where.index < len(scope.proto.node):
            return self._node(scope, scope.node(where.index), where.value)
        return self._value(scope, where.value) if where.value and not where.node else ()

    def _node(self, scope: Scope, node: NodeRef, value: str) -> Excerpt:
        names = list(dict.fromkeys(n for n in node.proto.input if n))
        names.sort(key=lambda n: n != value)  # stable: the value in question first, the others as they stand
        numbers, given = {node.index}, []
        for name in names[:_FEEDS]:
            makers = scope.makers.get(name)
            if makers:
                numbers.add(makers[0])
            elif name in scope.given:
                given.append((-1, self._given(scope, name)))
        reader = next((self._reader(scope, n) for n in node.proto.output if n), None)
        if reader is not None:
            numbers.add(reader)
        return (*given, *((n, self._text(scope, scope.node(n))) for n in sorted(numbers)))

    def _value(self, scope: Scope, name: str) -> Excerpt:
        lines = [(-1, self._given(scope, name))] if name in scope.given else []
        if name in scope.outputs:
            lines.append((-1, _cut(f"output {self._typed(scope, name)}")))
        numbers = scope.makers.get(name, [])[:2]
        return (*lines, *((n, self._text(scope, scope.node(n))) for n in numbers))

    def _reader(self, scope: Scope, name: str) -> int | None:
        if scope not in self._readers:
            readers: dict[str, int] = {}
            for index, names in enumerate(scope.inputs_of):
                for read in names:
                    readers.setdefault(read, index)
            self._readers[scope] = readers
        return self._readers[scope].get(name)

    def _given(self, scope: Scope, name: str) -> str:
        return _cut(f"{'input' if name in scope.inputs else 'initializer'} {self._typed(scope, name)}")

    def _typed(self, scope: Scope, name: str) -> str:
        if scope not in self._types:
            types = {v.name: v.type for _, v in scope.infos() if v.type.WhichOneof("value")}
            if "inferred" in self.ctx.__dict__:  # not worth inferring for
                types = {**self.ctx.inferred.types.get(scope, {}), **types}
            self._types[scope] = types
        found = self._types[scope].get(name)
        return one_line(name if found is None else f"{name}: {reader_text(found)}")

    def _text(self, scope: Scope, node: NodeRef) -> str:
        made = ", ".join(self._typed(scope, name) if name else "_" for name in node.proto.output[:_PARTS])
        taken = [name or "_" for name in node.proto.input[:_PARTS]]
        taken += [f"{a.name}={attribute_text(a)}" for a in node.proto.attribute[:_PARTS]]
        return _cut(one_line(f"{made or '_'} = {node.op}({', '.join(taken)})"))


def attribute_text(attribute: Any) -> str:
    """The value of an AttributeProto, short."""
    if attribute.ref_attr_name:
        return f"@{attribute.ref_attr_name}"
    match attribute.type:
        case 1:
            return f"{attribute.f:.6g}"
        case 2:
            return str(attribute.i)
        case 3:
            return repr(attribute.s[: _SHORT + 1].decode("utf-8", "replace"))
        case 4:
            return _tensor_text(attribute.t)
        case 6 | 7 | 8:
            values = _head(attribute.floats or attribute.ints or attribute.strings)
            return f"[{', '.join(values)}]"
    return "{...}"


def _head(values: Any) -> Iterator[str]:
    for value in values[:6]:
        yield f"{value:.6g}" if isinstance(value, float) else str(value)
    if len(values) > 6:
        yield "..."


def _tensor_text(tensor: Any) -> str:
    from interchange.dtypes import from_onnx, name_of

    dtype = from_onnx(tensor.data_type)
    return f"<{'?' if dtype is None else name_of(dtype)}[{', '.join(_head(tensor.dims))}]>"


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
