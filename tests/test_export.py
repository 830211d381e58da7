"""Export: what is written is what the model does, at every admissible size; what cannot be had is refused."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest

import interchange as ix
from interchange import ops
from interchange.dims import Dim
from interchange.eager import Buffer, Parameter, Tensor, nn
from interchange.errors import (
    ConvertError,
    InterchangeError,
    OperatorError,
    SchemaError,
    TraceError,
    UsageError,
    VerifyError,
)


class Net(nn.Module):
    """Two layers that share one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(4, 2))

    def forward(self, x):
        return self.head(self.second(self.first(x)))


def eager(model: Any, *arrays: Any) -> Any:
    return model(*(Tensor(a) for a in arrays)).numpy()


def test_names_dims_and_sharing_survive(tmp_path):
    net = Net().eval()
    model = ix.export(net, {"x": "float32[batch, 4]"}, tmp_path / "net.onnx")
    assert [str(s) for s in model.inputs.values()] == ["x: float32[batch, 4]"]
    assert [str(s) for s in model.outputs.values()] == ["output: float32[batch, 2]"]
    proto = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(proto, full_check=True)
    names = {t.name for t in proto.graph.initializer}
    assert names == {"first.weight", "first.bias", "head.1.weight", "head.1.bias"}
    for batch in (1, 2, 31):
        x = np.random.default_rng(0).standard_normal((batch, 4)).astype("f4")
        np.testing.assert_allclose(model.run(x=x)["output"], eager(net, x), rtol=1e-5, atol=1e-6)


def test_weights_beside_the_model_are_checked_written_and_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr("interchange.graph.files.EXTERNAL_ABOVE", 1 << 12)
    path = tmp_path / "wide.onnx"
    written = ix.export(nn.Linear(64, 32), {"x": "float32[batch, 64]"}, path)
    assert len(list(tmp_path.glob("wide.*.data"))) == 1
    x = np.ones((2, 64), np.float32)
    np.testing.assert_array_equal(ix.load(path).run(x=x)["output"], written.run(x=x)["output"])


def test_the_evidence_is_in_the_file(tmp_path):
    ix.export(Net().eval(), {"x": "float32[batch, 4]"}, tmp_path / "net.onnx")
    metadata = {p.key: p.value for p in onnx.load(tmp_path / "net.onnx").metadata_props}
    evidence = json.loads(metadata["interchange.evidence"])
    assert evidence["ok"]
    sizes = [t["sizes"]["batch"] for t in evidence["trials"]]
    assert 1 in sizes
    assert 31 in sizes
    assert json.loads(metadata["interchange.dims"]) == {"batch": [1, None]}
    assert not any(str(tmp_path) in value for value in metadata.values())


