"""Nodes that the operators' schemas do not know: operators, versions, numbers of inputs and outputs."""

from __future__ import annotations

from .building import text
from .kind import family

kind = family("schema")

kind("unknown operator", "IX540", "'bad_node'", "ONNX has no operator of this name")(text("[bad_node] y = Relo(x)"))
kind("an operator in another case", "IX540", "Relu", "names of operators are case sensitive")(text("y = relu(x)"))
kind(
    "unknown operator of an imported domain", "IX543", "'bad_node'", "only the author's own runtime knows the operator"
)(text("[bad_node] y = my.Foo(x)", opsets='"": 21, "my": 1'))
kind("unknown operator of ai.onnx.ml", "IX540", "'bad_node'", "the domain has no operator of this name")(
    text("[bad_node] y = ai.onnx.ml.Foo(x)", opsets='"": 21, "ai.onnx.ml": 3')
)
kind("unknown operator of com.microsoft", "IX540", "'bad_node'", "the domain has no operator of this name")(
    text("[bad_node] y = com.microsoft.Foo(x)", opsets='"": 21, "com.microsoft": 1')
)
kind("an operator newer than the opset", "IX541", "'bad_node'", "Gelu came with opset 20")(
    text("[bad_node] y = Gelu(x)", opsets='"": 13')
)
kind("a deprecated operator", "IX542", "'bad_node'", "Upsample was replaced by Resize in opset 10")(
    text("[bad_node] y = Upsample(x, s)", outputs="float[m, n] y", constants="float[2] s = {1, 1}")
)
kind(
    "a deprecated operator of com.microsoft's domain in ai.onnx",
    "IX540",
    "'bad_node'",
    "FusedMatMul is not an operator of ONNX",
)(text("[bad_node] y = FusedMatMul(x, w)", constants="float[3, 3] w = {1,1,1,1,1,1,1,1,1}"))
kind("too few inputs", "IX548", "'bad_node'", "Add takes two")(text("[bad_node] y = Add(x)"))
kind("too many inputs", "IX548", "'bad_node'", "Relu takes one")(text("[bad_node] y = Relu(x, x)"))
kind("no inputs", "IX548", "'bad_node'", "Relu takes one")(text("[bad_node] y = Relu()"))
kind("a required input left out", "IX548", "'bad_node'", "an empty name stands in the place of Add's first input")(
    text('[bad_node] y = Add("", x)')
)
kind("a variadic operator without inputs", "IX548", "'bad_node'", "Concat takes at least one")(
    text("[bad_node] y = Concat <axis = 0> ()")
)
kind("too many outputs", "IX549", "'bad_node'", "Relu gives one")(text("[bad_node] y, z = Relu(x)"))
kind("no outputs of a node", "IX549", "'bad_node'", "a node that gives nothing computes nothing")(
    text("[bad_node] = Relu(x) y = Neg(x)")
)
kind("a required output left out", "IX549", "'bad_node'", "the values of TopK cannot be left out")(
    text('[bad_node] "", y = TopK(x, k)', outputs="int64[2, 1] y", constants="int64[1] k = {1}")
)
