"""Files of strangers: what is read of them, what ends the process that looks at them, and what that comes to."""

from __future__ import annotations

import io
import json
import os
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import interchange as ix
from interchange import schemas
from interchange.checker import check, child
from interchange.errors import FileError, UsageError
from interchange.graph.limits import Limits
from interchange.graph.opening import read
from interchange.graph.scan import scan


def chain(count: int, op: str = "Relu", domain: str = "") -> onnx.ModelProto:
    """`count` nodes, one after the other."""
    nodes = [helper.make_node(op, [f"h{i}"], [f"h{i + 1}"], domain=domain) for i in range(count)]
    values = [helper.make_tensor_value_info(name, 1, ["n", 3]) for name in ("h0", f"h{count}")]
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1), helper.make_opsetid("my", 1)]
    return helper.make_model(
        helper.make_graph(nodes, "chain", values[:1], values[1:]), opset_imports=opsets, ir_version=10
    )


def codes(report: ix.checker.Report) -> list[str]:
    return [f.code for f in report.findings]


# -- limits: each on both of its sides --------------------------------------------------------------------------------
def with_functions(count: int) -> onnx.ModelProto:
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("my", 1)]
    made = [
        helper.make_function(
            "my",
            f"f{i}",
            ["a"],
            ["b"],
            [helper.make_node(f"f{i - 1}", ["a"], ["b"], domain="my") if i else helper.make_node("Relu", ["a"], ["b"])],
            opsets,
        )
        for i in range(count)
    ]
    model = chain(1, f"f{count - 1}", "my")
    model.functions.extend(made)
    return model


def with_metadata(count: int) -> onnx.ModelProto:
    model = chain(1)
    for i in range(count):
        model.metadata_props.add(key=f"k{i}", value="v")
    return model


def with_declarations(count: int) -> onnx.ModelProto:
    model = chain(count - 1)
    model.graph.value_info.extend(helper.make_tensor_value_info(f"h{i}", 1, ["n", 3]) for i in range(1, count - 1))
    return model


def with_window(size: int) -> onnx.ModelProto:
    node = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[size, size])
    values = [helper.make_tensor_value_info(n, 1, ["n", 1, f"{n}a", f"{n}b"]) for n in "xy"]
    return helper.make_model(helper.make_graph([node], "main", values[:1], values[1:]), ir_version=10)


def expanded(size: int) -> onnx.ModelProto:
    shape = numpy_helper.from_array(np.array([size]), "shape")
    node = helper.make_node("Expand", ["x", "shape"], ["y"])
    values = [helper.make_tensor_value_info("x", 1, []), helper.make_tensor_value_info("y", 1, ["n"])]
    return helper.make_model(helper.make_graph([node], "main", values[:1], values[1:], [shape]), ir_version=10)


def looping(times: int) -> onnx.ModelProto:
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Relu", ["h"], ["k"])],
        "body",
        [helper.make_tensor_value_info(n, t, s) for n, t, s in (("i", 7, []), ("c", 9, []), ("h", 1, ["n"]))],
        [helper.make_tensor_value_info(n, t, s) for n, t, s in (("d", 9, []), ("k", 1, ["n"]))],
    )
    node = helper.make_node("Loop", ["times", "", "x"], ["y"], body=body)
    values = [helper.make_tensor_value_info(n, 1, ["n"]) for n in "xy"]
    count = numpy_helper.from_array(np.array(times), "times")
    return helper.make_model(helper.make_graph([node], "main", values[:1], values[1:], [count]), ir_version=10)


def ranked(axes: int) -> onnx.ModelProto:
    values = [helper.make_tensor_value_info(n, 1, [1] * axes) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "main", values[:1], values[1:])
    return helper.make_model(graph, ir_version=10)


def named(length: int) -> onnx.ModelProto:
    model = chain(1)
    model.graph.node[0].name = "n" * length
    return model