def test_the_same_model_gives_the_same_bytes(tmp_path):
    net = Net().eval()
    for name in "ab":
        ix.export(net, {"x": "float32[batch, 4]"}, tmp_path / f"{name}.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclasses.dataclass
class Result:
    scores: Any
    hidden: Any
    nothing: Any = None


def test_nested_inputs_and_outputs_keep_their_names():
    class Nested(nn.Module):
        def forward(self, x, options, pair, *, scale=1.0, flag=True, mask=None):
            assert mask is None
            y = x * scale + options["a"] + options["list"][0]
            return Result({"y": y, "z": pair.left - pair.right if flag else y}, [y * 2, (y * 3,)])

    inputs = {
        "x": "float32[n, 2]",
        "options": {"a": "float32[n, 2]", "list": ["float32[2]"]},
        "pair": Pair("float32[n]", "float32[n]"),
        "scale": 2.0,
        "mask": None,
    }
    model = ix.export(Nested(), inputs)
    assert list(model.inputs) == ["x", "options.a", "options.list.0", "pair.left", "pair.right"]
    assert list(model.outputs) == ["scores.y", "scores.z", "hidden.0", "hidden.1.0"]
    ones = np.ones((3, 2), "f4")
    found = model.run(
        {"x": ones, "options.a": ones, "options.list.0": ones[0], "pair.left": ones[:, 0], "pair.right": ones[:, 1]}
    )
    np.testing.assert_array_equal(found["scores.y"], ones * 4)
    np.testing.assert_array_equal(found["hidden.1.0"], ones * 12)


def test_outputs_that_are_inputs_constants_or_repeated():
    w = Parameter([1.0, 2.0], name="w")

    def model(x):
        y = x + 1
        return {"x_again": x, "y": y, "y_again": y, "constant": Tensor([3.0]), "w_again": w}

    found = ix.export(model, {"x": "float32[n]"}).run(x=np.zeros(2, "f4"))
    assert {k: v.tolist() for k, v in found.items()} == {
        "x_again": [0, 0],
        "y": [1, 1],
        "y_again": [1, 1],
        "constant": [3],
        "w_again": [1, 2],
    }


def test_train_mode_is_exported_as_it_is_with_its_state():
    class Counted(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(3)
            self.seen = Buffer(0, "int64")

        def forward(self, x):
            if self.training:
                self.seen.assign(self.seen + 1)
            return self.norm(x)

    net = Counted().train()
    x = np.random.default_rng(0).standard_normal((8, 3)).astype("f4")
    before = {n: b.numpy().copy() for n, b in net.named_buffers()}
    model = ix.export(net, {"x": x}, dynamic={"x": {0: Dim("batch", min=2)}})
    for name, value in before.items():  # exporting trained nothing
        np.testing.assert_array_equal(dict(net.named_buffers())[name].numpy(), value)
    found = model.run(x=x)
    expected = eager(net, x)
    np.testing.assert_allclose(found["output"], expected, rtol=1e-4, atol=1e-5)
    for name in ("norm.running_mean", "norm.running_var", "seen"):
        np.testing.assert_allclose(
            found[f"{name}.next"], dict(net.named_buffers())[name].numpy(), rtol=1e-5, err_msg=name
        )
    again = model.run({"x": x, **{n: found[f"{n}.next"] for n in model.state}})
    eager(net, x)
    np.testing.assert_allclose(again["seen.next"], 2)
    np.testing.assert_allclose(again["norm.running_mean.next"], net.norm.running_mean.numpy(), rtol=1e-5)
    assert not ix.export(net.eval(), {"x": "float32[n, 3]"}).state


def test_dynamic_is_asked_for_and_nothing_is_baked():
    x = np.ones((5, 4), "f4")
    fixed = ix.export(lambda x: x.mean(), {"x": x})
    assert str(fixed.inputs["x"]) == "x: float32[5, 4]"
    free = ix.export(lambda x: x.mean(0) * x.shape[0], {"x": x}, dynamic={"x": {0: "rows"}})
    assert free.run(x=np.ones((9, 4), "f4"))["output"].tolist() == [9] * 4
    bounded = ix.export(lambda x: x * 2, {"x": x}, dynamic={"x": [Dim("rows", min=2, max=9)]})
    with pytest.raises(InterchangeError, match="rows"):
        bounded.run(x=np.ones((10, 4), "f4"))
    for wrong in ({"y": {0: "n"}}, {"x": {2: "n"}}, {"x": {0: 3}}):
        with pytest.raises(TraceError, match="IX208"):
            ix.export(lambda x: x, {"x": x}, dynamic=wrong)


def test_auto_finds_what_can_vary():
    w = Parameter(np.ones((4, 2)), "float32", name="w")
    x, y = np.ones((5, 4), "f4"), np.ones((5, 3), "f4")
    model = ix.export(lambda x, y: ((x @ w).sum(1) + y.sum(1)).sum() + x.shape[0], {"x": x, "y": y}, dynamic="auto")
    shapes = [s.shape for s in model.inputs.values()]
    assert [str(d) for d in shapes[0]][1] == "4"
    assert str(shapes[0][0]) == str(shapes[1][0])
    assert str(shapes[1][1]) not in ("3", str(shapes[0][0]))


def test_auto_ends_with_what_the_example_does():
    """Sizes that the code needs as numbers, that broadcast, or that share a name by accident become what they were."""

    def sum_rows(x):
        total = x[0]
        for i in range(1, x.shape[0]):
            total = total + x[i]
        return total

    x = np.ones((3, 2), "f4")
    assert str(ix.export(sum_rows, {"x": x}, dynamic="auto").inputs["x"]) == "x: float32[3, x_1]"
    assert str(ix.export(lambda x: x * float(x.shape[1]), (x,), dynamic="auto").inputs["x"]) == "x: float32[x_0, 2]"
    added = ix.export(lambda x, y: x + y, (x[:1], x), dynamic="auto").inputs
    assert [str(s) for s in added.values()] in (
        ["x: float32[1, x_1]", "y: float32[y_0, x_1]"],
        ["x: float32[1, y_1]", "y: float32[y_0, y_1]"],
    )
    mixed = ix.export(lambda x, y: x + y, {"x": "float32[rows, 2]", "y": x}, dynamic="auto")
    assert str(mixed.inputs["y"]) == "y: float32[rows, 2]"
    with pytest.raises(TraceError, match="IX201"):
        ix.export(sum_rows, {"x": "float32[rows, 2]"}, dynamic="auto")
    pool = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(2))
    exported = ix.export(pool, (np.ones((2, 1, 8, 6), "f4"),), dynamic="auto")
    assert str(exported.inputs["x"]) == "x: float32[x_0, 1, 8, 6]"
    assert str(ix.export(lambda x: x.squeeze(), (x[:1],), dynamic="auto").inputs["x"]) == "x: float32[1, 2]"
    assert str(ix.export(lambda x: x * len(x), (x,), dynamic="auto").inputs["x"]) == "x: float32[3, x_1]"
    assert ix.export(lambda x: x * 2, (x[:0],), dynamic="auto").run(x[:0])["output"].shape == (0, 2)
    nested = {"a": {"b": np.ones(2, "f4")}, "a_b": np.ones(3, "f4")}
    exported = ix.export(lambda a, a_b: (a["b"] * 2, a_b * 2), nested, dynamic="auto")
    assert len({str(s.shape[0]) for s in exported.inputs.values()}) == 2


def test_guards_travel_and_are_enforced():
    model = ix.export(lambda x: x.reshape(-1, 4).sum(1), {"x": "float32[n]"})
    assert [str(g.condition) for g in model.guards] == ["n%4 == 0"]
    assert model.run(x=np.ones(8, "f4"))["output"].tolist() == [4, 4]
    with pytest.raises(InterchangeError, match="n%4 == 0"):
        model.run(x=np.ones(7, "f4"))


def test_a_contradicted_dimension_is_refused_at_the_users_line():
    w = Parameter(np.ones((4, 2)), "float32", name="w")
    with pytest.raises(OperatorError) as caught:
        ix.export(lambda x: x @ w, {"x": "float32[n, k]"})
    assert caught.value.where.startswith("test_export.py:")
    assert "k" in str(caught.value)
    assert "4" in str(caught.value)


@pytest.mark.parametrize("opset", [17, 18, 19, 20, 21, 22, 23])
def test_the_opset_asked_for_is_the_one_written(opset, tmp_path):
    def f(x):
        return ops.Gelu(x) + x.mean(1, keepdims=True) + ops.Clip(x, 0.0, 1.0)

    ix.export(f, {"x": "float32[n, 3]"}, tmp_path / "m.onnx", opset=opset)
    proto = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(proto, full_check=True)
    assert [(o.domain, o.version) for o in proto.opset_import] == [("", opset)]


def test_targets_are_honoured_or_refused(tmp_path):
    ix.export(lambda x: x + 1, {"x": "float32[n]"}, tmp_path / "m.onnx", target="onnxruntime>=1.17")
    proto = onnx.load(tmp_path / "m.onnx")
    assert proto.opset_import[0].version == 20
    assert proto.ir_version == 9
    for options in ({"opset": 16}, {"opset": 99}, {"target": "tensorrt"}, {"target": "onnxruntime==1.18", "opset": 22}):
        with pytest.raises(SchemaError):
            ix.export(lambda x: x + 1, {"x": "float32[n]"}, tmp_path / "n.onnx", **options)
    assert not (tmp_path / "n.onnx").exists()


def test_a_wrong_export_is_caught_and_nothing_is_written(tmp_path, monkeypatch):
    calls = []

    def impure(x):  # another result each time: no export of it can be right
        calls.append(1)
        return x + float(len(calls))

    with pytest.raises(VerifyError) as caught:
        ix.export(impure, {"x": "float32[n]"}, tmp_path / "m.onnx")
    assert caught.value.code == "IX701"
    assert "output at n=" in caught.value.found
    assert not list(tmp_path.iterdir())


def test_modules_can_be_kept_as_functions(tmp_path):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 4)

        def forward(self, x):
            return self.inner(x).relu() + x

    net = nn.Sequential(Block(), Block(), nn.Linear(4, 2)).eval()
    model = ix.export(net, {"x": "float32[n, 4]"}, tmp_path / "f.onnx", functions=[Block])
    proto = onnx.load(tmp_path / "f.onnx")
    assert [f.name for f in proto.functions] == ["Block"]
    assert [n.op_type for n in proto.graph.node][:2] == ["Block", "Block"]
    assert {"0.inner.weight", "1.inner.weight"} <= {t.name for t in proto.graph.initializer}
    x = np.random.default_rng(0).standard_normal((3, 4)).astype("f4")
    np.testing.assert_allclose(model.run(x=x)["output"], eager(net, x), rtol=1e-5, atol=1e-6)
    with pytest.raises(UsageError, match="IX805"):
        ix.export(net, {"x": "float32[n, 4]"}, functions=[nn.LSTM] if hasattr(nn, "LSTM") else ["Attention"])


