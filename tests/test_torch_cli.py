"""The command line on PyTorch models: what is exported, what is told of it, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shell import Ran

import interchange as ix

torch = pytest.importorskip("torch", reason="PyTorch is not installed (the extra interchange[torch])")

MODEL = '''"""Models of a user."""

import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(4, 2)
        self.norm = torch.nn.BatchNorm1d(2)

    def forward(self, x):
        return self.norm(self.linear(x))


class Pairs(torch.nn.Module):
    def forward(self, x):
        return x.reshape(-1, 2, 4)


class Decides(torch.nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x
        return -x


class Brain(torch.nn.Module):
    def forward(self, x):
        return torch.relu(x) + x


class Random(torch.nn.Module):
    def forward(self, x):
        return x + torch.rand_like(x)


net = Net()


def make():
    return Net(), {"x": torch.randn(6, 4)}


def shapes():
    return Net(), ("float32[2*n, 4]",)


def half():
    return Brain().bfloat16(), {"x": "bfloat16[n]"}


def exact():
    return torch.nn.Conv1d(1, 1, 2).double(), {"input": "float64[n, 1, 4]"}


def double(x):
    return torch.add(x, x)


def fails():
    raise RuntimeError("no data here")
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with net.py in it."""
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(MODEL)
    return tmp_path


# -- what is exported --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["make", "Net", "net"])
def test_a_factory_a_class_and_a_module(folder: Path, capsys: Any, name: str) -> None:
    ran = Ran(capsys, "export", f"net.py:{name}", "net.onnx", "--input", "float32[batch, 4]")
    assert ran.status == 0, ran.err
    first, proof = ran.out.splitlines()
    assert first == "wrote net.onnx: x: float32[batch, 4] -> output: float32[batch, 2]"
    assert proof.startswith("verified in onnxruntime")
    assert ix.load("net.onnx").run(x=np.ones((3, 4), np.float32))["output"].shape == (3, 2)


def test_a_function_of_tensors(folder: Path, capsys: Any) -> None:
    ran = Ran(capsys, "export", "net.py:double", "double.onnx", "--input", "x: float32[n, k]")
    assert ran.status == 0, ran.err
    assert ix.load("double.onnx").run(x=np.ones((2, 3), np.float32))["output"].tolist() == [[2.0] * 3] * 2


@pytest.mark.parametrize(
    ("options", "signature", "bounds"),
    [
        ([], "x: float32[6, 4]", {}),
        (["--dynamic", "x: batch, _"], "x: float32[batch, 4]", {"batch": (1, None)}),
        (["--dynamic", "x: batch, _", "--dim", "batch=2..64"], "x: float32[batch, 4]", {"batch": (2, 64)}),
        (["--dynamic", "auto"], "x: float32[x_0, 4]", {"x_0": (1, None)}),
    ],
)
def test_which_sizes_of_an_example_vary(
    folder: Path, capsys: Any, options: list[str], signature: str, bounds: dict[str, Any]
) -> None:
    ran = Ran(capsys, "export", "net.py:make", "net.onnx", *options, "--json")
    assert ran.status == 0, ran.out
    assert ran.json["inputs"] == [signature]
    loaded = ix.load("net.onnx")
    assert {n: tuple(b) for n, b in loaded.dims.items()} == bounds


def test_bounds_reach_the_shape_strings_of_a_factory(folder: Path, capsys: Any) -> None:
    ran = Ran(capsys, "export", "net.py:shapes", "net.onnx", "--dim", "n=..8", "--json")
    assert ran.json["inputs"] == ["x: float32[2*n, 4]"]
    assert ix.load("net.onnx").dims["n"] == (1, 8)


def test_the_mode_is_eval_and_train_gives_the_state(folder: Path, capsys: Any) -> None:
    plain = Ran(capsys, "export", "net.py:make", "net.onnx", "--json").json
    assert plain["state"] == {}
    told = Ran(capsys, "export", "net.py:make", "net.onnx", "--dynamic", "x: batch, _", "--train")
    assert told.status == 0, told.err
    assert "state: norm.running_mean -> norm.running_mean.next, norm.running_var" in told.out
    assert ix.load("net.onnx").state["norm.running_var"] == "norm.running_var.next"


