"""Detours: nodes without a kernel for their dtype compute in one that has it, between casts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from interchange.dtypes import name_of, to_onnx
from interchange.graph.core import Attr, AttrType, Graph, ModelIR, Node, Value
from interchange.schemas import detours
from interchange.schemas.calls import UNKNOWN, Call
from interchange.schemas.functions import text_of
from interchange.schemas.quirks import fuses
from interchange.schemas.registry import is_users
from interchange.schemas.runtimes import Runtime, runtime
from interchange.schemas.typetext import to_dtype, to_text

_PLAIN = (AttrType.FLOAT, AttrType.INT, AttrType.STRING, AttrType.FLOATS, AttrType.INTS, AttrType.STRINGS)


@dataclass(frozen=True, slots=True)
class Detour:
    """One node that computes in another dtype.

    node: its place for a reader.  op: its operator.  dtypes: (its dtype, the one it computes in) by name.
    lossy: whether values are rounded on the way.
    """

    node: str
    op: str
    dtypes: tuple[tuple[str, str], ...]
    lossy: bool


def detour(model: ModelIR, releases: Sequence[str], *, allow_lossy: bool = False) -> list[Detour]:
    """Put casts around every node for whose dtypes some release (``("1.22", "1.23")``) has no kernel.

    In place; returns what was done, in the order of the nodes. Contract: inputs, outputs and all values that were there
    keep their names and dtypes, and no value is lost: the node computes in a dtype which holds all of them, and its
    results are cast back. allow_lossy: also float64 in float32, where nothing else helps. What no cast helps stays as
    it is: a check with the target tells about it. Needs the dtypes of inner values (see `infer`); looks into subgraphs,
    not into functions.
    """
    walk = _Walk(model, [runtime(name) for name in releases], allow_lossy)
    for graph in [*model.graph.all_graphs()] if releases else ():
        walk.graph(graph)
    return walk.done


def summary(done: Iterable[Detour]) -> list[dict[str, Any]]:
    """The detours as plain data, the nodes of one kind counted: what a model's metadata says of them."""
    counts = Counter((d.op, pair, d.lossy) for d in done for pair in d.dtypes)
    return [
        {"op": op, "from": narrow, "to": wide, "nodes": count, "lossy": lossy}
        for (op, (narrow, wide), lossy), count in sorted(counts.items())
    ]


class _Walk:
    def __init__(self, model: ModelIR, runtimes: Sequence[Runtime], lossy: bool) -> None:
        self.model, self.runtimes, self.lossy = model, runtimes, lossy
        self.done: list[Detour] = []
        self._found: dict[Any, detours.Casts | None] = {}

    def graph(self, graph: Graph) -> None:
        """Put casts into one graph."""
        nodes: list[Node] = []
        own = set(graph.nodes)
        shared: dict[tuple[Value, str], Value] = {}  # a value in another dtype, for all who need it in this graph
        for node in list(graph.nodes):
            casts = self.casts(graph, own, node)
            if casts is None:
                nodes.append(node)
                continue
            where, pairs = node.describe(), casts.pairs(_call(self.model, node))
            for index, text in casts.inputs.items():
                value = node.inputs[index]
                assert value is not None
                if (value, text) not in shared:
                    wide = self._value(value, text)
                    shared[value, text] = wide
                    nodes.append(self._cast(node, value, wide))
                node.inputs[index] = shared[value, text]
            nodes.append(node)
            for index, text in casts.outputs.items():
                value = node.outputs[index]
                if value.name:
                    wide = self._value(value, text)
                    nodes.append(self._cast(node, wide, value))
                    node.outputs[index] = wide
                    wide.producer, wide.index = node, index
            named = tuple((_name(a), _name(b)) for a, b in pairs)
            self.done.append(Detour(where, node.op_type, named, casts.lossy))
        graph.nodes = nodes

    def casts(self, graph: Graph, own: set[Node], node: Node) -> detours.Casts | None:
        """The casts a node needs, None for none. own: the nodes of the graph."""
        if is_users(node.op_type, node.domain) or (node.domain, node.op_type, node.overload) in self.model.functions:
            return None
        call = _call(self.model, node)
        if node.op_type == "MatMul" and call.inputs[:1] == ("tensor(double)",):
            call = replace(call, fused=fuses(call, (_perm(graph, own, v) for v in node.inputs)))
        key = call, tuple((n, repr(a.value)) for n, a in node.attributes.items() if a.type in _PLAIN and a.ref is None)
        if key not in self._found:
            call = replace(call, node=_attributes(node))
            exact = detours.find(call, self.runtimes)
            self._found[key] = exact or (detours.find(call, self.runtimes, lossy=True) if self.lossy else None)
        return self._found[key]

    def _value(self, like: Value, text: str) -> Value:
        dtype = to_dtype(text)
        assert dtype is not None
        return Value(self.model.graph.unique_name(f"{like.name}_{name_of(dtype)}"), dtype, like.shape)

    def _cast(self, node: Node, given: Value, made: Value) -> Node:
        assert made.dtype is not None
        name = self.model.graph.unique_name(f"{node.name}/cast") if node.name else ""
        metadata = {k: v for k, v in node.metadata.items() if k.startswith("interchange.")}
        return Node("Cast", [given], [made], {"to": Attr.of(to_onnx(made.dtype))}, name=name, metadata=metadata)


def _call(model: ModelIR, node: Node) -> Call:
    inputs = tuple(None if v is None else _text(v) for v in node.inputs)
    outputs = tuple(_text(v) if v.name else None for v in node.outputs)
    return Call(node.domain, node.op_type, model.opsets, inputs, outputs)


def _perm(graph: Graph, own: set[Node], value: Value | None) -> list[int] | None:
    """The permutation of the Transpose that makes a value, see `schemas.quirks.fuses`."""
    node = value.producer if value is not None and value not in graph.outputs else None
    if node is None or node.op_type != "Transpose" or node not in own or node.inputs[0] is None:
        return None
    source, rank = node.inputs[0], len(node.inputs[0].shape or ())
    if source.const is not None or (source.producer is not None and source.producer.op_type == "Constant"):
        return None
    return node.attributes["perm"].value if "perm" in node.attributes else [*range(rank)][::-1]


def _text(value: Value) -> str:
    if value.type_proto is not None:
        import onnx

        return text_of(onnx.TypeProto.FromString(value.type_proto))
    return UNKNOWN if value.dtype is None else to_text(value.dtype)


def _name(text: str) -> str:
    dtype = to_dtype(text)
    return text if dtype is None else name_of(dtype)


def _attributes(node: Node) -> Any:
    """A NodeProto with the node's attributes, those on which a kernel or a body may depend; None if it has none."""
    plain = {n: a.value for n, a in node.attributes.items() if a.type in _PLAIN and a.ref is None}
    if not plain:
        return None
    from onnx import helper

    inputs = ["" if v is None else f"i{i}" for i, v in enumerate(node.inputs)]
    outputs = [f"o{i}" if v.name else "" for i, v in enumerate(node.outputs)]
    proto = helper.make_node(node.op_type, inputs, outputs, domain=node.domain)
    for name, value in plain.items():
        proto.attribute.append(helper.make_attribute(name, value, attr_type=int(node.attributes[name].type)))
    return proto