def test_nodes_say_where_they_come_from(tmp_path):
    ix.export(Net().eval(), {"x": "float32[n, 4]"}, tmp_path / "m.onnx")
    nodes = onnx.load(tmp_path / "m.onnx").graph.node
    where = [{p.key: p.value for p in n.metadata_props} for n in nodes]
    assert [w["interchange.module"] for w in where][:2] == ["first", "second"]
    assert all(w["interchange.line"].startswith("test_export.py:") for w in where)


@pytest.mark.parametrize(
    ("model", "inputs", "code"),
    [
        (lambda x: x, {"z": "float32[n]"}, "IX207"),
        (lambda x: x, ("float32[n]", "float32[n]"), "IX207"),
        (lambda x: None, {"x": "float32[n]"}, "IX209"),
        (lambda x: {"x": x + 1}, {"x": "float32[n]"}, "IX209"),
        (lambda x: {"y": x, "z": "text"}, {"x": "float32[n]"}, "IX209"),
        (lambda x: x, {"x": "float31[n]"}, "IX801"),
        (lambda x: x, {"x": "float32[n"}, "IX803"),
        (lambda x: x, {"x": "float32[2n]"}, "IX803"),
        (lambda x: x, {"x": "float32(n, 2)"}, "IX803"),
        (lambda x: x, {"x": "float32[-1]"}, "IX803"),
        (3, {"x": "float32[n]"}, "IX901"),
        (lambda x: x.reshape(x.shape[0] * 2), {"x": "float32[n]"}, "IX112"),
        (lambda x: x, None, "IX207"),
        (lambda x: x["a.b"], ({"a.b": "float32[n]", "a": {"b": "float32[n]"}},), "IX207"),
    ],
)
def test_wrong_use_is_explained(model, inputs, code):
    with pytest.raises(InterchangeError) as caught:
        ix.export(model, inputs)
    assert caught.value.code == code
    assert caught.value.found
    assert caught.value.expected


