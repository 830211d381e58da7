"""Small models made by hand with onnx.helper: between them they use everything a ModelProto can say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.helper import make_graph, make_node, make_opsetid, make_tensor_value_info

F, I64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
Feeds = dict[str, Any]
MODELS: dict[str, Callable[[], tuple[onnx.ModelProto, Feeds | None]]] = {}


def model(f: Callable[[], tuple[onnx.ModelProto, Feeds | None]]) -> Callable[..., Any]:
    MODELS[f.__name__] = f
    return f


def make_model(graph: onnx.GraphProto, **more: Any) -> onnx.ModelProto:
    more.setdefault("opset_imports", [make_opsetid("", 21)])
    return helper.make_model(graph, ir_version=10, **more)


def value(name: str, dtype: int = F, shape: Any = (2, 3)) -> onnx.ValueInfoProto:
    return make_tensor_value_info(name, dtype, shape)


def array(name: str, data: Any, dtype: Any = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(data, dtype), name)


X = np.arange(6, dtype=np.float32).reshape(2, 3) - 2


def entry(props: Any, **entries: str) -> None:
    for key, text in entries.items():
        props.add(key=key, value=text)


@model
def everything_said() -> tuple[onnx.ModelProto, Feeds | None]:
    """Names, doc strings, metadata and versions in every place that has them."""
    mul = make_node("MatMul", ["x", "w"], ["h"], name="layer/mul", doc_string="a node")
    entry(mul.metadata_props, module="layer", line="m.py:3")
    w = array("w", np.eye(3))
    w.doc_string = "a weight"
    entry(w.metadata_props, kind="parameter")
    inner = value("h", F, ("batch", 3))
    inner.doc_string = "hidden"
    entry(inner.metadata_props, kept="yes")
    x, y = value("x", F, ("batch", 3)), value("y", F, ("batch", None))
    x.doc_string = "input"
    entry(y.metadata_props, unit="cm")
    graph = make_graph([mul, make_node("Relu", ["h"], ["y"])], "net", [x], [y], [w], "a graph", [inner])
    entry(graph.metadata_props, g="1")
    m = make_model(graph, producer_name="p", producer_version="1.2", model_version=7, domain="org.x", doc_string="d")
    entry(m.metadata_props, zulu="last", alpha="first")
    return m, {"x": X}


@model
def branches_with_captures() -> tuple[onnx.ModelProto, Feeds | None]:
    """If in If; both levels read outer values, and a constant stands in a subgraph."""
    deep = make_graph([make_node("Mul", ["h", "k"], ["d"])], "deep", [], [value("d")], [array("k", [2.0])])
    flat = make_graph([make_node("Neg", ["x"], ["e"])], "flat", [], [value("e")])
    nested = make_node("If", ["c"], ["n"], then_branch=deep, else_branch=flat)
    then = make_graph([make_node("Add", ["x", "x"], ["h"]), nested], "then", [], [value("n")])
    other = make_graph([make_node("Identity", ["z"], ["o"])], "else", [], [value("o")])
    nodes = [make_node("Abs", ["x"], ["z"]), make_node("If", ["c"], ["y"], then_branch=then, else_branch=other)]
    graph = make_graph(nodes, "g", [value("x"), value("c", BOOL, ())], [value("y")])
    return make_model(graph), {"x": X, "c": np.array(True)}


@model
def loop() -> tuple[onnx.ModelProto, Feeds | None]:
    body = make_graph(
        [
            make_node("Identity", ["cond_in"], ["cond_out"]),
            make_node("Add", ["s_in", "x"], ["s_out"]),
            make_node("ReduceSum", ["s_out"], ["scan"], keepdims=0),
        ],
        "body",
        [value("i", I64, ()), value("cond_in", BOOL, ()), value("s_in")],
        [value("cond_out", BOOL, ()), value("s_out"), value("scan", F, ())],
    )
    nodes = [make_node("Loop", ["n", "", "x"], ["y", "sums"], body=body)]
    graph = make_graph(nodes, "g", [value("x")], [value("y"), value("sums", F, ("n",))], [array("n", 3, np.int64)])
    return make_model(graph), {"x": X}


@model
def scan() -> tuple[onnx.ModelProto, Feeds | None]:
    body = make_graph(
        [make_node("Add", ["s", "row"], ["t"]), make_node("Identity", ["t"], ["u"])],
        "body",
        [value("s", F, (3,)), value("row", F, (3,))],
        [value("t", F, (3,)), value("u", F, (3,))],
    )
    nodes = [make_node("Scan", ["zero", "x"], ["last", "y"], body=body, num_scan_inputs=1)]
    graph = make_graph(nodes, "g", [value("x")], [value("last", F, (3,)), value("y")], [array("zero", [0, 0, 0])])
    return make_model(graph), {"x": X}


@model
def functions() -> tuple[onnx.ModelProto, Feeds | None]:
    """A function that calls a function, with an attribute, one with a default, and a subgraph that refers to it."""
    slope = make_node("LeakyRelu", ["a"], ["b"])
    slope.attribute.add(name="alpha", ref_attr_name="alpha", type=onnx.AttributeProto.FLOAT)
    scale = make_node("Constant", [], ["k"])
    scale.attribute.add(name="value_float", ref_attr_name="scale", type=onnx.AttributeProto.FLOAT)
    branch = make_graph([scale, make_node("Mul", ["b", "k"], ["t"])], "then", [], [value("t", F, None)])
    keep = make_graph([make_node("Identity", ["b"], ["e"])], "else", [], [value("e", F, None)])
    choose = make_node("If", ["cond"], ["out"], then_branch=branch, else_branch=keep)
    imports = [make_opsetid("", 21), make_opsetid("local", 1)]
    leaky = helper.make_function(
        "local",
        "Leaky",
        ["a", "cond"],
        ["out"],
        [slope, choose],
        imports[:1],
        ["alpha"],
        [helper.make_attribute("scale", 2.0)],
        doc_string="a function",
    )
    entry(leaky.metadata_props, from_="module")
    leaky.value_info.append(value("b", F, None))
    call = make_node("Leaky", ["p", "q"], ["r"], domain="local", alpha=0.5)
    twice = helper.make_function("local", "Twice", ["p", "q"], ["s"], [call, make_node("Neg", ["r"], ["s"])], imports)
    nodes = [
        make_node("Twice", ["x", "c"], ["h"], domain="local"),
        make_node("Leaky", ["h", "c"], ["y"], domain="local", alpha=0.25, scale=3.0),
    ]
    graph = make_graph(nodes, "g", [value("x"), value("c", BOOL, ())], [value("y")])
    return make_model(graph, functions=[leaky, twice], opset_imports=imports), {"x": X, "c": np.array(True)}


@model
def optional_inputs_and_outputs() -> tuple[onnx.ModelProto, Feeds | None]:
    """An input and an output left out in the middle, an initializer that is an input's default."""
    nodes = [
        make_node("Clip", ["x", "", "high"], ["c"]),
        make_node("Unique", ["c"], ["u", "", "y"]),
    ]
    inputs = [value("x"), value("high", F, ())]
    return make_model(make_graph(nodes, "g", inputs, [value("y", I64, (6,))], [array("high", 1.5)])), {"x": X}


