"""How findings are shown: text with the graph around them, concise, JSON, SARIF, JUnit, GitHub; nothing from a file can
forge a line or a colour in any of them."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np
import onnx
import pytest
from bad_models.building import F, const, model, node, value

from interchange.checker import Finding, Report, Where, check
from interchange.checker.formats import FORMATS, render
from interchange.errors import FileError, Lines, one_line, printable

HOSTILE = "\x1b[31mred\nIX999: forged\r\x00\u202egnp.exe\u2028\x85%0A::error::x<&]]>\"'\ud800"


def broken(ghost: str = "ghost") -> onnx.ModelProto:
    nodes = [
        node("Relo", ["x"], ["a"], "one"),
        node("MatMul", ["x", "x"], ["b"], "two"),
        node("Add", ["a", ghost], ["y"], "three"),
    ]
    nodes[1].metadata_props.add(key="interchange.line", value="model.py:12 in forward")
    nodes[1].metadata_props.add(key="interchange.module", value="encoder.0")
    return model(nodes, initializers=[const("left", [1.0])])


@pytest.fixture
def report() -> Report:
    return check(broken()).named("some folder/m.onnx")


def hostile() -> Report:
    """A report in which every part is from an attacker."""
    where = Where(*[HOSTILE] * 5, line=HOSTILE, module=HOSTILE, index=3)
    finding = Finding("IX506", "error", HOSTILE, where, HOSTILE, HOSTILE, HOSTILE, HOSTILE, ((3, one_line(HOSTILE)),))
    return Report(HOSTILE, (finding,), HOSTILE)


# -- text -------------------------------------------------------------------------------------------------------------
def test_text_shows_place_graph_and_remedy(report: Report) -> None:
    text = report.text()
    block = next(b for b in text.split("\n\n") if "IX562" in b)
    assert block.splitlines() == [
        "error IX562: node 'two': Incompatible dimensions for matrix multiplication",
        "  --> some folder/m.onnx: node 'two' (MatMul)",
        "  --> model.py:12 in forward, module encoder.0",
        "     |",
        "     | input x: float32[2, 3]",
        "   1 | b: float32 = MatMul(x, x)",
        "     |              ^^^^^^",
        "     |",
        "  found:    x: float32[2, 3]; x: float32[2, 3]",
        "  expected: inputs and attributes that MatMul takes together",
        "  why:      runtimes refuse the model, or fail when it runs",
        "  fix:      look at the shapes of both sides, and at: interchange schema MatMul",
    ]
    assert text.splitlines()[-1] == "some folder/m.onnx: 3 errors, 1 note (opset 21, 3 nodes)"


def test_the_mark_stands_under_the_value_in_question(report: Report) -> None:
    lines = next(f for f in report.findings if f.code == "IX506").text().splitlines()
    line, mark = next((a, b) for a, b in pairwise(lines) if "^" in b)
    assert line[mark.index("^") : mark.rindex("^") + 1] == "ghost"


def test_an_excerpt_shows_who_feeds_and_who_reads(report: Report) -> None:
    nodes = [node("Relu", [f"v{i}"], [f"v{i + 1}"], f"n{i}") for i in range(9)]
    nodes[4].op_type = "Gone"
    found = check(model(nodes, [value("v0")], [value("v9")])).findings[0]
    assert [number for number, _ in found.excerpt] == [3, 4, 5]
    nodes.insert(5, node("Neg", ["v0"], ["far"], "far"))
    nodes.append(node("Sin", ["far"], ["end"], "late"))
    found = check(model(nodes, [value("v0")], [value("v9"), value("end")]), select=["IX540"]).findings[0]
    assert "..." in found.text()  # node 5 stands between and has nothing to do with it


def test_an_excerpt_of_a_subgraph_and_of_a_declared_value() -> None:
    branch = onnx.helper.make_graph([node("Gone", ["x"], ["t"], "inner")], "then", [], [value("t")])
    other = onnx.helper.make_graph([node("Relu", ["x"], ["e"], "else")], "else", [], [value("e")])
    choose = node("If", ["c"], ["y"], "choose", then_branch=branch, else_branch=other)
    m = model([choose], [value("x"), value("c", 9, ())], [value("y", F, (-2, 3))])
    report = check(m)
    unknown = next(f for f in report.findings if f.code == "IX540")
    assert unknown.where.graph.endswith("then_branch")
    assert [text for _, text in unknown.excerpt] == ["t: float32[2, 3] = Gone(x)"]
    negative = next(f for f in report.findings if f.code == "IX525")
    assert negative.excerpt[0] == (-1, "output y: float32[-2, 3]")


def test_colours_only_where_they_are_asked_for(report: Report) -> None:
    assert "\x1b" not in report.text()
    assert "\x1b[1;31merror IX506\x1b[0m" in report.text(color=True)
    plain = re.sub(r"\x1b\[[\d;]*m", "", report.text(color=True))
    assert plain == report.text()


def test_ten_thousand_findings_stay_readable() -> None:
    findings = [Finding("IX506", "error", f"node 'n{i}' reads 'ghost{i}', which nothing makes") for i in range(10_000)]
    report = Report("m.onnx", tuple(findings))
    assert len(report.to_dict()["findings"]) == 10_000
    text = report.text(limit=10)
    assert len(text.splitlines()) < 40
    assert "9,990 more of IX506" in text
    assert "ghost9999" in report.text()
    assert len(render([report], "concise", limit=3).splitlines()) == 5


def test_what_is_very_long_is_cut_in_text_and_whole_in_data() -> None:
    name = "n" * 100_000
    found = check(model([node("Relu", [name], ["y"])])).findings[0]
    assert len(found.text()) < 10_000
    assert found.where.value == name


# -- nothing is forged ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("form", FORMATS)
def test_hostile_names_stay_on_their_line(form: Any) -> None:
    text = render([hostile()], form)
    assert not set("\x1b\r\x00\u202e\u2028\x85\ud800") & set(text)
    text.encode()  # also no half of a surrogate pair
    assert not any(line.lstrip(" |").startswith(("IX999", "::error::x", "red")) for line in text.split("\n"))


@pytest.mark.parametrize("form", FORMATS)
def test_hostile_names_of_a_model_stay_on_their_line(form: Any) -> None:
    """As above, through a check: as protobuf's texts have no half pairs, without that."""
    text = render([check(broken(HOSTILE[:-1]))], form, color=False)
    assert not set("\x1b\r\x00\u202e\u2028\x85") & set(text)
    assert not any(line.lstrip(" |").startswith("IX999") for line in text.split("\n"))