@pytest.mark.parametrize(
    ("limit", "build", "code"),
    [
        ("nodes", chain, "IX303"),
        ("values", with_declarations, "IX303"),
        ("functions", with_functions, "IX303"),
        ("metadata", with_metadata, "IX303"),
        ("expanded", lambda n: with_functions(n - 1), "IX527"),
        ("depth", with_functions, "IX527"),
        ("elements", expanded, "IX572"),
        ("rank", ranked, "IX573"),
        ("iterations", looping, "IX574"),
        ("name", named, "IX528"),
    ],
)
def test_a_limit_holds_on_both_sides(limit: str, build: Any, code: str) -> None:
    for count, expected in ((7, []), (8, [code])):
        report = check(build(count).SerializeToString(), limits={limit: 7}, ignore=["IX571"])
        assert list(dict.fromkeys(codes(report))) == expected, report.text()
        if expected:
            assert f"`{limit}`" in report.text()


def test_windows_are_limited_too() -> None:
    assert codes(check(with_window(2).SerializeToString(), limits={"elements": 4})) == []
    assert codes(check(with_window(3).SerializeToString(), limits={"elements": 4})) == ["IX575"]


def test_functions_may_multiply_nodes_only_so_much() -> None:
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("my", 1)]
    model = chain(1, "f13", "my")
    for i in range(14):
        body = [helper.make_node(f"f{i - 1}", ["a"], [o], domain="my") for o in "bc"] if i else []
        body = body or [helper.make_node("Relu", ["a"], ["b"])]
        model.functions.append(helper.make_function("my", f"f{i}", ["a"], ["b"], body, opsets))
    assert codes(check(model)) == ["IX527"]
    assert codes(check(model, limits={"growth": 10_000})) == []


