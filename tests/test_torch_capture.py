"""What a PyTorch model may be and be given, and what is said when it cannot be exported."""

import json
import subprocess
import sys
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from torch_same import torch

import interchange as ix
from interchange.errors import InterchangeError, TraceError, VerifyError
from interchange.frontends.torch import TABLE, lower
from interchange.frontends.torch.weights import to_numpy

Dim, nn = torch.export.Dim, torch.nn


@pytest.fixture
def lowering():
    """Registers a lowering for one test."""
    before = dict(TABLE)
    yield lower
    TABLE.clear()
    TABLE.update(before)


def refused(code, *args, **kwargs):
    with pytest.raises(InterchangeError) as caught:
        ix.export(*args, **kwargs)
    assert caught.value.code == code, str(caught.value)
    return caught.value


def line(error):
    """The text of the user's line that an error points at."""
    name, _, rest = error.where.partition(":")
    assert name == Path(__file__).name, error.where
    return Path(__file__).read_text().splitlines()[int(rest.split()[0]) - 1].strip()


# -- inputs -----------------------------------------------------------------------------------------------------------
Pair = namedtuple("Pair", ["left", "right"])


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 4)

    def forward(self, x, extras, scale=2.0, mask=None, twice=True, *, mode="plus"):
        y = self.linear(x) * scale + extras["bias"][0]
        if mask is not None:
            y = torch.where(mask, y, 0.0)
        if mode == "minus":
            y = -y
        return {"y": y, "pair": (y.sum(), extras["bias"][1]), "none": None} if twice else y


def nested_inputs(batch, **more):
    bias = [torch.randn(4), torch.randn(2)]
    return {"x": torch.randn(batch, 3), "extras": {"bias": bias}, **more}


def test_arguments_are_nested_left_out_none_and_of_python():
    model = Nested()
    given = nested_inputs(4, scale=3.0, mode="minus")
    dynamic = {"x": {0: "batch"}, "extras.bias.1": {0: "n"}}
    loaded = ix.export(model, given, dynamic=dynamic)
    assert [str(s) for s in loaded.inputs.values()] == [
        "x: float32[batch, 3]",
        "extras.bias.0: float32[4]",
        "extras.bias.1: float32[n]",
    ]
    assert list(loaded.outputs) == ["y", "pair.0", "pair.1"]
    other = nested_inputs(7, scale=3.0, mode="minus")
    bias = other["extras"]["bias"]
    found = loaded.run({"x": other["x"].numpy(), **{f"extras.bias.{i}": b.numpy() for i, b in enumerate(bias)}})
    np.testing.assert_allclose(found["y"], model(**other)["y"].detach().numpy(), rtol=1e-4, atol=1e-5)


def test_constants_choose_the_branch():
    bias = {"bias": ["float32[4]", "float32[n]"]}
    loaded = ix.export(Nested(), ("float32[batch, 3]", bias, 1.5, None, False))
    assert list(loaded.outputs) == ["output"]
    masked = ix.export(Nested(), {"x": "float32[batch, 3]", "extras": bias, "mask": "bool[batch, 4]"})
    assert str(masked.inputs["mask"]) == "mask: bool[batch, 4]"


@dataclass
class Given:
    image: object
    scale: object


def test_containers_of_the_user():
    def forward(pair, given):
        return Pair(pair.left + pair.right, given.image * given.scale)

    torch.export.register_dataclass(Given)
    x = torch.randn(2, 3)
    dynamic = {"pair.left": {0: "n"}, "pair.right": {0: "n"}}
    loaded = ix.export(forward, {"pair": Pair(x, x + 1), "given": Given(x, x)}, dynamic=dynamic)
    assert list(loaded.inputs) == ["pair.left", "pair.right", "given.image", "given.scale"]
    assert list(loaded.outputs) == ["left", "right"]


def test_shape_strings_need_no_example():
    loaded = ix.export(nn.Conv2d(3, 4, 3), {"input": "float32[batch, 3, height, width]"})
    assert str(loaded.outputs["output"]) == "output: float32[batch, 4, height - 2, width - 2]"
    assert {len(t["sizes"]) for t in loaded.evidence["trials"]} == {3}
    related = ix.export(lambda x, y: torch.cat([x, y], 0), ("float32[n, 3]", "float32[2*n, 3]"))
    assert str(related.outputs["output"]) == "output: float32[3*n, 3]"


