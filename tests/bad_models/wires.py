"""Files that are protobuf, but no two parsers need to agree on what they say."""

from __future__ import annotations

from typing import Any

from .building import GRAPH, add, const, relu, varint, wire
from .kind import family

kind = family("wires")


@kind("two graphs", "IX302", "two graphs", "parsers merge two graph fields into one: each alone means something else")
def _() -> Any:
    m = relu()
    return m.SerializeToString() + wire(GRAPH, m.graph.SerializeToString())


@kind(
    "two IR versions",
    "IX322",
    "ir_version",
    "a field that is there twice: the last wins, and an auditor reads the first",
)
def _() -> Any:
    return relu().SerializeToString() + b"\x08\x08"


@kind("an unknown field in the model", "IX322", "field 99", "a payload that no reader of the format looks at")
def _() -> Any:
    return relu().SerializeToString() + wire(99, b"#!/bin/sh\necho hidden\n")


@kind("an unknown field in a node", "IX322", "field 99", "a payload inside of the graph")
def _() -> Any:
    m = relu()
    m.graph.node[0].MergeFromString(wire(99, b"hidden"))
    return m


@kind("raw data twice", "IX322", "raw_data", "the last data counts, and an auditor may read the first")
def _() -> Any:
    m = add(const("w", [1, 2, 3]))
    data = m.graph.initializer[0].SerializeToString()
    m.graph.ClearField("initializer")
    graph = m.graph.SerializeToString() + wire(5, data + wire(9, const("", [4, 5, 6]).raw_data))
    m.ClearField("graph")
    return m.SerializeToString() + wire(GRAPH, graph)


@kind(
    "a field of another wire type", "IX322", "field 1", "the IR version as text: parsers take it for an unknown field"
)
def _() -> Any:
    return relu().SerializeToString() + wire(1, b"10")


@kind(
    "a group that is not closed", "IX302", "not an ONNX model", "a message of a kind the format does not use has no end"
)
def _() -> Any:
    return relu().SerializeToString() + varint(99 << 3 | 3)


@kind("a length beyond the file", "IX302", "not an ONNX model", "a message says it is longer than the file")
def _() -> Any:
    return relu().SerializeToString() + varint(GRAPH << 3 | 2) + varint(2**40)


@kind("a length beyond the message around it", "IX302", "not an ONNX model", "a node says it is longer than its graph")
def _() -> Any:
    m = relu()
    graph = varint(1 << 3 | 2) + varint(2**20) + m.graph.SerializeToString()
    m.ClearField("graph")
    return m.SerializeToString() + wire(GRAPH, graph)


@kind("a number of eleven bytes", "IX302", "not an ONNX model", "a number longer than any integer of the format")
def _() -> Any:
    return b"\x08" + b"\xff" * 11 + relu().SerializeToString()
