"""Lints: each tells what it is for, says nothing of what only looks like it, and is silent until it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from interchange.checker import check
from interchange.checker.rule import all_rules

LINTS = sorted(code for code, rule in all_rules().items() if rule.lint)


def model(text: str, weights: Sequence[tuple[str, Any]] = (), **fields: Any) -> onnx.ModelProto:
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 21]>\n{text}')
    proto.graph.initializer.extend(numpy_helper.from_array(np.asarray(array), name) for name, array in weights)
    for name, value in fields.items():
        setattr(proto, name, value)
    return proto


EYE = np.eye(20, dtype=np.float32)
CHAIN = "main (float[b, 20] x) => (float[b, 20] y) {{ h = MatMul(x, {}) y = MatMul(h, {}) }}"
CAST = "main (float{} [3] x) => (float{} [3] y) {{ h = Cast <to = {}> (x) y = Cast <to = {}> (h) }}"

# code, a model it tells of, what it says, a model that it leaves alone
CASES = [
    ("IX520", model("main (float[?, b] x) => (float[?, b] y) { y = Relu(x) }"), "axis 0",
     model("main (float[a, b] x) => (float[a, b] y) { y = Relu(x) }")),
    ("IX561", model("main (float[3] x) => (double[3] y) { y = Cast <to = 11> (x) }"), "1 node computes in float64",
     model("main (double[3] x) => (float[3] y) { y = Cast <to = 1> (x) }")),
    ("IX588", model("main (float[3] x) => (float[3] y) { y = Relu(x) z = Neg(x) u = Exp(z) }"), "(Exp)",
     model("main (float[3] x) => (float[3] y) { y, mask = Dropout(x) }")),
    ("IX589", model("main (float[2, 3] x) => (float[2, 3] y) { h = Transpose(x) y = Transpose(h) }"), "Transpose of",
     model("main (float[2, 3] x) => (float[3, 2] y) { h = Transpose(x) y = Neg(h) }")),
    ("IX589", model("main (float16[3] x) => (double[3] y) { h = Cast <to = 1> (x) y = Cast <to = 11> (h) }"), "Cast",
     model("main (float[3] x) => (float[3] y) { h = Cast <to = 6> (x) y = Cast <to = 1> (h) }")),  # rounds on purpose
    ("IX593", model(CHAIN.format("a", "b"), [("a", EYE), ("b", EYE)]), "'a', 'b'",
     model(CHAIN.format("a", "b"), [("a", EYE), ("b", EYE.T * 2)])),
    ("IX594", model("main (float[3] x) => (float[3] y) { y = Relu(x) }", ir_version=6), "opset 11",
     model("main (float[3] x) => (float[3] y) { y = Relu(x) }")),
    ("IX594", model("main (float[3] x, float[3] w) => (float[3] y) { y = Add(x, w) }", [("w", EYE[0, :3])]), "'w'",
     model("main (float[3] x) => (float[3] y) { y = Add(x, w) }", [("w", EYE[0, :3])])),
    ("IX597", model("main (float[3] x) => (float[3] y) { y = Relu(x) }", producer_name="me"), "no doc_string",
     model("main (float[3] x) => (float[3] y) { y = Relu(x) }", producer_name="me", doc_string="cuts")),
]  # fmt: skip
CASES[6][1].opset_import[0].version = 11


@pytest.mark.parametrize(("code", "told", "said", "quiet"), CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)])
def test_a_lint(code: str, told: onnx.ModelProto, said: str, quiet: onnx.ModelProto) -> None:
    report = check(told, select=[code])
    assert [f.code for f in report.findings] == [code]
    assert report.findings[0].severity == "note"
    assert said in report.text()
    assert check(quiet, select=[code]).findings == ()
    assert check(quiet).ok


def test_lints_are_for_those_who_ask() -> None:
    told = CASES[2][1]
    assert check(told).findings == ()
    assert check(told, select=["IX5"]).findings == ()
    assert {f.code for f in check(told, lints=True).findings} == {"IX588", "IX597"}


def test_every_lint_has_a_case() -> None:
    large = numpy_helper.from_array(np.zeros((200, 100), np.float32))
    node = helper.make_node("Constant", [], ["y"], value=large)
    graph = helper.make_graph([node], "main", [], [helper.make_tensor_value_info("y", 1, [200, 100])])
    report = check(helper.make_model(graph, ir_version=10), select=["IX592"])
    assert "80000 bytes" in report.text()
    assert LINTS == sorted({c[0] for c in CASES} | {"IX592"})


@pytest.mark.parametrize("where", ["inside", "beside"])
def test_weights_that_are_no_numbers(tmp_path: Path, where: str) -> None:
    array = np.ones((50, 50), np.float32)
    array[3, 4], array[5, 5], array[6, 6] = np.nan, np.inf, -np.inf
    proto = model("main (float[b, 50] x) => (float[b, 50] y) { y = MatMul(x, w) }", [("w", array)])
    path = tmp_path / "m.onnx"
    onnx.save(proto, path, save_as_external_data=where == "beside", size_threshold=0)
    assert check(path).findings == ()
    report = check(path, scan_weights=True)
    assert [f.code for f in report.findings] == ["IX587"]
    assert "1 NaN and 2 infinite of 2500" in report.text()
    path.unlink()
    clean = np.ones((50, 50), np.float32)
    onnx.save(model("main (float[b, 50] x) => (float[b, 50] y) { y = MatMul(x, w) }", [("w", clean)]), path)
    assert check(path, scan_weights=True).findings == ()
