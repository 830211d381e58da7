"""Nodes that are written alike are looked at once: never at the cost of one that only looks alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, shape_inference

from interchange.checker import check


def model(
    nodes: Sequence[Any],
    outputs: dict[str, Any],
    weights: dict[str, Any] | None = None,
    x: Sequence[Any] = (1, 1, 4, 6),
) -> onnx.ModelProto:
    made = [helper.make_tensor_value_info(name, 1, shape) for name, shape in outputs.items()]
    data = [numpy_helper.from_array(np.asarray(array), name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, "main", [helper.make_tensor_value_info("x", 1, x)], made, data)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def two(op: str, first: Sequence[str], second: Sequence[str], a: dict[str, Any], b: dict[str, Any]) -> list[Any]:
    return [helper.make_node(op, first, ["p"], "first", **a), helper.make_node(op, second, ["q"], "second", **b)]


def told(proto: onnx.ModelProto) -> list[tuple[str, str]]:
    return [(f.code, f.where.node) for f in check(proto).findings]


FLAT = {"p": [24], "q": [24]}


@pytest.mark.parametrize(
    ("nodes", "weights", "expected"),
    [
        # attributes
        (two("Transpose", ["x"], ["x"], {"perm": [0, 1, 3, 2]}, {"perm": [0, 1, 1, 2]}), {}, "IX562"),
        (two("Pad", ["x", "w"], ["x", "w"], {"mode": "edge"}, {"mode": "egde"}), {"w": np.zeros(8, np.int64)}, "IX547"),
        # an input that is left out, among as many
        (two("Add", ["x", "x"], ["x", ""], {}, {}), {}, "IX548"),
        # the types of inputs
        (
            two("MatMul", ["x", "w"], ["x", "v"], {}, {}),
            {"w": np.ones((6, 2), "f4"), "v": np.ones((5, 2), "f4")},
            "IX562",
        ),
        (two("MatMul", ["x", "w"], ["x", "v"], {}, {}), {"w": np.ones((6, 2), "f4"), "v": np.ones((6, 2))}, "IX560"),
        # integers that decide a shape
        (two("Reshape", ["x", "w"], ["x", "v"], {}, {}), {"w": np.array([24]), "v": np.array([25])}, "IX564"),
        (
            two("Gather", ["x", "w"], ["x", "v"], {"axis": 3}, {"axis": 3}),
            {"w": np.array([5]), "v": np.array([6])},
            "IX565",
        ),
        # numbers that decide whether something is wrong
        (
            two("Clip", ["x", "lo", "hi"], ["x", "hi", "lo"], {}, {}),
            {"lo": np.array(1, "f4"), "hi": np.array(2, "f4")},
            "IX578",
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
@pytest.mark.parametrize("turned", [False, True], ids=["wrong second", "wrong first"])
def test_the_wrong_one_of_two_alike_is_found(
    nodes: list[Any], weights: dict[str, Any], expected: str, turned: bool
) -> None:
    proto = model(nodes[::-1] if turned else nodes, {"p": None, "q": None}, weights)
    assert (expected, "'second'") in told(proto)
    assert not [n for _, n in told(proto) if n == "'first'"]


def test_constants_that_are_no_integers_decide_shapes_too() -> None:
    """Each Resize has its own scales, and the shape that follows from them."""
    weights = {"two": np.array([1, 1, 2, 2], "f4"), "half": np.array([1, 1, 0.5, 0.5], "f4")}
    nodes = two("Resize", ["x", "", "two"], ["x", "", "half"], {}, {})
    assert told(model(nodes, {"p": [1, 1, 8, 12], "q": [1, 1, 2, 3]}, weights)) == []
    assert told(model(nodes, {"p": [1, 1, 8, 12], "q": [1, 1, 8, 12]}, weights)) == [("IX567", "'second'")]


def test_what_is_wrong_in_many_is_told_of_each() -> None:
    nodes = [helper.make_node("relu", ["x"], [f"y{i}"], f"n{i}") for i in range(5)]
    nodes += [helper.make_node("Softmax", ["x"], [f"z{i}"], f"m{i}", axis=9, alpha=1.0) for i in range(5)]
    proto = model(nodes, {f"y{i}": None for i in range(5)})
    assert told(proto) == [("IX540", f"'n{i}'") for i in range(5)] + [("IX544", f"'m{i}'") for i in range(5)]


def test_layers_with_weights_of_their_own_are_inferred_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    infer = shape_inference.infer_node_outputs

    def counted(schema: Any, node: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(node.op_type)
        return infer(schema, node, *args, **kwargs)

    monkeypatch.setattr(shape_inference, "infer_node_outputs", counted)
    rng = np.random.default_rng(0)
    nodes, weights, h = [], {}, "x"
    for i in range(50):
        weights |= {f"w{i}": rng.normal(size=(6, 6)).astype("f4"), f"b{i}": rng.normal(size=6).astype("f4")}
        nodes += [
            helper.make_node("MatMul", [h, f"w{i}"], [f"m{i}"]),
            helper.make_node("Add", [f"m{i}", f"b{i}"], [f"a{i}"]),
            helper.make_node("Relu", [f"a{i}"], [f"r{i}"]),
        ]
        h = f"r{i}"
    assert told(model(nodes, {h: ["n", 1, 4, 6]}, weights, x=["n", 1, 4, 6])) == []
    assert sorted(calls) == ["Add", "MatMul", "Relu"]


def test_scales_of_an_operator_that_nothing_else_looks_at() -> None:
    """Upsample of opset 9, whose shape rule reads them."""
    weights = {"two": np.array([1, 1, 2, 2], "f4"), "one": np.array([1, 1, 1, 1], "f4")}
    proto = model(two("Upsample", ["x", "two"], ["x", "one"], {}, {}), {"p": [1, 1, 8, 12], "q": [1, 1, 4, 6]}, weights)
    proto.opset_import[0].version = 9
    assert told(proto) == []
    proto.graph.output[1].type.tensor_type.shape.dim[3].dim_value = 12
    assert told(proto) == [("IX567", "'second'")]


def test_a_node_that_is_late_is_found_wherever_it_stands() -> None:
    chain = [
        helper.make_node("Relu", [a], [b], f"makes {b}") for a, b in (("x", "a"), ("a", "b"), ("b", "c"), ("c", "y"))
    ]
    assert told(model(chain, {"y": None})) == []
    assert told(model([chain[0], chain[2], chain[1], chain[3]], {"y": None})) == [("IX507", "'makes c'")]
    chain[1].input[0] = "c"
    assert told(model(chain, {"y": None})) == [("IX508", "'makes b'")]
