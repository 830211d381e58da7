"""Attributes: unknown, missing, of another type, with a value that the operator does not take."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from .building import F, const, model, node, text, value
from .kind import family

kind = family("attributes")
BAD = "'bad_node'"
IMAGE = "float[1, 4, 8, 8] x"
IMAGE_OUT = "float[a, b, c, d] y"


def conv(attributes: str) -> Any:
    return text(f"[bad_node] y = Conv <{attributes}> (x, w)", f"{IMAGE}, float[4, 4, 3, 3] w", IMAGE_OUT)


def pool(attributes: str) -> Any:
    return text(f"[bad_node] y = MaxPool <{attributes}> (x)", IMAGE, IMAGE_OUT)


# -- which ------------------------------------------------------------------------------------------------------------
kind("unknown attribute", "IX544", "'alpha'", "Relu has no attribute")(text("y = Relu <alpha = 1.0> (x)"))
kind("an attribute with a typing mistake", "IX544", "kernel_shape", "runtimes refuse it, or take the default")(
    pool("kernelshape = [2, 2]")
)
kind("an attribute that became an input", "IX544", "input axes", "the axes of ReduceSum are an input since opset 13")(
    text("y = ReduceSum <axes = [0]> (x)", outputs="float[m, n] y")
)
kind("missing required attribute", "IX545", "'to'", "Cast has no default type")(text("y = Cast(x)"))


@kind("one attribute twice", "IX550", "'axis'", "readers differ in the one they take")
def _() -> Any:
    bad = node("Softmax", ["x"], ["y"], axis=1)
    bad.attribute.add().CopyFrom(bad.attribute[0])
    return model([bad])


@kind("an attribute without a name", "IX544", "''", "nothing says which attribute is meant")
def _() -> Any:
    bad = node("Relu", ["x"], ["y"])
    bad.attribute.add(i=1, type=onnx.AttributeProto.INT)
    return model([bad])


# -- of another type --------------------------------------------------------------------------------------------------
kind("attribute of another type", "IX546", "axis", "an axis is an integer")(text("y = Softmax <axis = 1.5> (x)"))
kind("a list where one value is meant", "IX546", "axis", "an axis is one integer")(text("y = Softmax <axis = [1]> (x)"))


@kind("an attribute without a value", "IX546", "axis", "neither a type nor a value: readers take the default, or 0")
def _() -> Any:
    bad = node("Softmax", ["x"], ["y"])
    bad.attribute.add(name="axis")
    return model([bad])


@kind("an attribute whose value stands in another field", "IX552", "axis", "its type says INT, its value is a float")
def _() -> Any:
    bad = node("Softmax", ["x"], ["y"])
    bad.attribute.add(name="axis", type=onnx.AttributeProto.INT, f=1.0)
    return model([bad])


@kind("an attribute with values in two fields", "IX552", "axis", "readers differ in the field they take")
def _() -> Any:
    bad = node("Softmax", ["x"], ["y"])
    bad.attribute.add(name="axis", type=onnx.AttributeProto.INT, i=1, ints=[0])
    return model([bad])


@kind("an attribute of a type that does not exist", "IX552", "axis", "a type that the format does not have")
def _() -> Any:
    bad = node("Softmax", ["x"], ["y"])
    bad.attribute.add(name="axis", i=1).ParseFromString(b"\n\x04axis\xa0\x01\x63\x18\x01")
    return model([bad])


# -- values -----------------------------------------------------------------------------------------------------------
kind("attribute value out of set", "IX547", "'reflekt'", "Pad has no such mode")(
    text('y = Pad <mode = "reflekt"> (x, p)', outputs="float[m, n] y", constants="int64[4] p = {0, 0, 1, 1}")
)
kind("a value in another case", "IX547", "'same_upper'", "values of attributes are case sensitive")(
    pool('kernel_shape = [2, 2], auto_pad = "same_upper"')
)
kind("a flag that is neither 0 nor 1", "IX547", "keepdims=7", "readers differ in what 7 means")(
    text("y = ReduceSum <keepdims = 7> (x)", outputs="float[m, n] y")
)
kind("a cast to no type", "IX547", "to=99", "there is no element type 99")(text("y = Cast <to = 99> (x)"))
kind("a cast to UNDEFINED", "IX547", "to=0", "0 stands for no type")(text("y = Cast <to = 0> (x)"))
kind("an axis of 2^32", "IX553", BAD, "a reader that keeps 32 bits sees axis 0")(
    text("[bad_node] y = Softmax <axis = 4294967296> (x)")
)
kind("an axis beyond the rank", "IX562", BAD, "x has two axes")(text("[bad_node] y = Softmax <axis = 5> (x)"))
kind("an axis beyond the rank of Gather", "IX562", BAD, "x has two axes")(
    text("[bad_node] y = Gather <axis = 2> (x, i)", outputs="float[m, n] y", constants="int64[1] i = {0}")
)
kind("an axis beyond the rank of LayerNormalization", "IX576", BAD, "x has two axes")(
    text("[bad_node] y = LayerNormalization <axis = 2> (x, s)", constants="float[3] s = {1, 1, 1}")
)
kind("an axis beyond the rank of CumSum", "IX576", BAD, "x has two axes")(
    text("[bad_node] y = CumSum(x, a)", constants="int64 a = {4}")
)
kind("an axis given twice", "IX578", BAD, "axis 1 is reduced twice")(
    text("[bad_node] y = ReduceSum(x, a)", outputs="float[m, n] y", constants="int64[2] a = {1, -1}")
)
kind("group 0", "IX553", "group", "channels cannot be divided by 0")(conv("group = 0"))
kind("a negative group", "IX553", "group", "channels cannot be divided into -1 groups")(conv("group = -1"))
kind("strides of 0", "IX553", "strides", "a window that does not move never ends")(conv("strides = [0, 1]"))
kind("negative strides", "IX553", "strides", "windows move forward")(pool("kernel_shape = [2, 2], strides = [-1, 1]"))
kind("dilations of 0", "IX553", "dilations", "all elements of the window would be one")(conv("dilations = [0, 1]"))
kind("a kernel of 0", "IX553", "kernel_shape", "a window without elements")(pool("kernel_shape = [0, 2]"))
kind("strides of another rank", "IX562", BAD, "an image has two spatial axes")(conv("strides = [1, 1, 1]"))
kind("pads of another length", "IX562", BAD, "two spatial axes have four pads")(conv("pads = [1, 1]"))
kind("pads beside auto_pad", "IX554", "auto_pad", "auto_pad computes the pads: readers differ in which ones count")(
    conv('auto_pad = "SAME_UPPER", pads = [1, 1, 1, 1]')
)
kind("negative pads", "IX562", "pads", "the operator's text has pads of 0 or more, and runtimes differ")(
    pool("kernel_shape = [2, 2], pads = [-1, 0, 0, 0]")
)
kind("a window wholly inside of the padding", "IX576", "pads", "the largest of no elements is open")(
    pool("kernel_shape = [2, 2], pads = [2, 2, 2, 2]")
)
kind("a kernel_shape other than the weight's", "IX563", "kernel_shape", "the weight is 3 x 3")(
    conv("kernel_shape = [5, 5]")
)
kind("dilations of 0 in Col2Im", "IX553", "dilations", "onnx does not look: ONNX Runtime refuses the model")(
    text(
        "[bad_node] y = Col2Im <dilations = [1, 0]> (x, s, b)",
        "float[1, 4, 4] x",
        "float[a, b, c, d] y",
        "int64[2] s = {3, 3}, int64[2] b = {2, 2}",
    )
)
kind("blocksize 0", "IX562", "Blocksize", "channels cannot be divided by 0")(
    text("[bad_node] y = DepthToSpace <blocksize = 0> (x)", IMAGE, IMAGE_OUT)
)
kind("num_outputs 0", "IX562", "num_outputs", "a split into nothing")(
    text("[bad_node] y = Split <num_outputs = 0> (x)", outputs="float[m, n] y")
)
kind("num_outputs other than the outputs", "IX576", "num_outputs", "a split into three with two names")(
    text("[bad_node] y, z = Split <num_outputs = 3> (x)", "float[6] x", "float[m] y, float[n] z")
)
kind("num_groups that does not divide the channels", "IX576", "num_groups", "4 channels do not divide into 3 groups")(
    text("[bad_node] y = GroupNormalization <num_groups = 3> (x, s, s)", IMAGE, IMAGE_OUT, "float[4] s = {1, 1, 1, 1}")
)
kind("hidden_size other than the weights'", "IX576", "hidden_size", "the weights are made for 2")(
    text(
        "[bad_node] y = LSTM <hidden_size = 3> (x, w, r)",
        "float[5, 1, 4] x, float[1, 8, 4] w, float[1, 8, 2] r",
        IMAGE_OUT,
    )
)
kind("activations of another number", "IX576", "activations", "an LSTM has three for each direction")(
    text(
        '[bad_node] y = LSTM <hidden_size = 2, activations = ["Tanh"]> (x, w, r)',
        "float[5, 1, 4] x, float[1, 8, 4] w, float[1, 8, 2] r",
        IMAGE_OUT,
    )
)
kind("size 0 of LRN", "IX553", "size", "a mean over no channels")(
    text("[bad_node] y = LRN <size = 0> (x)", IMAGE, IMAGE_OUT)
)
kind("a negative epsilon", "IX555", "epsilon", "the root of a negative number is no number")(
    text("[bad_node] y = LayerNormalization <epsilon = -1.0> (x, s)", constants="float[3] s = {1, 1, 1}")
)
kind("an attribute that is not a number", "IX555", "NaN", "every result is NaN")(
    lambda: model([node("LeakyRelu", ["x"], ["y"], alpha=float("nan"))])
)
kind("a random tensor of negative size", "IX562", "shape", "a tensor has no negative size")(
    text("[bad_node] y = RandomNormal <shape = [2, -3]> ()", outputs="float[m, n] y")
)
kind("a Constant with two values", "IX551", BAD, "readers differ in the one they take")(
    text("[bad_node] c = Constant <value_int = 1, value_float = 1.0> () y = Relu(x)")
)
kind("a Constant without a value", "IX551", BAD, "nothing says what it is")(
    text("[bad_node] c = Constant() y = Relu(x)")
)
kind("ConstantOfShape of two values", "IX553", "ConstantOfShape", "the value is one element")(
    text(
        "[bad_node] y = ConstantOfShape <value = float[2] {1, 2}> (s)",
        outputs="float[m, n] y",
        constants="int64[1] s = {4}",
    )
)
kind("a permutation that repeats an axis", "IX562", BAD, "axis 0 twice, axis 1 never")(
    text("[bad_node] y = Transpose <perm = [0, 0]> (x)", outputs="float[m, n] y")
)
kind("a permutation of another rank", "IX562", BAD, "x has two axes")(
    text("[bad_node] y = Transpose <perm = [0, 1, 2]> (x)", outputs="float[m, n] y")
)
kind("an Einsum equation of another rank", "IX562", BAD, "x has two axes, the equation three")(
    text('[bad_node] y = Einsum <equation = "ijk->i"> (x)', outputs="float[m, n] y")
)
kind("an Einsum equation that cannot be read", "IX562", "label", "the result has a letter that no operand has")(
    text('[bad_node] y = Einsum <equation = "ij->iz"> (x)', outputs="float[m, n] y")
)
kind("an Einsum equation for another number of operands", "IX562", BAD, "two operands in the equation, one is given")(
    text('[bad_node] y = Einsum <equation = "ij,jk->ik"> (x)', outputs="float[m, n] y")
)
kind("an interpolation with sizes and scales", "IX562", "sizes", "the one contradicts the other")(
    text(
        '[bad_node] y = Resize(x, "", s, z)',
        IMAGE,
        IMAGE_OUT,
        "float[4] s = {1, 1, 2, 2}, int64[4] z = {1, 4, 9, 9}",
    )
)
kind("an interpolation without sizes and scales", "IX562", "sizes", "nothing says how large the result is")(
    text('[bad_node] y = Resize(x, "", "", "")', IMAGE, IMAGE_OUT)
)


@kind("a tree whose branches lead nowhere", "IX556", "nodes_truenodeids", "node 0 goes to node 9, which is not there")
def _() -> Any:
    bad = node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1, nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2], nodes_featureids=[0, 0, 0], nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_values=[0.5, 0.0, 0.0], nodes_truenodeids=[9, 0, 0], nodes_falsenodeids=[2, 0, 0], target_treeids=[0, 0],
        target_nodeids=[1, 2], target_ids=[0, 0], target_weights=[1.0, 2.0],
    )  # fmt: skip
    return model([bad], outputs=[value("y", F, None)], opsets={"": 21, "ai.onnx.ml": 3})


@kind("lists of a tree that differ in length", "IX556", "nodes_values", "three nodes have two values")
def _() -> Any:
    bad = node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1, nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2], nodes_featureids=[0, 0, 0], nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_values=[0.5, 0.0], nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0], target_treeids=[0, 0],
        target_nodeids=[1, 2], target_ids=[0, 0], target_weights=[1.0, 2.0],
    )  # fmt: skip
    return model([bad], outputs=[value("y", F, None)], opsets={"": 21, "ai.onnx.ml": 3})


@kind("keys and values of a label encoder that differ in length", "IX556", "keys_int64s", "two keys have three values")
def _() -> Any:
    bad = node(
        "LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml", keys_int64s=[1, 2], values_floats=np.ones(3, np.float32)
    )
    inputs = [value("x", onnx.TensorProto.INT64)]
    return model([bad], inputs, opsets={"": 21, "ai.onnx.ml": 3})


@kind("a scale of a quantization that is 0", "IX555", "'s'", "dividing by the scale gives no number")
def _() -> Any:
    nodes = [node("QuantizeLinear", ["x", "s", "z"], ["y"])]
    data = [const("s", 0), const("z", 0, np.uint8)]
    return model(nodes, outputs=[value("y", onnx.TensorProto.UINT8)], initializers=data)


@kind("a tree that begins beyond its nodes", "IX556", "node 9", "one node, and a root of number 9")
def _() -> Any:
    bad = node(
        "TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1, tree_roots=[9], nodes_featureids=[0],
        nodes_splits=const("", [0.5]), nodes_modes=const("", [0], np.uint8), nodes_truenodeids=[0],
        nodes_trueleafs=[1], nodes_falsenodeids=[1], nodes_falseleafs=[1], leaf_targetids=[0, 0],
        leaf_weights=const("", [1, 2]),
    )  # fmt: skip
    return model([bad], outputs=[value("y", F, ["m", "n"])], opsets={"": 21, "ai.onnx.ml": 5})
