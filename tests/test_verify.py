"""Parity: what counts as equal, which sizes are tried, and that a wrong model is caught and located."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest

import interchange as ix
from interchange.dims import Condition, Dim, Guard, Spec, parse_condition
from interchange.eager import Tensor, nn
from interchange.errors import VerifyError
from interchange.parity import ParityReport, compare
from interchange.sampling import admissible, sample_sizes

ONE = np.ones(3, "f4")


@pytest.mark.parametrize(
    ("found", "expected", "says"),
    [
        (ONE, ONE.astype("f8"), "dtype float32 instead of float64"),
        (ONE, np.ones((3, 1), "f4"), "shape [3] instead of [3, 1]"),
        (np.array([1, np.nan], "f4"), np.array([1, 2], "f4"), "NaN on one side only"),
        (np.array([1, 2], "f4"), np.array([1, np.nan], "f4"), "NaN on one side only"),
        (np.array([np.inf], "f4"), np.array([-np.inf], "f4"), "1 of 1 elements differ"),
        (np.array([np.inf], "f4"), np.array([1e30], "f4"), "1 of 1 elements differ"),
        (np.array([1e30], "f4"), np.array([np.inf], "f4"), "1 of 1 elements differ"),
        (np.array([1.001], "f4"), np.array([1.0], "f4"), "1 of 1 elements differ, first at [0]"),
        (np.array([3]), np.array([4]), "3 instead of 4"),
        (np.array([True]), np.array([False]), "True instead of False"),
        (np.array(["a"], object), np.array(["b"], object), "a instead of b"),
        (ONE.astype(ml_dtypes.bfloat16), (ONE * 1.2).astype(ml_dtypes.bfloat16), "3 of 3"),
    ],
)
def test_differences_are_found(found, expected, says):
    assert says in str(compare("y", found, expected).problem)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (ONE, ONE * (1 + 1e-6)),
        (np.array([np.nan, np.inf, -np.inf], "f4"), np.array([np.nan, np.inf, -np.inf], "f4")),
        (np.array([1e-7, 1000], "f4"), np.array([2e-7, 1000], "f4")),
        (ONE.astype(ml_dtypes.bfloat16), (ONE * 1.01).astype(ml_dtypes.bfloat16)),
        (np.zeros((0, 3), "f4"), np.zeros((0, 3), "f4")),
        (np.array(1 + 2j, "c8"), np.array(1 + 2j, "c8")),
    ],
)
def test_equal_within_the_tolerance_of_the_dtype(found, expected):
    assert compare("y", found, expected.astype(found.dtype)).problem is None


def test_zeros_of_the_other_sign_are_counted():
    assert compare("y", np.array([0.0, -0.0]), np.array([-0.0, -0.0])).signed_zeros == 1


def test_a_tolerance_can_be_given():
    assert compare("y", ONE * 1.01, ONE, (0.1, 0.0)).problem is None
    assert compare("y", ONE * (1 + 1e-6), ONE, (0.0, 0.0)).problem


def test_sizes_satisfy_bounds_and_guards():
    guards = [Guard(parse_condition("n%4 == 0"), ""), Guard(Condition(Dim("m") - 3, ">="), "")]
    dims = {"n": (1, 64), "m": (1, None)}
    sizes = sample_sizes(dims, guards, 3)
    assert len(sizes) == 3
    assert all(s["n"] % 4 == 0 and s["m"] >= 3 and admissible(s, dims, guards) for s in sizes)
    free = sample_sizes({"n": (1, None), "m": (1, None)}, [], 3)
    assert free[0] == {"n": 1, "m": 1}
    assert free[1]["n"] != free[1]["m"], "two names never share a size by accident"
    assert sample_sizes({"n": (5, 5)}, [], 3) == [{"n": 5}]


def test_an_empty_input_is_tried_where_the_bounds_admit_it():
    assert sample_sizes({"n": (0, None)}, [], 3)[::2] == [{"n": 1}, {"n": 0}]
    assert {"n": 0} not in sample_sizes({"n": (1, None)}, [], 9)
    spec = Spec("x", "float32", (Dim("n", min=0), 3))
    report = ix.export(lambda x: (x.mean(0), x.sum(0), x.var(1)), {"x": spec}).evidence
    assert 0 in [t["sizes"]["n"] for t in report["trials"]]


def wrong(path, change):
    """The model at `path` with a weight changed."""
    proto = onnx.load(path)
    for t in proto.graph.initializer:
        if t.name == change:
            t.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(t) + 0.5, t.name))
    onnx.save(proto, path)


def test_a_changed_weight_is_seen(tmp_path):
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1)).eval()
    path = tmp_path / "m.onnx"
    ix.export(net, {"x": "float32[n, 3]"}, path)
    report = ix.verify(path, net)
    assert report.ok
    assert ParityReport.from_dict(report.to_dict()) == report
    wrong(path, "2.bias")
    report = ix.verify(path, net)
    assert not report.ok
    assert "BAD output at n=1" in report.text()
    with pytest.raises(VerifyError, match="IX701"):
        report.raise_if_different()


def test_the_source_is_left_as_it_was():
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)).train()
    before = {k: v.numpy().copy() for k, v in net.state_dict().items()}
    ix.export(net, {"x": np.ones((4, 3), "f4")})
    for k, v in net.state_dict().items():
        np.testing.assert_array_equal(v.numpy(), before[k], err_msg=k)


def test_a_source_that_fails_where_the_export_runs_is_a_difference():
    def model(x):
        if not isinstance(x.shape[0], int) or x.shape[0] != 1:  # a size that the source does not admit
            return x * 2
        return x.reshape(7)

    with pytest.raises(VerifyError, match="source model itself fails"):
        ix.export(model, {"x": "float32[n]"})


def test_no_admissible_size_is_said():
    with pytest.raises(VerifyError, match="IX702"):
        ix.export(lambda x: x.reshape(-1, 1000), {"x": "float32[n]"})


def test_integers_are_sampled_from_the_example():
    table = nn.Embedding(50, 4)
    ids = np.array([[3, 49], [0, 7]])
    model = ix.export(table.eval(), {"indices": ids}, dynamic={"indices": {0: "batch", 1: "time"}})
    np.testing.assert_array_equal(model.run(indices=ids)["output"], table(Tensor(ids)).numpy())


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        (["batch", "batch"], "the shape is (1, 3), and the model declares output: float32[batch, batch]"),
        (["2*batch", 3], "declares output: float32[2*batch, 3]"),
        (["batch", 3], None),
        (["rows", 3], None),  # a size that no input has: nothing to hold it against
        ([None, 3], None),
    ],
)
def test_shapes_that_are_declared_are_held_against_the_runs(declared, says):
    net = nn.Linear(4, 3).eval()
    proto = onnx.load_from_string(ix.export(net, {"x": "float32[batch, 4]"}).source)
    proto.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("output", 1, declared))
    report = ix.verify(proto.SerializeToString(), net)
    assert report.ok == (says is None)
    if says is not None:
        assert says in report.text()