@pytest.mark.parametrize(
    "dynamic",
    ["batch", ["x"], {"x": "batch"}, {"x": {0: 4}}, {"x": {2: "n"}}, {"z": {0: "n"}}, {"x": {0: Dim("n", min=2)}}],
)
def test_what_dynamic_says_is_done_or_refused(dynamic):
    """The last one: one name for two ranges."""
    x = {"x": np.ones((4, 3), "f4"), "y": np.ones((4, 3), "f4")}
    if isinstance(dynamic, dict) and "z" not in dynamic:
        dynamic = {**dynamic, "y": {0: Dim("n", max=8)}}
    with pytest.raises(TraceError) as caught:
        ix.export(lambda x, y: x * y, x, dynamic=dynamic)
    assert caught.value.code == "IX208"


def test_arguments_of_every_kind_reach_the_model():
    def model(a, /, b, *rest, scale, **more):
        return a - b + 2 * rest[0] - 3 * rest[1] + scale * more["extra"]

    arrays = [np.full(2, v, "f4") for v in (1, 2, 4, 8)]
    with pytest.raises(TraceError, match="missing a required argument: 'scale'"):
        ix.export(model, tuple(arrays))
    exported = ix.export(lambda a, b, *rest: a - b + 2 * rest[0] - 3 * rest[1], tuple(arrays))
    assert list(exported.inputs) == ["a", "b", "rest_0", "rest_1"]
    assert exported.run(*arrays)["output"].tolist() == [-17, -17]
    exported = ix.export(lambda a, b=2.0, *, scale, **more: a * b + scale * more["extra"], {
        "a": arrays[0], "scale": arrays[1], "extra": arrays[2],
    })  # fmt: skip
    assert exported.run(*arrays[:3])["output"].tolist() == [10, 10]
    assert ix.export(lambda: Tensor([1.0]) * 2).run()["output"].tolist() == [2]


