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
from bad_models.building import F, const, model, node, relu, value
from onnx import TensorProto
from shell import Ran

from interchange import cli


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


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("1,2,\n4,5,6\n", "line 1: an empty cell"),  # and not a heading: its row would be lost
        ("a,b,c\n4,5,x\n", "line 2: 'x' is not a number"),
        ("a,b,c\n", "no numbers"),
        ("x,x\n1,2\n", "two columns 'x'"),
    ],
)
def test_a_csv_loses_no_row_and_no_column(folder: Path, capsys: Any, content: str, says: str) -> None:
    Path("d.csv").write_text(content)
    ran = Ran(capsys, "run", "good.onnx", "d.csv")
    assert ran.status == 2
    assert "IX840" in ran.err
    assert says in ran.err


def damaged(name: str) -> str:
    """A data file that is cut short, has a flipped byte, or is something else."""
    content = Path(write("d.npz")).read_bytes()
    match name:
        case "flipped.npz":
            content = content[:70] + bytes([content[70] ^ 255]) + content[71:]
        case "cut.npz":
            content = content[:-20]
        case "text.npz":
            content = b"hello"
        case "array.npz":
            content = Path(write("d.npy")).read_bytes()
        case "deep.json":
            content = b"[" * 100_000
    Path(name).write_bytes(content)
    return name


@pytest.mark.parametrize("name", ["flipped.npz", "cut.npz", "text.npz", "array.npz", "archive.npy", "deep.json"])
def test_damaged_data_files_are_no_mistake_of_ours(folder: Path, capsys: Any, name: str) -> None:
    ran = Ran(capsys, "run", "good.onnx", damaged(name))
    assert ran.status == 2
    assert "IX840" in ran.err
    assert "pickle" not in ran.err  # no advice to load what is not trusted
    assert Ran(capsys, "run", "good.onnx", "--input", "x=" + "[" * 10_000).status == 2


@pytest.mark.parametrize(
    ("name", "kind", "given", "expected"),
    [
        ("file", TensorProto.STRING, '["é", ""]', ["é", ""]),
        ("allow_pickle", TensorProto.BFLOAT16, "[0.5, 2]", [0.5, 2.0]),
    ],
)
def test_outputs_keep_their_names_and_can_be_read_again(
    folder: Path, capsys: Any, name: str, kind: int, given: str, expected: list[Any]
) -> None:
    nodes = [node("Identity", ["x"], [name])]
    onnx.save(model(nodes, [value("x", kind, ("n",))], [value(name, kind, ("n",))]), "names.onnx")
    ran = Ran(capsys, "run", "names.onnx", "--input", f"x={given}", "--output", "o.npz")
    assert ran.status == 0, ran.err
    with np.load("o.npz", allow_pickle=False) as found:
        assert found[name].tolist() == expected


def test_sequences_are_printed_and_saved_as_json(folder: Path, capsys: Any) -> None:
    row = value("x", F, ("n",))
    pair = onnx.helper.make_tensor_sequence_value_info("s", F, ["n"])
    onnx.save(model([node("SequenceConstruct", ["x", "x"], ["s"])], [row], [pair]), "pair.onnx")
    expected = {"s": [[1.0, 2.0], [1.0, 2.0]]}
    assert Ran(capsys, "run", "pair.onnx", "--input", "x=[1, 2]", "--json").json == expected
    assert Ran(capsys, "run", "pair.onnx", "--input", "x=[1, 2]", "--output", "o.json").status == 0
    assert json.loads(Path("o.json").read_text()) == expected
    assert "IX842" in Ran(capsys, "run", "pair.onnx", "--input", "x=[1, 2]", "--output", "o.npz").err


def test_json_has_no_nan_and_reads_its_own(folder: Path, capsys: Any) -> None:
    def refuse(token: str) -> None:
        raise AssertionError(token)

    given = '{"x": [["NaN", "-Infinity", "Infinity"]]}'
    Path("odd.json").write_text(given)
    ran = Ran(capsys, "run", "good.onnx", "odd.json", "--json")
    assert json.loads(ran.out, parse_constant=refuse) == {"y": [["NaN", 0.0, "Infinity"]]}


