"""The pieces bad models are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

F, I64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


# -- by text ----------------------------------------------------------------------------------------------------------
def text(
    body: str,
    inputs: str = "float[2, 3] x",
    outputs: str = "float[2, 3] y",
    constants: str = "",
    *,
    opsets: str = '"": 21',
    ir: int = 10,
    more: str = "",
) -> Callable[[], onnx.ModelProto]:
    """The maker of a model in onnx's text format.

    constants: initializers, ``int64[1] i = {9}``.  more: functions.
    """

    def make() -> onnx.ModelProto:
        data = f"<{constants}>" if constants else ""
        head = f"<ir_version: {ir}, opset_import: [{opsets}]>"
        return onnx.parser.parse_model(f"{head}\nmain ({inputs}) => ({outputs}) {data} {{ {body} }}\n{more}")

    return make


FN = '"": 21, "my": 1'


def function(
    body: str, call: str = "[call] y = my.Fn(x)", head: str = "Fn (a) => (b)", more: str = "", **kw: Any
) -> Any:
    """The maker of a model that calls a local function of domain ``my``."""
    domain = f'<domain: "my", opset_import: [{FN}]>'
    return text(call, opsets=FN, more=f"{domain} {head} {{ {body} }} {more}", **kw)


# -- by hand ----------------------------------------------------------------------------------------------------------
def value(name: str, dtype: int = F, shape: Sequence[Any] | None = (2, 3)) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], name: str = "bad_node", **attributes: Any) -> Any:
    return helper.make_node(op, inputs, outputs, name=name, **attributes)


def const(name: str, array: Any, dtype: Any = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(array, dtype), name)


def model(
    nodes: Sequence[Any],
    inputs: Sequence[Any] = (value("x"),),
    outputs: Sequence[Any] = (value("y"),),
    initializers: Sequence[Any] = (),
    *,
    opsets: dict[str, int] | None = None,
    infos: Sequence[Any] = (),
    functions: Sequence[Any] = (),
    ir_version: int = 10,
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "main", inputs, outputs, initializers, value_info=infos)
    imports = [helper.make_opsetid(d, v) for d, v in (opsets or {"": 21}).items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=ir_version, functions=functions)


def relu(**kw: Any) -> onnx.ModelProto:
    """A valid model."""
    return model([node("Relu", ["x"], ["y"], "ok")], **kw)


def add(w: onnx.TensorProto | None = None, sparse: onnx.SparseTensorProto | None = None) -> onnx.ModelProto:
    """y = x + w."""
    proto = model([node("Add", ["x", "w"], ["y"], "add")], initializers=[] if w is None else [w])
    if sparse is not None:
        proto.graph.sparse_initializer.append(sparse)
    return proto


def branch(nodes: Sequence[Any], outputs: Sequence[Any], name: str = "branch") -> onnx.GraphProto:
    return helper.make_graph(nodes, name, [], outputs)


def condition(
    then: onnx.GraphProto, other: onnx.GraphProto | None = None, *more: Any, outputs: Sequence[str] = ("y",)
) -> onnx.ModelProto:
    good = branch([node("Neg", ["x"], ["other"], "neg")], [value("other")])
    nodes = [node("If", ["c"], list(outputs), then_branch=then, else_branch=other or good), *more]
    return model(nodes, [value("c", BOOL, ()), value("x")], [value(o) for o in outputs])


def calling(nodes: Sequence[Any], inputs: Sequence[str] = ("x",), **attributes: Any) -> onnx.ModelProto:
    """A call of the function my.dom::Fn, which has these nodes."""
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("my.dom", 1)]
    made = helper.make_function("my.dom", "Fn", ["a"], ["b"], nodes, imports)
    call = node("Fn", list(inputs), ["y"], "call", domain="my.dom", **attributes)
    return model([call], functions=[made], opsets={"": 21, "my.dom": 1})


def external(folder: Path, size: int, **entries: Any) -> Path:
    """A model whose weight w: float32[3] stands in w.bin of `size` bytes."""
    (folder / "w.bin").write_bytes(bytes(size))
    w = TensorProto(name="w", data_type=F, dims=[3], data_location=TensorProto.EXTERNAL)
    for key, given in {"location": "w.bin", **entries}.items():
        w.external_data.add(key=key, value=str(given))
    path = folder / "m.onnx"
    path.write_bytes(add(w).SerializeToString())
    return path


# -- byte by byte: https://protobuf.dev/programming-guides/encoding ----------------------------------------------------
def varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def wire(field: int, content: bytes) -> bytes:
    """A field that holds bytes, a text or a message."""
    return varint(field << 3 | 2) + varint(len(content)) + content


GRAPH = 7  # ModelProto.graph