@pytest.mark.parametrize(
    ("dynamic", "shape", "bounds"),
    [
        ({"input": {0: Dim("rows", min=2, max=9)}}, "float32[rows, 3]", {"rows": (2, 9)}),
        ({"input": {0: ix.Dim("rows", min=2, max=9)}}, "float32[rows, 3]", {"rows": (2, 9)}),
        ({"input": {0: Dim.AUTO, 1: Dim.AUTO}}, "float32[input_0, 3]", {"input_0": (1, None)}),
        ({"input": (Dim.DYNAMIC, Dim.STATIC)}, "float32[input_0, 3]", {"input_0": (1, None)}),
        ("auto", "float32[input_0, 3]", {"input_0": (1, None)}),
        (None, "float32[4, 3]", {}),
    ],
)
def test_dynamic_sizes_in_every_notation(dynamic, shape, bounds):
    loaded = ix.export(nn.Linear(3, 2), (torch.randn(4, 3),), dynamic=dynamic)
    assert str(loaded.inputs["input"]) == f"input: {shape}"
    assert dict(loaded.dims) == bounds


def test_wrong_inputs_and_names_are_told():
    x = torch.randn(4, 3)
    assert refused("IX207", nn.Linear(3, 2), {"x": x}).expected is not None
    assert "input" in str(refused("IX208", nn.Linear(3, 2), (x,), dynamic={"x": {0: "batch"}}))
    assert isinstance(refused("IX208", nn.Linear(3, 2), (x,), dynamic={"input": {2: "batch"}}), TraceError)


def test_a_function_is_of_pytorch_by_its_inputs_or_its_code():
    assert ix.export(lambda x: torch.relu(x), {"x": "float32[n]"}).run(x=[-1, 2])["output"].tolist() == [0, 2]
    assert list(ix.export(torch.relu, (torch.ones(2),)).inputs) == ["input_0"]
    eager = ix.export(lambda x: x.relu(), {"x": "float32[n]"})
    assert '"frontend": "eager"' in eager.metadata["interchange.source"]


# -- captured programs ------------------------------------------------------------------------------------------------
class Even(nn.Module):
    def forward(self, x):
        if x.shape[0] % 2 == 0:
            return x * 2
        return x