@model
def sparse() -> tuple[onnx.ModelProto, Feeds | None]:
    """A sparse initializer and a sparse attribute."""
    weight = helper.make_sparse_tensor(array("w", [1, 2]), array("", [1, 5], np.int64), [3, 3])
    other = helper.make_sparse_tensor(array("", [3]), array("", [[0, 2]], np.int64), [2, 3])
    constant = make_node("Constant", [], ["k"])
    constant.attribute.append(helper.make_attribute("sparse_value", other))
    nodes = [constant, make_node("MatMul", ["x", "w"], ["h"]), make_node("Add", ["h", "k"], ["y"])]
    graph = make_graph(nodes, "g", [value("x")], [value("y")], sparse_initializer=[weight])
    return make_model(graph), {"x": X}


@model
def strings() -> tuple[onnx.ModelProto, Feeds | None]:
    """String tensors, not all of them UTF-8, and a string attribute that is not."""
    words = TensorProto(name="words", data_type=TensorProto.STRING, dims=[3], string_data=[b"a", "ü".encode(), b""])
    nodes = [make_node("StringConcat", ["x", "words"], ["y"])]
    odd = make_node("Custom", ["x"], ["z"], domain="odd", note=b"\xff\xfe")
    text = TensorProto(data_type=TensorProto.STRING, dims=[], string_data=[b"\xff"])
    odd.attribute.append(helper.make_attribute("t", text))
    graph = make_graph(
        [*nodes, odd],
        "g",
        [value("x", TensorProto.STRING, (3,))],
        [value("y", TensorProto.STRING, (3,)), value("z", TensorProto.STRING, (3,))],
        [words],
    )
    return make_model(graph, opset_imports=[make_opsetid("", 21), make_opsetid("odd", 1)]), None


