"""A graph as text, for people: one line a node."""

from __future__ import annotations

from collections.abc import Iterator

from interchange.errors import one_line, printable
from interchange.graph.core import Attr, AttrType, Function, Graph, ModelIR, Node, Value
from interchange.graph.tensor import Tensor

_SMALL = 8  # elements of a tensor that are shown


def _tensor_text(tensor: Tensor) -> str:
    if tensor.size <= _SMALL:
        return str(tensor.numpy().tolist())
    return f"<{tensor.nbytes:,} bytes>"


def attr_text(attr: Attr) -> str:
    """The value of an attribute, a large tensor by its size."""
    if attr.ref is not None:
        return f"@{attr.ref}"
    if attr.type is AttrType.TENSOR:
        return _tensor_text(attr.value)
    return "{...}" if attr.graphs() else repr(attr.value)


def node_text(node: Node) -> str:
    """``y: float32[batch, 3] = Gemm(x, w, b, transB=1)``, on one line and safe for a terminal."""
    made = ", ".join(repr(v) if v.name else "_" for v in node.outputs)
    parts = ["_" if v is None else v.name for v in node.inputs]
    parts += [f"{k}={attr_text(a)}" for k, a in node.attributes.items()]
    op = f"{node.domain}::{node.op_type}" if node.domain else node.op_type
    return one_line(f"{made} = {op}({', '.join(parts)})")


def _signature(values: list[Value]) -> str:
    return f"({', '.join(map(repr, values))})"


def _lines(graph: Graph, indent: str) -> Iterator[str]:
    for value in graph.initializers.values():
        if value.const is not None:
            yield f"{indent}{value!r} = {_tensor_text(value.const)}"
    for value, sparse in graph.sparse_initializers.items():
        yield f"{indent}{value!r} = <sparse, {sparse.values.size} values>"
    for node in graph.nodes:
        yield indent + node_text(node)
        for name, attr in node.attributes.items():
            for sub in attr.graphs():
                yield f"{indent}  {name} = {_head(sub)} {{"
                yield from _lines(sub, indent + "    ")
                yield f"{indent}  }}"


def _head(graph: Graph) -> str:
    kind = "function" if isinstance(graph, Function) else "graph"
    name = f"{graph.domain}::{graph.name}" if isinstance(graph, Function) else graph.name
    return f"{kind} {name} {_signature(graph.inputs)} -> {_signature(graph.outputs)}"


def graph_text(graph: Graph) -> str:
    """The whole graph, subgraphs indented."""
    return printable("\n".join([f"{_head(graph)} {{", *_lines(graph, "  "), "}"]))


def model_text(model: ModelIR) -> str:
    """The model: what it imports, its graph, its functions."""
    opsets = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in model.opsets.items())
    head = f"model (IR {model.ir_version}, {opsets})"
    return "\n\n".join([head, graph_text(model.graph), *map(graph_text, model.functions.values())])
