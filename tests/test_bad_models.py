"""Every kind of bad model is caught with its codes, by its path and by its bytes; what is right beside it passes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_models import FAMILIES, KINDS, Kind
from bad_models.__main__ import write
from bad_models.building import BOOL, function, model, node, text, value
from bad_models.compare import PAGE, codes_of, rows_of
from bad_models.external import save, tensor
from bad_models.recursion import chain, nested
from bad_models.tensors import sparse_add

from interchange.checker import Report, check
from interchange.checker.rule import RULES
from interchange.errors import FileError

# what no bad model may take: the child process that looks at it is ended beyond them, which is a finding of its own
LIMITS = {"seconds": 5, "memory": 1 << 30}


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.slug)
def test_a_bad_model_is_caught(kind: Kind, tmp_path: Path) -> None:
    path = kind.write(tmp_path / "folder")
    sources: list[Path | bytes] = [path]
    if kind.family != "external" and path.is_file():  # bytes have no folder for data files
        sources.append(path.read_bytes())
    for source in sources:
        if kind.codes == ("IX301",):
            with pytest.raises(FileError, match=kind.mentions) as error:
                check(source)
            assert error.value.code == "IX301"
            continue
        report = check(source, target=kind.target, limits=LIMITS, isolate=True)
        assert set(kind.codes) <= {f.code for f in report.findings}, report.text()
        assert {f.code for f in report.errors} <= set(kind.codes), "what follows from a mistake is not reported as well"
        told = "\n".join(f.text() for f in report.findings if f.code == kind.codes[0])
        assert kind.mentions in told
        assert "\x1b" not in told
        for finding in report.findings:
            assert finding.found
            assert finding.expected
            assert finding.fix


@pytest.mark.parametrize("kind", KINDS[::8], ids=lambda k: k.slug)
def test_a_bad_model_that_is_changed_at_random_gives_a_report(kind: Kind, tmp_path: Path) -> None:
    path = kind.write(tmp_path / "folder")
    data = path.read_bytes() if path.is_file() else b"\x08\x0a"
    rng = np.random.default_rng(len(data))
    for _ in range(3):
        changed = bytearray(data)
        for position in rng.integers(0, len(data), 2) if data else ():
            changed[position] = rng.integers(0, 256)
        report = check(bytes(changed), limits=LIMITS)
        assert isinstance(report, Report)
        assert report.text()


# -- the list ---------------------------------------------------------------------------------------------------------
def test_the_list_is_whole() -> None:
    assert len(KINDS) > 400
    assert [n for n, count in Counter(k.slug for k in KINDS).items() if count > 1] == []
    assert list(dict.fromkeys(k.family for k in KINDS)) == list(FAMILIES)
    assert [k.title for k in KINDS if not (k.wrong and k.mentions and k.codes)] == []


# codes no kind stands for, and why
LINT = "a lint: advice about what is right, given on request"
ELSEWHERE = {
    "IX587": "reads all weights, on request",
    "IX596": "a policy: only what `deny` names",
    **dict.fromkeys(("IX520", "IX561", "IX588", "IX589", "IX592", "IX593", "IX594", "IX597"), LINT),
}


def test_every_rule_has_a_bad_model() -> None:
    shown = {code for kind in KINDS for code in kind.codes}
    assert sorted(set(RULES) - shown - ELSEWHERE.keys()) == []


def test_the_files_can_be_written(tmp_path: Path) -> None:
    manifest = json.loads(write(tmp_path / "models").read_text())
    assert [row["title"] for row in manifest] == [k.title for k in KINDS]
    for row in manifest:
        assert (tmp_path / "models" / row["path"]).exists(), row


def test_the_table_in_the_docs_is_that_of_these_kinds() -> None:
    """compare.py, which made it, needs tools that are not installed here; that it is up to date can be told anyway."""
    rows = rows_of(PAGE.read_text(encoding="utf-8"))
    assert [row[0] for row in rows] == [k.title for k in KINDS]
    for kind, row in zip(KINDS, rows, strict=True):
        assert row[1] == kind.wrong
        assert set(kind.codes) <= codes_of(row[2])


# -- what is right passes ---------------------------------------------------------------------------------------------
def deep_branches() -> Any:
    proto = model([], [value("x"), value("c", BOOL, ())], [value("h0")])
    proto.graph.node.extend(nested(30).node)
    return proto


def sequence() -> Any:
    return text("q = SequenceConstruct(x, x) y = SequenceAt(q, i)", constants="int64 i = {0}")()


RIGHT: dict[str, Callable[[], Any]] = {
    "thirty branches, one in the other": deep_branches,
    "functions that call each other": lambda: chain(20, 1),
    "an attribute left out that has a default": function(
        "b = LeakyRelu <alpha: float = @slope> (a)", head="Fn <slope: float = 0.1> (a) => (b)"
    ),
    "an input left out that is optional": function(
        "b = Clip(a, low, high)", '[call] y = my.Fn(x, "", "")', "Fn (a, low, high) => (b)"
    ),
    "sparse indices in order": lambda: sparse_add([1, 2], [0, 4]),
    "a scale of one value with a zero point in a vector": text(
        "y = DequantizeLinear(x, s, z)", "uint8[2, 3] x", constants="float s = {1}, uint8[1] z = {0}"
    ),
    "scales for each channel": text(
        "y = DequantizeLinear <axis = 1> (x, s, z)",
        "uint8[2, 3] x",
        constants="float[3] s = {1, 2, 3}, uint8[3] z = {0, 0, 0}",
    ),
    "a scale that broadcasts": text("y = LayerNormalization <axis = 0> (x, s)", constants="float[3] s = {1, 1, 1}"),
    "pads as large as the kernel lets them be": text(
        "y = MaxPool <kernel_shape = [2, 2], pads = [1, 1, 1, 1]> (x)", "float[1, 4, 8, 8] x", "float[1, 4, 9, 9] y"
    ),
    "a kernel as large as its input": text(
        "y = Conv(x, w)", "float[1, 2, 8, 8] x, float[4, 2, 8, 8] w", "float[1, 4, 1, 1] y"
    ),
    "a bidirectional LSTM": text(
        'y = LSTM <hidden_size = 2, direction = "bidirectional"> (x, w, r, b)',
        "float[5, 1, 4] x, float[2, 8, 4] w, float[2, 8, 2] r, float[2, 16] b",
        "float[5, 2, 1, 2] y",
    ),
    "a slice backwards": text(
        "y = Slice(x, s, e, a, t)",
        outputs="float[2, 3] y",
        constants="int64[1] s = {-1}, int64[1] e = {-9}, int64[1] a = {1}, int64[1] t = {-1}",
    ),
    "a slice to the end": text(
        "y = Slice(x, s, e, a)",
        outputs="float[2, 2] y",
        constants="int64[1] s = {1}, int64[1] e = {9223372036854775807}, int64[1] a = {1}",
    ),
    "pads that crop": text("y = Pad(x, p)", outputs="float[2, 1] y", constants="int64[4] p = {0, -1, 0, -1}"),
    "names in other scripts": lambda: model(
        [node("Relu", ["größe"], ["大きさ /1"], "слой")], [value("größe")], [value("大きさ /1")]
    ),
    "a sequence": sequence,
    "updates of a slice": text(
        "y = ScatterND(x, i, u)", "float[2, 3] x, float[1, 3] u", constants="int64[1, 1] i = {-1}"
    ),
    "a condition in a vector": text(
        "y = If (c) <then_branch = t () => (float[2, 3] p) { p = Relu(x) },"
        " else_branch = e () => (float[2, 3] q) { q = Neg(x) }>",
        "bool[1] c, float[2, 3] x",
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_has_no_findings(name: str) -> None:
    report = check(RIGHT[name]().SerializeToString())
    assert report.findings == (), report.text()


@pytest.mark.parametrize(
    "title", ["a location with ..", "/dev/zero itself", "a location with a NUL", "an empty location"]
)
def test_bytes_may_not_point_outside_either(title: str, tmp_path: Path) -> None:
    """They have no folder, but whoever loads them may have one."""
    kind = next(k for k in KINDS if k.title == title)
    assert [f.code for f in check(kind.write(tmp_path).read_bytes()).errors] == ["IX532"]


def test_tensors_may_share_one_range_and_lie_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(24))
    shared = [tensor("a", offset=0), tensor("b", offset=0), tensor("c", offset=12, length=12)]
    assert check(save(tmp_path, *shared)).findings == ()
