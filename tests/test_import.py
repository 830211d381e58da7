"""Round trips: eager -> ONNX -> eager -> ONNX, the same signature, names and values; training goes on."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import interchange as ix
from interchange import ops
from interchange.eager import Tensor, nn, optim
from interchange.errors import ConvertError

RNG = np.random.default_rng(0)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.LayerNorm(8))
        self.head = nn.Linear(8, 3)

    def forward(self, x, scale=1.0):
        hidden = self.body(x)
        return {"scores": self.head(hidden) * scale, "hidden": [hidden, hidden.mean(0)]}


def test_the_second_export_equals_the_third_byte_for_byte(tmp_path):
    net = Net().eval()
    first = ix.export(net, {"x": "float32[batch, 4]"}, tmp_path / "1.onnx", doc="a net", metadata={"author": "me"})
    again = ix.import_model(tmp_path / "1.onnx")
    assert list(again.state_dict()) == list(net.state_dict())
    second = ix.export(again, path=tmp_path / "2.onnx")
    ix.export(ix.import_model(tmp_path / "2.onnx"), path=tmp_path / "3.onnx")
    assert (tmp_path / "2.onnx").read_bytes() == (tmp_path / "3.onnx").read_bytes()
    for model in (first, second):
        assert [str(s) for s in model.inputs.values()] == ["x: float32[batch, 4]"]
        assert list(model.outputs) == ["scores", "hidden.0", "hidden.1"]
        assert model.metadata["author"] == "me"
    assert onnx.load(tmp_path / "2.onnx").doc_string == "a net"
    x = RNG.standard_normal((5, 4)).astype("f4")
    for name, value in first.run(x=x).items():
        np.testing.assert_array_equal(second.run(x=x)[name], value)
    result = again(Tensor(x))
    assert list(result) == ["scores", "hidden"]
    assert isinstance(result["hidden"], list)


def train(model, steps, optimiser=None):
    """Full-batch training on fixed data; the losses."""
    rng = np.random.default_rng(3)
    x, t = Tensor(rng.standard_normal((32, 4)).astype("f4")), Tensor(rng.integers(0, 3, 32))
    optimiser = optimiser or optim.SGD(model.parameters(), lr=0.2)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model(x)["scores"], t)
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    return losses


def test_training_goes_on_as_if_nothing_had_happened(tmp_path):
    net = Net()
    train(net, 5)
    ix.export(net.eval(), {"x": "float32[batch, 4]"}, tmp_path / "m.onnx")
    again = ix.import_model(tmp_path / "m.onnx")
    losses = train(net.train(), 5)
    np.testing.assert_allclose(train(again, 5), losses, rtol=1e-5)
    assert losses[-1] < losses[0]
    for (n, a), (m, b) in zip(net.named_parameters(), again.named_parameters(), strict=True):
        assert n == m
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-6)


def test_train_mode_state_comes_back(tmp_path):
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).train()
    x = RNG.standard_normal((8, 4)).astype("f4")
    ix.export(net, {"x": x}, tmp_path / "m.onnx", dynamic={"x": {0: ix.Dim("n", min=2)}})
    again = ix.import_model(tmp_path / "m.onnx")
    for _ in range(3):
        np.testing.assert_allclose(again(Tensor(x)).numpy(), net(Tensor(x)).numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        dict(again.named_buffers())["1.running_mean"].numpy(), net[1].running_mean.numpy(), rtol=1e-5
    )
    ix.export(again, path=tmp_path / "2.onnx")
    ix.export(ix.import_model(tmp_path / "2.onnx"), path=tmp_path / "3.onnx")
    assert (tmp_path / "2.onnx").read_bytes() == (tmp_path / "3.onnx").read_bytes()


def test_functions_are_run_through(tmp_path):
    net = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), nn.Linear(4, 2)).eval()
    ix.export(net, {"x": "float32[n, 4]"}, tmp_path / "m.onnx", functions=True)
    assert onnx.load(tmp_path / "m.onnx").functions
    x = RNG.standard_normal((3, 4)).astype("f4")
    again = ix.import_model(tmp_path / "m.onnx")
    np.testing.assert_allclose(again(Tensor(x)).numpy(), net(Tensor(x)).numpy(), rtol=1e-6)


def foreign(opset=13, op="ReduceSum", **attributes):
    """A model by another tool: no metadata, an old opset, a Constant node."""
    nodes = [
        helper.make_node("MatMul", ["data", "W"], ["h"]),
        helper.make_node("Constant", [], ["two"], value=helper.make_tensor("t", TensorProto.FLOAT, [], [2.0])),
        helper.make_node("Mul", ["h", "two"], ["d"]),
        helper.make_node("ReduceMean", ["d"], ["y"], axes=[1], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N"])],
        [helper.make_tensor("W", TensorProto.FLOAT, [3, 2], [1.0, 2, 3, 4, 5, 6])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def test_a_foreign_model_becomes_trainable(tmp_path):
    path = tmp_path / "foreign.onnx"
    onnx.save(foreign(), path)
    model = ix.import_model(path)
    assert [n for n, _ in model.named_parameters()] == ["W"]
    y = model(Tensor([[1.0, 1.0, 1.0]]))
    assert y.tolist() == [21]
    y.sum().backward()
    assert model.W.grad.tolist() == [[1, 1]] * 3
    out = ix.export(model, path=tmp_path / "new.onnx", opset=21)
    assert out.run(data=np.ones((2, 3), "f4"))["y"].tolist() == [21, 21]


def test_what_the_vocabulary_lacks_is_listed_at_once(tmp_path):
    nodes = [
        helper.make_node("LSTM", ["x", "w", "r"], ["", "h"], hidden_size=1),
        helper.make_node("Det", ["h"], ["d"]),
        helper.make_node("Det", ["h"], ["e"]),
    ]
    shapes = {"x": [1, 1, 1], "w": [1, 4, 1], "r": [1, 4, 1]}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "de"],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), tmp_path / "m.onnx")
    with pytest.raises(ConvertError) as caught:
        ix.import_model(tmp_path / "m.onnx")
    assert caught.value.code == "IX902"
    assert "Det (2x)" in caught.value.found
    assert "LSTM (1x)" in caught.value.found
    onnx.save(foreign(opset=11), tmp_path / "old.onnx")
    with pytest.raises(ConvertError, match="IX903"):
        ix.import_model(tmp_path / "old.onnx")


UNARY = [ops.Relu, ops.Tanh, ops.Sigmoid, ops.Abs, ops.Neg, ops.Exp, ops.Softplus, ops.Erf]
BINARY = [ops.Add, ops.Sub, ops.Mul, ops.Max]


@st.composite
def programs(draw):
    """A random program over the vocabulary: a list of steps on a growing list of [n, 3] tensors."""
    steps = []
    for _ in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(["unary", "binary", "linear", "reduce", "reshape", "slice"]))
        steps.append((kind, draw(st.integers(0, 7)), draw(st.integers(0, 20)), draw(st.integers(0, 20))))
    return steps


class Program(nn.Module):
    def __init__(self, steps):
        super().__init__()
        self.steps = tuple(steps)
        rng = np.random.default_rng(len(steps))
        self.layers = nn.ModuleList([nn.Linear(3, 3) for _ in steps])
        for p in self.parameters():
            p.assign(rng.standard_normal(p.shape).astype("f4") * 0.5)

    def forward(self, x):
        pool = [x]
        for layer, (kind, which, i, j) in zip(self.layers, self.steps, strict=True):
            a, b = pool[i % len(pool)], pool[j % len(pool)]
            if kind == "unary":
                pool.append(ops.Tanh(UNARY[which % len(UNARY)](a)))
            elif kind == "binary":
                pool.append(ops.Tanh(BINARY[which % len(BINARY)](a, b)))
            elif kind == "linear":
                pool.append(layer(a))
            elif kind == "reduce":
                pool.append(a - a.mean(which % 2, keepdims=True) * a.shape[0])
            elif kind == "reshape":
                pool.append(a.reshape(3, -1).transpose(1, 0) + b.reshape(-1).reshape(b.shape))
            else:
                pool.append(ops.Concat(a[:, which % 3 :], a[:, : which % 3], axis=1))
        return {"last": pool[-1], "total": sum(p.sum() for p in pool)}


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(programs())
def test_round_trips_of_random_programs(steps):
    from interchange.graph.files import load

    net = Program(steps).eval()
    first = ix.export(net, {"x": "float32[n, 3]"}, sizes=2, tolerance=(1e-3, 1e-4))
    again = ix.import_model(load(first.source))
    second = ix.export(again, sizes=2, tolerance=(1e-3, 1e-4))
    third = ix.export(ix.import_model(load(second.source)), sizes=2, tolerance=(1e-3, 1e-4))
    assert second.source == third.source
    assert set(again.state_dict()) <= set(net.state_dict()), "parameters that are read keep their names"
    x = Tensor(np.random.default_rng(1).standard_normal((5, 3)).astype("f4"))
    for name, value in net(x).items():
        np.testing.assert_array_equal(again(x)[name].numpy(), value.numpy())


def relu(*names, dim="batch size"):
    """A model of other tools: the sum of inputs with odd names, and the name of their first size is none of ours."""
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [dim, 3]) for n in names]
    outputs = [helper.make_tensor_value_info("22", TensorProto.FLOAT, [dim, 3])]
    graph = helper.make_graph([helper.make_node("Sum", names, ["22"])], "g", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("names", [["input.1"], ["x:0", "x_0"], ["class"], ["serving/default input", "args"]])
def test_inputs_of_other_tools_keep_their_names(tmp_path, names):
    onnx.save(relu(*names), tmp_path / "m.onnx")
    module = ix.import_model(tmp_path / "m.onnx")
    again = ix.export(module, path=tmp_path / "again.onnx")
    assert list(again.inputs) == names
    assert ix.verify(tmp_path / "m.onnx", module).ok
    ones = np.ones((2, 3), "f4")
    np.testing.assert_array_equal(module(**dict.fromkeys(names, ones)).numpy(), len(names) * ones)


def test_a_text_that_is_no_size_is_one_name_for_all_inputs(tmp_path):
    onnx.save(relu("a", "b"), tmp_path / "m.onnx")
    loaded, module = ix.load(tmp_path / "m.onnx"), ix.import_model(tmp_path / "m.onnx")
    assert [str(s) for s in module.specs.values()] == ["a: float32[batch_size, 3]", "b: float32[batch_size, 3]"]
    assert [str(s) for s in loaded.inputs.values()] == [str(s) for s in module.specs.values()]
    ix.export(module, path=tmp_path / "again.onnx")


@pytest.mark.parametrize("indices", [[0, 4], [[0, 0], [1, 1]]])
def test_sparse_constants(tmp_path, indices):
    sparse = helper.make_sparse_tensor(
        helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0]),
        helper.make_tensor("at", TensorProto.INT64, np.shape(indices), np.ravel(indices)),
        [3, 3],
    )
    proto = relu("x")
    proto.graph.sparse_initializer.append(sparse)
    proto.graph.node[0].input.extend(["w", "c"])
    proto.graph.node.insert(0, helper.make_node("Constant", [], ["c"], sparse_value=sparse))
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 3
    onnx.save(proto, tmp_path / "m.onnx")
    module = ix.import_model(tmp_path / "m.onnx")
    expected = np.ones((3, 3), "f4")
    expected[0, 0], expected[1, 1] = 3, 5
    np.testing.assert_array_equal(module(np.ones((3, 3), "f4")).numpy(), expected)
    assert ix.verify(tmp_path / "m.onnx", module).ok


def test_verify_of_a_file_whose_weights_are_inputs_too(tmp_path):
    """As IR version 3 asked for, and many files of other tools have it."""
    proto = relu("x", "w", dim=3)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((3, 3), "f4"), "w"))
    onnx.save(proto, tmp_path / "m.onnx")
    assert ix.verify(tmp_path / "m.onnx", ix.import_model(tmp_path / "m.onnx")).ok
