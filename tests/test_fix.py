"""Repairs: each mends what its rule finds and nothing else, the values stay what they are, files stay whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from bad_models import KINDS, Kind
from bad_models.building import BOOL, I64, F, branch, calling, condition, const, model, node, value
from onnx import helper

from interchange.checker import Fixed, check, fix
from interchange.checker.fixes import fixable
from interchange.checker.fixes.work import FIXES
from interchange.errors import CheckError, FileError, UsageError

# kinds with codes that have a repair, in which nobody can say what is right
LEFT = {
    "duplicate initializer": "two initializers with different values",
    "an initializer that stands dense and sparse": "two initializers with different values",
    "a graph input without a type": "an input's type is the caller's",
    "a sequence of nothing": "an input's type is the caller's",
    "one domain imported twice": "two different versions",
    "one domain imported under two names": "two different versions",
    "a function that imports a domain twice": "two different versions",
    "custom domain not imported": "a domain nobody knows",
    "a constant of another dtype than its declaration": "the data or the declaration of an input can be wrong",
    "a default of another shape than its input": "the data or the declaration of an input can be wrong",
}
REPAIRABLE = [k for k in KINDS if set(k.codes) & {f.code for f in FIXES}]


def run(proto: onnx.ModelProto, **feeds: Any) -> list[Any]:
    """In ONNX Runtime without optimisations."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return list(ort.InferenceSession(proto.SerializeToString(), options).run(None, feeds))


def codes(result: Fixed) -> list[str]:
    """Of what was done."""
    return [r.code for r in result.done]


@pytest.mark.parametrize("kind", REPAIRABLE, ids=lambda k: k.title)
def test_what_can_be_repaired_is(kind: Kind, tmp_path: Path) -> None:
    built = kind.make(tmp_path)
    before = built.SerializeToString() if isinstance(built, onnx.ModelProto) else None
    result = fix(built, target=kind.target)
    repairable = set(kind.codes) & {f.code for f in FIXES}
    left = repairable & {f.code for f in result.report.findings}
    assert bool(left) == (kind.title in LEFT), result.report.text()
    if left:
        assert not left & set(codes(result))
        return
    assert repairable <= set(codes(result))
    assert check(result.model, target=kind.target).findings == result.report.findings
    if result.report.ok and all(o.type.tensor_type.HasField("shape") for o in result.model.graph.output):
        onnx.checker.check_model(result.model)  # which insists on shapes
    assert before is None or built.SerializeToString() == before  # the model that is given stays as it is
    assert fix(result.model, target=kind.target).done == ()


def test_every_repair_has_a_case() -> None:
    tested = {c for k in REPAIRABLE if k.title not in LEFT for c in k.codes}
    below = {"IX503", "IX505", "IX512", "IX581", "IX588"}  # only where nothing is open, or asked for: tests below
    assert {f.code for f in FIXES} <= tested | below


def test_a_healthy_model_stays_as_it_is() -> None:
    proto = model([node("Relu", ["x"], ["y"])])
    result = fix(proto)
    assert result.done == ()
    assert result.model == proto


# -- values stay ------------------------------------------------------------------------------------------------------
X = np.arange(6, dtype=np.float32).reshape(2, 3) - 2


def test_order_names_and_what_is_unread_change_no_value() -> None:
    nodes = [node("Mul", ["a", "b"], ["y"], "n"), node("Add", ["x", "w"], ["a"], "n"), node("Neg", ["x"], ["b"], "n")]
    data = [const("unread", np.ones(2000)), const("w", [1.0, 2.0, 3.0]), const("unread2", [1.0])]
    right = model([nodes[1], nodes[2], nodes[0]], initializers=data)
    for i, n in enumerate(right.graph.node):
        n.name = f"n{i}"
    result = fix(model(nodes, initializers=data))
    assert {"IX507", "IX510", "IX595"} == set(codes(result))
    assert [n.op_type for n in result.model.graph.node] == ["Add", "Neg", "Mul"]
    assert [t.name for t in result.model.graph.initializer] == ["w"]
    np.testing.assert_array_equal(run(result.model, x=X)[0], run(right, x=X)[0])