def test_the_size_of_a_file_is_limited(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(chain(1).SerializeToString())
    size = path.stat().st_size
    assert codes(check(path, limits={"file": size})) == []
    assert codes(check(path, limits={"file": size - 1})) == ["IX303"]


def test_messages_are_counted_before_they_are_built() -> None:
    data = chain(5).SerializeToString()
    whole = Limits.of({"parts": 100})
    assert scan(data, whole, "m") == ()
    parts = next(n for n in range(1, 100) if not _refuses(data, n))
    assert parts == 1 + 5 + 2 + 2 * 2 + 2 * 1 + 2 * 2 + 3  # graph, nodes, values, types, shapes, sizes, opset imports
    with pytest.raises(FileError, match="IX303"):
        read(data, Limits.of({"parts": parts - 1}))


def _refuses(data: bytes, parts: int) -> bool:
    try:
        scan(data, Limits.of({"parts": parts}), "m")
    except FileError:
        return True
    return False


@pytest.mark.parametrize("where", ["input", "value_info", "initializer"])
def test_millions_of_axes_are_refused_at_once(where: str) -> None:
    model = chain(1)
    if where == "initializer":
        model.graph.initializer.add(name="w", data_type=1, dims=[1] * 1_000_000)
    else:
        value = getattr(model.graph, where).add(name="v")
        value.type.tensor_type.elem_type = 1
        shape = onnx.TensorShapeProto()
        shape.ParseFromString(b"\x0a\x00" * 1_000_000)
        value.type.tensor_type.shape.CopyFrom(shape)
    report = check(model.SerializeToString())
    assert codes(report) == ["IX303"]
    assert "`rank`" in report.text()


def test_limits_are_checked() -> None:
    for wrong in ({"node": 5}, {"nodes": 0}, {"nodes": "5"}, {"nodes": True}):
        with pytest.raises(UsageError, match="IX844"):
            check(chain(1), limits=wrong)  # type: ignore[dict-item]
    with pytest.raises(UsageError, match="did you mean nodes"):
        check(chain(1), limits={"node": 5})
    with pytest.raises(UsageError, match="IX844"):
        check(chain(1), deny=["control flow"])


def test_a_report_says_that_there_is_more() -> None:
    found = check(chain(5, "relu"), limits={"findings": 4})
    assert codes(found) == ["IX540"] * 4 + ["IX321"]
    assert codes(check(chain(4, "relu"), limits={"findings": 4})) == ["IX540"] * 4
    assert codes(check(chain(5, "relu"), limits={"findings": 4}, ignore=["IX540"])) == []


# -- what is no model -------------------------------------------------------------------------------------------------
def test_a_cut_file_says_where_it_ends() -> None:
    data = chain(50).SerializeToString()
    inside = data.index(b"h40")
    report = check(data[:inside])
    assert codes(report) == ["IX302"]
    assert "bytes later than what it stands in" in report.text()
    # a length that is right for the file, and wrong inside
    at = data.index(b"\x0a\x03h40")
    damaged = data[: at + 1] + b"\x7f" + data[at + 2 :]
    assert "in graph.node[40]" in check(damaged).text()


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"x" * 100)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "said", "fix"),
    [
        (zipped("archive/data.pkl", "archive/data/0"), "PyTorch checkpoint", "interchange export model.py:make_model"),
        (zipped("m/models/model.json"), "torch.export", "interchange export FILE.pt2"),
        (zipped("m/code/x.py", "m/constants.pkl", "m/data.pkl"), "TorchScript", "interchange export"),
        (zipped("metadata.json", "model.weights.h5"), "Keras", "exporter"),
        (zipped("arr_0.npy"), ".npz", "interchange run"),
        (zipped("model.onnx"), "with an .onnx file", "unpack"),
        (b"\x40\0\0\0\0\0\0\0" + b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', "safetensors", "--weights"),
        (b"\x80\x04\x95pickle", "pickle", "--weights"),
        (b"\x08\x01\x12\x10\x0a\x05serve saved_model_main_op", "SavedModel", "exporter"),
        (b"ir_version: 10\ngraph { name: 'g' }", "as text", "textproto"),
        (b"<\n  ir_version: 10,\n  opset_import: ['' : 21]\n>\ng (float x) => (float y) {}", "as text", "parse_model"),
        (b'{"irVersion": "10", "graph": {}}', "JSON", "format='json'"),
        (b"\x28\xb5\x2f\xfd0000", "zstd", "unpack"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_other_formats_are_named_with_what_to_do(content: bytes, said: str, fix: str) -> None:
    finding = check(content).findings[0]
    assert finding.code == "IX302"
    assert said in finding.found
    assert fix in finding.fix


def test_a_missing_file_is_an_error_and_not_a_finding(tmp_path: Path) -> None:
    for path in (tmp_path / "none.onnx", tmp_path, Path("/dev/zero"), "a\0b"):
        with pytest.raises(FileError, match="IX301"):
            check(path)


# -- the child process ------------------------------------------------------------------------------------------------
@pytest.fixture
def rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """A rule of a user, in a module that the child finds too; its body is the test's."""
    from interchange.checker.rule import unregister

    name = f"rule_{abs(hash(request.node.nodeid))}"
    monkeypatch.syspath_prepend(tmp_path)
    child.close()  # the next one is started with this path

    def make(body: str) -> None:
        (tmp_path / f"{name}.py").write_text(
            "import os, signal, time\nfrom interchange.checker.rule import Problem, rule\n\n"
            f'@rule("MY1", "error", "mine")\ndef mine(ctx):\n    {body}\n    yield Problem("seen", ctx.where)\n'
        )
        __import__(name)

    yield make
    unregister("MY1")
    child.close()


@pytest.mark.parametrize(
    ("body", "code", "found"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "IX598", "SIGKILL"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "IX598", "SIGSEGV"),
        ("os._exit(7)", "IX598", "exit status 7"),
        ("bytearray(6 << 30)", "IX598", "MiB"),
        ("while True: time.sleep(1)", "IX599", "after 1 seconds"),
    ],
)
def test_what_ends_the_child_is_a_finding(rule: Any, body: str, code: str, found: str) -> None:
    rule(body)
    report = check(chain(1).SerializeToString(), limits={"seconds": 1})
    assert codes(report) == [code]
    assert found in report.findings[0].found


def test_after_a_death_the_next_check_is_in_a_new_child(rule: Any) -> None:
    rule("os.kill(os.getpid(), signal.SIGKILL) if len(ctx.model.graph.node) == 1 else None")
    assert codes(check(chain(1).SerializeToString())) == ["IX598"]
    assert codes(check(chain(2).SerializeToString())) == ["MY1"]


def test_what_else_is_wrong_is_told_too(rule: Any) -> None:
    """A rule that asks for types dies; the others do not need them."""
    rule("ctx.inferred.types and os.kill(os.getpid(), signal.SIGKILL)")
    model = chain(2)
    model.graph.node[1].input[0] = "ghost"
    assert codes(check(model.SerializeToString())) == ["IX598", "IX506", "MY1"]


def test_one_child_is_kept(tmp_path: Path) -> None:
    check(chain(1).SerializeToString())
    first = child._kept
    check(chain(1).SerializeToString())
    assert child._kept is first
    assert first is not None
    first.owner = -1  # as after a fork: the child belongs to the parent
    check(chain(1).SerializeToString())
    assert child._kept is not first
    first.owner = os.getpid()
    first.close()


def test_paths_are_those_of_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(chain(1).SerializeToString())  # the child is there, in the folder of before
    monkeypatch.chdir(tmp_path)
    Path("here.onnx").write_bytes(chain(2).SerializeToString())
    report = check("here.onnx")
    assert report.ok
    assert report.file == "here.onnx"
    assert str(tmp_path) not in check("here.onnx", target="onnxruntime==1.17").text()


def test_operators_of_the_user_are_known_in_the_child() -> None:
    data = chain(1, "Mine", "my").SerializeToString()
    assert codes(check(data)) == ["IX543"]
    schemas.register(
        domain="my",
        name="Mine",
        inputs=[{"name": "X", "type": "T"}],
        outputs=[{"name": "Y", "type": "T"}],
        types={"T": ["float32"]},
        attributes={"alpha": {"type": "float", "default": 1.0}},
    )
    try:
        assert codes(check(data)) == []
        assert codes(check(data, isolate=False)) == []
    finally:
        schemas.unregister("Mine", "my")
    assert codes(check(data)) == ["IX543"]


def test_large_bytes_go_to_the_child_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_SENT", 100)
    report = check(chain(20).SerializeToString())
    assert report.ok
    assert report.file == "the model"


def test_threads_share_the_child() -> None:
    found: list[list[str]] = []
    models = [chain(n).SerializeToString() for n in (1, 2)]

    def look() -> None:
        for _ in range(5):
            found.extend(codes(check(m)) for m in models)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[]] * 40


def test_here_and_in_the_child_the_same_is_found(tmp_path: Path) -> None:
    model = chain(3)
    model.graph.node[1].op_type = "relu"
    model.graph.node[2].input[0] = "ghost"
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    assert check(path) == check(path, isolate=False)


# -- what costs more than it looks ------------------------------------------------------------------------------------
def test_a_graph_does_not_copy_what_it_sees() -> None:
    """Thousands of subgraphs that see thousands of values held one entry for each pair: gigabytes."""
    from interchange.checker.context import Context
    from interchange.checker.infer import infer
    from interchange.graph.opening import in_memory

    model = chain(200)
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "c"))
    for i in range(50):
        branch = helper.make_graph(
            [helper.make_node("Neg", ["h200"], [f"b{i}"])],
            "branch",
            [],
            [helper.make_tensor_value_info(f"b{i}", 1, None)],
        )
        other = helper.make_graph(
            [helper.make_node("Abs", ["h199"], [f"d{i}"])],
            "other",
            [],
            [helper.make_tensor_value_info(f"d{i}", 1, None)],
        )
        model.graph.node.append(helper.make_node("If", ["c"], [f"o{i}"], then_branch=branch, else_branch=other))
    ctx = Context(in_memory(model), None, "m")
    found = infer(ctx).types
    inner = [scope for scope in ctx.scopes if scope.outer is not None]
    assert len(inner) == 100
    for scope in inner:
        assert [d.dim_param for d in found[scope][scope.outputs[0]].tensor_type.shape.dim] == ["n", ""]
        assert len(found[scope].maps[0]) <= 2  # type: ignore[attr-defined]