@model
def sequences_and_optionals() -> tuple[onnx.ModelProto, Feeds | None]:
    tensor = helper.make_tensor_type_proto(F, ("n", 3))
    sequence = helper.make_sequence_type_proto(tensor)
    optional = helper.make_optional_type_proto(tensor)
    nodes = [
        make_node("SequenceConstruct", ["x", "x"], ["s"]),
        make_node("ConcatFromSequence", ["s"], ["y"], axis=0),
        make_node("Optional", ["x"], ["o"]),
        make_node("Optional", [], ["none"], type=sequence),
    ]
    graph = make_graph(
        nodes,
        "g",
        [value("x"), helper.make_value_info("given", optional)],
        [value("y", F, (4, 3)), helper.make_value_info("o", helper.make_optional_type_proto(tensor))],
        value_info=[helper.make_value_info("s", sequence)],
    )
    return make_model(graph), None


@model
def maps_and_denotations() -> tuple[onnx.ModelProto, Feeds | None]:
    x = value("x", F, ("N", 3, 8, 8))
    x.type.denotation = "IMAGE"
    for dim, text in zip(x.type.tensor_type.shape.dim, ("DATA_BATCH", "DATA_CHANNEL", "", ""), strict=True):
        dim.denotation = text
    table = helper.make_map_type_proto(I64, helper.make_tensor_type_proto(F, ()))
    y = helper.make_value_info("y", helper.make_sequence_type_proto(table))
    nodes = [make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[1, 2, 3])]
    imports = [make_opsetid("", 21), make_opsetid("ai.onnx.ml", 5)]
    return make_model(make_graph(nodes, "g", [x], [y]), opset_imports=imports), None


@model
def every_attribute_type() -> tuple[onnx.ModelProto, Feeds | None]:
    tensor = array("t", [[1, 2]])
    sub = make_graph([make_node("Identity", ["x"], ["i"])], "sub", [], [value("i")])
    thin = helper.make_sparse_tensor(array("v", [3]), array("j", [1], np.int64), [4])
    kind = helper.make_tensor_type_proto(F, ("n",))
    attributes = {
        "f": 0.1,
        "i": -(2**63),
        "s": "text",
        "t": tensor,
        "g": sub,
        "sp": thin,
        "tp": kind,
        "fs": [0.5, -0.0],
        "is": [1, 2],
        "ss": ["a", b"\xff"],
        "ts": [tensor, tensor],
        "gs": [sub],
        "sps": [thin],
        "tps": [kind],
    }
    node = make_node("Odd", ["x"], ["y"], domain="odd")
    for name, given in attributes.items():
        a = helper.make_attribute(name, given, doc_string=f"doc of {name}")
        node.attribute.append(a)
    node.attribute.append(helper.make_attribute("empty", [], attr_type=onnx.AttributeProto.INTS))
    graph = make_graph([node], "g", [value("x")], [value("y", F, None)])
    return make_model(graph, opset_imports=[make_opsetid("", 21), make_opsetid("odd", 3)]), None


@model
def quantization_training_devices() -> tuple[onnx.ModelProto, Feeds | None]:
    nodes = [make_node("Relu", ["x"], ["y"])]
    device = nodes[0].device_configurations.add(configuration_id="two", pipeline_stage=1)
    device.sharding_spec.add(tensor_name="x", device=[0, 1])
    graph = make_graph(nodes, "g", [value("x")], [value("y")], [array("scale", 0.5), array("zero", 0, np.int8)])
    note = graph.quantization_annotation.add(tensor_name="x")
    entry(note.quant_parameter_tensor_names, SCALE_TENSOR="scale", ZERO_POINT_TENSOR="zero")
    m = make_model(graph)
    m.configuration.add(name="two", num_devices=2, device=["a", "b"])
    info = m.training_info.add()
    info.initialization.name = "start"
    entry(info.update_binding, w="w_new")
    return m, {"x": X}


@model
def untyped_and_scalar() -> tuple[onnx.ModelProto, Feeds | None]:
    """A value of unknown rank, one of no type, a scalar, an empty tensor; an output twice as an input."""
    nodes = [make_node("Add", ["x", "one"], ["y"]), make_node("Concat", ["y", "nothing"], ["z"], axis=0)]
    constants = [array("one", 1.0), array("nothing", np.zeros((0, 3)))]
    graph = make_graph(
        nodes, "g", [value("x", F, None)], [onnx.ValueInfoProto(name="z"), value("x", F, None)], constants
    )
    return make_model(graph), None