def test_guards_are_told_with_their_line(folder: Path, capsys: Any) -> None:
    options = ["net.py:Pairs", "net.onnx", "--input", "x: float32[batch, 4]"]
    told = Ran(capsys, "export", *options)
    assert told.status == 0, told.err
    assert "valid where: " in told.out
    line = next(i for i, text in enumerate(MODEL.splitlines(), 1) if "reshape" in text)
    guards = Ran(capsys, "export", *options, "--json").json["guards"]
    assert {g["where"] for g in guards} == {f"net.py:{line} in forward"}
    ran = Ran(capsys, "run", "net.onnx", "--input", "x=[[1, 2, 3, 4]]")
    assert ran.status == 2
    assert "IX607" in ran.err


# -- weights, programs -------------------------------------------------------------------------------------------------
def other_weights() -> dict[str, Any]:
    torch.manual_seed(7)
    linear, norm = torch.nn.Linear(4, 2), torch.nn.BatchNorm1d(2)
    modules = {"linear": linear, "norm": norm}
    return {f"{m}.{n}": t for m, module in modules.items() for n, t in module.state_dict().items()}


@pytest.mark.parametrize("name", ["net.safetensors", "net.pt"])
def test_weights_from_a_file(folder: Path, capsys: Any, name: str) -> None:
    weights = other_weights()
    if name.endswith(".pt"):
        torch.save(weights, name)
    else:
        pytest.importorskip("safetensors.torch").save_file(weights, name)
    ran = Ran(capsys, "export", "net.py:make", "net.onnx", "--weights", name)
    assert ran.status == 0, ran.err
    found = ix.load("net.onnx").run(x=np.ones((6, 4), np.float32))["output"]
    wanted = (weights["linear.weight"].sum(1) + weights["linear.bias"]) / (1 + 1e-5) ** 0.5
    np.testing.assert_allclose(found, np.broadcast_to(wanted.numpy(), (6, 2)), rtol=1e-5)
    assert Ran(capsys, "verify", "net.onnx", "net.py:make", "--weights", name).status == 0
    assert Ran(capsys, "verify", "net.onnx", "net.py:make").status == 1  # these are other weights


def test_a_captured_program(folder: Path, capsys: Any) -> None:
    module = torch.nn.Linear(4, 2)
    sizes = {"input": {0: torch.export.Dim("batch", max=64)}}
    torch.export.save(torch.export.export(module, (torch.ones(5, 4),), dynamic_shapes=sizes), "net.pt2")
    ran = Ran(capsys, "export", "net.pt2", "net.onnx", "--dynamic", "input: rows, _", "--json")
    assert ran.status == 0, ran.out
    assert ran.json["inputs"] == ["input: float32[rows, 4]"]
    found = ix.load("net.onnx").run(input=np.ones((2, 4), np.float32))["output"]
    np.testing.assert_allclose(found, module(torch.ones(2, 4)).detach().numpy(), rtol=1e-5)
    assert Ran(capsys, "verify", "net.onnx", "net.pt2").status == 0


# -- verify ------------------------------------------------------------------------------------------------------------
def test_verify_says_where_a_file_differs(folder: Path, capsys: Any) -> None:
    assert Ran(capsys, "export", "net.py:make", "net.onnx", "--dynamic", "x: batch, _").status == 0
    ran = Ran(capsys, "verify", "net.onnx", "net.py:make", "--sizes", "2", "--json")
    assert ran.status == 0, ran.out
    assert len(ran.json["trials"]) == 3  # the example, and two others
    Path("net.py").write_text(MODEL.replace("self.norm(self.linear(x))", "self.norm(self.linear(x)) + 1"))
    ran = Ran(capsys, "verify", "net.onnx", "net.py:make")
    assert ran.status == 1
    assert "differ" in ran.out


