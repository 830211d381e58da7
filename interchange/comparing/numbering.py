"""Numbers for nodes, equal where their surroundings are equal: found without names, and without the order of the file.

Each node gets two numbers: *up*, of itself and everything it is computed from, and *down*, of itself and everything
that is computed from it. A number stands for a key that was seen before, in either model; there are no hashes that
could collide. Every pass is linear in the size of the graph.

`down` alone tells any two nodes apart from which an output can be reached: two consumers of one kind differ in what
they lead to, or are the same consumer, and then they read at different places.
"""

from __future__ import annotations

import enum
import hashlib
import struct
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from interchange.dtypes import string
from interchange.graph.core import Attr, Graph, Node, Value
from interchange.graph.tensor import SparseTensor, Tensor

_READ = 1 << 16  # bytes of a constant that are read to tell nodes apart; larger ones are told apart by their shape


class Level(enum.Enum):
    """How much has to be equal: everything, all but the numbers in constants, or the operators alone."""

    EXACT, SHAPES, OPERATORS = "exact", "shapes", "operators"


@dataclass(slots=True)
class Numbers:
    """The numbers of one graph. whole: of the graph.  outer: of each value it takes from outside, what for."""

    up: dict[Node, int] = field(default_factory=dict)
    down: dict[Node, int] = field(default_factory=dict)
    outer: dict[Value, int] = field(default_factory=dict)
    whole: int = 0


class Numbering:
    """The numbers at one level, for the graphs of both models."""

    def __init__(self, level: Level) -> None:
        self.level = level
        self._table: dict[Hashable, int] = {}
        self._graphs: dict[Graph, Numbers] = {}

    def _number(self, *key: Hashable) -> int:
        return self._table.setdefault(key, len(self._table))

    def of(
        self, graph: Graph, inputs: Sequence[Hashable] | None = None, outputs: Sequence[Hashable] | None = None
    ) -> Numbers:
        """The numbers of a graph. inputs, outputs: what tells them apart; by default their positions."""
        if graph not in self._graphs:
            self._graphs[graph] = self._count(
                graph, inputs or range(len(graph.inputs)), outputs or range(len(graph.outputs))
            )
        return self._graphs[graph]

    def _count(self, graph: Graph, inputs: Sequence[Hashable], outputs: Sequence[Hashable]) -> Numbers:
        found, values = Numbers(), dict[Value, int]()
        for value, label in zip(graph.inputs, inputs, strict=True):
            values[value] = self._number("input", label)
        weights = []
        for value in (*graph.initializers.values(), *graph.sparse_initializers):
            data = value.const if value.const is not None else graph.sparse_initializers.get(value)
            weights.append(self._number("weight", self._data(data)))
            values.setdefault(value, weights[-1])
        kinds = {node: self._kind(node) for node in graph.nodes}
        for node in graph.nodes:
            taken = sorted(values.get(v, -1) for g in node.graphs() for v in self.of(g).outer)
            reads = tuple(-2 if v is None else values.get(v, -1) for v in node.inputs)
            number = found.up[node] = self._number("up", kinds[node], reads, tuple(taken))
            for index, value in enumerate(node.outputs):
                values[value] = self._number("made", number, index)
        self._count_down(graph, outputs, kinds, found)
        ends = tuple(values.get(v, -1) for v in graph.outputs)
        nodes = tuple(sorted(found.up.values()))
        found.whole = self._number("graph", len(graph.inputs), ends, nodes, tuple(sorted(weights)))
        return found

    def _count_down(self, graph: Graph, outputs: Sequence[Hashable], kinds: Mapping[Node, int], found: Numbers) -> None:
        uses: dict[Value, list[int]] = {}
        for value, label in zip(graph.outputs, outputs, strict=True):
            uses.setdefault(value, []).append(self._number("output", label))
        for node in reversed(graph.nodes):
            ends = tuple(tuple(sorted(uses.get(v, ()))) for v in node.outputs)
            number = found.down[node] = self._number("down", kinds[node], ends)
            for index, read in enumerate(node.inputs):
                if read is not None:
                    uses.setdefault(read, []).append(self._number("read", number, index))
            for name, attribute in node.attributes.items():
                for index, inner in enumerate(attribute.graphs()):
                    for taken, what_for in self.of(inner).outer.items():
                        use = self._number("taken", number, name, index, what_for)
                        uses.setdefault(taken, []).append(use)
        own = set(graph.values())
        found.outer = {v: self._number("outer", tuple(sorted(u))) for v, u in uses.items() if v not in own}

    # -- what a node is by itself -------------------------------------------------------------------------------------
    def _kind(self, node: Node) -> int:
        shape = node.op_type, node.domain, len(node.inputs), len(node.outputs)
        if self.level is Level.OPERATORS:
            return self._number("node", *shape)
        attributes = tuple(sorted((name, self._attribute(a)) for name, a in node.attributes.items()))
        left_out = tuple(not v.name for v in node.outputs)
        return self._number("node", *shape, node.overload, left_out, attributes)

    def _attribute(self, attr: Attr) -> int:
        if attr.ref is not None:
            return self._number("ref", attr.type, attr.ref)
        items = attr.value if attr.type.is_list else [attr.value]
        return self._number("attribute", attr.type, tuple(map(self._item, items)))

    def _item(self, value: Any) -> Hashable:
        match value:
            case Graph():
                return self.of(value).whole
            case Tensor() | SparseTensor():
                return self._data(value)
            case float():
                return exact(value)
        return value  # type: ignore[no-any-return]  # int, str or bytes

    def _data(self, data: Tensor | SparseTensor | None) -> Hashable:
        match data:
            case SparseTensor():
                return data.dims, self._data(data.values), self._data(data.indices)
            case Tensor():
                if self.level is Level.OPERATORS:
                    return "tensor"
                exactly = self.level is Level.EXACT and data.nbytes <= _READ
                return data.dtype, data.shape, digest(data) if exactly else b""
        return None


def exact(value: float) -> bytes:
    """The bits of a float: NaN equals itself, and the two zeros differ."""
    return struct.pack("<d", value)


def digest(tensor: Tensor) -> bytes:
    """What identifies the content of a tensor, its element type and shape."""
    data = repr(tensor.numpy().tolist()).encode() if tensor.dtype == string else tensor.raw()
    return hashlib.blake2b(data, digest_size=16, key=f"{tensor.dtype}{tensor.shape}".encode()[:64]).digest()
