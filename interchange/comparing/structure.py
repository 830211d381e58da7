"""Comparing what was paired, and naming what was not. Nothing is equal here that was not looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from interchange.checker.typetext import reader_text
from interchange.comparing import constants
from interchange.comparing.matching import Pairs
from interchange.comparing.numbering import digest, exact
from interchange.comparing.report import Change, Detail, Kind, Part, WeightChange
from interchange.graph.core import Attr, AttrType, Function, Graph, Node, Value
from interchange.graph.printing import attr_text
from interchange.graph.tensor import SparseTensor, Tensor

Property = tuple[str, Any, Any]  # what it is, and its value in the first and in the second model

_LONG = 60  # characters of a value that are shown


class Comparison:
    """Walks both models and collects `changes` and `weights`."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs
        self.changes: list[Change] = []
        self.weights: list[WeightChange] = []

    def note(self, part: Part, kind: Kind, what: str, graph: str = "", details: Sequence[Property] = ()) -> None:
        """Add a change. details: (property, in the first model, in the second)."""
        told = tuple(Detail(name, _short(a), _short(b)) for name, a, b in details)
        self.changes.append(Change(part, kind, what, graph, told))

    # -- graphs -------------------------------------------------------------------------------------------------------
    def graph(self, a: Graph, b: Graph, place: str, signature: frozenset[Value] = frozenset()) -> None:
        """Two graphs, functions or subgraphs. place: of them; signature: values whose types are compared elsewhere."""
        self._about(a, b, place or "the graph", place)
        self.name("graph", a.name, b.name, place)
        if len(a.inputs) != len(b.inputs):
            self.note("structure", "changed", "inputs", place, [("number", len(a.inputs), len(b.inputs))])
        self._outputs(a, b, place)
        self._weights(a, b, place)
        for value in a.values():
            other = self.pairs.values.get(value)
            if other is not None:
                self._value(value, other, place, declared=value not in signature)
        for node in a.nodes:
            partner = self.pairs.nodes.get(node)
            if partner is None:
                self.note("structure", "removed", node.describe(), place)
            else:
                self._node(node, partner, place)
        for node in b.nodes:
            if node not in self.pairs.used_nodes:
                self.note("structure", "added", node.describe(), place)
        self._quantization(a, b, place)

    def _outputs(self, a: Graph, b: Graph, place: str) -> None:
        details: list[Property] = []
        if len(a.outputs) != len(b.outputs):
            details.append(("number", len(a.outputs), len(b.outputs)))
        for index, (mine, other) in enumerate(zip(a.outputs, b.outputs, strict=False)):
            if self.pairs.values.get(mine) is not other:
                details.append((f"output {index}", _maker(mine), _maker(other)))
        if details:
            self.note("structure", "changed", "outputs of the graph", place, details)

    def _value(self, a: Value, b: Value, place: str, declared: bool) -> None:
        self.name("value" if a.const is None else "weight", a.name, b.name, place)
        self._about(a, b, f"value {a.name!r}", place)
        if declared and (a.const is None or b.const is None) and type_key(a) != type_key(b):
            details = [("type", type_text(a), type_text(b))]
            self.note("declared", "changed", f"value {a.name!r}", place, details)

    def _quantization(self, a: Graph, b: Graph, place: str) -> None:
        def texts(graph: Graph, names: Mapping[Value, Value]) -> list[tuple[int, list[tuple[str, int]]]]:
            return sorted(
                (id(names.get(value, value)), sorted((role, id(names.get(v, v))) for role, v in roles.items()))
                for value, roles in graph.quantization
            )

        if texts(a, self.pairs.values) != texts(b, {}):
            details = [("entries", _quantized(a), _quantized(b))]
            self.note("declared", "changed", "quantization of values", place, details)

    def name(self, what: str, a: str, b: str, place: str) -> None:
        """Note another name."""
        if a != b:
            self.note("names", "renamed", what, place, [("name", a, b)])

    def _about(self, a: Any, b: Any, what: str, place: str) -> None:
        """doc and metadata of anything that has them."""
        details = [*documented(a, b)]
        if details:
            self.note("metadata", "changed", what, place, details)

    # -- nodes --------------------------------------------------------------------------------------------------------
    def _node(self, a: Node, b: Node, place: str) -> None:
        same = ("domain", "op_type", "overload")
        details: list[Property] = [
            (what, repr(getattr(a, what)), repr(getattr(b, what)))
            for what in same
            if getattr(a, what) != getattr(b, what)
        ]
        details += self._reads(a, b)
        details += self._attributes(a.attributes, b.attributes, a.describe(), place)
        if a.device_configurations != b.device_configurations:
            details.append(("device configurations", len(a.device_configurations), len(b.device_configurations)))
        if details:
            self.note("structure", "changed", a.describe(), place, details)
        self.name("node", a.name, b.name, place)
        self._about(a, b, a.describe(), place)

    def _reads(self, a: Node, b: Node) -> Iterator[Property]:
        for what, mine, others in (("inputs", a.inputs, b.inputs), ("outputs", a.outputs, b.outputs)):
            if len(mine) != len(others):
                yield f"number of {what}", len(mine), len(others)
        for index, (read, other) in enumerate(zip(a.inputs, b.inputs, strict=False)):
            if (read is None) != (other is None) or (read is not None and self.pairs.values.get(read) is not other):
                yield f"input {index}", _maker(read), _maker(other)
        for index, (made, other_made) in enumerate(zip(a.outputs, b.outputs, strict=False)):
            if (not made.name) != (not other_made.name):
                yield f"output {index}", made.name or "left out", other_made.name or "left out"

    def _attributes(self, a: Mapping[str, Attr], b: Mapping[str, Attr], what: str, place: str) -> Iterator[Property]:
        for name in sorted({*a, *b}):
            mine, other = a.get(name), b.get(name)
            if mine is None or other is None:
                yield f"attribute {name}", "not set" if mine is None else mine, "not set" if other is None else other
                continue
            if mine.doc != other.doc:
                details = [(f"documentation of {name}", mine.doc, other.doc)]
                self.note("metadata", "changed", what, place, details)
            if (mine.type, mine.ref) != (other.type, other.ref):
                yield f"attribute {name}", f"{mine.type.name} {_short(mine)}", f"{other.type.name} {_short(other)}"
            elif mine.ref is None:
                yield from self._content(name, mine, other, what, place)

    def _content(self, name: str, a: Attr, b: Attr, what: str, place: str) -> Iterator[Property]:
        mine, other = (list(x.value) if x.type.is_list else [x.value] for x in (a, b))
        if len(mine) != len(other):
            yield f"attribute {name}", a, b
            return
        single = AttrType[a.type.name[:-1]] if a.type.is_list else a.type
        if single is AttrType.GRAPH:
            for index, (x, y) in enumerate(zip(mine, other, strict=True)):
                number = f"[{index}]" if a.type.is_list else ""
                self.graph(x, y, f"{place or 'the graph'} / {what}.{name}{number}")
        elif single in (AttrType.TENSOR, AttrType.SPARSE_TENSOR):
            for x, y in zip(mine, other, strict=True):
                if not constants.equal(x, y):
                    yield f"attribute {name}", *_apart(x, y)
                for p, q in zip(_tensors(x), _tensors(y), strict=False):
                    self.name("tensor in an attribute", p.name, q.name, place)
                    self._about(p, q, f"attribute {name} of {what}", place)
        elif [exact(x) if type(x) is float else x for x in mine] != [
            exact(y) if type(y) is float else y for y in other
        ]:
            yield f"attribute {name}", a, b

    # -- weights ------------------------------------------------------------------------------------------------------
    def _weights(self, a: Graph, b: Graph, place: str) -> None:
        ours, theirs = dict(_constants(a)), dict(_constants(b))
        self._pair_left(ours, theirs)
        for value, data in ours.items():
            other = self.pairs.values.get(value)
            if other is None or other not in theirs:
                text = constants.type_text(data)
                self.weights.append(WeightChange("removed", value.name, place, a=text, elements=_size(data)))
                continue
            self._weight(value.name, data, theirs[other], place)
        found = {self.pairs.values[v] for v in ours if v in self.pairs.values}
        for value, data in theirs.items():
            if value not in found:
                text = constants.type_text(data)
                self.weights.append(WeightChange("added", value.name, place, b=text, elements=_size(data)))

    def _weight(self, name: str, a: Tensor | SparseTensor, b: Tensor | SparseTensor, place: str) -> None:
        for p, q in zip(_tensors(a), _tensors(b), strict=False):
            self._about(p, q, f"weight {name!r}", place)
        if isinstance(a, SparseTensor) and isinstance(b, SparseTensor):  # the values have the name of the weight
            self.name("tensor of indices", a.indices.name, b.indices.name, place)
        types, elements = (constants.type_text(a), constants.type_text(b)), _size(a)
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            gap = constants.gap(a, b)
            if gap.changed != 0 or types[0] != types[1]:
                self.weights.append(WeightChange("changed", name, place, *types, elements, **gap._asdict()))
        elif not constants.equal(a, b):
            self.weights.append(WeightChange("changed", name, place, *types, elements))

    def _pair_left(self, ours: Mapping[Value, Any], theirs: Mapping[Value, Any]) -> None:
        """Pair the constants that no pair of nodes reads: by name, then by content."""
        left_a = [v for v in ours if v not in self.pairs.values]
        left_b = [v for v in theirs if v not in self.pairs.used_values]
        names = {v.name: v for v in left_b}
        for value in left_a:
            if value.name in names:
                self.pairs.pair_values(value, names[value.name])
        left_a = [v for v in left_a if v not in self.pairs.values]
        left_b = [v for v in left_b if v not in self.pairs.used_values] if left_a else []
        types = {constants.type_text(theirs[v]) for v in left_b}
        contents: dict[bytes, list[Value]] = {}
        for value in left_b:
            contents.setdefault(_digest(theirs[value]), []).append(value)
        for value in left_a:
            if constants.type_text(ours[value]) in types:
                same = contents.get(_digest(ours[value]))
                if same:
                    self.pairs.pair_values(value, same.pop())

    # -- functions ----------------------------------------------------------------------------------------------------
    def functions(self, a: Mapping[Any, Function], b: Mapping[Any, Function]) -> None:
        """The local functions, which are what their (domain, name, overload) says."""
        for key in (*a, *(k for k in b if k not in a)):
            title = f"function {key[0]}::{key[1]}{f' ({key[2]})' if key[2] else ''}"
            mine, other = a.get(key), b.get(key)
            if mine is None or other is None:
                self.note("functions", "added" if mine is None else "removed", title)
                continue
            details: list[Property] = []
            if sorted(mine.attributes) != sorted(other.attributes):
                details.append(("attributes", sorted(mine.attributes), sorted(other.attributes)))
            if mine.opsets != other.opsets:
                details.append(("opsets", mine.opsets, other.opsets))
            details += self._attributes(mine.defaults, other.defaults, title, title)
            if details:
                self.note("functions", "changed", title, details=details)
            self.graph(mine, other, title)


