"""What never ends, or nests deeper than a stack."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import helper

from .building import BOOL, FN, calling, model, node, relu, text, value, wire
from .kind import family

kind = family("recursion")


@kind("a function calls itself", "IX521", "my.dom::Fn", "writing the function out never ends")
def _() -> Any:
    return calling([node("Fn", ["a"], ["b"], "inner", domain="my.dom")])


kind("functions call each other", "IX521", "my::F", "writing the functions out never ends")(
    text(
        "y = my.F(x)",
        opsets=FN,
        more=f'<domain: "my", opset_import: [{FN}]> F (a) => (b) {{ b = my.G(a) }}'
        f'<domain: "my", opset_import: [{FN}]> G (a) => (b) {{ b = my.F(a) }}',
    )
)


@kind("a function calls itself in a branch", "IX521", "my.dom::Fn", "the call is hidden in a subgraph")
def _() -> Any:
    call = helper.make_graph([node("Fn", ["a"], ["t"], "again", domain="my.dom")], "t", [], [value("t")])
    other = helper.make_graph([node("Neg", ["a"], ["e"], "neg")], "e", [], [value("e")])
    nodes = [
        node("Constant", [], ["c"], "c", value=helper.make_tensor("c", BOOL, [], [True])),
        node("If", ["c"], ["b"], "if", then_branch=call, else_branch=other),
    ]
    return calling(nodes)


def nested(depth: int) -> onnx.GraphProto:
    """If in If in If."""
    graph = helper.make_graph([node("Relu", ["x"], [f"h{depth}"], "relu")], "b", [], [value(f"h{depth}")])
    for level in reversed(range(depth)):
        other = helper.make_graph([node("Neg", ["x"], [f"e{level}"], f"neg{level}")], "e", [], [value(f"e{level}")])
        hold = node("If", ["c"], [f"h{level}"], f"if{level}", then_branch=graph, else_branch=other)
        graph = helper.make_graph([hold], "b", [], [value(f"h{level}")])
    return graph


@kind("messages nested five hundred levels deep", "IX303", "nested", "parsers without a limit run out of stack")
def _() -> Any:
    graph = wire(2, b"deepest")
    for _ in range(500):  # NodeProto.attribute.g: a graph in an attribute of a node of a graph
        graph = wire(1, wire(5, wire(1, b"g") + wire(6, graph)))
    return b"\x08\x0a" + wire(7, graph) + wire(8, b"\x10\x15")


@kind(
    "groups nested ten thousand levels deep", "IX302", "not used", "each level is two bytes: parsers run out of stack"
)
def _() -> Any:
    return relu().SerializeToString() + b"\x9b\x06" * 10_000 + b"\x9c\x06" * 10_000


@kind("a type nested two hundred levels deep", "IX303", "nested", "a sequence of sequences of sequences")
def _() -> Any:
    kind = wire(1, b"\x08\x01")
    for _ in range(200):
        kind = wire(4, wire(1, kind))
    extra = wire(11, wire(1, b"q") + wire(2, kind))
    return b"\x08\x0a" + wire(7, relu().graph.SerializeToString() + extra) + wire(8, b"\x10\x15")


def chain(count: int, calls: int) -> onnx.ModelProto:
    """Functions, each of which calls the next `calls` times."""
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("my.dom", 1)]
    functions = []
    for level in range(count):
        last = level == count - 1
        names = ["a", *(f"h{i}" for i in range(calls - 1)), "b"]
        nodes = [
            node("Relu", ["a"], ["b"], "relu")
            if last
            else node(f"F{level + 1}", [names[i]], [names[i + 1]], f"call{i}", domain="my.dom")
            for i in range(1 if last else calls)
        ]
        functions.append(helper.make_function("my.dom", f"F{level}", ["a"], ["b"], nodes, imports))
    call = node("F0", ["x"], ["y"], "call", domain="my.dom")
    return model([call], functions=functions, opsets={"": 21, "my.dom": 1})


@kind(
    "functions that call each other three hundred levels deep",
    "IX527",
    "300",
    "what writes them out by recursion runs out of stack",
)
def _() -> Any:
    return chain(300, 1)


@kind(
    "functions that stand for 2^30 nodes",
    "IX527",
    "10**9",
    "each of thirty functions calls the next twice: a few KB that never load",
)
def _() -> Any:
    return chain(31, 2)


@kind("functions that stand for 10^27 nodes", "IX527", "10**27", "the number of nodes does not fit into 64 bits")
def _() -> Any:
    return chain(10, 1000)