def test_a_failed_save_leaves_what_was_there(folder: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> int:
        raise OSError(28, "No space left on device")

    Path("o.npz").write_text("before")
    monkeypatch.setattr("os.write", full)
    ran = Ran(capsys, "run", "good.onnx", write("d.npz"), "--output", "o.npz")
    monkeypatch.undo()
    assert ran.status == 2
    assert "No space left" in ran.err
    assert (folder / "o.npz").read_text() == "before"
    assert not list(folder.glob(".interchange-*"))


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
    assert found["runs_in"] == ["onnxruntime 1.18 to 1.32"]


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


def counted(capsys: Any, ins: dict[str, Any], op: str, out: Any, *weights: Any, **attributes: Any) -> dict[str, Any]:
    """The work of a model of one node: inputs by name with their shapes, then constants w0, w1..."""
    names = [f"w{i}" for i in range(len(weights))]
    data = [const(n, w, w.dtype.type) for n, w in zip(names, weights, strict=True)]
    types = {n: TensorProto.UINT8 if op.endswith("Integer") else F for n in ins}
    made = node(op, [*ins, *names], ["y"], **attributes)
    kind = TensorProto.INT32 if op.endswith("Integer") else F
    onnx.save(model([made], [value(n, types[n], s) for n, s in ins.items()], [value("y", kind, out)], data), "m.onnx")
    found: dict[str, Any] = Ran(capsys, "show", "m.onnx", "--json").json["macs"]
    return found


def ones(*shape: int, dtype: Any = np.float32) -> Any:
    return np.ones(shape, dtype)


def test_show_counts_every_kind_of_product(folder: Path, capsys: Any) -> None:
    image, wide = ("n", 4, 8, 8), (1, 6, 17, 17)
    same = [1, 1, 1, 1]
    assert counted(capsys, {"x": image}, "Conv", None, ones(6, 2, 3, 3), group=2, pads=same)["total"] == "6912*n"
    transposed = counted(capsys, {"x": (1, 4, 8, 8)}, "ConvTranspose", wide, ones(4, 3, 3, 3), group=2, strides=[2, 2])
    assert transposed["total"] == 4 * 64 * 3 * 9
    assert counted(capsys, {"x": (8, "n")}, "Gemm", None, ones(5, 8), transA=1, transB=1)["total"] == "40*n"
    assert counted(capsys, {"x": ("b", 8)}, "MatMul", None, ones(8))["total"] == "8*b"
    both = {"x": ("b", 1, "t", 8), "z": ("h", 8, "s")}
    assert counted(capsys, both, "MatMul", None)["total"] == "8*b*h*s*t"
    assert counted(capsys, {"x": ("b", 8)}, "MatMulInteger", None, ones(8, 5, dtype=np.uint8))["total"] == "40*b"
    assert counted(capsys, {"x": ("b", 8)}, "Einsum", None, ones(8, 5), equation="bi,ij->bj")["total"] == "40*b"
    sequence = {"x": ("t", "b", 8)}
    assert counted(capsys, sequence, "LSTM", None, ones(1, 16, 8), ones(1, 16, 4), hidden_size=4)["total"] == "192*b*t"


def test_show_never_counts_unknown_work_as_none(folder: Path, capsys: Any) -> None:
    query = dict.fromkeys("qkv", ("b", "h", "t", 8))
    found = counted(capsys, query, "Attention", None)
    assert found == {"total": 0, "nodes": {}, "unknown": 1}
    onnx.save(model([node("MatMul", ["x", "w"], ["y"])], [value("x", F, ("batch size", 8)), value("w", F, (8, 5))],
                    [value("y", F, None)]), "m.onnx")  # fmt: skip
    assert Ran(capsys, "show", "m.onnx", "--json").json["macs"]["total"] == "40*batch_size"
    assert Ran(capsys, "show", "m.onnx", "--size", "batch_size=2", "--json").json["macs"]["total"] == 80


def test_names_cannot_write_to_the_terminal(folder: Path, capsys: Any) -> None:
    name, place = "x\n\x1b[31m", "a\x1b[2J.onnx"
    onnx.save(model([node("Relu", [name], ["y"])], [value(name)]), place)
    for command in ("show", "check", "verify", "import", "run"):
        for options in ([], ["--json"]):
            ran = Ran(capsys, command, place, *options)
            assert "\x1b" not in ran.out + ran.err
    assert "  x\\n\\x1b[31m: float32[2, 3]" in Ran(capsys, "show", place).out.splitlines()


@pytest.mark.parametrize("size", ["btach=1", "batch=²", "batch=" + "9" * 5000, "batch=-1"])
def test_show_refuses_a_size_that_would_count_nothing(cnn: str, capsys: Any, size: str) -> None:
    ran = Ran(capsys, "show", cnn, "--size", size)
    assert ran.status == 2
    assert "IX843" in ran.err


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("evidence", '{"trials": 5}'),
        ("state", "[1]"),
        ("dims", '{"n": 5}'),
        ("guards", '[{"condition": "batch >= 0"}]'),
        ("guards", "[" * 10_000),
    ],
)
def test_damaged_notes_are_findings_and_can_be_shown(folder: Path, capsys: Any, key: str, text: str) -> None:
    proto = onnx.load("good.onnx")
    proto.metadata_props.add(key=f"interchange.{key}", value=text)
    onnx.save(proto, "damaged.onnx")
    assert Ran(capsys, "show", "damaged.onnx").status == 0
    ran = Ran(capsys, "check", "damaged.onnx")
    assert (ran.status == 1) == ("IX590" in ran.out) == ("why" not in text and "condition" not in text)


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

    monkeypatch.setattr("interchange.checker.child.look", broken)
    ran = Ran(capsys, "check", "good.onnx")
    assert ran.status == 3
    assert "interchange made a mistake: KeyError" in ran.err
    assert "Traceback" not in ran.err
    assert Ran(capsys, "check", "good.onnx", "--json").json["error"]["code"] == "internal"
    with pytest.raises(KeyError):
        cli.run(["check", "good.onnx", "--debug"])


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