# -- what there is, as texts -------------------------------------------------------------------------------------------
def type_key(value: Value) -> tuple[Any, ...]:
    """What has to be equal for two declared types to be."""
    return value.dtype, value.shape, value.type_proto


def type_text(value: Value) -> str:
    """The declared type in the shape language."""
    if value.dtype is None and value.type_proto:
        import onnx

        return reader_text(onnx.TypeProto.FromString(value.type_proto))
    denoted = " (with denotations)" if value.type_proto else ""
    return value.type_text() + denoted


def documented(a: Any, b: Any) -> Iterator[Property]:
    """What differs in the doc and metadata of two things."""
    if a.doc != b.doc:
        yield "documentation", a.doc, b.doc
    for key in sorted({*a.metadata, *b.metadata}):
        mine, other = a.metadata.get(key), b.metadata.get(key)
        if mine != other:
            yield key, "not set" if mine is None else mine, "not set" if other is None else other


def _constants(graph: Graph) -> Iterator[tuple[Value, Tensor | SparseTensor]]:
    yield from ((v, v.const) for v in graph.initializers.values() if v.const is not None)
    yield from graph.sparse_initializers.items()


def _tensors(data: Tensor | SparseTensor) -> tuple[Tensor, ...]:
    return (data.values, data.indices) if isinstance(data, SparseTensor) else (data,)


