"""Dead code: what no output needs is removed."""

from __future__ import annotations

from interchange.graph.core import Function, FunctionKey, Graph, ModelIR, Node, Value


def dce(model: ModelIR) -> int:
    """Remove nodes whose outputs nobody reads, unused constants, functions nobody calls, and unused opset imports.

    In place; returns how many things were removed. Contract: what the model computes, its inputs and outputs stay.
    A node stays whole when one of its outputs is used. Works in subgraphs and functions; the order of nodes is kept.
    Needs nodes in order (`Graph.toposort`).
    """
    removed = _functions(model)
    for body in (model.graph, *model.functions.values()):
        removed += _graph(body)
    removed += _functions(model)  # a dead node may have been the last caller
    return removed + _opsets(model)


def _graph(graph: Graph) -> int:
    annotated = dict(graph.quantization)
    live: set[Value] = set(graph.outputs)
    kept: list[Node] = []
    removed = 0
    for node in reversed(graph.nodes):
        if not any(v in live for v in node.outputs):
            removed += 1
            continue
        removed += sum(map(_graph, node.graphs()))
        kept.append(node)
        live.update(node.reads())
        for value in node.outputs:
            live.update(annotated.get(value, {}).values())
    graph.nodes = kept[::-1]
    for value, parameters in annotated.items():
        if value in live and value.producer is None:
            live.update(parameters.values())
    live.update(graph.inputs)
    dead = [name for name, value in graph.initializers.items() if value not in live]
    for name in dead:
        del graph.initializers[name]
    sparse = [value for value in graph.sparse_initializers if value not in live]
    for value in sparse:
        del graph.sparse_initializers[value]
    graph.quantization = [(v, p) for v, p in graph.quantization if v in live]
    return removed + len(dead) + len(sparse)


def _functions(model: ModelIR) -> int:
    called: dict[FunctionKey, None] = {}
    bodies: list[Graph] = [model.graph]
    while bodies:
        for node in bodies.pop().walk():
            key = (node.domain, node.op_type, node.overload)
            if key in model.functions and key not in called:
                called[key] = None
                bodies.append(model.functions[key])
    before = len(model.functions)
    model.functions = {key: f for key, f in model.functions.items() if key in called}
    return before - len(model.functions)


def _opsets(model: ModelIR) -> int:
    """Imports of domains in which nothing is called; ai.onnx stays, readers expect it."""
    removed = 0
    everywhere = {"", *(node.domain for node in model.walk())}
    owners: list[ModelIR | Function] = [model, *model.functions.values()]
    for owner in owners:
        used = {"", *(node.domain for node in owner.walk())} if isinstance(owner, Function) else everywhere
        before = len(owner.opsets)
        owner.opsets = {domain: version for domain, version in owner.opsets.items() if domain in used}
        removed += before - len(owner.opsets)
    return removed
