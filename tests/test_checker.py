"""The checker: every kind of broken model is found and named, valid models pass, all findings come at once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from bad_models.building import F, branch, calling, condition, const, model, node, relu, value
from onnx import helper

from interchange.checker import check
from interchange.checker.rule import RULES
from interchange.errors import CheckError, FileError, SchemaError, UsageError


# -- what is right passes ---------------------------------------------------------------------------------------------
def loop() -> onnx.ModelProto:
    """A Loop that reads an outer value, and calls a local function inside."""
    inputs = [value("i", 7, ()), value("go", 9, ()), value("h")]
    nodes = [node("Identity", ["go"], ["go2"], "i"), node("Add", ["h", "x"], ["h2"], "a")]
    body = helper.make_graph(nodes, "body", inputs, [value("go2", 9, ()), value("h2", F, None)])
    return model([node("Loop", ["n", "", "x"], ["y"], "loop", body=body)], [value("n", 7, ()), value("x")])


def dynamic_reshape() -> onnx.ModelProto:
    """Sizes that are computed: shape inference has to follow them as data."""
    nodes = [
        node("Shape", ["x"], ["s"], "s"),
        node("Gather", ["s", "zero"], ["n"], "g"),
        node("Unsqueeze", ["n", "axes"], ["n1"], "u"),
        node("Concat", ["n1", "rest"], ["shape"], "c", axis=0),
        node("Reshape", ["x", "shape"], ["y"], "r"),
    ]
    data = [const("zero", 0, np.int64), const("axes", [0], np.int64), const("rest", [-1], np.int64)]
    return model(nodes, [value("x", F, ("N", 3, 4))], [value("y", F, ("N", 12))], data)


def with_attributes() -> onnx.ModelProto:
    """A function whose node takes an attribute of the call."""
    inner = node("LeakyRelu", ["a"], ["b"], "inner")
    inner.attribute.add(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT)
    proto = calling([inner], slope=0.5)
    proto.functions[0].attribute.append("slope")
    return proto


VALID = {
    "control": relu,
    "loop": loop,
    "condition": lambda: condition(branch([node("Relu", ["x"], ["then"], "r")], [value("then")])),
    "function": lambda: calling([node("Relu", ["a"], ["b"], "inner")]),
    "function with attributes": with_attributes,
    "computed sizes": dynamic_reshape,
    "runtime's own operator": lambda: model(
        [node("FusedMatMul", ["x", "w"], ["y"], domain="com.microsoft")],
        [value("x"), value("w", F, (3, 4))],
        [value("y", F, (2, 4))],
        opsets={"": 21, "com.microsoft": 1},
    ),
    "default of an input": lambda: model(
        [node("Add", ["x", "w"], ["y"])], [value("x"), value("w", F, (3,))], initializers=[const("w", [1, 2, 3])]
    ),
    "group convolution": lambda: model(
        [node("Conv", ["x", "w"], ["y"], group=2, pads=[1, 1, 1, 1])],
        [value("x", F, ("n", 4, 8, 8))],
        [value("y", F, ("n", 6, 8, 8))],
        [const("w", np.ones((6, 2, 3, 3)))],
    ),
    "reshape that keeps a size": lambda: model(
        [node("Reshape", ["x", "s"], ["y"])],
        [value("x", F, (2, 3, 4))],
        [value("y", F, (2, 12))],
        [const("s", [0, -1], np.int64)],
    ),
    "negative index": lambda: model(
        [node("Gather", ["x", "i"], ["y"])], outputs=[value("y", F, (1, 3))], initializers=[const("i", [-2], np.int64)]
    ),
}


@pytest.mark.parametrize("name", VALID)
def test_valid_model_has_no_findings(name: str) -> None:
    proto = VALID[name]()
    assert check(proto).findings == (), check(proto).text()
    onnx.checker.check_model(proto) if name != "runtime's own operator" else None


# -- the report -------------------------------------------------------------------------------------------------------
def broken() -> onnx.ModelProto:
    nodes = [
        node("Relo", ["x"], ["a"], "one"),
        node("MatMul", ["x", "x"], ["b"], "two"),
        node("Add", ["a", "ghost"], ["y"]),
    ]
    nodes[1].metadata_props.add(key="interchange.line", value="model.py:12 in forward")
    nodes[1].metadata_props.add(key="interchange.module", value="encoder.0")
    return model(nodes, initializers=[const("left", [1.0])])


def test_all_findings_at_once_errors_first() -> None:
    report = check(broken())
    assert [f.code for f in report.findings] == ["IX506", "IX540", "IX562", "IX595"]
    assert [f.severity for f in report.findings] == ["error"] * 3 + ["note"]
    assert not report.ok
    assert "3 errors, 1 note" in report.text()


def test_a_finding_says_where() -> None:
    finding = next(f for f in check(broken()).findings if f.code == "IX562")
    assert (finding.where.line, finding.where.module, finding.where.op) == (
        "model.py:12 in forward",
        "encoder.0",
        "MatMul",
    )
    assert "x: float32[2, 3]" in finding.found
    assert "model.py:12 in forward" in finding.text()


def test_one_mistake_is_one_finding() -> None:
    """What follows from a mistake is not reported as well."""
    nodes = [
        node("Relo", ["x"], ["a"], "one"),
        node("Neg", ["a"], ["b"], "two"),
        node("Add", ["b", "b"], ["y"], "three"),
    ]
    assert [f.code for f in check(model(nodes)).findings] == ["IX540"]


def test_select_and_ignore() -> None:
    assert [f.code for f in check(broken(), select=["IX54", "IX595"]).findings] == ["IX540", "IX595"]
    assert [f.code for f in check(broken(), ignore=["IX5"]).findings] == []
    assert [f.code for f in check(broken(), ignore=["IX506", "IX540"]).findings] == ["IX562", "IX595"]
    with pytest.raises(UsageError) as error:
        check(broken(), select=["IX4"])
    assert error.value.code == "IX830"


def test_raise_if_errors() -> None:
    check(relu()).raise_if_errors()
    with pytest.raises(CheckError, match="2 more: IX540, IX562") as error:
        check(broken()).raise_if_errors()
    assert error.value.code == "IX506"
    noted = relu(initializers=[const("left", [1.0])])
    check(noted).raise_if_errors()
    with pytest.raises(CheckError) as error:
        check(noted).raise_if_errors("note")
    assert error.value.code == "IX595"


def test_report_as_data_is_json() -> None:
    data = json.loads(json.dumps(check(broken()).to_dict()))
    assert data["ok"] is False
    assert data["findings"][0]["where"]["node"] == "'bad_node'"


def test_control_characters_of_a_name_do_not_reach_the_terminal() -> None:
    report = check(model([node("Relu", ["\x1b[31mghost"], ["y"])]))
    assert "\x1b" not in report.text()


@pytest.mark.parametrize(
    ("target", "codes"),
    [
        ("onnxruntime>=1.18", []),
        ("onnxruntime==1.17", ["IX580", "IX581"]),
        ("onnxruntime", ["IX580", "IX581"]),
        ("onnxruntime>=1.17,<1.19", ["IX580", "IX581"]),
    ],
)
def test_target(target: str, codes: list[str]) -> None:
    assert [f.code for f in check(relu(), target=target).findings] == codes


def test_target_that_cannot_be_read() -> None:
    with pytest.raises(SchemaError):
        check(relu(), target="tensorrt")


def test_model_can_be_a_path_bytes_or_a_graph(tmp_path: Path) -> None:
    from interchange.graph.proto import from_proto

    path = tmp_path / "m.onnx"
    path.write_bytes(broken().SerializeToString())
    codes = [f.code for f in check(broken()).findings]
    assert [f.code for f in check(path).findings] == codes
    assert [f.code for f in check(path.read_bytes()).findings] == codes
    assert check(path).findings[0].where.file == str(path)
    assert check(from_proto(relu())).ok
    assert [f.code for f in check(b"PK\x03\x04").findings] == ["IX302"]
    with pytest.raises(FileError, match="IX301"):
        check(tmp_path / "not there.onnx")


def test_large_weights_stay_where_they_are(tmp_path: Path) -> None:
    """Weights that are left in the file are still held against their shapes."""
    w = const("w", np.ones((3, 2000)))
    proto = model([node("MatMul", ["x", "w"], ["y"])], outputs=[value("y", F, (2, 2000))], initializers=[w])
    assert check(proto.SerializeToString()).findings == ()
    proto.graph.initializer[0].dims[0] = 4
    assert "IX530" in [f.code for f in check(proto.SerializeToString()).findings]


def test_codes_are_documented() -> None:
    pages = (Path(__file__).parent.parent / "docs" / "errors").glob("*.md")
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    for code, rule in RULES.items():
        assert f"## {code}: {rule.title}\n" in text
    assert "## IX500: " in text


@pytest.mark.parametrize("version", [2**40, -(2**40)])
def test_versions_beyond_any_integer_are_findings(version: int) -> None:
    m = relu()
    m.opset_import[0].version = version
    assert [f.code for f in check(m).findings] == ["IX504"]
    m = relu()
    m.ir_version = version
    assert [f.code for f in check(m).findings] == ["IX501"]


def test_a_single_code_may_be_a_text() -> None:
    m = relu()
    m.graph.name = ""
    assert [f.code for f in check(m, select="IX518").findings] == ["IX518"]
    assert check(m, ignore="IX51").findings == ()
