"""Small files that ask for more memory or time than there is."""

from __future__ import annotations

from typing import Any

import numpy as np

from .building import GRAPH, I64, F, const, model, node, relu, text, value, wire
from .kind import family

kind = family("bombs")
BAD = "'bad_node'"
BIG = 2**40


def bomb(body: str, constants: str, inputs: str = "float[2, 3] x", outputs: str = "float[m] y", **kw: Any) -> Any:
    return text(f"[bad_node] {body}", inputs, outputs, constants, **kw)


kind("ConstantOfShape of 2^40 elements", "IX572", BAD, "eight bytes stand for four terabytes")(
    bomb("y = ConstantOfShape(s)", f"int64[1] s = {{{BIG}}}")
)
kind("ConstantOfShape whose product overflows", "IX572", BAD, "2^32 times 2^32 is 0 in 64 bits")(
    bomb("y = ConstantOfShape(s)", f"int64[2] s = {{{2**32}, {2**32}}}", outputs="float[m, n] y")
)
kind("Expand to 2^40 elements", "IX572", BAD, "one element becomes four terabytes")(
    bomb("y = Expand(x, s)", f"int64[1] s = {{{BIG}}}", "float[1] x")
)
kind("Tile 2^40 times", "IX572", BAD, "one element becomes four terabytes")(
    bomb("y = Tile(x, r)", f"int64[1] r = {{{BIG}}}", "float[1] x")
)
kind("Range to 2^40", "IX572", BAD, "three numbers stand for eight terabytes")(
    bomb("y = Range(a, b, d)", f"int64 a = {{0}}, int64 b = {{{BIG}}}, int64 d = {{1}}", outputs="int64[m] y")
)
kind("Pad by 2^40", "IX572", BAD, "one element gets four terabytes of zeros")(
    bomb("y = Pad(x, p)", f"int64[2] p = {{0, {BIG}}}", "float[1] x")
)
kind("Resize by 2^20 in both directions", "IX572", BAD, "one pixel becomes four terabytes")(
    bomb(
        'y = Resize(x, "", s)', f"float[4] s = {{1, 1, {2**20}, {2**20}}}", "float[1, 1, 1, 1] x", "float[a, b, c, d] y"
    )
)
kind("OneHot of depth 2^40", "IX572", BAD, "one index becomes four terabytes")(
    bomb("y = OneHot(i, d, v)", f"int64 d = {{{BIG}}}, float[2] v = {{0, 1}}", "int64[1] i", "float[m, n] y")
)
kind("RandomNormal of 2^40 elements", "IX572", BAD, "an attribute stands for four terabytes")(
    bomb(f"y = RandomNormal <shape = [{BIG}]> ()", "")
)
kind("EyeLike of 2^20 by 2^20", "IX572", "'h'", "the shape of an expanded value stands for four terabytes")(
    text(
        "h = Expand(x, s) [bad_node] y = EyeLike <dtype = 1> (h)",
        "bool[1, 1] x",
        "float[m, n] y",
        f"int64[2] s = {{{2**20}, {2**20}}}",
    )
)
kind("MatMul of two long vectors", "IX572", BAD, "a column of 2^20 times a row of 2^20 is four terabytes")(
    text(
        "c = ConstantOfShape(a) r = ConstantOfShape(b) [bad_node] y = MatMul(c, r)",
        outputs="float[m, n] y",
        constants=f"int64[2] a = {{{2**20}, 1}}, int64[2] b = {{1, {2**20}}}",
    )
)
kind("Add of two long vectors", "IX572", BAD, "broadcasting makes four terabytes of two vectors")(
    text(
        "c = ConstantOfShape(a) r = ConstantOfShape(b) [bad_node] y = Add(c, r)",
        outputs="float[m, n] y",
        constants=f"int64[2] a = {{{2**20}, 1}}, int64[2] b = {{1, {2**20}}}",
    )
)
kind("concatenation that doubles fifty times", "IX572", "Concat", "fifty nodes, each of which doubles: 2^50 elements")(
    text(
        " ".join(f"[n{i}] h{i + 1} = Concat <axis = 0> (h{i}, h{i})" for i in range(50)),
        "float[8] h0",
        "float[m] h50",
    )
)
kind("a kernel_shape of 2^62", "IX575 IX562", BAD, "one output element is a mean over 2^62: it cannot be interrupted")(
    bomb(
        "y = AveragePool <kernel_shape = [4611686018427387904], pads = [4611686018427387903, 4611686018427387903]> (x)",
        "",
        "float[1, 1, 8] x",
        "float[a, b, c] y",
    )
)
kind("Loop of 2^62 rounds", "IX574", BAD, "a run that never ends")(
    bomb(
        'y = Loop (n, "", x) <body = b (int64 i, bool go, float[2, 3] h) => (bool go2, float[2, 3] h2)'
        " { go2 = Identity(go) h2 = Neg(h) }>",
        f"int64 n = {{{2**62}}}",
        outputs="float[m, n] y",
    )
)
kind("Loop without an end", "IX574", BAD, "no trip count, and a condition that is always true")(
    bomb(
        'y = Loop ("", t, x) <body = b (int64 i, bool go, float[2, 3] h) => (bool go2, float[2, 3] h2)'
        " { go2 = Identity(go) h2 = Neg(h) }>",
        "bool t = {1}",
        outputs="float[m, n] y",
    )
)
kind("Split into 2^31 outputs", "IX576", BAD, "a list of 2^31 sizes is made to compare it with one output")(
    bomb("y = Split <num_outputs = 2147483647> (x)", "", "float[2147483647] x")
)