def in_a_shell(line: str) -> tuple[int, str]:
    """(status, what it wrote to the standard error) of a line in which ix is the command."""
    found = subprocess.run(
        ["bash", "-c", f"ix() {{ '{sys.executable}' -m interchange \"$@\"; }}; set -o pipefail; {line}"],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.returncode, found.stderr


@pytest.mark.parametrize(
    ("line", "status", "says"),
    [
        ("ix show good.onnx | true", 141, ""),  # neither good nor findings: nobody has seen the answer
        ("ix check bad.onnx >&-", 1, ""),
        ("ix check gone.onnx 2>&-", 2, ""),
        ("ix show good.onnx >/dev/full", 2, "No space left on device"),
    ],
)
def test_output_that_nobody_takes(folder: Path, line: str, status: int, says: str) -> None:
    found, error = in_a_shell(line)
    assert found == status
    assert says in error
    assert "mistake" not in error
    assert "Traceback" not in error


# -- models by name ---------------------------------------------------------------------------------------------------
def test_a_users_file_that_fails_is_told_with_its_line(folder: Path, capsys: Any) -> None:
    Path("syntax.py").write_text("x = 1\ndef (\n")
    Path("ends.py").write_text("import sys\nsys.exit(0)\n")
    Path("fails.py").write_text("def make():\n    return 1 / 0\n")
    Path("iris.py").write_text("")
    for name, place, fix in (
        ("syntax.py:x", "syntax.py:2", "python syntax.py"),
        ("ends.py:x", "ends.py:2", "python ends.py"),
        ("fails.py:make", "fails.py:2", "python fails.py"),
    ):
        ran = Ran(capsys, "export", name, "m.onnx", "--input", "float32[3]", "--json")
        assert ran.status == 2
        error = ran.json["error"]
        assert (error["code"], error["where"]) == ("IX812", place)
        assert error["fix"].endswith(fix)
    error = Ran(capsys, "export", "./iris:make", "m.onnx", "--json").json["error"]
    assert (error["code"], error["fix"]) == ("IX811", "did you mean ./iris.py?")


def test_verify_takes_the_inputs_from_the_file(folder: Path, capsys: Any) -> None:
    Path("source.py").write_text("model = lambda x: x.relu()\nother = lambda x: x + 1\n")
    assert Ran(capsys, "verify", "good.onnx", "source.py:model").status == 1  # only the output's name differs
    assert Ran(capsys, "export", "source.py:model", "m.onnx", "--input", "x: float32[batch, 3]").status == 0
    assert Ran(capsys, "verify", "m.onnx", "source.py:model").status == 0
    assert Ran(capsys, "verify", "m.onnx", "source.py:other").status == 1


def test_verify_leaves_nothing_out_silently(folder: Path, capsys: Any) -> None:
    assert "IX810" in Ran(capsys, "verify", "good.onnx", "").err  # an empty variable of a script is no model
    assert "IX803" in Ran(capsys, "verify", "good.onnx", "--input", "garbage").err
    assert Ran(capsys, "verify", "good.onnx", "--input", "x: float32[5, 3]").out.count("ok ") == 1
    assert Ran(capsys, "verify", "good.onnx", "--sizes", "0").status == 2