def test_functions_with_ever_new_types_are_looked_at_only_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call makes its input longer by one, so that no call is like another: 2**n types."""
    from interchange.checker import infer

    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("my", 1)]
    longer = [
        helper.make_node("Constant", [], ["k"], value_floats=[1.0]),
        helper.make_node("Concat", ["a", "k"], ["b"], axis=0),
    ]
    model = chain(1, "f9", "my")
    for i in range(10):
        twice = [helper.make_node(f"f{i - 1}", ["a"], ["t"], domain="my")]
        twice += [helper.make_node(f"f{i - 1}", ["t"], ["b"], domain="my")]
        model.functions.append(helper.make_function("my", f"f{i}", ["a"], ["b"], twice if i else longer, opsets))
    for value in (*model.graph.input, *model.graph.output):
        value.CopyFrom(helper.make_tensor_value_info(value.name, 1, [1] if value.name == "h0" else ["m"]))
    looks = []
    node = infer._Walk.node
    monkeypatch.setattr(infer._Walk, "node", lambda *a: looks.append(1) or node(*a))  # type: ignore[func-returns-value]
    monkeypatch.setattr(infer, "_MAX_LOOKS", 100)
    assert codes(check(model)) == []
    assert 100 < len(looks) < 250  # twice, with hints


def test_what_a_name_was_meant_to_be_is_found_among_many() -> None:
    model = chain(3000)
    model.graph.node[1500].input[0] = "h1500x"
    model.graph.node[7].input[0] = "n" * 50_000
    report = check(model, select=["IX506"])
    assert "did you mean 'h1500'?" in report.text()
    assert all(len(f.text()) < 10_000 for f in report.findings)


def test_long_names_do_not_multiply() -> None:
    """The path of a subgraph holds the name of the node that holds it, for each of the graphs inside."""
    model = looping(3)
    model.graph.node[0].name = "N" * 60_000
    model.graph.node[0].attribute[0].g.node[1].op_type = "relu"
    assert [len(f.where.graph) < 5_000 for f in check(model).findings if f.code == "IX540"] == [True]


@pytest.mark.parametrize(("limit", "most"), [("graphs", 2), ("tensors", 3), ("attributes", 4)])
def test_what_hides_in_attributes_is_counted_before_it_is_read(limit: str, most: int) -> None:
    model = chain(1)
    node = model.graph.node[0]
    attribute = node.attribute.add(name="many", type=onnx.AttributeProto.INT)  # whatever it says
    parts = {"graphs": attribute.graphs, "tensors": attribute.tensors, "attributes": node.attribute}[limit]
    for _ in range(most - len(node.attribute) * (limit == "attributes")):
        parts.add()
    data = model.SerializeToString()
    assert "IX303" not in codes(check(data, limits={limit: most}))
    assert codes(check(data, limits={limit: most - 1})) == ["IX303"]
    with pytest.raises(FileError, match="IX303"):
        ix.graph.files.load(data, limits=Limits.of({limit: most - 1}))


# -- data files -------------------------------------------------------------------------------------------------------
def with_data(folder: Path, *locations: str, **entries: str) -> Path:
    model = chain(1)
    for i, location in enumerate(locations):
        tensor = model.graph.initializer.add(name=f"w{i}", data_type=1, dims=[4], data_location=1)
        for key, value in {"location": location, **entries}.items():
            tensor.external_data.add(key=key, value=value)
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_one_file_of_many_names_is_mapped_and_summed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    (tmp_path / "d").write_bytes(bytes(16))
    sums = []
    sha1 = hashlib.sha1
    monkeypatch.setattr(hashlib, "sha1", lambda *a, **k: sums.append(1) or sha1(*a, **k))  # type: ignore[func-returns-value]
    path = with_data(tmp_path, "d", "./d", "././d", checksum="0")
    assert codes(check(path, isolate=False)).count("IX559") == 3
    assert len(sums) == 1


def test_a_data_file_that_cannot_be_mapped_is_a_finding(tmp_path: Path) -> None:
    names = [f"huge{i}" for i in range(20)]
    for name in names:
        with open(tmp_path / name, "wb") as file:
            try:
                file.truncate(15 << 40)  # sparse: it takes no room on the disk
            except OSError:
                pytest.skip("the file system has no files of this size")
    path = with_data(tmp_path, *names)
    assert "IX532" in codes(check(path, isolate=False))
    with pytest.raises(FileError, match="IX304"):
        ix.graph.files.load(path)


def test_the_model_file_is_no_data_file_by_another_name(tmp_path: Path) -> None:
    assert "IX558" in codes(check(with_data(tmp_path, "./m.onnx")))


def test_bytes_have_no_folder_however_many_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They reach the child through a file; what lies beside that is not the model's."""
    monkeypatch.setattr(child, "_SENT", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "secret").write_bytes(bytes(16))
    data = with_data(tmp_path, "secret", checksum="0").read_bytes()
    assert codes(check(data)) == codes(check(data, isolate=False)) == ["IX595"]


