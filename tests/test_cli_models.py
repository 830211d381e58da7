"""The command line on model files: what is printed, what is saved, and the exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from broken_models import F, const, model, node, relu, value

from interchange import cli
from interchange.cli import run as run_cli


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with good.onnx (y = relu(x)), two.onnx (z = x + w) and bad.onnx; it is the working folder."""
    monkeypatch.chdir(tmp_path)
    row = value("x", F, ("batch", 3))
    onnx.save(relu(inputs=[row], outputs=[value("y", F, ("batch", 3))]), "good.onnx")
    both = [value("x", F, ("batch",)), value("w", F, ("batch", 1))]
    onnx.save(model([node("Add", ["x", "w"], ["z"])], both, [value("z", F, None)]), "two.onnx")
    onnx.save(model([node("Add", ["x", "ghost"], ["y"])], initializers=[const("left", [1.0])]), "bad.onnx")
    return tmp_path


class Ran:
    """One command line: its status and what it printed."""

    def __init__(self, capsys: Any, *args: str) -> None:
        capsys.readouterr()
        self.status = run_cli(args)
        self.out, self.err = capsys.readouterr()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


# -- check ------------------------------------------------------------------------------------------------------------
def test_check_good(folder: Path, capsys: Any) -> None:
    ran = Ran(capsys, "check", "good.onnx")
    assert ran.status == 0
    assert ran.out == "good.onnx: nothing found (opset 21, 1 node)\n"


def test_check_several_files(folder: Path, capsys: Any) -> None:
    ran = Ran(capsys, "check", "good.onnx", "bad.onnx")
    assert ran.status == 1
    assert "error IX506" in ran.out
    assert "bad.onnx: 1 error, 1 note" in ran.out
    reports = Ran(capsys, "check", "good.onnx", "bad.onnx", "--json").json
    assert [r["ok"] for r in reports] == [True, False]


def test_check_select_ignore_level(folder: Path, capsys: Any) -> None:
    assert Ran(capsys, "check", "bad.onnx", "--ignore", "IX506").status == 0
    assert Ran(capsys, "check", "bad.onnx", "--ignore", "IX506", "--level", "note").status == 1
    found = Ran(capsys, "check", "bad.onnx", "--select", "IX595", "--json").json["findings"]
    assert [f["code"] for f in found] == ["IX595"]
    assert Ran(capsys, "check", "bad.onnx", "--select", "nonsense").status == 2


def test_check_target(folder: Path, capsys: Any) -> None:
    assert Ran(capsys, "check", "good.onnx", "--target", "onnxruntime>=1.18").status == 0
    assert "IX580" in Ran(capsys, "check", "good.onnx", "--target", "onnxruntime>=1.17").out


def test_missing_file_is_an_error_without_a_traceback(folder: Path, capsys: Any) -> None:
    for command in ("check", "show", "run"):
        ran = Ran(capsys, command, "goood.onnx")
        assert ran.status == 2
        assert ran.out == ""
        assert "IX301" in ran.err
        assert "good.onnx" in ran.err
        assert "Traceback" not in ran.err
    assert Ran(capsys, "check", "none.onnx", "--json").json["error"]["code"] == "IX301"


# -- run --------------------------------------------------------------------------------------------------------------
ROWS = [[1.0, -2.0, 3.0], [-4.0, 5.0, 6.5]]


def write(name: str) -> str:
    """ROWS as a file of that kind."""
    array = np.array(ROWS, np.float32)
    match Path(name).suffix:
        case ".npy":
            np.save(name, array)
        case ".npz":
            np.savez(name, x=array)
        case ".json":
            Path(name).write_text(json.dumps(ROWS if name == "list.json" else {"x": ROWS}))
        case ".csv":
            head = "a,b,c\n" if name == "head.csv" else ""
            Path(name).write_text(head + "\n".join(",".join(map(str, r)) for r in ROWS) + "\n")
    return name


@pytest.mark.parametrize("name", ["d.npy", "d.npz", "d.json", "list.json", "head.csv", "plain.csv"])
def test_run_reads(folder: Path, capsys: Any, name: str) -> None:
    expected = np.maximum(ROWS, 0).tolist()
    assert Ran(capsys, "run", "good.onnx", write(name), "--json").json == {"y": expected}
    if name != "d.npz":
        assert Ran(capsys, "run", "good.onnx", "--input", f"x={name}", "--json").json == {"y": expected}