def test_verify_takes_a_file_in_the_mode_of_its_export(folder: Path, capsys: Any) -> None:
    assert Ran(capsys, "export", "net.py:make", "net.onnx", "--train").status == 0
    ran = Ran(capsys, "verify", "net.onnx", "net.py:make")
    assert ran.status == 0, ran.out


COUNTING = """
import torch


class Counting(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        if x.shape[0] % 2 == 0:
            x = x * 2
        self.count += 1
        return torch.dropout(x, 0.5, self.training) + self.count


def make():
    return Counting(), (torch.ones(6, 3),)


def shapes():
    return Counting(), {"x": "float32[batch, 3]"}
"""


def test_verify_takes_the_sizes_of_the_file(folder: Path, capsys: Any) -> None:
    """Its names, bounds and guards, whatever the source says of its inputs; and eval mode, in spite of the state."""
    Path("counting.py").write_text(COUNTING)
    options = ["--dynamic", "x: batch, _", "--dim", "batch=4..64"]
    ran = Ran(capsys, "export", "counting.py:make", "net.onnx", *options)
    assert "valid where: batch%2 == 0 (counting.py:11 in forward)\nstate: count -> count.next" in ran.out
    given = ["--input", "x: float32[batch, 3]"]
    for source in (["make"], ["shapes"], ["Counting"], ["Counting", *given], ["make", *given, "--dim", "batch=..32"]):
        ran = Ran(capsys, "verify", "net.onnx", f"counting.py:{source[0]}", *source[1:])
        assert ran.status == 0, ran.out + ran.err
        assert ran.out.count("ok  output at ") >= 3


def test_verify_does_not_take_a_captured_program_for_one_in_train_mode(folder: Path, capsys: Any) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Dropout()).eval()
    torch.export.save(torch.export.export(module, (torch.ones(5, 4),)), "net.pt2")
    assert Ran(capsys, "export", "net.pt2", "net.onnx").status == 0
    assert Ran(capsys, "verify", "net.onnx").status == 0
    Path("same.py").write_text(
        "import torch\n\nnet = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Dropout())\n"
        "net.load_state_dict(torch.export.load('net.pt2').state_dict)\n"
    )
    assert Ran(capsys, "verify", "net.onnx", "same.py:net").status == 0


# -- for other runtimes ------------------------------------------------------------------------------------------------
def test_what_the_runtime_here_cannot_run_is_written_on_request(folder: Path, capsys: Any) -> None:
    ran = Ran(capsys, "export", "net.py:exact", "exact.onnx")
    assert (ran.status, Path("exact.onnx").exists()) == (2, False)
    assert "IX621" in ran.err
    assert "float64" in ran.err
    assert "IX809" in Ran(capsys, "export", "net.py:exact", "exact.onnx", "--no-load").err
    ran = Ran(capsys, "export", "net.py:exact", "exact.onnx", "--no-load", "--no-verify")
    assert ran.out.endswith("not verified, not loaded\n")
    assert Ran(capsys, "check", "exact.onnx").status == 0
    assert "IX621" in Ran(capsys, "run", "exact.onnx", "--input", "input=[[[1, 2, 3, 4]]]").err


def test_what_has_no_kernel_computes_in_another_dtype_and_says_so(folder: Path, capsys: Any) -> None:
    ran = Ran(capsys, "export", "net.py:half", "half.onnx", "--target", "onnxruntime>=1.18")
    assert ran.status == 0
    assert "in float32 instead of bfloat16: Add, Relu" in ran.out
    assert "verified" in ran.out
    ran = Ran(capsys, "export", "net.py:exact", "exact.onnx", "--allow-lossy")
    assert "in float32 instead of float64, with rounded values: Conv" in ran.out


