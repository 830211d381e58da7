"""Operators that ONNX defines by others: a runtime without a kernel for such a one runs its body instead."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from interchange.dtypes import from_onnx, to_onnx
from interchange.schemas.calls import UNKNOWN, Call
from interchange.schemas.quirks import fuses, perm_of
from interchange.schemas.typetext import to_dtype, to_text

if TYPE_CHECKING:
    from interchange.schemas.runtimes import Runtime


def body(call: Call, runtime: Runtime) -> list[Call] | None:
    """The calls that stand for a call, those in subgraphs too; None if there are none that the runtime would run.

    None of them where a body is there but depends on a type or rank that is not known.

    A body that depends on the call is taken as it is. A fixed one is taken only where each of its operators means the
    same at the call's opset as at the one it was written for, by the runtime's own list of operators.
    The bodies are those of the installed onnx: the runtimes do not show theirs.
    """
    import onnx
    from onnx import defs

    opset = call.opsets.get(call.domain, 1)
    try:
        schema: Any = defs.get_schema(call.op, opset, call.domain)
    except defs.SchemaError:  # an operator of the runtime's own
        return None
    if schema.since_version != runtime.since(call.domain, call.op, opset):
        return None
    node = call_node(call)
    types = list(call.types) or [type_proto(text) for text in call.inputs]
    if schema.has_context_dependent_function:
        version = _reached(schema.context_dependent_function_opset_versions, opset)
        if not version:
            return None
        given = [(t or onnx.TypeProto()).SerializeToString() for t in types]
        try:
            data = schema.get_context_dependent_function_with_opset_version(version, node.SerializeToString(), given)
        except Exception:  # several unrelated classes; the call is wrong in itself, which other rules tell
            return []
    else:
        version = _reached(schema.function_opset_versions if schema.has_function else (), opset)
        data = schema.get_function_with_opset_version(version) if version else b""
    function = onnx.FunctionProto.FromString(data)
    if not function.node:
        return [] if version and (UNKNOWN in call.inputs or any(map(_without_rank, types))) else None
    if not schema.has_context_dependent_function and not _means_the_same(function.node, version, call.opsets, runtime):
        return None
    attributes = {name: a.default_value for name, a in schema.attributes.items() if a.default_value.type}
    attributes |= {a.name: a for a in node.attribute}
    known = {name: t for name, t in zip(function.input, types, strict=False) if t is not None}
    absent = {n for n, text in zip(function.input, call.inputs, strict=False) if text is None}
    absent |= set(function.input[len(call.inputs) :])
    nodes = [_bound(n, attributes, absent) for n in function.node]
    return list(typed_calls(nodes, known, call.opsets))


def _without_rank(type_: Any) -> bool:
    return type_ is not None and type_.HasField("tensor_type") and not type_.tensor_type.HasField("shape")


def _reached(versions: Sequence[int], opset: int) -> int:
    return max((v for v in versions if v <= opset), default=0)


def _means_the_same(nodes: Sequence[Any], written: int, opsets: Mapping[str, int], runtime: Runtime) -> bool:
    opset = opsets.get("", written)
    return all(runtime.since("", n.op_type, written) == runtime.since("", n.op_type, opset) for n in nodes)


def _bound(node: Any, attributes: Mapping[str, Any], absent: set[str]) -> Any:
    """A body's node with the call's attributes in place of references, without the inputs which the call leaves out."""
    import onnx

    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    del copy.attribute[:]
    copy.input[:] = ["" if n in absent else n for n in node.input]
    for attribute in node.attribute:
        value = attributes.get(attribute.ref_attr_name) if attribute.ref_attr_name else attribute
        if value is not None:
            copy.attribute.add().CopyFrom(value)
            copy.attribute[-1].name = attribute.name
            for inner in (copy.attribute[-1].g, *copy.attribute[-1].graphs):
                found = [_bound(n, attributes, absent) for n in inner.node]
                if found:
                    del inner.node[:]
                    inner.node.extend(found)
    return copy


def typed_calls(nodes: Sequence[Any], types: Mapping[str, Any], opsets: Mapping[str, int]) -> Iterator[Call]:
    """The calls of some nodes, with the types that follow from those of the values they start from."""
    import onnx
    from onnx import helper

    graph = helper.make_graph(nodes, "body", [onnx.ValueInfoProto(name=n, type=t) for n, t in types.items()], [])
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    model = helper.make_model(graph, opset_imports=imports)
    try:
        model = onnx.shape_inference.infer_shapes(model)
    except Exception:  # several unrelated classes; without types a call counts as one that runs
        return iter(())
    return _walk(model.graph, {n: text_of(t) for n, t in types.items()}, opsets)


def _walk(graph: Any, outer: Mapping[str, str], opsets: Mapping[str, int]) -> Iterator[Call]:
    types = {**outer, **{v.name: text_of(v.type) for v in (*graph.input, *graph.value_info, *graph.output)}}
    types |= {t.name: _tensor(t.data_type) for t in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    constant = {t.name for t in graph.initializer} | {n for n, m in makers.items() if m.op_type == "Constant"}
    for node in graph.node:
        inputs, outputs = (tuple(types.get(n, UNKNOWN) if n else None for n in s) for s in (node.input, node.output))
        call = Call("" if node.domain == "ai.onnx" else node.domain, node.op_type, opsets, inputs, outputs, node)
        perms = (perm_of(makers.get(n), None, constant) for n in node.input)
        yield replace(call, fused=True) if fuses(call, perms) else call
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from _walk(inner, types, opsets)


def call_node(call: Call) -> Any:
    """The call as a NodeProto."""
    if call.node is not None:
        return call.node
    from onnx import helper

    inputs = [f"i{k}" if text is not None else "" for k, text in enumerate(call.inputs)]
    outputs = [f"o{k}" if text is not None else "" for k, text in enumerate(call.outputs)]
    return helper.make_node(call.op, inputs, outputs, domain=call.domain)


# -- types ------------------------------------------------------------------------------------------------------------
def type_proto(text: str | None) -> Any:
    """The TypeProto of a type text, with no shape; None for a type that is not known."""
    import onnx

    if not text:
        return None
    dtype = to_dtype(text)
    if dtype is not None:
        return onnx.helper.make_tensor_type_proto(to_onnx(dtype), None)
    outer = re.fullmatch(r"(seq|optional)\((.*)\)", text)
    inner = type_proto(outer[2]) if outer else None
    if outer is None or inner is None:
        return None
    make = onnx.helper.make_sequence_type_proto if outer[1] == "seq" else onnx.helper.make_optional_type_proto
    return make(inner)


def text_of(proto: Any) -> str:
    """The text by which schemas know a type, ``tensor(float)``; UNKNOWN for an element type that is not known here."""
    match proto.WhichOneof("value"):
        case "tensor_type":
            return _tensor(proto.tensor_type.elem_type)
        case "sparse_tensor_type":
            inner = _tensor(proto.sparse_tensor_type.elem_type)
            return f"sparse_{inner}" if inner else UNKNOWN
        case "sequence_type":
            return _outer("seq", text_of(proto.sequence_type.elem_type))
        case "optional_type":
            return _outer("optional", text_of(proto.optional_type.elem_type))
        case "map_type":
            key, value = _tensor(proto.map_type.key_type), text_of(proto.map_type.value_type)
            return f"map({key[7:-1]}, {value[7:-1]})" if value.startswith("tensor") else UNKNOWN
    return UNKNOWN


def _outer(kind: str, inner: str) -> str:
    return f"{kind}({inner})" if inner else UNKNOWN


@functools.cache
def _tensor(number: int) -> str:
    dtype = from_onnx(number)
    return UNKNOWN if dtype is None else to_text(dtype)
