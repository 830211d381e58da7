"""Constants whose data is not what their type and shape say."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper

from .building import BOOL, F, add, calling, const, model, node, value
from .kind import family

kind = family("tensors")
T = TensorProto
SHORT = "readers take what lies behind, or refuse"


def cast(w: Any) -> Any:
    """y = float(w): a constant of any dtype."""
    nodes = [node("Cast", ["w"], ["y"], "cast", to=F)]
    return model(nodes, inputs=[], outputs=[value("y", F, [f"d{i}" for i in range(len(w.dims))])], initializers=[w])


@kind("raw data shorter than its shape", "IX530", "'w'", f"8 bytes for three float32: {SHORT}")
def _() -> Any:
    return add(T(name="w", data_type=F, dims=[3], raw_data=bytes(8)))


@kind("raw data longer than its shape", "IX530", "'w'", "16 bytes for three float32: a place to hide something")
def _() -> Any:
    return add(T(name="w", data_type=F, dims=[3], raw_data=bytes(16)))


@kind("too few numbers", "IX530", "'w'", f"two numbers for a shape of three: {SHORT}")
def _() -> Any:
    return add(T(name="w", data_type=F, dims=[3], float_data=[1, 2]))


@kind("too many numbers", "IX530", "'w'", "four numbers for a shape of three")
def _() -> Any:
    return add(T(name="w", data_type=F, dims=[3], float_data=[1, 2, 3, 4]))


@kind("no data", "IX530", "'w'", "a shape of three and no numbers")
def _() -> Any:
    return add(T(name="w", data_type=F, dims=[3]))


@kind(
    "data in two fields",
    "IX530",
    "'w'",
    "ONNX Runtime prefers raw_data, others the numbers: what is audited does not run",
)
def _() -> Any:
    return add(T(name="w", data_type=F, dims=[3], float_data=[1, 2, 3], raw_data=bytes(12)))


@kind("data inside and outside of the file", "IX530", "'w'", "ONNX Runtime prefers the outside, others the inside")
def _() -> Any:
    w = T(name="w", data_type=F, dims=[3], float_data=[1, 2, 3], data_location=T.EXTERNAL)
    w.external_data.add(key="location", value="w.bin")
    return add(w)


@kind("data in the field of another dtype", "IX530", "'w'", "float32 data in int64_data")
def _() -> Any:
    return add(T(name="w", data_type=F, dims=[3], int64_data=[1, 2, 3]))


@kind("a segment of a tensor", "IX530", "'w'", "segments never came to be: readers ignore what they say")
def _() -> Any:
    w = T(name="w", data_type=F, dims=[3], float_data=[1, 2, 3])
    w.segment.begin, w.segment.end = 0, 1
    return add(w)


@kind("texts as raw data", "IX530", "'w'", "texts have no fixed length: they stand in string_data")
def _() -> Any:
    nodes = [node("Identity", ["w"], ["y"], "copy")]
    w = T(name="w", data_type=T.STRING, dims=[2], raw_data=b"ab")
    return model(nodes, inputs=[], outputs=[value("y", T.STRING, ["m"])], initializers=[w])


@kind("a bool that is 2", "IX530", "'w'", "neither false nor true: compilers may do anything with it")
def _() -> Any:
    return cast(T(name="w", data_type=BOOL, dims=[3], raw_data=b"\x00\x01\x02"))


@kind("a bool that is 7, as a number", "IX530", "'w'", "neither false nor true")
def _() -> Any:
    return cast(T(name="w", data_type=BOOL, dims=[3], int32_data=[0, 1, 7]))


@kind("a number beyond its dtype", "IX530", "'w'", "300 is no uint8: readers wrap or clip it")
def _() -> Any:
    return cast(T(name="w", data_type=T.UINT8, dims=[2], int32_data=[1, 300]))


@kind("4-bit numbers of another length", "IX530", "'w'", "five numbers of 4 bits are three bytes, not five")
def _() -> Any:
    return cast(T(name="w", data_type=T.INT4, dims=[5], raw_data=bytes(5)))


@kind("half of a complex number", "IX530", "'w'", "complex numbers come in pairs")
def _() -> Any:
    nodes = [node("Identity", ["w"], ["y"], "copy")]
    w = T(name="w", data_type=T.COMPLEX64, dims=[2], float_data=[1, 2, 3])
    return model(nodes, inputs=[], outputs=[value("y", T.COMPLEX64, ["m"])], initializers=[w])


@kind("a negative size of a constant", "IX530", "'w'", "-3 elements: a product of two is positive again")
def _() -> Any:
    return cast(T(name="w", data_type=F, dims=[-3, -1], raw_data=bytes(12)))


@kind("a shape whose product overflows", "IX530", "'w'", "2^32 times 2^32 is 0 in 64 bits, which the data has")
def _() -> Any:
    return cast(T(name="w", data_type=F, dims=[2**32, 2**32]))


@kind("a shape of 2^62 elements", "IX530", "'w'", "no memory holds it")
def _() -> Any:
    return cast(T(name="w", data_type=F, dims=[2**62], raw_data=bytes(4)))


@kind("a shape of a thousand axes", "IX530 IX573", "'w'", "no runtime has so many")
def _() -> Any:
    return cast(T(name="w", data_type=F, dims=[1] * 1000, raw_data=bytes(4)))


@kind("an element type that does not exist", "IX531", "'w'", "there is no element type 99")
def _() -> Any:
    return add(T(name="w", data_type=99, dims=[3], raw_data=bytes(12)))


@kind("a constant without an element type", "IX531", "'w'", "0 stands for no type")
def _() -> Any:
    return add(T(dims=[3], name="w", float_data=[1, 2, 3]))


@kind("short data in a Constant", "IX530", "attribute value", f"8 bytes for three float32: {SHORT}")
def _() -> Any:
    w = T(data_type=F, dims=[3], raw_data=bytes(8))
    return model([node("Constant", [], ["w"], "c", value=w), node("Add", ["x", "w"], ["y"])])


@kind("short data in a function", "IX530", "attribute value", f"8 bytes for three float32: {SHORT}")
def _() -> Any:
    w = T(data_type=F, dims=[3], raw_data=bytes(8))
    return calling([node("Constant", [], ["w"], "c", value=w), node("Add", ["a", "w"], ["b"], "add")])


@kind(
    "short data in the default of a function's attribute",
    "IX530",
    "'weight'",
    "no node holds it: checkers look past it",
)
def _() -> Any:
    m = calling([node("Relu", ["a"], ["b"], "inner")])
    w = T(data_type=F, dims=[3], raw_data=bytes(8))
    m.functions[0].attribute_proto.append(helper.make_attribute("weight", w))
    return m


@kind("short data in a branch", "IX530", "'k'", f"8 bytes for three float32: {SHORT}")
def _() -> Any:
    from .building import branch, condition

    then = branch([node("Add", ["x", "k"], ["then"], "inner")], [value("then")])
    then.initializer.append(T(name="k", data_type=F, dims=[3], raw_data=bytes(8)))
    return condition(then)


# -- sparse -----------------------------------------------------------------------------------------------------------
def sparse_add(values: list[float], indices: Any, dims: list[int] | None = None) -> Any:
    """y = x + w, where w: float32[2, 3] is sparse."""
    at = const("at", indices, np.int64)
    return add(sparse=helper.make_sparse_tensor(const("w", values), at, dims or [2, 3]))


@kind("a sparse index out of range", "IX530", "from 0 to 40", "written to, it is memory of something else")
def _() -> Any:
    return sparse_add([1, 2], [0, 40])


@kind("a negative sparse index", "IX530", "from -1 to 4", "written to, it is memory of something else")
def _() -> Any:
    return sparse_add([1, 2], [4, -1])


@kind("a sparse index twice", "IX530", "twice", "readers differ in the value they take")
def _() -> Any:
    return sparse_add([1, 2], [[0, 1], [0, 1]])


@kind("sparse indices not in order", "IX530", "'w'", "the format asks for ascending indices, and onnx refuses others")
def _() -> Any:
    return sparse_add([1, 2], [4, 0])


@kind("fewer sparse values than indices", "IX530", "int64[2]", "two places, one value")
def _() -> Any:
    return sparse_add([1], [0, 4])


@kind("sparse indices of another rank", "IX530", "'w'", "three coordinates for two axes")
def _() -> Any:
    return sparse_add([1, 2], [[0, 1, 0], [1, 1, 0]])


@kind("sparse indices that are no int64", "IX530", "'w'", "indices are int64")
def _() -> Any:
    at = const("at", [0, 4], np.int32)
    return add(sparse=helper.make_sparse_tensor(const("w", [1, 2]), at, [2, 3]))


@kind("a sparse constant of a node", "IX530", "attribute sparse_value", "an index out of range")
def _() -> Any:
    bad = sparse_add([1, 2], [0, 40]).graph.sparse_initializer[0]
    return model([node("Constant", [], ["w"], "c", sparse_value=bad), node("Add", ["x", "w"], ["y"])])


@kind("a sparse tensor of 2^60 elements", "IX530", "'w'", "two numbers that stand for more than any memory holds")
def _() -> Any:
    m = sparse_add([1, 2], [0, 4], [2**30, 2**30])
    m.graph.node[0].CopyFrom(node("Identity", ["w"], ["y"], "copy"))
    m.graph.output[0].CopyFrom(value("y", F, ["m", "n"]))
    return m
