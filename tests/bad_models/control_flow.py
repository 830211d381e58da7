"""If, Loop and Scan: branches and bodies that do not fit their node."""

from __future__ import annotations

from typing import Any

from onnx import helper

from .building import BOOL, I64, F, branch, condition, const, model, node, text, value
from .kind import family

kind = family("control_flow")
BAD = "'bad_node'"


@kind("branches of different dtypes", "IX569", BAD, "the output is float32 or int64, as the condition wants")
def _() -> Any:
    return condition(branch([node("Cast", ["x"], ["then"], "cast", to=I64)], [value("then", I64)]))


@kind("branches of different numbers of outputs", "IX570", BAD, "two outputs here, one there")
def _() -> Any:
    return condition(
        branch([node("Relu", ["x"], ["t"], "a"), node("Neg", ["x"], ["u"], "b")], [value("t"), value("u")])
    )


@kind("a branch with an input", "IX570", BAD, "branches read what is around them, nothing is given to them")
def _() -> Any:
    then = branch([node("Relu", ["p"], ["then"], "inner")], [value("then")])
    then.input.append(value("p"))
    return condition(then)


@kind("an If with one branch", "IX545", "else_branch", "nothing is said for the other case")
def _() -> Any:
    m = condition(branch([node("Relu", ["x"], ["then"], "inner")], [value("then")]))
    keep = [a for a in m.graph.node[0].attribute if a.name == "then_branch"]
    del m.graph.node[0].attribute[:]
    m.graph.node[0].attribute.extend(keep)
    return m


@kind("a condition that is no bool", "IX560", "c: float32", "a number is no condition")
def _() -> Any:
    m = condition(branch([node("Relu", ["x"], ["then"], "inner")], [value("then")]))
    m.graph.input[0].CopyFrom(value("c", F, ()))
    return m


@kind("a condition of three elements", "IX576", "'c'", "three conditions for one branch")
def _() -> Any:
    m = condition(branch([node("Relu", ["x"], ["then"], "inner")], [value("then")]))
    m.graph.input[0].CopyFrom(value("c", BOOL, (3,)))
    return m


@kind("a branch whose declared dtype is not the computed one", "IX566", "'then'", "Relu of float32 is no int64")
def _() -> Any:
    good = branch([node("Cast", ["x"], ["other"], "cast", to=I64)], [value("other", I64)])
    m = condition(branch([node("Relu", ["x"], ["then"], "inner")], [value("then", I64)]), good)
    m.graph.output[0].CopyFrom(value("y", I64))
    return m


def loop(inputs: list[Any], outputs: list[Any], nodes: list[Any], reads: list[str]) -> Any:
    body = helper.make_graph(nodes, "body", inputs, outputs)
    return model(
        [node("Loop", reads, ["y"], body=body)], [value("n", I64, ()), value("x")], [value("y", F, ["m", "n"])]
    )


ROUND = [value("i", I64, ()), value("go", BOOL, ())]
GO_ON = node("Identity", ["go"], ["go_on"], "i")


@kind("a Loop body of another arity", "IX570", BAD, "the body carries nothing, the node one value")
def _() -> Any:
    return loop(ROUND, [value("go_on", BOOL, ())], [GO_ON], ["n", "", "x"])


@kind("a mistake inside a Loop body", "IX562", "'inner'", "float32[2, 3] times itself does not fit")
def _() -> Any:
    nodes = [GO_ON, node("MatMul", ["h", "x"], ["h2"], "inner")]
    return loop([*ROUND, value("h")], [value("go_on", BOOL, ()), value("h2", F, None)], nodes, ["n", "", "x"])


@kind("a Loop body that changes the dtype it carries", "IX562", BAD, "float32 goes in, int64 comes out")
def _() -> Any:
    nodes = [GO_ON, node("Cast", ["h"], ["h2"], "inner", to=I64)]
    return loop([*ROUND, value("h")], [value("go_on", BOOL, ()), value("h2", I64)], nodes, ["n", "", "x"])


@kind("a Loop whose condition is no bool", "IX577", BAD, "the body gives float32 where it says whether to go on")
def _() -> Any:
    nodes = [node("Cast", ["go"], ["go_on"], "i", to=F), node("Neg", ["h"], ["h2"], "inner")]
    return loop([*ROUND, value("h")], [value("go_on", F, ()), value("h2")], nodes, ["n", "", "x"])


@kind("a trip count that is no int64", "IX560", BAD, "rounds are counted in int64")
def _() -> Any:
    nodes = [GO_ON, node("Neg", ["h"], ["h2"], "inner")]
    return loop([*ROUND, value("h")], [value("go_on", BOOL, ()), value("h2")], nodes, ["x", "", "x"])


@kind("a body that is no graph", "IX546", "body", "an integer where the body should be")
def _() -> Any:
    return model([node("Loop", ["n", "", "x"], ["y"], body=1)], [value("n", I64, ()), value("x")])


kind("a Scan body of another arity", "IX570", BAD, "two scan inputs, a body of one input")(
    text("[bad_node] y = Scan <num_scan_inputs = 2, body = b (float[3] e) => (float[3] f) { f = Neg(e) }> (x, x)")
)
kind("a Scan with more scan inputs than inputs", "IX562", "num_scan_inputs", "five of one")(
    text("[bad_node] y = Scan <num_scan_inputs = 5, body = b (float[3] e) => (float[3] f) { f = Neg(e) }> (x)")
)
kind("a Scan over inputs of different lengths", "IX562", BAD, "two rows here, four there")(
    text(
        "[bad_node] y = Scan <num_scan_inputs = 2, body = b (float[3] e, float[3] g) => (float[3] f)"
        " { f = Add(e, g) }> (x, w)",
        "float[2, 3] x, float[4, 3] w",
        "float[m, n] y",
    )
)


@kind(
    "an If whose constant condition hides a branch", "IX557", "'bad_node'", "what stands in the other branch never runs"
)
def _() -> Any:
    m = condition(branch([node("Relu", ["x"], ["then"], "inner")], [value("then")]))
    del m.graph.input[0]
    m.graph.initializer.append(const("c", True, bool))
    return m