def test_a_shadowed_name_means_what_it_meant() -> None:
    """`c` inside is the subgraph's own constant, also in the subgraph inside that."""
    inner = helper.make_graph([node("Mul", ["x", "c"], ["deep"], "deep")], "deep", [], [value("deep")])
    other = helper.make_graph([node("Neg", ["c"], ["other"], "other")], "other", [], [value("other", F, (3,))])
    nodes = [node("If", ["flag2"], ["then"], "inner", then_branch=inner, else_branch=inner)]
    then = helper.make_graph(nodes, "then", [], [value("then")], [const("c", [10.0, 20.0, 30.0])])
    outer = helper.make_graph([node("Mul", ["x", "c"], ["else"], "else")], "else", [], [value("else")])
    choose = node("If", ["flag"], ["y"], "choose", then_branch=then, else_branch=outer)
    inputs = [value("x"), value("flag", BOOL, ()), value("flag2", BOOL, ())]
    m = model([choose], inputs, initializers=[const("c", [1.0, 2.0, 3.0])])
    result = fix(m)
    assert codes(result) == ["IX516"]
    for flag, factor in ((True, 10), (False, 1)):
        (y,) = run(result.model, x=X, flag=np.array(flag), flag2=np.array(True))
        np.testing.assert_array_equal(y, X * np.array([1, 2, 3], np.float32) * factor)
    assert other is not inner


def test_a_name_that_is_read_before_it_is_shadowed_is_left_alone() -> None:
    """Whether the first reader means the outer value is not ours to say."""
    nodes = [node("Neg", ["c"], ["t"], "reads"), node("Abs", ["t"], ["c"], "makes"), node("Add", ["t", "c"], ["then"])]
    m = condition(branch(nodes, [value("then")]))
    m.graph.initializer.append(const("c", [1.0, 2.0, 3.0]))
    assert fix(m).done == ()


def test_a_value_handed_through_is_the_same_value() -> None:
    m = condition(branch([], [value("x")]))
    result = fix(m)
    assert codes(result) == ["IX517"]
    feeds = {i.name: np.array(True) if i.type.tensor_type.elem_type == BOOL else X for i in m.graph.input}
    np.testing.assert_array_equal(run(result.model, **feeds)[0], X)


@pytest.mark.parametrize("opset", [10, 13, 18])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_upsample_becomes_the_resize_that_computes_the_same(opset: int, mode: str) -> None:
    x = np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4)
    shape, scales = (1, 1, 6, 8), const("scales", [1.0, 1.0, 2.0, 2.0])
    upsample = node("Upsample", ["x", "scales"], ["y"], "up", mode=mode)
    io = {"inputs": [value("x", F, x.shape)], "outputs": [value("y", F, shape)], "initializers": [scales]}
    old = model([upsample], **io, opsets={"": 9}, ir_version=5)
    result = fix(model([upsample], **io, opsets={"": opset}, ir_version=8))
    assert codes(result) == ["IX542"]
    assert result.report.findings == ()
    np.testing.assert_array_equal(run(result.model, x=x)[0], run(old, x=x)[0])


def test_scatter_becomes_scatter_elements() -> None:
    inputs = [value("x"), value("i", I64, (1, 3)), value("u", F, (1, 3))]
    feeds = {"x": X, "i": np.array([[0, 1, 0]]), "u": np.ones((1, 3), np.float32)}
    scatter = node("Scatter", ["x", "i", "u"], ["y"], "s", axis=0)
    result = fix(model([scatter], inputs, opsets={"": 13}))
    old = model([scatter], inputs, opsets={"": 9}, ir_version=5)
    assert codes(result) == ["IX542"]
    np.testing.assert_array_equal(run(result.model, **feeds)[0], run(old, **feeds)[0])


# -- what is right has to be clear ------------------------------------------------------------------------------------
def test_an_import_is_added_where_it_can_be_but_one() -> None:
    fused = node("FusedMatMul", ["x", "w"], ["y"], domain="com.microsoft")
    io = {"inputs": [value("x"), value("w", F, (3, 4))], "outputs": [value("y", F, (2, 4))]}
    result = fix(model([fused], **io))
    assert [r.what for r in result.done] == ["imported com.microsoft 1"]
    assert result.report.findings == ()
    m = calling([node("Relu", ["a"], ["b"], "inner")])
    domain = m.functions[0].domain
    kept = [e for e in m.opset_import if e.domain != domain]
    del m.opset_import[:]
    m.opset_import.extend(kept)
    assert [r.what for r in fix(m).done] == [f"imported {domain} 1"]
    unsure = model([node("Softmax", ["x"], ["y"])], opsets={"com.microsoft": 1}, ir_version=7)
    assert fix(unsure).done == ()  # Softmax of opset 12 and of 13 are two operators