def test_a_model_that_draws_random_numbers_is_exported_unproven(folder: Path, capsys: Any) -> None:
    options = ["net.py:Random", "random.onnx", "--input", "x: float32[n]"]
    assert "IX703" in Ran(capsys, "export", *options).err
    ran = Ran(capsys, "export", *options, "--no-verify", "--json")
    assert ran.status == 0, ran.out
    assert ran.json["evidence"] is None


# -- what is refused ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["net.py:Net"], "IX813", "--input"),
        (["net.py:make", "--dynamic", "batch, _"], "IX815", "a colon after its name"),
        (["net.py:make", "--dynamic", "x: 3, _"], "IX815", ""),
        (["net.py:make", "--dynamic", "x: batch, _", "--dynamic", "x: b"], "IX815", "a second time"),
        (["net.py:make", "--dynamic", "x: batch, _, _, time"], "IX208", "x"),
        (["net.py:make", "--dynamic", "x: batch, _, _, _"], "IX208", "an axis of x"),
        (["net.py:make", "--dynamic", "y: batch"], "IX208", "y"),
        (["net.py:make", "--dim", "batch"], "IX816", "batch=1..64"),
        (["net.py:make", "--dim", "batch=1..4"], "IX816", "batch"),
        (["net.py:make", "--dynamic", "x: batch, _", "--dim", "batch=9..4"], "IX802", "9"),
        (["net.py:make", "--weights", "gone.pt"], "IX301", "gone.pt"),
        (["net.py:make", "--weights", "net.py"], "IX302", "net.py"),
        (["gone.pt2"], "IX301", "gone.pt2"),
        (["net.py:double", "--input", "x: float32[n]", "--train"], "IX817", "train mode"),
        (["net.py:fails"], "IX812", "no data here"),
        (["net.py:Decides", "--input", "x: float32[n]"], "IX922", "net.py:"),
        (["net.py:make", "--function", "Conv2d"], "IX805", "BatchNorm1d, Linear"),
    ],
)
def test_what_is_refused(folder: Path, capsys: Any, args: list[str], code: str, says: str) -> None:
    ran = Ran(capsys, "export", args[0], "net.onnx", *args[1:])
    assert ran.status == 2
    assert ran.err.startswith(code), ran.err
    assert says in ran.err
    assert not Path("net.onnx").exists()
    told = Ran(capsys, "export", args[0], "net.onnx", *args[1:], "--json").json
    assert told["error"]["code"] == code


def test_weights_that_do_not_fit_are_listed(folder: Path, capsys: Any) -> None:
    torch.save(torch.nn.Linear(4, 3).state_dict(), "other.pt")
    ran = Ran(capsys, "export", "net.py:make", "net.onnx", "--weights", "other.pt")
    assert ran.status == 2
    assert "IX930" in ran.err
    assert "missing linear.weight" in ran.err
    assert "unexpected bias" in ran.err


def test_without_pytorch_the_error_says_so(folder: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from interchange.cli import run; sys.exit(run(sys.argv[1:]))"
    for model in ("net.py:make", "net.pt2"):
        command = [sys.executable, "-c", code, "export", model, "net.onnx"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("IX920")
        assert "pip install" in done.stderr


# -- progress ----------------------------------------------------------------------------------------------------------
def test_the_stages_of_an_export_are_shown_on_a_terminal_only(
    folder: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = Ran(capsys, "export", "net.py:make", "net.onnx")
    assert (ran.status, ran.err) == (0, "")
    shown: list[str] = []

    class Status:
        def __enter__(self) -> Status:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def update(self, text: object) -> None:
            shown.append(str(text))

    monkeypatch.setattr("interchange.cli.output.on_terminal", lambda stream: True)
    monkeypatch.setattr("rich.console.Console.status", lambda self, text: Status())
    assert Ran(capsys, "export", "net.py:make", "net.onnx").status == 0
    stages = [text.removeprefix("exporting net.py:make: ") for text in shown]
    assert stages == ["capturing", "lowering", "cleaning", "checking", "writing", "proving"]
