"""Common subexpressions: what is computed twice is computed once."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Hashable
from typing import Any

from interchange.dtypes import string
from interchange.graph.core import Attr, Graph, ModelIR, Node, Value
from interchange.graph.passes.purity import Purity
from interchange.graph.tensor import SparseTensor, Tensor, encode


def cse(model: ModelIR) -> int:
    """Merge nodes of one graph that apply the same operator, with the same attributes, to the same values.

    In place; returns how many nodes were removed. Contract: every output keeps its name and its value; nodes that
    draw random numbers, that have subgraphs, that are of an unknown domain or that make a graph output are not merged
    away; constants with equal data stay two. Works in subgraphs and functions, each by itself. Needs nodes in order.
    """
    pure = Purity(model)
    return sum(_graph(body, pure, {}) for body in (model.graph, *model.functions.values()))


def _graph(graph: Graph, pure: Purity, instead: dict[Value, Value]) -> int:
    seen: dict[Hashable, Node] = {}
    outputs = set(graph.outputs)
    kept: list[Node] = []
    removed = 0
    for node in graph.nodes:
        node.inputs = [None if v is None else instead.get(v, v) for v in node.inputs]
        subgraphs = node.graphs()
        removed += sum(_graph(sub, pure, instead) for sub in subgraphs)
        if not subgraphs and pure(node):
            first = seen.setdefault(_key(node), node)
            if first is not node and outputs.isdisjoint(node.outputs):
                for old, new in zip(node.outputs, first.outputs, strict=True):
                    instead[old] = new
                    if new.dtype is None or new.shape is None:
                        new.dtype, new.shape, new.type_proto = old.dtype, old.shape, old.type_proto
                removed += 1
                continue
        kept.append(node)
    graph.nodes = kept
    graph.outputs = [instead.get(v, v) for v in graph.outputs]
    # annotations of a value that is gone go to the one that stands for it, unless it has its own
    merged: dict[Value, dict[str, Value]] = {}
    for value, parameters in graph.quantization:
        roles = {role: instead.get(p, p) for role, p in parameters.items()}
        merged.setdefault(instead.get(value, value), roles)
    graph.quantization = list(merged.items())
    return removed


def _key(node: Node) -> Hashable:
    """Equal for two nodes exactly when they must give the same outputs."""
    inputs = tuple(None if v is None else id(v) for v in node.inputs)
    outputs = tuple(bool(v.name) for v in node.outputs)
    attributes = tuple((name, attribute_key(node.attributes[name])) for name in sorted(node.attributes))
    return node.domain, node.op_type, node.overload, inputs, outputs, attributes


def attribute_key(attr: Attr) -> Hashable:
    """Equal for two attributes without subgraphs exactly when they are the same to the last bit (-0.0 is not 0.0)."""
    if attr.ref is not None:
        return attr.type, attr.ref
    return attr.type, tuple(map(_item, attr.value)) if attr.type.is_list else _item(attr.value)


def _item(item: Any) -> Hashable:
    match item:
        case float():
            return struct.pack("<d", item)
        case Tensor():
            if item.dtype == string:
                data: Any = tuple(encode(s) for s in item.numpy().flat)
            else:
                data = hashlib.sha256(item.raw()).digest()
            return item.dtype.name, item.shape, data
        case SparseTensor():
            return _item(item.values), _item(item.indices), item.dims
    return item  # type: ignore[no-any-return]