def test_sizes_of_inputs_are_never_negative():
    exported = ix.export(lambda x: x * 2, {"x": "float32[n - 3]"})
    assert [str(g.condition) for g in exported.guards] == ["n >= 3"]
    with pytest.raises(UsageError, match="IX803"):
        ix.export(lambda x: x * 2, {"x": "float32[-3]"})


def test_numbers_may_be_outputs():
    exported = ix.export(lambda x: {"y": x * 2, "count": x.shape[0], "scale": 0.5, "on": True}, (np.ones(3, "f4"),))
    assert {k: v.tolist() for k, v in exported.run(np.ones(3, "f4")).items()} == {
        "y": [2, 2, 2], "count": 3, "scale": 0.5, "on": True,
    }  # fmt: skip


def test_arguments_without_a_name_are_known_to_the_file(tmp_path):
    def model(first, *rest):
        return first - rest[0] * rest[1]

    ix.export(model, ("float32[n]",) * 3, tmp_path / "m.onnx")
    assert ix.verify(tmp_path / "m.onnx", model).ok


def test_keys_of_dicts_stay_what_they_are():
    exported = ix.export(lambda levels: levels[0] + levels[1], ({0: np.ones(2, "f4"), 1: np.ones(2, "f4")},))
    assert list(exported.inputs) == ["levels.0", "levels.1"]


def test_names_are_never_changed_silently():
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = Parameter([1.0, 2.0])
            self.count = Buffer(np.float32(0))

        def forward(self, weight):
            return weight * self.weight

    with pytest.raises(TraceError, match="an input and a parameter are both called weight"):
        ix.export(Scaled(), (np.ones(2, "f4"),))

    class Counting(Scaled):
        def forward(self, x):
            self.count.assign(self.count + 1)
            return {"count.next": x * self.weight}

    exported = ix.export(Counting(), (np.ones(2, "f4"),))
    assert exported.run(np.ones(2, "f4"))["count.next"].tolist() == [1, 2]
    assert exported.state == {"count": "count.next_1"}


@pytest.mark.parametrize("names", ["y", [""], [3], ["a", "b"]])
def test_output_names_are_a_list_of_names(names):
    with pytest.raises(TraceError, match="IX209"):
        ix.export(lambda x: x * 2, {"x": "float32[n]"}, output_names=names)


def test_an_export_with_named_outputs_is_verified_again(tmp_path):
    ix.export(lambda x: x * 2, {"x": "float32[n]"}, tmp_path / "m.onnx", output_names=["twice"])
    assert ix.verify(tmp_path / "m.onnx", lambda x: x * 2).ok


@pytest.mark.parametrize("path", ["", "a\0b.onnx", 5])
def test_a_path_is_refused_before_the_work(path):
    with pytest.raises(UsageError, match="IX804"):
        ix.export(None, path=path)


class Remembers(nn.Module):
    """A state in a plain attribute."""

    def __init__(self, how, state) -> None:
        super().__init__()
        self.how, self.state = how, state

    def forward(self, x):
        return self.how(self, x)


def replace(self, x):
    self.state = self.state + x
    return self.state * 1


def count(self, x):
    self.state = self.state + 1
    return x * self.state


def cache(self, x):
    self.state = x if self.state is None else ops.Concat(self.state[1:], x, axis=0)
    return self.state * 1


def look(self, x):
    self.state = x * 2
    return self.state + 1


