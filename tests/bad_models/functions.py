"""Local functions: definitions and calls that do not fit."""

from __future__ import annotations

from typing import Any

import onnx

from .building import calling, function, model, node, text
from .kind import family

kind = family("functions")


@kind("a function calls an unknown operator", "IX540", "'inner'", "the function cannot be written out")
def _() -> Any:
    return calling([node("Relo", ["a"], ["b"], "inner")])


kind("a function called with too many inputs", "IX522", "'call'", "the function has one input")(
    function("b = Relu(a)", "[call] y = my.Fn(x, x)")
)
kind("a function called with too many outputs", "IX522", "'call'", "the function has one output")(
    function("b = Relu(a)", "[call] y, z = my.Fn(x)")
)
kind("a function called without an input it needs", "IX537", "'inner'", "the function's node misses its input")(
    function("[inner] b = Add(a, c)", head="Fn (a, c) => (b)")
)
kind("a mistake inside a function, seen from its call", "IX562", "'inner'", "float32[2, 3] times itself does not fit")(
    function("[inner] b = MatMul(a, a)")
)
kind("a dtype that a function does not take", "IX560", "'inner'", "the function's Relu is called with bool")(
    function("[inner] b = Relu(a)", inputs="bool[2, 3] x", outputs="bool[2, 3] y")
)


@kind("a function defined twice", "IX523", "my.dom::Fn", "runtimes take one of the two")
def _() -> Any:
    m = calling([node("Relu", ["a"], ["b"], "inner")])
    m.functions.add().CopyFrom(m.functions[0])
    return m


@kind("a reference to an attribute outside of a function", "IX524", "'alpha'", "there is nothing it could refer to")
def _() -> Any:
    bad = node("LeakyRelu", ["x"], ["y"])
    bad.attribute.add(name="alpha", ref_attr_name="alpha", type=onnx.AttributeProto.FLOAT)
    return model([bad])


kind("a reference to an attribute the function lacks", "IX524", "'slope'", "the function has no such attribute")(
    function("b = LeakyRelu <alpha: float = @slope> (a)")
)
kind("a reference to an attribute of another type", "IX537", "'slope'", "an integer is given where a float is meant")(
    function("b = LeakyRelu <alpha: float = @slope> (a)", "[call] y = my.Fn <slope = 1> (x)", "Fn <slope> (a) => (b)")
)
kind("a call that leaves out an attribute", "IX537", "'slope'", "the attribute has no default")(
    function("b = LeakyRelu <alpha: float = @slope> (a)", head="Fn <slope> (a) => (b)")
)
kind("a call with an attribute the function lacks", "IX537", "'slope'", "the value is ignored without a word")(
    function("b = Relu(a)", "[call] y = my.Fn <slope = 0.5> (x)")
)
kind("an output of a function that nothing makes", "IX514", "'b'", "the function promises what nothing makes")(
    function("c = Relu(a)")
)
kind("an undefined value in a function", "IX506", "'x'", "a function does not see the values of its caller")(
    function("b = Add(a, x)")
)
kind("two inputs of a function have one name", "IX511", "'a'", "one name would mean two values")(
    function("b = Relu(a)", "[call] y = my.Fn(x, x)", "Fn (a, a) => (b)")
)
kind("two outputs of a function have one name", "IX536", "'b'", "one name would stand for two results")(
    function("b = Relu(a)", "[call] y, z = my.Fn(x)", "Fn (a) => (b, b)")
)
kind("a function without an import of what it uses", "IX505", "'inner'", "which version is meant is open")(
    text(
        "y = my.Fn(x)",
        opsets='"": 21, "my": 1',
        more='<domain: "my", opset_import: ["other": 1]> Fn (a) => (b) { [inner] b = Relu(a) }',
    )
)
kind(
    "a call of a function whose domain is not imported", "IX505", "my::Fn", "the domain of the function is not imported"
)(text("y = my.Fn(x)", more='<domain: "my", opset_import: ["": 21]> Fn (a) => (b) { b = Relu(a) }'))
kind("a function that imports a domain twice", "IX503", "imported twice", "readers differ in what Softmax means")(
    text(
        "y = my.Fn(x)",
        opsets='"": 21, "my": 1',
        more='<domain: "my", opset_import: ["": 12, "": 21]> Fn (a) => (b) { b = Softmax(a) }',
    )
)
kind(
    "a function of an opset other than the model's",
    "IX538",
    "opset 12",
    "ONNX Runtime writes the function out at the model's opset",
)(
    text(
        "y = my.Fn(x)",
        opsets='"": 21, "my": 1',
        more='<domain: "my", opset_import: ["": 12]> Fn (a) => (b) { b = Softmax(a) }',
    )
)
kind(
    "a function in the name of a standard operator", "IX539", "Relu", "the model says Relu, and computes something else"
)(text("y = Relu(x)", more='<domain: "", opset_import: ["": 21]> Relu (a) => (b) { b = Neg(a) }'))


@kind("a function without a name", "IX526", "no name", "nothing could call it")
def _() -> Any:
    m = calling([node("Relu", ["a"], ["b"], "inner")])
    m.functions.add(name="", domain="my.dom").opset_import.add(domain="", version=21)
    return m


@kind(
    "an attribute of a function with and without a default",
    "IX537",
    "'slope'",
    "readers differ in whether it is needed",
)
def _() -> Any:
    m = calling([node("Relu", ["a"], ["b"], "inner")])
    m.functions[0].attribute.append("slope")
    m.functions[0].attribute_proto.append(onnx.helper.make_attribute("slope", 0.5))
    return m