def _size(data: Tensor | SparseTensor) -> int:
    return data.values.size if isinstance(data, SparseTensor) else data.size


def _digest(data: Tensor | SparseTensor) -> bytes:
    dims = str(data.dims).encode() if isinstance(data, SparseTensor) else b""
    return b"".join([dims, *map(digest, _tensors(data))])


def _apart(a: Tensor | SparseTensor, b: Tensor | SparseTensor) -> tuple[str, str]:
    """Two constants inside of nodes: their content if it is short, else their types and how much differs."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if max(a.size, b.size) <= 8:
            return tuple(f"{constants.type_text(t)} {t.numpy().tolist()}" for t in (a, b))  # type: ignore[return-value]
        gap = constants.gap(a, b)
        told = f", {gap.changed:,} of {a.size:,} elements differ" if gap.changed is not None else ""
        return constants.type_text(a), constants.type_text(b) + told
    return constants.type_text(a), f"{constants.type_text(b)} with other content"


def _bits(value: Any) -> Any:
    return exact(value) if type(value) is float else value


def _maker(value: Value | None) -> str:
    """A value, and where it comes from."""
    if value is None:
        return "left out"
    if value.producer is not None:
        return f"{value.name!r} of {value.producer.describe()}"
    return f"{value.name!r}{'' if value.const is None else ', a weight'}"


def _quantized(graph: Graph) -> str:
    return ", ".join(f"{v.name}: { ({r: p.name for r, p in roles.items()}) }" for v, roles in graph.quantization)


def _short(value: Any) -> str:
    text = (attr_text(value) if isinstance(value, Attr) else str(value)) or "''"
    return text if len(text) <= _LONG else f"{text[: _LONG - 3]}..."