def test_equal_duplicates_go_and_different_ones_stay() -> None:
    w, large = const("w", [1.0, 2.0, 3.0]), const("big", np.ones((3, 2000)))
    nodes = [node("Add", ["x", "w"], ["a"], "a"), node("MatMul", ["a", "big"], ["y"], "m")]
    io: dict[str, Any] = {"outputs": [value("y", F, (2, 2000))]}
    m = model(nodes, **io, initializers=[w, large, w, large])
    data = m.SerializeToString()  # from bytes: large constants stand outside of the message
    result = fix(data)
    assert codes(result) == ["IX512", "IX512"]
    assert [t.name for t in result.model.graph.initializer] == ["w", "big"]
    expected = (X + np.float32([1, 2, 3])) @ np.ones((3, 2000), np.float32)
    np.testing.assert_array_equal(run(result.model, x=X)[0], expected)
    m.graph.initializer[3].raw_data = np.zeros((3, 2000), np.float32).tobytes()
    assert [t.name for t in fix(m.SerializeToString()).model.graph.initializer].count("big") == 2
    m = model([node("Relu", ["x"], ["y"])])
    m.opset_import.add(domain="", version=21)
    m.opset_import.add(domain="ai.onnx", version=21)  # another name of the same
    assert codes(fix(m)) == ["IX503", "IX503"]
    assert len(fix(m).model.opset_import) == 1


def test_select_and_ignore_choose_what_is_repaired() -> None:
    m = model([node("Relu", ["x"], ["y"])], initializers=[const("left", [1.0])])
    m.graph.name = ""
    assert codes(fix(m)) == ["IX518", "IX595"]
    assert codes(fix(m, ignore="IX595")) == ["IX518"]
    assert codes(fix(m, select=["IX595"])) == ["IX595"]
    assert fixable(check(m).findings) == 2


def test_what_is_no_model_is_not_repaired() -> None:
    with pytest.raises(CheckError) as error:
        fix(b"PK\x03\x04 not a model")
    assert error.value.code == "IX302"


def test_what_cannot_be_repaired_is_told() -> None:
    nodes = [node("Gone", ["h"], ["y"], "b"), node("Relu", ["x"], ["h"], "a")]
    result = fix(model(nodes))
    assert codes(result) == ["IX507"]
    assert [f.code for f in result.report.findings] == ["IX540"]


# -- for a target -----------------------------------------------------------------------------------------------------
def narrow(dtype: int = onnx.TensorProto.BFLOAT16, ir_version: int = 10) -> onnx.ModelProto:
    shape = (2, 3)
    return model(
        [node("Relu", ["x"], ["h"], "r"), node("MatMul", ["h", "w"], ["y"], "m")],
        [value("x", dtype, shape)],
        [value("y", dtype, (2, 2000))],
        [helper.make_tensor("w", dtype, (3, 2000), np.ones(6000))],
        ir_version=ir_version,
    )


