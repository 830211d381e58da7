"""Names: every value and node gets one that is valid and that nothing else has."""

from __future__ import annotations

import re

from interchange.graph.core import Graph, ModelIR, Value
from interchange.graph.naming import Names

_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def unique_names(model: ModelIR) -> int:
    """Give each value a name of its own, over the graph and all its subgraphs; the same for nodes that have a name.

    In place; returns how many names were changed. Contract: inputs and outputs of the model and of functions keep their
    names where these are valid (not empty, no control characters) and different; what is renamed gets ``name_1`` and so
    on. Outputs that a node leaves out stay without a name, and so do nodes without one. A function is a space of its
    own. Initializers are filed under their present names afterwards.
    """
    return sum(map(_body, (model.graph, *model.functions.values())))


def _body(body: Graph) -> int:
    values, nodes = Names(), Names()
    done: set[Value] = set()
    changed = 0

    def settle(value: Value) -> None:
        nonlocal changed
        if value in done:
            return
        done.add(value)
        name = values.free(_valid(value.name) or "value")
        changed += name != value.name
        value.name = name

    for graph in body.all_graphs():
        for value in (*graph.inputs, *graph.outputs):
            settle(value)
        for value in graph.values():
            settle(value)
        graph.initializers = {v.name: v for v in graph.initializers.values()}
        if not graph.name:
            graph.name = "graph"
            changed += 1
        for node in graph.nodes:
            if node.name:
                name = nodes.free(_valid(node.name))
                changed += name != node.name
                node.name = name
    return changed


def _valid(name: str) -> str:
    return _CONTROL.sub("_", name)
