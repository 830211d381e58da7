"""ONNX's own node tests: every one with a single node whose operator is in the vocabulary, run eagerly.

Building ONNX's list takes ten seconds, so that the whole of it is a `conformance` suite; a few stand here as a sample.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from node_suite import node_suite

from interchange.dtypes import Array, is_float
from interchange.eager.tensor import wrap
from interchange.errors import InterchangeError
from interchange.graph.proto import from_proto
from interchange.ops import TABLE

# tests whose result is not reproduced, and why; one that passes fails the suite
_FLOAT_MOD = "ONNX Runtime refuses fmod=0 for floats at every opset it loads, and so is it here: fmod=1 is meant"
_RANDOM = "the elements that ONNX's generator dropped: every implementation has a generator of its own"
_CORNERS = "ONNX Runtime aligns corners of the rounded size, ONNX's reference of the exact one: eager is as the runtime"
EXPECTED: dict[str, str] = {
    "test_mod_float64_mixed_sign_fmod_0": _FLOAT_MOD,
    "test_mod_float32_mixed_sign_fmod_0": _FLOAT_MOD,
    "test_mod_float16_mixed_sign_fmod_0": _FLOAT_MOD,
    "test_mod_float_edge_cases_fmod_0_float16": _FLOAT_MOD,
    "test_mod_float_edge_cases_fmod_0_float32": _FLOAT_MOD,
    "test_mod_float_edge_cases_fmod_0_float64": _FLOAT_MOD,
    "test_training_dropout_default": _RANDOM,
    "test_training_dropout_default_mask": _RANDOM,
    "test_training_dropout": _RANDOM,
    "test_training_dropout_mask": _RANDOM,
    "test_resize_downsample_scales_linear_align_corners": _CORNERS,
    "test_resize_downsample_scales_cubic_align_corners": _CORNERS,
}


@cache
def node_tests() -> dict[str, Any]:
    """The tests by name."""
    return {name: t for name, t in node_suite().items() if _is_ours(t.model)}


def _is_ours(model: Any) -> bool:
    nodes = model.graph.node
    return len(nodes) == 1 and ("" if nodes[0].domain == "ai.onnx" else nodes[0].domain, nodes[0].op_type) in TABLE


def run(test: Any) -> None:
    """Run one test; AssertionError or another error where the result is not ONNX's."""
    ir = from_proto(test.model)
    (node,) = ir.graph.nodes
    op = TABLE[node.domain, node.op_type]
    constants, attributes = op.adapt_node(
        {k: a.value for k, a in node.attributes.items()}, len(node.outputs), ir.opsets[node.domain]
    )
    names = [v.name for v in ir.graph.inputs]
    for given, wanted in test.data_sets:
        values = dict(zip(names, map(_array, given), strict=True))
        inputs = [None if v is None or not v.name else wrap(values[v.name]) for v in node.inputs]
        found = op.call_node(inputs, constants, attributes)
        for f, w in zip(found, map(_array, wanted), strict=True):
            _same(f.numpy(), w, test.rtol, test.atol)


def _array(value: Any) -> Array:
    from onnx import TensorProto, numpy_helper

    array = numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)
    return array.astype(object) if array.dtype.kind in "SU" else array


def _same(found: Array, wanted: Array, rtol: float, atol: float) -> None:
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    if is_float(found.dtype):
        np.testing.assert_allclose(found.astype(np.float64), wanted.astype(np.float64), rtol=rtol, atol=atol)
    else:
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.conformance
def test_every_node_test() -> None:
    """All of them, in one test: the list is known only when it is built. Each failure is named."""
    failed: dict[str, str] = {}
    passed: list[str] = []
    for name, test in node_tests().items():
        try:
            run(test)
        except (AssertionError, InterchangeError) as error:
            failed[name] = str(error).strip()
        else:
            passed.append(name)
    assert len(passed) > 850
    assert not {n: e for n, e in failed.items() if n not in EXPECTED}
    assert not [n for n in passed if n in EXPECTED], "these pass by now: take them off the list"
    assert EXPECTED.keys() <= failed.keys(), "the list names tests that do not exist"


# -- a sample for every run: the node and its data written out, as ONNX's generators have them ------------------------
SAMPLE: list[tuple[str, dict[str, Any], list[Any], list[Any]]] = [
    ("Gather", {"axis": 1}, [[[0.0, 1, 2], [3, 4, 5]], [[0, 2]]], [[[[0.0, 2]], [[3, 5]]]]),
    ("CumSum", {"exclusive": 1, "reverse": 1}, [[1.0, 2, 3, 4, 5], 0], [[14.0, 12, 9, 5, 0]]),
    ("OneHot", {"axis": 1}, [[[1, 9]], 3, [1, 3]], [[[[1, 1], [3, 1], [1, 1]]]]),
    ("TopK", {"axis": 1}, [[[0.0, 1, 2, 3], [4, 5, 6, 7]], [3]], [[[3.0, 2, 1], [7, 6, 5]], [[3, 2, 1], [3, 2, 1]]]),
    ("ScatterND", {"reduction": "add"}, [[1.0, 1, 1, 1], [[1], [1]], [2.0, 3]], [[1.0, 6, 1, 1]]),
    ("Slice", {}, [[0.0, 1, 2, 3, 4, 5, 6, 7], [7], [0], [0], [-3]], [[7.0, 4, 1]]),
    ("Mod", {"fmod": 1}, [[-4.3, 7.2, 5.0], [2.1, -3.4, 8.0]], [[-0.1, 0.4, 5.0]]),
    ("Trilu", {"upper": 0}, [[[1, 2, 3], [4, 5, 6], [7, 8, 9]], -1], [[[0, 0, 0], [4, 0, 0], [7, 8, 0]]]),
]


@pytest.mark.parametrize(("name", "attributes", "given", "wanted"), [pytest.param(*s, id=s[0]) for s in SAMPLE])
def test_sample(name: str, attributes: dict[str, Any], given: list[Any], wanted: list[Any]) -> None:
    found = TABLE["", name](*(wrap(np.array(a)) for a in given), **attributes)
    for f, w in zip(found if isinstance(found, tuple) else (found,), map(np.array, wanted), strict=True):
        _same(f.numpy(), w, 1e-6, 1e-9)
