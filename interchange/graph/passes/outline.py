"""Outlining: groups of nodes become local functions, so that a model keeps the modules it was written in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from interchange.graph.clone import clone_graph, clone_nodes
from interchange.graph.core import Function, FunctionKey, Graph, ModelIR, Node, Value
from interchange.graph.naming import Names
from interchange.graph.writing import Writer

MODULE = "interchange.module"  # node metadata: the path of the module that made the node, "encoder.layers.0"
Group = tuple[str, Sequence[Node]]  # name of the function, its nodes


def module_groups(model: ModelIR, names: Mapping[str, str], key: str = MODULE) -> list[Group]:
    """The groups that keep modules as functions: the nodes which a module and its parts made, parts before wholes.

    names: module path -> name of its function.  key: the node metadata that holds the path.
    """
    found: dict[str, list[Node]] = {path: [] for path in names}
    for node in model.graph.nodes:
        made = node.metadata.get(key)
        while made is not None:
            if made in found:
                found[made].append(node)
            made = None if not made else made.rpartition(".")[0]
    return [(names[path], found[path]) for path in sorted(names, key=lambda p: -p.count(".") if p else 1)]


def outline(model: ModelIR, groups: Iterable[Group], domain: str = "interchange.modules") -> int:
    """Turn groups of nodes of the main graph into calls of local functions; parts must be given before wholes.

    What a group reads from outside, and constants it uses, become the function's inputs; what others read of it, its
    outputs. Groups of the same structure share a function; a name that is taken by another structure gets ``_1``.
    A group with other nodes in between, so that one call would be a cycle, becomes a call for each unbroken run.

    In place; returns the number of calls. Contract: inputs, outputs and values that stay in the main graph keep their
    names, constants stay where they are. The call is named after its nodes' common module. Needs nodes in order.
    """
    maker = _Outliner(model, domain)
    calls = sum(maker.group(name, nodes) for name, nodes in groups)
    maker.finish()
    if calls:
        model.ir_version = max(model.ir_version, 8)  # the first with local functions
    return calls


class _Outliner:
    def __init__(self, model: ModelIR, domain: str) -> None:
        self.model, self.domain = model, domain
        self.moved: dict[Node, Node] = {}  # a node that was outlined -> the call that stands for it
        self.by_structure: dict[bytes, FunctionKey] = {}
        graph = model.graph
        graph = model.graph
        self.names = Names(node.name for node in graph.walk())  # runtimes refuse two nodes of one name
        self.outside = {*graph.outputs, *(v for q, roles in graph.quantization for v in (q, *roles.values()))}
        self.readers = Counter(v for node in graph.nodes for v in set(node.reads()))  # nodes that read a value
        self._number()

    def _number(self) -> None:
        self.slots: list[Node | None] = list(self.model.graph.nodes)  # None where a node was outlined
        self.at = {node: i for i, node in enumerate(self.model.graph.nodes)}

    def finish(self) -> None:
        """Put the calls into the graph."""
        self.model.graph.nodes = [node for node in self.slots if node is not None]

    def group(self, name: str, nodes: Sequence[Node]) -> int:
        wanted = set(map(self._present, nodes))
        found = sorted(self.at[node] for node in wanted if node in self.at)
        if not found:
            return 0
        span = [node for node in self.slots[found[0] : found[-1] + 1] if node is not None]
        runs = [[node for node in span if node in wanted]]
        if not _convex(span, wanted):
            runs = [list(run) for inside, run in groupby(span, wanted.__contains__) if inside]
        calls = sum(self._call(name, run) for run in runs)
        if len(span) != len(found):
            self.finish()
            self.model.graph.toposort()
            self._number()
        return calls

    def _present(self, node: Node) -> Node:
        while node in self.moved:
            node = self.moved[node]
        return node

    def _call(self, name: str, group: list[Node]) -> bool:
        inside = set(group)
        reads = [set(node.reads()) for node in group]
        inner = Counter(v for values in reads for v in values)
        inputs = list({v: None for node in group for v in node.reads() if v.producer not in inside})
        made = [v for node in group for v in node.outputs if v.name]
        outputs = [v for v in made if v in self.outside or self.readers[v] > inner[v]]
        if not outputs:
            return False  # dead code

        mapping = {v: Value(v.name) for v in inputs}
        body = Function(self.domain, name, mapping.values())
        body.nodes = clone_nodes(group, mapping)
        body.outputs = [mapping[v] for v in outputs]
        domains = {node.domain for node in body.walk()}
        body.opsets = {d: version for d, version in self.model.opsets.items() if d in domains}
        _forget_places(body)
        key = self._share(body)

        path = ".".join(_common([node.metadata.get(MODULE, "").split(".") for node in group]))
        metadata = {MODULE: path} if path else {}
        call = Node(key[1], inputs, outputs, domain=self.domain, name=self.names.free(path or name), metadata=metadata)
        self.at[call] = self.at[group[-1]]
        for node in group:
            self.slots[self.at.pop(node)] = None
        self.slots[self.at[call]] = call
        self.moved.update((node, call) for node in group)
        self.readers.subtract(inner)
        self.readers.update(inputs)
        return True

    def _share(self, body: Function) -> FunctionKey:
        """The key of a function of that structure: one there is already, or `body` under a name that is free."""
        structure = _structure(body)
        if structure not in self.by_structure:
            wanted, number = body.name, 0
            while body.key in self.model.functions:
                number += 1
                body.name = f"{wanted}_{number}"
            self.model.functions[body.key] = body
            self.by_structure[structure] = body.key
            self.model.opsets.setdefault(self.domain, 1)
        return self.by_structure[structure]


def _convex(span: list[Node], inside: set[Node]) -> bool:
    """Whether no path leaves the group and comes back; span: the nodes from the group's first to its last."""
    tainted: set[Node] = set()  # nodes outside that depend on the group
    for node in span:
        producers = [v.producer for v in node.reads() if v.producer is not None]
        if node in inside:
            if any(p in tainted for p in producers):
                return False
        elif any(p in inside or p in tainted for p in producers):
            tainted.add(node)
    return True


def _forget_places(body: Graph) -> None:
    """Remove what belongs to one place of use: types (a function takes any), names and metadata."""
    for graph in body.all_graphs():
        for node in graph.nodes:
            node.metadata.clear()
            node.name = ""
            for value in node.outputs:
                value.metadata.clear()
                if graph is body:
                    value.dtype = value.shape = value.type_proto = None


def _structure(body: Function) -> bytes:
    """Equal for two functions exactly when they do the same, whatever their values are called."""
    copy = clone_graph(body)
    copy.name = ""
    count = 0
    for graph in copy.all_graphs():
        graph.name = ""
        for value in graph.values():
            value.name = str(count)
            count += 1
    import onnx

    proto = onnx.FunctionProto()
    assert isinstance(copy, Function)
    Writer().function(copy, proto)
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


def _common(paths: list[list[str]]) -> list[str]:
    first, last = min(paths), max(paths)
    same = [a == b for a, b in zip(first, last, strict=False)]
    return first[: same.index(False) if False in same else len(same)]
