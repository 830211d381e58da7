"""Element types that operators do not take, and declarations that contradict."""

from __future__ import annotations

from typing import Any

from .building import I64, F, model, node, relu, text, value
from .kind import family

kind = family("dtypes")
BAD = "'bad_node'"

kind("two dtypes for one type variable", "IX560", "w: int64", "Add takes two of one dtype")(
    text("[bad_node] y = Add(x, w)", "float[2, 3] x, int64[2, 3] w", "float[m, n] y")
)
kind("a dtype not allowed", "IX560", "x: bool", "Relu does not take bool")(
    text("[bad_node] y = Relu(x)", "bool[2, 3] x", "bool[2, 3] y")
)
kind("a float as index", "IX560", BAD, "indices are integers")(
    text("[bad_node] y = Gather(x, i)", "float[2, 3] x, float[1] i", "float[m, n] y")
)
kind("a shape as int32", "IX560", BAD, "shapes are int64")(
    text("[bad_node] y = Reshape(x, s)", "float[2, 3] x, int32[1] s", "float[m, n] y")
)
kind("a number as condition", "IX560", BAD, "a condition is bool")(
    text("[bad_node] y = Where(c, x, x)", "float[2, 3] c, float[2, 3] x")
)
kind("text as number", "IX560", BAD, "texts cannot be added")(
    text("[bad_node] y = Add(x, x)", "string[2, 3] x", "string[2, 3] y")
)
kind("a tensor as sequence", "IX560", BAD, "SequenceAt takes a sequence")(
    text("[bad_node] y = SequenceAt(x, i)", outputs="float[m, n] y", constants="int64 i = {0}")
)
kind("a sequence as tensor", "IX560", BAD, "Relu takes a tensor")(
    text("[bad_node] y = Relu(x)", "seq(float[2]) x", "float[m, n] y")
)
kind("a zero point of another dtype", "IX560", BAD, "the data is uint8, the zero point int8")(
    text("[bad_node] y = DequantizeLinear(x, s, z)", "uint8[2, 3] x", constants="float s = {1}, int8 z = {0}")
)
kind("a dtype newer than the opset", "IX560", BAD, "Relu takes bfloat16 since opset 13")(
    text("[bad_node] y = Relu(x)", "bfloat16[2, 3] x", "bfloat16[2, 3] y", opsets='"": 11')
)
kind("a declared output dtype", "IX566", "'y'", "Relu of float32 is no int64")(
    text("y = Relu(x)", outputs="int64[2, 3] y")
)


@kind("a declared dtype of an inner value", "IX566", "'h'", "Relu of float32 is no int64")
def _() -> Any:
    nodes = [node("Relu", ["x"], ["h"], "one"), node("Neg", ["h"], ["y"], "two")]
    return model(nodes, infos=[value("h", I64)])


kind("a tensor declared as sequence", "IX566", "'y'", "Relu gives a tensor")(
    text("y = Relu(x)", outputs="seq(float[2, 3]) y")
)
kind(
    "a constant of another dtype than its declaration", "IX566", "'w'", "the input says float32, its default is int64"
)(text("y = Relu(x)", "float[2, 3] x, float[1] w", constants="int64[1] w = {1}"))


@kind("an input of an element type that does not exist", "IX531", "'x'", "there is no element type 99")
def _() -> Any:
    m = relu()
    m.graph.input[0].type.tensor_type.elem_type = 99
    return m


@kind("a sequence of nothing", "IX519", "'x'", "the type of the elements is left out")
def _() -> Any:
    m = model([node("SequenceLength", ["x"], ["y"])], outputs=[value("y", I64, ())])
    m.graph.input[0].type.Clear()
    m.graph.input[0].type.sequence_type.SetInParent()
    return m


@kind("a map with a key that is no key", "IX531", "'x2'", "keys of a map are integers or texts")
def _() -> Any:
    m = relu(inputs=[value("x"), value("m", F)])
    m.graph.input[1].type.map_type.key_type = F
    m.graph.input[1].type.map_type.value_type.tensor_type.elem_type = F
    m.graph.input[1].name = "x2"
    return m
