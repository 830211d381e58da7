"""Detours: casts that keep every value where a release has no kernel; told, proven, and refused where they round."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

import interchange as ix
from interchange import schemas
from interchange.checker.context import Context
from interchange.checker.deploy import predict
from interchange.dtypes import BY_NAME, name_of, to_onnx
from interchange.eager import nn
from interchange.errors import CheckError
from interchange.graph import opening
from interchange.graph.passes import detour, infer
from interchange.graph.proto import from_proto, to_proto
from interchange.ops import Conv, MatMul, Mul
from interchange.schemas import runtimes
from interchange.schemas.calls import Call
from interchange.schemas.capability import judge
from interchange.schemas.detours import find
from interchange.schemas.runtimes import runtime
from interchange.schemas.typetext import to_dtype

ALL = runtimes.releases()


def model(nodes: list[Any], inputs: dict[str, tuple[str, Any]], outputs: dict[str, str], **more: Any) -> Any:
    sides = [helper.make_tensor_value_info(n, to_onnx(BY_NAME[d]), shape) for n, (d, shape) in inputs.items()]
    made = [helper.make_tensor_value_info(n, to_onnx(BY_NAME[d]), None) for n, d in outputs.items()]
    graph = helper.make_graph(nodes, "g", sides, made, **more)
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)])


def detoured(proto: Any, releases: tuple[str, ...] = ALL[1:], **options: Any) -> tuple[Any, list[Any]]:
    ir = from_proto(proto)
    infer(ir)
    done = detour(ir, releases, **options)
    made = to_proto(ir)
    onnx.checker.check_model(made, full_check=True)
    return made, done


def loads(proto: Any, releases: tuple[str, ...] = ALL[1:]) -> bool:
    return predict(Context(opening.in_memory(proto), None, "m"), releases).loading == releases


def run(proto: Any, **feeds: Any) -> Any:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


# -- the table --------------------------------------------------------------------------------------------------------
def gaps(release: str, opset: int) -> list[tuple[Call, bool]]:
    """(call, whether a detour closes it) for each operator and dtype of its first input without a kernel."""
    found = []
    for op in schemas.operators("", opset):
        known = schemas.schema(op, opset)
        if not known.inputs or "(" in known.inputs[0].type:
            continue
        variable = known.inputs[0].type
        for text in known.type_constraints[variable]:
            if to_dtype(text) is None:
                continue

            def type_of(formal: Any, text: str = text, known: Any = known, variable: str = variable) -> str:
                texts = known.type_constraints.get(formal.type, (formal.type,))
                usual = (t for t in ("tensor(float)", "tensor(int64)") if t in texts)
                return text if formal.type == variable else next(usual, texts[0])

            inputs = tuple(type_of(f) for f in known.inputs[: max(known.min_inputs, 1)])
            outputs = tuple(text if f.type == variable else "" for f in known.outputs[: max(known.min_outputs, 1)])
            call = Call("", op, {"": opset}, inputs, outputs)
            if not judge(call, runtime(release)):
                found.append((call, find(call, [runtime(release)]) is not None))
    return found


def test_what_the_table_closes() -> None:
    found = gaps("1.32", 21)
    closed = {(call.op, name_of(to_dtype(call.inputs[0]))) for call, closes in found if closes}  # type: ignore[arg-type]
    left = {(call.op, name_of(to_dtype(call.inputs[0]))) for call, closes in found if not closes}  # type: ignore[arg-type]
    assert len(closed) >= 175  # with another release of onnx, whose bodies are asked, it may be a few more
    # what nothing wider holds, and what depends on the very type
    small = {op for op, dtype in left if dtype in ("bfloat16", "float16", "int16", "uint16", "int8", "uint8", "bool")}
    assert small == {"Col2Im", "EyeLike", "GridSample", "ImageDecoder", "QLinearConv", "QLinearMatMul"}
    assert {d for _, d in closed} >= {"bfloat16", "int16", "uint16", "uint32", "int4", "uint4", "float8e4m3fn"}
    assert {d for _, d in closed} & {"int64", "uint64", "string", "complex64"} == set()


def test_a_detour_holds_in_every_release() -> None:
    call = Call("", "MatMul", {"": 13}, ("tensor(bfloat16)",) * 2, ("tensor(bfloat16)",))
    casts = find(call, [runtime(name) for name in ALL])
    assert casts is not None
    assert set(casts.inputs.values()) == set(casts.outputs.values()) == {"tensor(float)"}
    assert find(Call("", "MatMul", {"": 13}, ("tensor(float)",) * 2, ("tensor(float)",)), [runtime("1.20")]) is None


# -- the pass ---------------------------------------------------------------------------------------------------------
def test_bfloat16_computes_in_float32() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], "product"),
        helper.make_node("Add", ["m", "m"], ["a"], "sum"),
        helper.make_node("Reshape", ["a", "s"], ["y"], "shape"),
    ]
    shape = helper.make_tensor("s", onnx.TensorProto.INT64, [1], [-1])
    proto = model(
        nodes, {"x": ("bfloat16", ["n", 3]), "w": ("bfloat16", [3, 2])}, {"y": "bfloat16"}, initializer=[shape]
    )
    assert not loads(proto)
    made, done = detoured(proto)
    assert loads(made)
    onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    assert [(d.node, d.op, d.dtypes, d.lossy) for d in done] == [
        ("node 'product' (MatMul)", "MatMul", (("bfloat16", "float32"),), False),
        ("node 'sum' (Add)", "Add", (("bfloat16", "float32"),), False),
    ]
    # what was there keeps its name and dtype, and what two nodes need is cast once
    assert [v.name for v in made.graph.output] == ["y"]
    assert {"m", "a", "y"} <= {o for node in made.graph.node for o in node.output}
    assert sum(node.op_type == "Cast" for node in made.graph.node) == 5
    assert detoured(made)[1] == []


ARITHMETIC: list[tuple[str, str, Callable[[Any, Any], Any]]] = [
    ("Mul", "int8", np.multiply),
    ("Add", "uint8", np.add),
    ("Sub", "uint16", np.subtract),
    ("Mul", "int16", np.multiply),
    ("Mul", "uint16", np.multiply),
    ("Max", "int16", np.maximum),
]


@pytest.mark.parametrize(("op", "dtype", "wanted"), ARITHMETIC, ids=lambda v: v if isinstance(v, str) else "")
def test_narrow_integers_wrap_around_as_before(op: str, dtype: str, wanted: Callable[[Any, Any], Any]) -> None:
    values = np.random.default_rng(0).integers(np.iinfo(dtype).min, np.iinfo(dtype).max, (2, 64), dtype, endpoint=True)
    proto = model([helper.make_node(op, ["a", "b"], ["y"])], {"a": (dtype, [64]), "b": (dtype, [64])}, {"y": dtype})
    made, done = detoured(proto)
    assert bool(done) == (not loads(proto))
    found = run(made, a=values[0], b=values[1])
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, wanted(values[0], values[1]))


@pytest.mark.parametrize("dtype", ["int16", "uint16", "bool"])
def test_what_only_moves_values_may_move_them_as_floats(dtype: str) -> None:
    x = np.random.default_rng(0).integers(0, 2, (1, 4, 2, 2)).astype(dtype) * np.array(
        -3 if dtype == "int16" else 1, dtype
    )
    node = helper.make_node("DepthToSpace", ["x"], ["y"], blocksize=2)
    made, done = detoured(model([node], {"x": (dtype, [1, 4, 2, 2])}, {"y": dtype}))
    assert done
    expected = x.reshape(1, 2, 2, 1, 2, 2).transpose(0, 3, 4, 1, 5, 2).reshape(1, 1, 4, 4)
    np.testing.assert_array_equal(run(made, x=x), expected)


def test_subgraphs_get_their_casts_inside() -> None:
    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node(op, ["x", "x"], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, onnx.TensorProto.BFLOAT16, None)],
        )
        for name, op in (("then", "Add"), ("else", "Mul"))
    }
    node = helper.make_node("If", ["c"], ["y"], **branches)
    made, done = detoured(model([node], {"x": ("bfloat16", [2]), "c": ("bool", [])}, {"y": "bfloat16"}))
    assert sorted(d.op for d in done) == ["Add", "Mul"]
    assert [n.op_type for n in made.graph.node] == ["If"]
    assert loads(made)


def test_float64_is_rounded_only_where_that_is_allowed() -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], "conv")
    proto = model([node], {"x": ("float64", [1, 1, 5, 5]), "w": ("float64", [2, 1, 3, 3])}, {"y": "float64"})
    made, done = detoured(proto)
    assert (done, made) == ([], proto) or [n.op_type for n in made.graph.node] == ["Conv"]
    made, done = detoured(proto, allow_lossy=True)
    assert [d.lossy for d in done] == [True]
    assert loads(made)
    x, w = np.random.default_rng(0).normal(size=(1, 1, 5, 5)), np.ones((2, 1, 3, 3))
    found = run(made, x=x, w=w)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found[0, 0, 0, 0], x[0, 0, :3, :3].sum(), rtol=1e-5)


def test_quantization_is_detoured_for_its_floats_alone() -> None:
    node = helper.make_node("QuantizeLinear", ["x", "s"], ["y"], "q")
    made, done = detoured(model([node], {"x": ("bfloat16", [2]), "s": ("bfloat16", [])}, {"y": "uint8"}))
    assert [d.dtypes for d in done] == [(("bfloat16", "float32"),)]
    assert loads(made)
    # an integer of another width would saturate elsewhere
    call = Call("", "QuantizeLinear", {"": 28}, ("tensor(float)",) * 2 + ("tensor(int16)",), ("tensor(int16)",))
    assert find(call, [runtime("1.32")]) is None


@pytest.mark.parametrize("op", ["CastLike", "QLinearMatMul", "EyeLike", "Cast"])
def test_what_depends_on_its_type_has_no_detour(op: str) -> None:
    known = schemas.schema(op, 21)
    call = Call("", op, {"": 21}, ("tensor(int4)",) * known.min_inputs, ("tensor(int4)",))
    assert find(call, [runtime("1.17"), runtime("1.32")]) is None


def test_no_releases_no_detours() -> None:
    node = helper.make_node("Erf", ["x"], ["y"])
    assert detoured(model([node], {"x": ("bfloat16", [2])}, {"y": "bfloat16"}), ())[1] == []


# -- exports ----------------------------------------------------------------------------------------------------------
def test_an_export_for_a_target_is_detoured_proven_and_told(tmp_path: Any, caplog: Any) -> None:
    block = nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.Linear(5, 2)).to("bfloat16").eval()
    path = tmp_path / "m.onnx"
    with caplog.at_level(logging.INFO, "interchange"):
        made = ix.export(block, {"x": "bfloat16[n, 4]"}, path, target="onnxruntime>=1.18")
    assert made.evidence is not None
    assert made.evidence["ok"]
    done = json.loads(made.metadata["interchange.detours"])
    assert {d["from"] for d in done} == {"bfloat16"}
    assert not any(d["lossy"] for d in done)
    assert any("computes in float32" in r.message for r in caplog.records)
    assert ix.check(path, target="onnxruntime>=1.18").ok
    y = ix.load(path).run(x=np.ones((3, 4), ml_dtypes.bfloat16))
    assert next(iter(y.values())).dtype == ml_dtypes.bfloat16
    assert ix.verify(path, block).ok


def test_without_a_target_the_runtime_here_is_meant() -> None:
    made = ix.export(lambda a, b: MatMul(a, b), {"a": "bfloat16[n, 2]", "b": "bfloat16[2, 3]"})
    assert "interchange.detours" in made.metadata
    plain = ix.export(lambda a, b: MatMul(a, b), {"a": "float32[n, 2]", "b": "float32[2, 3]"})
    assert "interchange.detours" not in plain.metadata
    faithful = ix.export(lambda a: Mul(a, a), {"a": "bfloat16[n]"}, verify=False, load=False)
    assert "interchange.detours" not in faithful.metadata


def test_lossy_detours_are_refused_with_the_way_to_allow_them() -> None:
    inputs = {"x": "float64[n, 1, 5, 5]", "w": "float64[2, 1, 3, 3]"}
    with pytest.raises(CheckError) as info:
        ix.export(lambda x, w: Conv(x, w), inputs, target="onnxruntime>=1.18")
    assert info.value.code == "IX584"
    assert "allow_lossy=True" in (info.value.fix or "")
    made = ix.export(lambda x, w: Conv(x, w), inputs, target="onnxruntime>=1.18", allow_lossy=True)
    assert made.evidence is not None
    assert made.evidence["ok"]
    assert json.loads(made.metadata["interchange.detours"]) == [
        {"op": "Conv", "from": "float64", "to": "float32", "nodes": 1, "lossy": True}
    ]
