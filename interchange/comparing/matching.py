"""Which node, value and graph of one model is which of the other.

The pairs are a proposal: `structure.compare` looks at every one of them and at everything without a partner, so that a
bad pair makes a report longer than it need be, and never makes two models equal that are not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from difflib import SequenceMatcher

from interchange.comparing.numbering import Level, Numbering, Numbers
from interchange.graph.core import Graph, Node, Value

_ALIGNED = 40_000  # pairs of nodes left over that are aligned by their order, which can take a cubic time

Labels = Sequence[Hashable]


class Pairs:
    """The pairs of two models: `nodes` and `values` of the first -> of the second."""

    def __init__(self) -> None:
        self.nodes: dict[Node, Node] = {}
        self.values: dict[Value, Value] = {}
        self.used_nodes: set[Node] = set()
        self.used_values: set[Value] = set()
        self._numberings = {level: Numbering(level) for level in Level}

    def pair_values(self, a: Value, b: Value) -> None:
        """Note a pair, unless one of them has a partner."""
        if a not in self.values and b not in self.used_values:
            self.values[a] = b
            self.used_values.add(b)

    def _pair_nodes(self, a: Node, b: Node) -> None:
        self.nodes[a] = b
        self.used_nodes.add(b)

    def graphs(
        self,
        a: Graph,
        b: Graph,
        inputs: tuple[Labels, Labels] | None = None,
        outputs: tuple[Labels, Labels] | None = None,
    ) -> None:
        """Pair what is in two graphs, subgraphs included.

        inputs, outputs: what tells those of the first and of the second graph apart; by default their positions.
        """
        labels = inputs or (range(len(a.inputs)), range(len(b.inputs)))
        there = dict(zip(labels[1], b.inputs, strict=True))
        for label, value in zip(labels[0], a.inputs, strict=True):
            if label in there:
                self.pair_values(value, there[label])
        _Matcher(self, a, b, inputs or (None, None), outputs or (None, None)).run()
        for node in a.nodes:
            if node in self.nodes:
                self._inside(node, self.nodes[node])

    def _inside(self, a: Node, b: Node) -> None:
        """What follows from a pair of nodes: their outputs, the constants they read, their subgraphs."""
        for mine, other in zip(a.outputs, b.outputs, strict=False):
            if mine.name and other.name:
                self.pair_values(mine, other)
        for read, by_other in zip(a.inputs, b.inputs, strict=False):
            if read is not None and by_other is not None and read.producer is None and by_other.producer is None:
                self.pair_values(read, by_other)
        for name, attribute in a.attributes.items():
            if name in b.attributes:
                for inner, other_inner in zip(attribute.graphs(), b.attributes[name].graphs(), strict=False):
                    self.graphs(inner, other_inner)

    def numbers(self, level: Level, graph: Graph, inputs: Labels | None, outputs: Labels | None) -> Numbers:
        """The numbers of a graph at a level."""
        return self._numberings[level].of(graph, inputs, outputs)


class _Matcher:
    """Pairs the nodes of two graphs, the surest first."""

    def __init__(
        self,
        pairs: Pairs,
        a: Graph,
        b: Graph,
        inputs: tuple[Labels | None, Labels | None],
        outputs: tuple[Labels | None, Labels | None],
    ) -> None:
        self.pairs, self.a, self.b, self.inputs, self.outputs = pairs, a, b, inputs, outputs
        self.left_a, self.left_b = list(a.nodes), list(b.nodes)

    def run(self) -> None:
        """Pair what can be paired."""
        for level in Level:
            self._by_surroundings(level, lambda n, node: (n.up[node], n.down[node]))
        self._by(_named, _named)
        for level in (Level.EXACT, Level.SHAPES):
            self._by_surroundings(level, lambda n, node: n.down[node])
            self._by_surroundings(level, lambda n, node: n.up[node])
        self._spread()
        self._align()
        self._spread()
        self._replaced()

    def _drop_paired(self) -> None:
        self.left_a = [n for n in self.left_a if n not in self.pairs.nodes]
        self.left_b = [n for n in self.left_b if n not in self.pairs.used_nodes]

    def _by_surroundings(self, level: Level, key: Callable[[Numbers, Node], Hashable]) -> None:
        if self.left_a and self.left_b:
            a = self.pairs.numbers(level, self.a, self.inputs[0], self.outputs[0])
            b = self.pairs.numbers(level, self.b, self.inputs[1], self.outputs[1])
            self._by(lambda node: key(a, node), lambda node: key(b, node))

    def _by(self, key_a: Callable[[Node], Hashable], key_b: Callable[[Node], Hashable]) -> None:
        """Pair the nodes with one key, where both graphs have as many of them; those with one name first."""
        classes: dict[Hashable, tuple[list[Node], list[Node]]] = {}
        for side, nodes, key in ((0, self.left_a, key_a), (1, self.left_b, key_b)):
            for node in nodes:
                if found := key(node):
                    classes.setdefault(found, ([], []))[side].append(node)
        for ours, theirs in classes.values():
            if len(ours) == len(theirs):
                for a, b in _by_name(ours, theirs):
                    self.pairs._pair_nodes(a, b)
        self._drop_paired()

    def _spread(self) -> None:
        """From each pair to its neighbours: the only consumers, and the producers, of one operator at one place."""
        if not (self.left_a and self.left_b):
            return
        uses_a, uses_b = _uses(self.left_a), _uses(self.left_b)
        left_a, left_b = set(self.left_a), set(self.left_b)
        work = [*self.pairs.nodes.items()]
        values = [(v, w) for v, w in zip(self.a.inputs, self.b.inputs, strict=False)]
        while work or values:
            near: list[tuple[list[Node], list[Node]]] = []
            if values:
                near += _consumers(*values.pop(), uses_a, uses_b)
            else:
                a, b = work.pop()
                for made, other in zip(a.outputs, b.outputs, strict=False):
                    near += _consumers(made, other, uses_a, uses_b)
                for read, other_read in zip(a.inputs, b.inputs, strict=False):
                    if read is not None and other_read is not None and read.producer and other_read.producer:
                        near.append(([read.producer], [other_read.producer]))
            for ours, theirs in near:
                free_a, free_b = [n for n in ours if n in left_a], [n for n in theirs if n in left_b]
                if len(free_a) == len(free_b) == 1 and _kind(free_a[0]) == _kind(free_b[0]):
                    self.pairs._pair_nodes(free_a[0], free_b[0])
                    left_a.remove(free_a[0])
                    left_b.remove(free_b[0])
                    work.append((free_a[0], free_b[0]))
        self._drop_paired()

    def _align(self) -> None:
        """What is left, in the order of the file: the longest common runs of operators."""
        if len(self.left_a) * len(self.left_b) > _ALIGNED:
            self._by(_kind, _kind)
            return
        keys_a, keys_b = [_kind(n) for n in self.left_a], [_kind(n) for n in self.left_b]
        for i, j, size in SequenceMatcher(None, keys_a, keys_b, autojunk=False).get_matching_blocks():
            for k in range(size):
                self.pairs._pair_nodes(self.left_a[i + k], self.left_b[j + k])
        self._drop_paired()

    def _replaced(self) -> None:
        """A node in the place of another: it reads the same and makes as much, by another operator."""
        there = {b: a for a, b in self.pairs.nodes.items()}
        outer = {b: a for a, b in self.pairs.values.items()}

        def key_a(node: Node) -> Hashable:
            return _place(node, {}, {})

        def key_b(node: Node) -> Hashable:
            return _place(node, there, outer)

        if self.left_a and self.left_b:
            self._by(key_a, key_b)


def _place(node: Node, nodes: Mapping[Node, Node], values: Mapping[Value, Value]) -> Hashable:
    """What a node reads, in terms of the first model; constants by their shape."""
    reads = tuple(
        None
        if v is None
        else (nodes.get(v.producer, v.producer), v.index)
        if v.producer is not None
        else v.shape
        if v.const is not None
        else values.get(v, v)
        for v in node.inputs
    )
    return reads, len(node.outputs)


def _kind(node: Node) -> tuple[str, str]:
    return node.domain, node.op_type


def _named(node: Node) -> Hashable:
    return (node.name, *_kind(node)) if node.name else None


def _by_name(ours: Sequence[Node], theirs: Sequence[Node]) -> Iterable[tuple[Node, Node]]:
    if len(ours) == 1:
        return [(ours[0], theirs[0])]
    names = Counter(n.name for n in theirs)
    at = {n.name: n for n in theirs if n.name and names[n.name] == 1}
    pairs = [(n, at.pop(n.name)) for n in ours if n.name in at]
    seen_a, seen_b = {a for a, _ in pairs}, {b for _, b in pairs}
    rest = zip((n for n in ours if n not in seen_a), (n for n in theirs if n not in seen_b), strict=True)
    return [*pairs, *rest]


Uses = dict[Value, dict[Hashable, list[Node]]]


def _uses(nodes: Sequence[Node]) -> Uses:
    """Value -> (operator, position) -> the nodes that read it there."""
    found: Uses = {}
    for node in nodes:
        for index, value in enumerate(node.inputs):
            if value is not None:
                found.setdefault(value, {}).setdefault((*_kind(node), index), []).append(node)
    return found


def _consumers(a: Value, b: Value, uses_a: Uses, uses_b: Uses) -> list[tuple[list[Node], list[Node]]]:
    there = uses_b.get(b, {})
    return [(nodes, there[key]) for key, nodes in uses_a.get(a, {}).items() if key in there]