def test_run_with_numbers_on_the_line(folder: Path, capsys: Any) -> None:
    ran = Ran(capsys, "run", "good.onnx", "--input", "x=[[1, -2, 3]]")
    assert ran.status == 0
    assert ran.out == "y: float32[1, 3]\n[[1. 0. 3.]]\n"


def test_run_matches_columns_with_inputs(folder: Path, capsys: Any) -> None:
    Path("columns.csv").write_text("w,x\n10,1\n20,2\n")
    found = Ran(capsys, "run", "two.onnx", "columns.csv", "--json").json["z"]
    assert found == [[11, 12], [21, 22]]
    Path("odd.csv").write_text("w,x,other\n1,2,3\n")
    ran = Ran(capsys, "run", "two.onnx", "odd.csv")
    assert ran.status == 2
    assert "IX602" in ran.err


@pytest.mark.parametrize("name", ["out.npz", "out.npy", "out.json"])
def test_run_saves(folder: Path, capsys: Any, name: str) -> None:
    ran = Ran(capsys, "run", "good.onnx", write("d.npy"), "--output", name)
    assert ran.out == f"wrote {name}: y\n"
    if name.endswith("json"):
        found = json.loads(Path(name).read_text())["y"]
    else:
        content = np.load(name)
        found = (content["y"] if name.endswith("npz") else content).tolist()
    assert found == np.maximum(ROWS, 0).tolist()


def test_run_says_what_is_wrong_with_the_inputs(folder: Path, capsys: Any) -> None:
    ran = Ran(capsys, "run", "good.onnx", "--input", "x=[[1, 2]]")
    assert ran.status == 2
    assert "IX604" in ran.err
    assert "x: float32[batch, 3]" in ran.err
    error = Ran(capsys, "run", "good.onnx", "--input", "x=[[1, 2]]", "--json").json["error"]
    assert error["code"] == "IX604"
    assert error["where"] == "good.onnx"


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["data.bin"], "IX841"),
        (["gone.npy"], "IX840"),
        (["--input", "x"], "IX841"),
        (["--input", "x=[1,"], "IX841"),
        (["ragged.csv"], "IX840"),
        (["pickled.npy"], "IX840"),
        (["d.npy", "--output", "y.png"], "IX842"),
        (["d.npy", "--output", "none/y.npz"], "IX840"),
    ],
)
def test_run_refuses(folder: Path, capsys: Any, args: list[str], code: str) -> None:
    write("d.npy")
    Path("ragged.csv").write_text("1,2,3\n4\n")
    np.save("pickled.npy", np.array([{"a": 1}], object), allow_pickle=True)
    ran = Ran(capsys, "run", "good.onnx", *args)
    assert ran.status == 2
    assert code in ran.err


def test_one_array_for_two_inputs_needs_a_name(folder: Path, capsys: Any) -> None:
    ran = Ran(capsys, "run", "two.onnx", write("d.npy"))
    assert "IX841" in ran.err
    assert "--input NAME=d.npy" in ran.err


# -- show -------------------------------------------------------------------------------------------------------------
@pytest.fixture
def cnn(folder: Path) -> str:
    weights = [const("w", np.ones((4, 1, 3, 3))), const("v", np.ones((144, 10)))]
    nodes = [
        node("Conv", ["x", "w"], ["h"], "c"),
        node("Flatten", ["h"], ["f"], "f"),
        node("Gemm", ["f", "v"], ["y"], "g"),
    ]
    proto = model(nodes, [value("x", F, ("batch", 1, 8, 8))], [value("y", F, ("batch", 10))], weights)
    proto.metadata_props.add(
        key="interchange.guards", value='[{"condition": "batch%2 == 0", "why": "pairs", "where": "m.py:3"}]'
    )
    proto.metadata_props.add(key="author", value="\x1b[31mme")
    onnx.save(proto, "cnn.onnx")
    return "cnn.onnx"


def test_show_counts(cnn: str, capsys: Any) -> None:
    found = Ran(capsys, "show", cnn, "--json").json
    assert found["inputs"] == ["x: float32[batch, 1, 8, 8]"]
    assert found["parameters"] == 4 * 9 + 1440
    assert found["parameter_bytes"] == 4 * found["parameters"]
    assert found["operators"] == {"Conv": 1, "Flatten": 1, "Gemm": 1}
    # Conv: 4 channels x 6 x 6 positions x 9 weights; Gemm: 144 x 10
    assert found["macs"]["total"] == f"{4 * 36 * 9 + 1440}*batch"
    assert Ran(capsys, "show", cnn, "--size", "batch=2", "--json").json["macs"]["total"] == 2 * (4 * 36 * 9 + 1440)
    assert found["runs_in"] == ["onnxruntime 1.18 to 1.32 (by opset and IR version)"]