class Halves(nn.Module):
    def forward(self, x):
        return x.reshape(x.shape[0] // 2, 2, -1).sum(1)


def program(module):
    return torch.export.export(module, (torch.randn(4, 3),), dynamic_shapes={"x": {0: Dim.DYNAMIC(min=2, max=64)}})


@pytest.mark.parametrize("module", [Even(), Halves()], ids=["even", "halves"])
def test_a_program_has_its_inputs_ranges_and_guards(module, tmp_path):
    torch.export.save(program(module), tmp_path / "p.pt2")
    for source in (program(module), str(tmp_path / "p.pt2"), tmp_path / "p.pt2"):
        loaded = ix.export(source, path=tmp_path / "p.onnx", dynamic={"x": {0: "batch"}})
        assert str(loaded.inputs["x"]) == "x: float32[batch, 3]"
        assert loaded.dims["batch"] == (2, 64)
        x = np.arange(18, dtype=np.float32).reshape(6, 3)
        np.testing.assert_array_equal(loaded.run(x=x)["output"], module(torch.tensor(x)).numpy())
        with pytest.raises(InterchangeError) as caught:
            loaded.run(x=x[:5])
        assert caught.value.code == "IX607"
        assert ix.verify(tmp_path / "p.onnx", source).ok
    assert ix.verify(tmp_path / "p.onnx", module).ok  # captured at sizes that the file admits


def test_bounds_make_the_range_of_a_program_smaller_only():
    wide = ix.export(program(Even()), dynamic={"x": {0: ix.Dim("batch", min=1, max=1000)}})
    assert wide.dims["batch"] == (2, 64)
    assert ix.export(program(Even()), dynamic={"x": {0: ix.Dim("batch", max=8)}}).dims["batch"] == (2, 8)


def test_what_is_no_program(tmp_path):
    (tmp_path / "x.pt2").write_bytes(b"nothing")
    assert "x.pt2" in str(refused("IX302", str(tmp_path / "x.pt2")))
    refused("IX301", str(tmp_path / "gone.pt2"))
    refused("IX207", program(Even()), {"x": torch.ones(4, 3)})


# -- weights ----------------------------------------------------------------------------------------------------------
class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(10, 4), nn.Linear(4, 10, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids):
        return self.head(self.embed(ids))


def saved(model, path):
    if path.suffix == ".safetensors":
        pytest.importorskip("safetensors.torch").save_model(model, str(path))
    else:
        torch.save({"state_dict": model.state_dict()} if path.suffix == ".ckpt" else model.state_dict(), path)
    return path


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.ckpt"])
def test_weights_come_from_a_file(name, tmp_path):
    source = Tied()
    path = saved(source, tmp_path / name)
    loaded = ix.export(Tied(), {"ids": "int64[n]"}, options={"weights": path})
    ids = np.array([3, 9, 0])
    wanted = source(torch.tensor(ids)).detach().numpy()
    np.testing.assert_allclose(loaded.run(ids=ids)["output"], wanted, rtol=1e-4, atol=1e-6)


def test_tied_weights_are_in_the_file_once(tmp_path):
    ix.export(Tied(), {"ids": "int64[n]"}, tmp_path / "t.onnx")
    import onnx

    graph = onnx.load(tmp_path / "t.onnx").graph
    assert [list(t.dims) for t in graph.initializer if len(t.dims) == 2] == [[10, 4]]


def test_weights_that_do_not_fit_are_told_all_at_once(tmp_path):
    torch.save({"weight": torch.ones(2, 4), "gamma": torch.ones(1)}, tmp_path / "w.pt")
    error = refused("IX930", nn.Linear(3, 2), {"input": "float32[n, 3]"}, options={"weights": tmp_path / "w.pt"})
    for part in ("missing bias", "unexpected gamma", "weight is [2, 4], the model's [2, 3]"):
        assert part in error.found
    refused("IX301", nn.Linear(3, 2), {"input": "float32[n, 3]"}, options={"weights": tmp_path / "gone.pt"})


def test_a_checkpoint_runs_no_code(tmp_path):
    torch.save({"weight": Even()}, tmp_path / "w.pt")
    refused("IX302", nn.Linear(3, 2), {"input": "float32[n, 3]"}, options={"weights": tmp_path / "w.pt"})


# -- operators of one's own, and those that are missing ----------------------------------------------------------------
@torch.library.custom_op("tests::swiglu", mutates_args=())
def swiglu(x: torch.Tensor) -> torch.Tensor:
    a, b = x.chunk(2, -1)
    return nn.functional.silu(a) * b


swiglu.register_fake(lambda x: x.new_empty(*x.shape[:-1], x.shape[-1] // 2))


@torch.library.custom_op("tests::scaled", mutates_args=())
def scaled(x: torch.Tensor, n: int) -> torch.Tensor:
    return x * n


scaled.register_fake(lambda x, n: torch.empty_like(x))


def test_a_lowering_of_ones_own(lowering):
    @lowering("tests.swiglu")
    def _(x):
        half = x.shape[-1] // 2
        return x[..., :half] * x[..., :half].sigmoid() * x[..., half:]

    loaded = ix.export(lambda x: swiglu(x), {"x": torch.randn(4, 6)}, dynamic={"x": {0: "batch"}})
    assert str(loaded.outputs["output"]) == "output: float32[batch, 3]"


class Inner(nn.Module):
    def forward(self, x):
        return scaled(x.reshape(-1, 1, 3), 2)  # the inner line


class Unknown(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Inner()

    def forward(self, x):
        return self.inner(swiglu(swiglu(x)))  # the outer line


def test_missing_lowerings_are_told_all_at_once():
    error = refused("IX921", Unknown(), {"x": torch.randn(4, 12)}, dynamic={"x": {0: "batch"}})
    assert "2 operators" in error.message
    assert "tests.swiglu.default (2 times, first at" in error.found
    assert "float32[batch, 12]" in error.found
    assert "in inner: float32[batch, 1, 3], 2)" in error.found
    assert "# the outer line" in line(error)
    assert "docs/pytorch.md" in error.fix


def test_a_decomposition_that_fixes_a_size_is_none():
    cell, inputs = nn.LSTMCell(3, 4), {"input": torch.randn(5, 3)}
    assert ix.export(cell, inputs).evidence["ok"]
    assert "aten.lstm_cell" in refused("IX921", cell, inputs, dynamic={"input": {0: "batch"}}).found


def test_a_lowering_of_another_shape_is_told(lowering):
    lowering("tests.scaled")(lambda x, n: x.sum(0))
    assert "IX927" in refused("IX921", lambda x: scaled(x, 2), {"x": torch.randn(4, 3)}).found


# -- capture that fails -----------------------------------------------------------------------------------------------
class Deciding(nn.Module):
    def forward(self, x):
        if x.sum() > 0:  # data
            return x
        return -x


class Fixed(nn.Module):
    def forward(self, x):
        assert x.shape[0] == 4  # a number
        return x * 2


def test_code_that_decides_by_data_is_told_with_its_line():
    assert line(refused("IX922", Deciding(), {"x": "float32[n, 3]"})).endswith("# data")


def test_a_size_that_the_code_fixes_is_told_with_its_line():
    error = refused("IX923", Fixed(), {"x": torch.ones(4, 3)}, dynamic={"x": {0: "batch"}})
    assert line(error).endswith("# a number")
    assert "batch (axis 0 of x) is always 4" in error.found
    ix.export(Fixed(), {"x": torch.ones(4, 3)})


def test_guards_carry_their_line():
    (guard,) = ix.export(Even(), {"x": torch.ones(4, 3)}, dynamic={"x": {0: "batch"}}).guards
    assert str(guard.condition) == "batch%2 == 0"
    assert line(guard) == "if x.shape[0] % 2 == 0:"


# -- the proof --------------------------------------------------------------------------------------------------------
class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 3), nn.Tanh())

    def forward(self, x):
        return self.second(torch.sigmoid(self.first(x)))  # the wrong one


@pytest.mark.parametrize(("op", "module"), [("aten.sigmoid", ""), ("aten.tanh", ", module second.1")])
def test_a_wrong_lowering_is_found(lowering, op, module):
    lowering(op)(lambda x: x * 2)
    with pytest.raises(VerifyError) as caught:
        ix.export(Deep(), {"x": torch.randn(4, 3)}, dynamic={"x": {0: "batch"}})
    assert caught.value.code == "IX701"
    where = caught.value.where
    assert where.startswith(f"first at {op}.default at {Path(__file__).name}:")
    assert f"in forward{module}: 12 of 12 elements differ" in where


def test_random_models_are_not_proven_but_may_be_exported():
    def noisy(x):
        return x + torch.rand_like(x)  # noise

    error = refused("IX703", noisy, {"x": torch.ones(4, 3)})
    assert "aten.rand_like" in error.found
    assert line(error).endswith("# noise")
    loaded = ix.export(noisy, {"x": torch.ones(4, 3)}, verify=False)
    assert loaded.evidence is None
    assert ((found := loaded.run(x=np.zeros((4, 3), np.float32))["output"]) != found[0, 0]).any()


# -- precision --------------------------------------------------------------------------------------------------------
def block(dtype):
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_models_keep_their_precision(dtype, tmp_path):
    model, x = block(dtype), torch.randn(4, 3, dtype=dtype)
    loaded = ix.export(model, {"input": x}, tmp_path / "m.onnx", dynamic={"input": {0: "batch"}})
    assert loaded.run(input=to_numpy(x))["output"].dtype == to_numpy(x).dtype
    assert ix.verify(tmp_path / "m.onnx", model).ok


def test_bfloat16_computes_in_float32_where_it_has_no_kernel(tmp_path):
    model, x = block(torch.bfloat16), torch.randn(4, 3, dtype=torch.bfloat16)
    written = ix.export(model, {"input": x}, tmp_path / "m.onnx", dynamic={"input": {0: "batch"}})
    assert written.evidence["ok"]
    assert str(written.outputs["output"]) == "output: bfloat16[batch, 2]"
    assert written.run(input=to_numpy(x))["output"].dtype == to_numpy(x).dtype
    done = json.loads(written.metadata["interchange.detours"])
    assert {"op": "Gemm", "from": "bfloat16", "to": "float32", "nodes": 2, "lossy": False} in done
    assert ix.verify(tmp_path / "m.onnx", model).ok
    # for a runtime that has the kernels it is written as it is
    faithful = ix.export(model, {"input": x}, tmp_path / "faithful.onnx", verify=False, load=False)
    assert "interchange.detours" not in faithful.metadata
    assert ix.check(tmp_path / "faithful.onnx").ok


def test_a_missing_kernel_is_told_with_operator_and_dtype(tmp_path):
    model, x = nn.Conv1d(1, 2, 3).double(), torch.randn(1, 1, 5, dtype=torch.float64)
    error = refused("IX621", model, {"input": x}, tmp_path / "m.onnx")
    assert "Conv" in error.found + error.message
    assert "float64" in error.found
    error = refused("IX584", model, {"input": x}, tmp_path / "m.onnx", target="onnxruntime>=1.18")
    assert "1.18 to" in error.message
    assert "allow_lossy=True" in error.fix
    assert not (tmp_path / "m.onnx").exists()
    written = ix.export(model, {"input": x}, tmp_path / "m.onnx", allow_lossy=True)
    assert written.outputs["output"].dtype == np.float64
    assert json.loads(written.metadata["interchange.detours"])[0]["lossy"]


# -- what an export leaves as it was ----------------------------------------------------------------------------------
class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(3, 4), nn.BatchNorm1d(4)
        self.linear.bias.requires_grad_(False)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen += 1
        return self.norm(self.linear(x.mul_(2)))


@pytest.mark.parametrize("training", [True, False])
def test_the_module_and_its_inputs_are_as_they_were(training):
    model, x = Counting().train(training), torch.randn(6, 3)
    model.norm.train(False)  # a mode of its own
    model.linear.weight.grad = torch.ones(4, 3)
    before = {n: (t, t.clone(), t.requires_grad) for n, t in model.state_dict(keep_vars=True).items()}
    given, attributes = x.clone(), set(vars(model))
    ix.export(model, {"x": x}, dynamic={"x": {0: "batch"}})
    for name, tensor in model.state_dict(keep_vars=True).items():
        same, value, grad = before[name]
        assert tensor is same
        assert tensor.requires_grad == grad
        torch.testing.assert_close(tensor, value, rtol=0, atol=0)
    assert (model.training, model.linear.training, model.norm.training) == (training, training, False)
    assert torch.equal(model.linear.weight.grad, torch.ones(4, 3))
    assert (model.linear.bias.grad, set(vars(model))) == (None, attributes)
    assert torch.equal(x, given)
    assert torch.is_grad_enabled()


# -- files ------------------------------------------------------------------------------------------------------------
def test_modules_stay_functions(tmp_path):
    model = nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), nn.Linear(4, 2))
    import onnx

    for functions, names in ((True, {"Sequential", "Linear", "ReLU"}), ("Linear", {"Linear"}), (nn.ReLU, {"ReLU"})):
        loaded = ix.export(model, {"input": "float32[batch, 3]"}, tmp_path / "f.onnx", functions=functions)
        assert loaded.evidence["ok"]
        found = {f.name.split("_")[0] for f in onnx.load(tmp_path / "f.onnx").functions}
        assert found <= names
        assert found
    refused("IX805", model, {"input": "float32[batch, 3]"}, functions="Conv2d")


SCRIPT = """
import sys, torch, interchange as ix
torch.manual_seed(0)
layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
ix.export(layer, {"src": torch.randn(2, 5, 8)}, sys.argv[1], dynamic={"src": {0: "batch", 1: "time"}})
"""


def test_two_processes_write_the_same_bytes_without_paths(tmp_path):
    for name, seed in (("a", "1"), ("b", "2")):
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / name)]
        subprocess.run(command, check=True, env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"})
    data = (tmp_path / "a").read_bytes()
    assert data == (tmp_path / "b").read_bytes()
    assert b"site-packages" not in data
    assert str(Path.home()).encode() + b"/" not in data
