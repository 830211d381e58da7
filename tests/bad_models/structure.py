"""Versions, imports, and names that do not mean one value."""

from __future__ import annotations

from typing import Any

import numpy as np

from .building import I64, F, const, model, node, relu, text, value
from .kind import family

kind = family("structure")


# -- values -----------------------------------------------------------------------------------------------------------
kind("undefined input value", "IX506", "'ghost'", "a node reads a value that nothing makes")(text("y = Add(x, ghost)"))
kind("nodes not in order", "IX507", "'late'", "a node stands before the one that makes its input")(
    text("y = Relu(late) late = Neg(x)")
)
kind("a cycle", "IX508", "'one'", "two nodes need each other's result")(text("[one] a = Add(x, y) [two] y = Add(a, x)"))
kind("a node that needs its own output", "IX508", "'self'", "a node needs its own result")(text("[self] y = Add(x, y)"))
kind("a value made twice", "IX509", "'y'", "two nodes make one value")(text("[one] y = Relu(x) [two] y = Neg(x)"))
kind("one node makes a value twice", "IX509", "'y'", "two outputs of a node have one name")(
    text("y, y = Split <num_outputs = 2> (x)", outputs="float[1, 3] y")
)
kind("duplicate node names", "IX510", "'same'", "ONNX Runtime refuses two nodes of one name")(
    text("[same] h = Relu(x) [same] y = Neg(h)")
)
kind("duplicate input name", "IX511", "'x'", "two inputs have one name")(
    text("y = Relu(x)", "float[2, 3] x, float[2, 3] x")
)
kind("duplicate initializer", "IX512", "'w'", "the first and the last of the two give different results")(
    text("y = Add(x, w)", constants="float[1] w = {1}, float[1] w = {2}")
)
kind("an initializer that a node makes", "IX513", "'y'", "a node writes what is a constant already")(
    text("y = Relu(x)", constants="float[2, 3] y = {1, 2, 3, 4, 5, 6}")
)
kind("an input that a node makes", "IX513", "'x'", "a node writes what is an input already")(
    text("x = Relu(x) y = Neg(x)")
)
kind("an output never produced", "IX514", "'z'", "the graph promises what nothing makes")(
    text("y = Relu(x)", outputs="float[2, 3] y, float[2, 3] z")
)
kind("duplicate output name", "IX536", "'y'", "a caller who asks for outputs by name gets one of the two")(
    text("y = Relu(x)", outputs="float[2, 3] y, float[2, 3] y")
)
kind("no outputs", "IX515", "outputs", "the runtime loads the model, and fails in every run")(
    text("y = Relu(x)", outputs="")
)


@kind("an initializer that stands dense and sparse", "IX512", "'w'", "one name is a dense and a sparse constant")
def _() -> Any:
    from .tensors import sparse_add

    m = sparse_add([1, 2], [0, 4])
    m.graph.initializer.append(const("w", [1, 2, 3]))
    return m


@kind("a graph input without a type", "IX519", "'x'", "a caller cannot know what to give")
def _() -> Any:
    m = relu()
    m.graph.input[0].ClearField("type")
    return m


@kind("a graph output without a type", "IX519", "'y'", "a caller cannot know what to expect")
def _() -> Any:
    m = relu()
    m.graph.output[0].ClearField("type")
    return m


@kind("negative size in an input type", "IX525", "'x'", "readers disagree on what a size of -5 means")
def _() -> Any:
    return relu(inputs=[value("x", F, [-5, 3])], outputs=[value("y", F, [-1, 3])])


@kind("an input without a name", "IX526", "an input", "the empty name stands for what is left out")
def _() -> Any:
    return relu(inputs=[value("x", F, [2]), value("", F, [2])], outputs=[value("y", F, [2])])


@kind("an initializer without a name", "IX526", "an initializer", "the empty name stands for what is left out")
def _() -> Any:
    return relu(initializers=[const("", [1.0])])


@kind("a node without an operator", "IX540", "'bad_node'", "a node says nothing about what it computes")
def _() -> Any:
    m = model([node("Relu", ["x"], ["y"])])
    m.graph.node[0].op_type = ""
    return m


@kind("a value declared twice", "IX535 IX566", "'h'", "two declarations of one value contradict each other")
def _() -> Any:
    nodes = [node("Relu", ["x"], ["h"], "one"), node("Neg", ["h"], ["y"], "two")]
    return model(nodes, infos=[value("h"), value("h", I64, (7,))])


@kind("quantization parameters that nothing makes", "IX506", "'ghost'", "a quantization annotation names no value")
def _() -> Any:
    m = relu()
    note = m.graph.quantization_annotation.add(tensor_name="x")
    note.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="ghost")
    return m


# -- versions ---------------------------------------------------------------------------------------------------------
@kind("IR version too new", "IX501", "IR version 99", "no release knows this version of the file format")
def _() -> Any:
    return relu(ir_version=99)


@kind("a negative IR version", "IX501", "IR version -3", "no release knows this version of the file format")
def _() -> Any:
    return relu(ir_version=-3)


@kind("IR version 2^32 + 10", "IX501", "4294967306", "a reader that keeps 32 bits sees version 10")
def _() -> Any:
    return relu(ir_version=2**32 + 10)


kind("opset too new", "IX504", "opset 99", "no release knows this opset")(text("y = Relu(x)", opsets='"": 99'))
kind("opset 0", "IX504", "opset 0", "there is no such opset")(text("y = Relu(x)", opsets='"": 0'))


@kind("opset 2^32 + 21", "IX504", "4294967317", "ONNX Runtime keeps 32 bits and sees opset 21, others refuse")
def _() -> Any:
    return relu(opsets={"": 2**32 + 21})


@kind("a negative opset", "IX504", "opset -1", "there is no such opset")
def _() -> Any:
    return relu(opsets={"": -1})


kind("an opset of ai.onnx.ml that is too new", "IX504", "opset 77", "no release knows this opset")(
    text("y = Relu(x)", opsets='"": 21, "ai.onnx.ml": 77')
)


@kind("no opset import", "IX502", "versions", "what the operators mean is open")
def _() -> Any:
    m = relu()
    del m.opset_import[:]
    return m


kind("one domain imported twice", "IX503", "imported twice", "Softmax of opset 12 is not that of 21: readers choose")(
    text("y = Softmax(x)", opsets='"": 12, "": 21')
)
kind("one domain imported under two names", "IX503", "imported twice", "ai.onnx is the default domain")(
    text("y = Softmax(x)", opsets='"": 12, "ai.onnx": 21')
)
kind("a domain that is not imported", "IX505", "Gelu", "which version of the operator is meant is open")(
    text("y = com.microsoft.Gelu(x)")
)


@kind("an empty graph name", "IX518", "no name", "the format asks for a name")
def _() -> Any:
    m = relu()
    m.graph.name = ""
    return m


@kind(
    "initializers of IR version 3 that are no inputs",
    "IX529",
    "'w'",
    "before IR version 4 each constant is an input too",
)
def _() -> Any:
    nodes = [node("Add", ["x", "w"], ["y"], "add")]
    return model(nodes, initializers=[const("w", np.ones(3))], ir_version=3, opsets={"": 8})


@kind("functions before IR version 8", "IX529", "functions", "IR version 7 has no local functions")
def _() -> Any:
    from .building import calling

    m = calling([node("Relu", ["a"], ["b"], "inner")])
    m.ir_version = 7
    return m