@pytest.mark.parametrize(
    ("how", "state", "code"),
    [
        (replace, Tensor([0.0, 0.0]), "IX213"),
        (count, Tensor(0.0), "IX213"),
        (count, 0, "IX701"),
        (cache, None, "IX701"),
        (cache, Tensor([1.0, 2.0]), "IX701"),
        (lambda self, x: x * np.random.default_rng().random(), None, "IX701"),
    ],
)
def test_a_hidden_state_is_not_lost_in_silence(how, state, code):
    model = Remembers(how, state)
    with pytest.raises(InterchangeError) as caught:
        ix.export(model, (np.ones(2, "f4"),))
    assert caught.value.code == code
    assert code == "IX213" or "called again" in str(caught.value)
    assert model.state is state
    model(Tensor([1.0, 1.0]))


@pytest.mark.parametrize("state", [None, Tensor([3.0, 3.0])])
def test_what_is_kept_to_be_looked_at_is_no_state(state):
    model = Remembers(look, state)
    assert ix.export(model, (np.ones(2, "f4"),)).run(np.ones(2, "f4"))["output"].tolist() == [3, 3]
    assert model.state is state


@pytest.mark.parametrize("verify", [True, False])
def test_nothing_is_written_that_the_runtime_does_not_load(tmp_path, verify):
    """The runtime has no Trilu of uint64."""
    old = tmp_path / "m.onnx"
    old.write_bytes(b"what was there")
    with pytest.raises(InterchangeError, match="IX621"):
        ix.export(lambda x: ops.Trilu(x), {"x": "uint64[3, 3]"}, old, verify=verify)
    assert old.read_bytes() == b"what was there"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"sizes": 0}, "IX806"),
        ({"sizes": "3"}, "IX806"),
        ({"tolerance": 1e-3}, "IX807"),
        ({"tolerance": (1e-3,)}, "IX807"),
        ({"tolerance": {"output": 1e-3}}, "IX807"),
        ({"tolerance": {"outputs": (1e-3, 1e-3)}}, "IX807"),
        ({"options": {"nonsense": 1}}, "IX808"),
        ({"functions": [3]}, "IX805"),
        ({"functions": "Conv"}, "IX805"),
    ],
)
def test_no_option_is_ignored(options, code):
    with pytest.raises(UsageError) as caught:
        ix.export(nn.Sequential(nn.Linear(2, 2)), ("float32[n, 2]",), **options)
    assert caught.value.code == code


def test_gradients_are_as_they_were_after_an_export():
    net = nn.Linear(2, 1)
    x = np.ones((3, 2), "f4")
    net(Tensor(x)).sum().backward()
    before = net.weight.grad

    def slope(x):
        net.zero_grad()
        (net(x) ** 2).sum().backward()
        return net.weight.grad

    exported = ix.export(slope, {"x": x})
    assert net.weight.grad is before
    np.testing.assert_allclose(exported.run(x=x)["output"], slope(Tensor(x)).numpy(), rtol=1e-5)

    def fails(x):
        net.zero_grad()
        loss = net(x).sum()
        loss.backward()
        return float(loss)

    kept = net.weight.grad
    with pytest.raises(TraceError, match="IX203"):
        ix.export(fails, {"x": x})
    assert net.weight.grad is kept
    with pytest.raises(TraceError, match="IX211"):  # it would be added to, as a constant
        ix.export(lambda x: (net(x).sum().backward(), net.weight.grad)[1], {"x": x})


def test_a_foreign_library_without_a_frontend_is_named():
    foreign = type("Linear", (), {"__module__": "keras.layers", "__call__": lambda self, x: x})()
    with pytest.raises(ConvertError, match="keras"):
        ix.export(foreign, {"x": "float32[n]"})


@pytest.mark.parametrize("dtype", ["float64", "float16", "int64", "int32", "bool", "uint8"])
def test_dtypes_are_kept(dtype):
    model = ix.export(lambda x: {"same": x, "picked": x[::2], "joined": ops.Concat(x, x, axis=0)}, {"x": f"{dtype}[n]"})
    assert {str(s.dtype) for s in model.outputs.values()} == {dtype}


def test_random_layers_in_train_mode_are_reproduced():
    net = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.5)).train()
    model = ix.export(net, {"x": "float32[n, 4]"})
    out = model.run(x=np.ones((2, 4), "f4"))["output"]
    assert 0 < (out == 0).sum() < out.size