# -- the child --------------------------------------------------------------------------------------------------------
def test_an_answer_that_was_not_waited_for_is_not_taken_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    check(chain(1).SerializeToString())

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as m:
        m.setattr(child._Child, "_receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            check(chain(2).SerializeToString())
    assert "3 nodes" in check(chain(3).SerializeToString()).facts


def test_a_child_that_does_not_start_is_not_the_model_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    for python in ("/no/python/here", "/bin/false"):
        child.close()
        monkeypatch.setattr("sys.executable", python)
        with pytest.raises(FileError, match="IX323"):
            check(chain(1).SerializeToString())


def test_a_path_among_the_places_of_modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child.close()
    monkeypatch.setattr("sys.path", [*__import__("sys").path, tmp_path])  # Python passes over what is no text
    assert codes(check(chain(1).SerializeToString())) == []


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_streams_that_a_shell_closed(tmp_path: Path, closed: str) -> None:
    import subprocess
    import sys

    path = tmp_path / "m.onnx"
    path.write_bytes(chain(1).SerializeToString())
    command = f'"{sys.executable}" -m interchange check --no-config "{path}" {closed}'
    assert subprocess.run(command, shell=True, stdout=subprocess.PIPE, check=False).returncode == 0


def test_names_make_no_links_in_sarif() -> None:
    from interchange.checker.formats import render

    model = chain(1, "relu")
    model.graph.node[0].name = "[the repair](https://example.org)"
    result = json.loads(render([check(model)], "sarif"))["runs"][0]["results"][0]
    assert "[the repair\\](https" in result["message"]["text"]


def test_a_size_that_multiplies_out_without_end_is_a_name(tmp_path: Path) -> None:
    """(a0+1)*(a1+1)*... has 2**n terms: a text of 300 characters."""
    from interchange.checker.summary import summarize

    model = chain(1)
    for value in (*model.graph.input, *model.graph.output):
        sums = ["+".join(f"s{k}{i}" for i in range(20)) for k in range(8)]
        value.CopyFrom(helper.make_tensor_value_info(value.name, 1, ["*".join(f"(a{i}+1)" for i in range(40)), *sums]))
    node = model.graph.node[0]
    node.op_type = "MatMul"
    node.input.append("h0")
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    assert summarize(path)["macs"]["unknown"] == 1
    check(path, isolate=False, target="onnxruntime>=1.20")