def test_errors_stay_on_their_lines() -> None:
    error = FileError("IX301", HOSTILE, where=HOSTILE, found=HOSTILE, expected=HOSTILE, fix=HOSTILE)
    assert len(str(error).splitlines()) == 5
    assert "\x1b" not in str(error)
    several = FileError("IX301", "m", found=Lines.of(["one\n  fix:      forged", "two"]))
    assert str(several).splitlines() == ["IX301: m", r"  found:    one\n  fix:      forged", " " * 12 + "two"]
    assert printable("a\nb\x1b") == "a\nb\\x1b"
    assert one_line("a\nb") == r"a\nb"


# -- for machines -----------------------------------------------------------------------------------------------------
def test_data_and_back(report: Report) -> None:
    assert Report.from_dict(json.loads(render([report], "json"))) == report
    assert [r["file"] for r in json.loads(render([report, report], "json"))] == ["some folder/m.onnx"] * 2


def test_sarif(report: Report) -> None:
    log = json.loads(render([report, Report("clean.onnx")], "sarif"))
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-schema-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "interchange"
    assert [a["location"]["uri"] for a in run["artifacts"]] == ["some%20folder/m.onnx", "clean.onnx"]
    assert [r["ruleId"] for r in run["results"]] == ["IX506", "IX540", "IX562", "IX595"]
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"]
        assert rule["help"]["text"]
        assert rule["defaultConfiguration"]["level"] in ("error", "warning", "note")
    for result, finding in zip(run["results"], report.findings, strict=True):
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == finding.code
        assert result["level"] == finding.severity
        assert finding.message in result["message"]["text"]
        (location,) = result["locations"]
        assert location["physicalLocation"]["artifactLocation"]["uri"] == "some%20folder/m.onnx"
        assert set(result["partialFingerprints"]) == {"place/v1"}
    shapes = run["results"][2]
    assert shapes["locations"][0]["logicalLocations"] == [
        {"name": "two", "fullyQualifiedName": "'two' (MatMul)", "kind": "element"}
    ]
    source = shapes["relatedLocations"][0]["physicalLocation"]
    assert source == {"artifactLocation": {"uri": "model.py"}, "region": {"startLine": 12}}


def test_sarif_fingerprints_survive_a_node_before() -> None:
    def prints(m: onnx.ModelProto) -> list[str]:
        log = json.loads(render([check(m, select=["IX562"])], "sarif"))
        return [r["partialFingerprints"]["place/v1"] for r in log["runs"][0]["results"]]

    later = broken()
    later.graph.node.insert(0, node("Neg", ["x"], ["before"], "before"))
    assert prints(broken()) == prints(later) != []


def test_junit(report: Report) -> None:
    text = render([report, Report("clean.onnx")], "junit", level="error")
    root = Xml.fromstring(text.encode())
    assert root.attrib == {"name": "interchange check", "tests": "5", "failures": "3", "errors": "0"}
    first, clean = root.findall("testsuite")
    assert [bool(c.findall("failure")) for c in first] == [True, True, True, False]
    assert "float32[2, 3]" in first[2][0].text  # the whole finding
    assert clean.attrib["failures"] == "0"
    assert len(clean) == 1
    assert Xml.fromstring(render([report], "junit", level="note").encode()).attrib["failures"] == "4"


def test_junit_of_hostile_names_is_xml() -> None:
    root = Xml.fromstring(render([hostile()], "junit").encode())
    assert root.find("testsuite/testcase/failure") is not None


def test_github(report: Report) -> None:
    lines = render([report], "github").splitlines()
    assert [line.split(" ")[0] for line in lines] == ["::error"] * 3 + ["::notice"]
    assert lines[0].startswith("::error file=some folder/m.onnx,title=IX506::node 'three' reads 'ghost'")
    assert "%0Afix: " in lines[0]


def test_concise(report: Report) -> None:
    lines = render([report], "concise").splitlines()
    assert lines[0] == "some folder/m.onnx: error IX506: node 'three' reads 'ghost', which nothing makes"
    assert lines[2].endswith("[model.py:12 in forward]")


def test_a_file_with_large_constants_shows_them_by_type(tmp_path: Path) -> None:
    large = node("Constant", [], ["c"], "c", value=const("", np.zeros((500, 500))))
    path = tmp_path / "m.onnx"
    onnx.save(model([large, node("Gone", ["c"], ["y"])]), path)
    assert "c: float32[500, 500] = Constant(value=<float32[500, 500]>)" in check(path).text()
