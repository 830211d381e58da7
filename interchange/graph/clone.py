"""Copies of graphs: new nodes and values, the same weights."""

from __future__ import annotations

from collections.abc import Iterable

from interchange.graph.core import Attr, AttrType, Function, Graph, ModelIR, Node, Value


def clone_value(value: Value, mapping: dict[Value, Value]) -> Value:
    """A copy of `value` without its producer, entered into `mapping`; an output that is left out stays so."""
    copy = Value(
        value.name,
        value.dtype,
        value.shape,
        const=value.const,
        doc=value.doc,
        metadata=dict(value.metadata),
        type_proto=value.type_proto,
    )
    mapping[value] = copy
    return copy


def clone_nodes(nodes: Iterable[Node], mapping: dict[Value, Value]) -> list[Node]:
    """Copies of `nodes`, with new output values, reading what `mapping` has for a value, or else the value itself.

    mapping: value -> its copy; the new outputs are added. Subgraphs are copied too, tensors are shared.
    """
    copies = []
    for node in nodes:
        attributes = {name: _attribute(attr, mapping) for name, attr in node.attributes.items()}
        copies.append(
            Node(
                node.op_type,
                [None if v is None else mapping.get(v, v) for v in node.inputs],
                [clone_value(v, mapping) for v in node.outputs],
                attributes,
                domain=node.domain,
                name=node.name,
                doc=node.doc,
                metadata=dict(node.metadata),
                overload=node.overload,
                device_configurations=node.device_configurations,
            )
        )
    return copies


def clone_graph(graph: Graph, mapping: dict[Value, Value] | None = None) -> Graph:
    """A copy of a graph or function; values of outer graphs are replaced by what `mapping` has for them."""
    mapping = {} if mapping is None else mapping
    copy: Graph
    if isinstance(graph, Function):
        copy = Function(
            graph.domain,
            graph.name,
            overload=graph.overload,
            attributes=graph.attributes,
            defaults={name: _attribute(attr, mapping) for name, attr in graph.defaults.items()},
            opsets=dict(graph.opsets),
        )
    else:
        copy = Graph(graph.name)
    copy.doc, copy.metadata = graph.doc, dict(graph.metadata)
    copy.inputs = [clone_value(v, mapping) for v in graph.inputs]
    copy.initializers = {
        name: mapping[v] if v in mapping else clone_value(v, mapping) for name, v in graph.initializers.items()
    }
    for value, sparse in graph.sparse_initializers.items():
        copy.sparse_initializers[mapping[value] if value in mapping else clone_value(value, mapping)] = sparse
    copy.nodes = clone_nodes(graph.nodes, mapping)
    copy.outputs = [mapping.get(v, v) for v in graph.outputs]
    copy.quantization = [
        (mapping.get(v, v), {role: mapping.get(p, p) for role, p in roles.items()}) for v, roles in graph.quantization
    ]
    return copy


def clone_model(model: ModelIR) -> ModelIR:
    """A copy of a model that passes can change without changing `model`; weights are shared, not copied."""
    copy = ModelIR(
        clone_graph(model.graph),
        dict(model.opsets),
        ir_version=model.ir_version,
        producer_name=model.producer_name,
        producer_version=model.producer_version,
        domain=model.domain,
        model_version=model.model_version,
        doc=model.doc,
        metadata=dict(model.metadata),
    )
    for key, function in model.functions.items():
        body = clone_graph(function)
        assert isinstance(body, Function)
        copy.functions[key] = body
    copy.training_info, copy.configuration = model.training_info, model.configuration
    return copy


def _attribute(attr: Attr, mapping: dict[Value, Value]) -> Attr:
    value = attr.value
    if attr.ref is None and attr.type is AttrType.GRAPH:
        value = clone_graph(value, mapping)
    elif attr.ref is None and attr.type is AttrType.GRAPHS:
        value = [clone_graph(g, mapping) for g in value]
    elif attr.ref is None and attr.type.is_list:
        value = list(value)
    return Attr(attr.type, value, attr.ref, attr.doc)