@kind(
    "Expand by a shape of 2^63 numbers",
    "IX573 IX572",
    "'s'",
    "150 bytes that hang onnx's checker and ONNX Runtime: the shape has 2^63 - 1 axes",
)
def _() -> Any:
    shape = value("s", I64, [2**63 - 1])
    return model(
        [node("Expand", ["x", "s"], ["y"])], [value("x", F, [1]), shape], [value("y", F, ["m", "n"])], opsets={"": 9}
    )


@kind("Reshape by a shape of 2^40 numbers", "IX573 IX572", "'s'", "a shape of 2^40 axes")
def _() -> Any:
    shape = value("s", I64, [2**40])
    return model([node("Reshape", ["x", "s"], ["y"])], [value("x"), shape], [value("y", F, ["m", "n"])])


@kind("an input of 2^62 elements", "IX572", "'x'", "no caller can give it")
def _() -> Any:
    return relu(inputs=[value("x", F, [2**62])], outputs=[value("y", F, [2**62])])


@kind("a Scan over 2^40 elements", "IX572", "'x'", "no caller can give it, and the loop would not end")
def _() -> Any:
    return text(
        "y = Scan <num_scan_inputs = 1, body = b (float[1] e) => (float[1] f) { f = Neg(e) }> (x)",
        f"float[{BIG}, 1] x",
        f"float[{BIG}, 1] y",
    )()


@kind("two million empty nodes", "IX303", "nodes", "six MB whose parsed form takes a GB")
def _() -> Any:
    return b"\x08\x0a" + wire(GRAPH, wire(2, b"main") + wire(1, b"") * 2_000_000) + wire(8, b"\x10\x15")


@kind("an input of an undeclared rank for ReverseSequence", "IX579", "'x'", "a scalar kills ONNX Runtime's process")
def _() -> Any:
    inputs = [value("x", F, None), value("n", I64, None)]
    return model([node("ReverseSequence", ["x", "n"], ["y"])], inputs, [value("y", F, ["m", "n"])])


@kind("an input of an undeclared rank for STFT", "IX579", "'x'", "a scalar kills ONNX Runtime's process")
def _() -> Any:
    nodes = [node("STFT", ["x", "step", "", "length"], ["y"])]
    data = [const("step", 2, np.int64), const("length", 4, np.int64)]
    return model(nodes, [value("x", F, None)], [value("y", F, ["m", "n"])], data)


@kind("a bias left out by an empty name", "IX579", "bias", "legal, and the end of ONNX Runtime's process when it loads")
def _() -> Any:
    nodes = [node("LayerNormalization", ["x", "s", ""], ["y"])]
    return model(nodes, initializers=[const("s", [1, 1, 1])])


@kind("an input of an undeclared rank for Attention", "IX579", "'x'", "a scalar kills ONNX Runtime's process")
def _() -> Any:
    nodes = [node("Attention", ["x", "x", "x"], ["y"], q_num_heads=1, kv_num_heads=1)]
    return model(nodes, [value("x", F, None)], [value("y", F, ["m", "n"])], opsets={"": 23})