def test_show_follows_sizes_that_are_computed(folder: Path, capsys: Any) -> None:
    """[N, 3, 4] to [N, 12] by Shape, Gather and Concat, then a product with [12, 5]."""
    nodes = [
        node("Shape", ["x"], ["s"], "s"),
        node("Gather", ["s", "zero"], ["n"], "g"),
        node("Unsqueeze", ["n", "axes"], ["n1"], "u"),
        node("Concat", ["n1", "rest"], ["shape"], "c", axis=0),
        node("Reshape", ["x", "shape"], ["h"], "r"),
        node("MatMul", ["h", "w"], ["y"], "m"),
    ]
    data = [const("zero", 0, np.int64), const("axes", [0], np.int64), const("rest", [12], np.int64)]
    data.append(const("w", np.ones((12, 5))))
    onnx.save(model(nodes, [value("x", F, ("N", 3, 4))], [value("y", F, None)], data), "computed.onnx")
    assert Ran(capsys, "show", "computed.onnx", "--json").json["macs"]["total"] == "60*N"


def test_show_for_a_reader(cnn: str, capsys: Any) -> None:
    ran = Ran(capsys, "show", cnn)
    assert ran.status == 0
    for part in ("x: float32[batch, 1, 8, 8]", "batch%2 == 0", "pairs", "m.py:3", "1,476", "5.9 KB", "Conv", "author"):
        assert part in ran.out
    assert "\x1b" not in ran.out
    assert "IX843" in Ran(capsys, "show", cnn, "--size", "batch").err


def test_show_tells_of_a_broken_model(folder: Path, capsys: Any) -> None:
    ran = Ran(capsys, "show", "bad.onnx")
    assert ran.status == 0
    assert "Add" in ran.out


# -- doctor, and the group --------------------------------------------------------------------------------------------
def test_doctor(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = Ran(capsys, "doctor")
    assert ran.status == 0
    assert "FAILS" not in ran.out
    assert Ran(capsys, "doctor", "--json").json["works"] == dict.fromkeys(
        Ran(capsys, "doctor", "--json").json["works"], ""
    )
    from interchange.cli import doctor

    monkeypatch.setitem(doctor._TRIALS, "it runs in ONNX Runtime", lambda: 1 / 0)
    broken = Ran(capsys, "doctor")
    assert broken.status == 1
    assert "ZeroDivisionError" in broken.out


def test_version_and_help(capsys: Any) -> None:
    from interchange import __version__

    assert Ran(capsys, "--version").out == f"interchange {__version__}\n"
    shown = Ran(capsys, "--help").out
    assert all(name in shown for name in cli.COMMANDS)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help(capsys: Any, name: str) -> None:
    ran = Ran(capsys, name, "--help")
    assert ran.status == 0
    assert "Usage: interchange" in ran.out


def test_unknown_command_proposes_one(capsys: Any) -> None:
    ran = Ran(capsys, "chekc")
    assert ran.status == 2
    assert "Did you mean check?" in ran.err
    assert Ran(capsys, "check").status == 2
    assert Ran(capsys, "check", "--json").json["error"]["code"] == "usage"


def test_a_mistake_of_ours_is_told_shortly(folder: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise KeyError("inside")

    monkeypatch.setattr("interchange.checker.engine._bad_text", broken)
    ran = Ran(capsys, "check", "good.onnx")
    assert ran.status == 3
    assert "interchange made a mistake: KeyError" in ran.err
    assert "Traceback" not in ran.err
    assert Ran(capsys, "check", "good.onnx", "--json").json["error"]["code"] == "internal"
    with pytest.raises(KeyError):
        run_cli(["check", "good.onnx", "--debug"])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(capsys: Any, shell: str) -> None:
    ran = Ran(capsys, "completion", shell)
    assert ran.status == 0
    assert "_INTERCHANGE_COMPLETE" in ran.out


def test_entry_point_starts_quickly_and_loads_only_its_command(folder: Path) -> None:
    script = (
        "import sys\nfrom interchange.cli import run\n"
        "run(['--help'])\n"
        "heavy = {'onnx', 'onnxruntime', 'numpy', 'rich', 'interchange.cli.export'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, capture_output=True)
    found = subprocess.run([sys.executable, "-m", "interchange", "check", "bad.onnx"], capture_output=True, text=True)
    assert found.returncode == 1
    assert "IX506" in found.stdout