def test_nodes_without_a_kernel_compute_in_a_wider_dtype(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(narrow(), path)
    target = "onnxruntime>=1.20"
    assert "IX584" in [f.code for f in check(path, target=target).findings]
    result = fix(path, target=target)
    assert set(codes(result)) == {"IX584"}
    assert "bfloat16 in float32" in result.done[0].what
    assert result.report.findings == ()
    result.save(tmp_path / "fixed.onnx")
    session = ort.InferenceSession(tmp_path / "fixed.onnx")
    assert [i.type for i in session.get_inputs()] == ["tensor(bfloat16)"]


def test_the_ir_version_is_lowered_where_nothing_needs_it() -> None:
    m = model([node("Relu", ["x"], ["y"])], ir_version=11)
    result = fix(m, target="onnxruntime==1.18")
    assert codes(result) == ["IX581"]
    assert result.report.findings == ()
    assert result.model.ir_version == 10
    m = calling([node("Relu", ["a"], ["b"], "inner")])
    m.functions[0].overload = m.graph.node[0].overload = "second"  # came with IR version 10
    assert "IX581" not in codes(fix(m, target="onnxruntime==1.17"))


# -- files ------------------------------------------------------------------------------------------------------------
def external(folder: Path) -> Path:
    """A model with data beside it, whose nodes are not in order."""
    nodes = [node("MatMul", ["h", "w"], ["y"], "m"), node("Relu", ["x"], ["h"], "r")]
    data = [const("unread", np.zeros((3, 3000))), const("w", np.arange(6000).reshape(3, 2000))]
    m = model(nodes, outputs=[value("y", F, (2, 2000))], initializers=data)
    path = folder / "model.onnx"
    onnx.save(m, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


def test_data_beside_the_model_comes_along(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    path = external(tmp_path / "a")
    before = {p.name: p.read_bytes() for p in path.parent.iterdir()}
    files = fix(path).save(tmp_path / "b" / "fixed.onnx")
    assert [f.suffix for f in files] == [".onnx", ".data"]
    assert files[1].stat().st_size < 30_000  # without what nothing reads
    assert check(files[0]).findings == ()
    y = ort.InferenceSession(files[0]).run(None, {"x": X})[0]
    np.testing.assert_array_equal(y, np.maximum(X, 0) @ np.arange(6000, dtype=np.float32).reshape(3, 2000))
    assert {p.name: p.read_bytes() for p in path.parent.iterdir()} == before


def test_weights_inside_stay_inside(tmp_path: Path) -> None:
    w = np.arange(6000, dtype=np.float32).reshape(3, 2000)
    m = model(
        [node("MatMul", ["x", "w"], ["y"])],
        outputs=[value("y", F, (2, 2000))],
        initializers=[const("unread", np.zeros(5000)), const("w", w)],
    )
    (tmp_path / "m.onnx").write_bytes(m.SerializeToString())
    files = fix(tmp_path / "m.onnx").save(tmp_path / "fixed.onnx")
    assert len(files) == 1
    np.testing.assert_array_equal(ort.InferenceSession(files[0]).run(None, {"x": X})[0], X @ w)


@pytest.mark.parametrize("name", ["model.onnx", "link.onnx", "hard.onnx", "weights.bin"])
def test_the_model_it_comes_from_is_never_written_to(name: str, tmp_path: Path) -> None:
    path = external(tmp_path)
    (tmp_path / "link.onnx").symlink_to(path)
    os.link(path, tmp_path / "hard.onnx")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(UsageError) as error:
        fix(path).save(tmp_path / name)
    assert error.value.code == "IX835"
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_folder_that_is_not_there_and_a_model_that_cannot_bring_its_data(tmp_path: Path) -> None:
    m = model([node("Relu", ["x"], ["y"])], initializers=[const("left", [1.0])])
    with pytest.raises(FileError) as error:
        fix(m).save(tmp_path / "none" / "fixed.onnx")
    assert error.value.code == "IX307"
    path = external(tmp_path)
    broken = onnx.load(path, load_external_data=False)
    broken.graph.node[1].input[0] = "ghost"
    path.write_bytes(broken.SerializeToString())
    with pytest.raises(FileError) as error:
        fix(path).save(tmp_path / "fixed.onnx")
    assert error.value.code == "IX345"
    assert not (tmp_path / "fixed.onnx").exists()


def test_dead_nodes_are_removed_with_all_that_fed_them() -> None:
    m = onnx.parser.parse_model("""<ir_version: 10, opset_import: ["": 21]>
    main (float[3] x) => (float[3] y) <float[3] w = {1, 2, 3}> { a = Add(x, w) b = Neg(a) y = Relu(x) c = Exp(b) }""")
    fixed = fix(m)
    assert [n.op_type for n in fixed.model.graph.node] == ["Relu"]
    assert [t.name for t in fixed.model.graph.initializer] == []
    assert [d.code for d in fixed.done] == ["IX588", "IX595"]
    assert fixed.report.findings == ()
    assert len(fix(m, ignore=["IX588"]).model.graph.node) == 4
