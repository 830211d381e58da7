"""Loading and running: what goes in, what comes out, and what is said when the runtime refuses."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from bad_models.building import BOOL, I64, F, const, external, model, node, relu, value
from onnx import TensorProto, helper

from interchange import checker
from interchange.errors import CheckError, FileError, InterchangeError, UsageError
from interchange.runtime import InputsError, LoadError, Model, RunError, load


def loaded(proto: onnx.ModelProto, **options: Any) -> Model:
    return load(proto.SerializeToString(), threads=1, **options)


def noted(proto: onnx.ModelProto, **entries: Any) -> onnx.ModelProto:
    for key, content in entries.items():
        proto.metadata_props.add(
            key=f"interchange.{key}", value=content if isinstance(content, str) else json.dumps(content)
        )
    return proto


def add(**entries: Any) -> onnx.ModelProto:
    """z: float32[batch, 3] = x + w."""
    inputs = [value("x", F, ("batch", 3)), value("w", F, ("batch", 3))]
    return noted(model([node("Add", ["x", "w"], ["z"], "sum")], inputs, [value("z", F, ("batch", 3))]), **entries)


ONES = np.ones((2, 3), np.float32)


# -- running ----------------------------------------------------------------------------------------------------------
def test_by_position_name_and_mapping() -> None:
    m = loaded(add())
    w = 2 * ONES
    for found in (m.run(ONES, w), m.run(w=w, x=ONES), m.run({"w": w, "x": ONES}), m.run(ONES, w=w)):
        assert list(found) == ["z"]
        np.testing.assert_array_equal(found["z"], 3 * ONES)


def test_signature_is_told_in_the_shape_language() -> None:
    m = loaded(add(dims={"batch": [1, 64]}))
    assert [str(s) for s in m.inputs.values()] == ["x: float32[batch, 3]", "w: float32[batch, 3]"]
    assert str(m.outputs["z"]) == "z: float32[batch, 3]"
    assert m.dims == {"batch": (1, 64)}
    assert m.opsets == {"": 21}
    assert "x: float32[batch, 3]" in repr(m)


def test_open_and_odd_dimension_texts_become_names() -> None:
    inputs = [value("x", F, (None, "batch size", "2*n")), value("i:0", F, ("batch size",))]
    m = loaded(model([node("Identity", ["x"], ["y"])], inputs, [value("y", F, None)]))
    assert str(m.inputs["x"]) == "x: float32[x_0, batch_size, 2*n]"
    assert str(m.inputs["i:0"]) == "i:0: float32[batch_size]"
    assert str(m.outputs["y"]) == "y: float32"


def test_some_outputs() -> None:
    m = loaded(
        model([node("Relu", ["x"], ["a"], "r"), node("Neg", ["x"], ["b"], "n")], outputs=[value("a"), value("b")])
    )
    assert list(m.run(ONES, outputs=["b"])) == ["b"]
    assert list(m.run(ONES)) == ["a", "b"]
    with pytest.raises(UsageError, match="did you mean a") as error:
        m.run(ONES, outputs=["aa"])
    assert error.value.code == "IX821"


def test_input_with_a_default_may_be_left_out() -> None:
    proto = noted(
        model([node("Add", ["x", "w"], ["y"])], [value("x"), value("w")], initializers=[const("w", ONES)]),
        state=[{"name": "w", "output": "y"}],
    )
    m = loaded(proto)
    assert m.inputs["w"].optional
    assert m.state == {"w": "y"}
    np.testing.assert_array_equal(m.run(x=ONES)["y"], 2 * ONES)
    np.testing.assert_array_equal(m.run(x=ONES, w=5 * ONES)["y"], 6 * ONES)


class Wrapped:
    """What other libraries' arrays look like."""

    def __init__(self, array: Any, how: str) -> None:
        self.array = array
        if how == "array":
            self.__class__ = type("Arrayed", (Wrapped,), {"__array__": lambda s, dtype=None, copy=None: s.array})
        else:
            methods = {
                "__dlpack__": lambda s, **k: s.array.__dlpack__(**k),
                "__dlpack_device__": lambda s: s.array.__dlpack_device__(),
            }
            self.__class__ = type("Capsuled", (Wrapped,), methods)


@pytest.mark.parametrize(
    "given",
    [
        [[1, 1, 1], [1, 1, 1]],
        [[1.0, 1, 1], [1, 1, 1]],
        np.asfortranarray(ONES),
        np.ones((2, 6), np.float32)[:, ::2],
        ONES.astype(">f4"),
        Wrapped(ONES, "array"),
        Wrapped(ONES, "dlpack"),
        [np.float32([1, 1, 1]), np.float32([1, 1, 1])],
    ],
    ids=["ints", "floats", "fortran", "strided", "big-endian", "__array__", "dlpack", "list of arrays"],
)
def test_what_counts_as_an_array(given: Any) -> None:
    np.testing.assert_array_equal(loaded(add()).run(given, ONES)["z"], 2 * ONES)


def test_arrays_are_made_contiguous() -> None:
    """The runtime copies others itself, fifty times slower."""
    m = loaded(add())
    for _ in range(2):  # the first time, and when the shapes are known to be right
        feeds = m._inputs.prepare((), {"x": np.asfortranarray(ONES), "w": ONES})
        assert all(array.flags.c_contiguous for array in feeds.values())


def test_arrays_are_not_copied_on_the_way_in() -> None:
    m = loaded(add())
    for _ in range(2):  # the first time, and when the shapes are known to be right
        feeds = m._inputs.prepare((), {"x": ONES, "w": Wrapped(ONES, "dlpack")})
        assert all(np.shares_memory(array, ONES) for array in feeds.values())


@pytest.mark.parametrize(
    ("number", "dtype"),
    [
        (TensorProto.BFLOAT16, ml_dtypes.bfloat16),
        (TensorProto.FLOAT8E4M3FN, ml_dtypes.float8_e4m3fn),
        (TensorProto.FLOAT8E5M2, ml_dtypes.float8_e5m2),
        (TensorProto.FLOAT16, np.float16),
    ],
)
def test_element_types_numpy_lacks(number: int, dtype: Any) -> None:
    m = loaded(model([node("Identity", ["x"], ["y"])], [value("x", number, ("n",))], [value("y", number, ("n",))]))
    x = np.array([1, -2, 0.5]).astype(dtype)
    found = m.run(x)["y"]
    assert found.dtype == x.dtype
    assert found.tobytes() == x.tobytes()
    assert m.run([1, -2, 0.5])["y"].tobytes() == x.tobytes()
    assert m.run(x[:0])["y"].shape == (0,)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_packed_elements(count: int) -> None:
    x = np.arange(-3, count - 3).astype(ml_dtypes.int4)
    into = [value("x", TensorProto.INT4, ("n",))]
    unpacked = loaded(model([node("Cast", ["x"], ["y"], to=F)], into, [value("y", F, ("n",))]))
    assert unpacked.run(x)["y"].tolist() == x.astype(np.float32).tolist()
    packed = loaded(
        model(
            [node("Cast", ["x"], ["y"], to=TensorProto.INT4)],
            [value("x", F, ("n",))],
            [value("y", TensorProto.INT4, ("n",))],
        )
    )
    found = packed.run(x.astype(np.float32))["y"]
    assert found.dtype == x.dtype
    assert found.tolist() == x.tolist()


@pytest.mark.parametrize(
    "texts", [["a", "ü"], np.array(["a", "ü"]), np.array(["a", "ü"], object), [b"a", "ü".encode()]]
)
def test_strings(texts: Any) -> None:
    m = loaded(
        model(
            [node("Identity", ["x"], ["y"])],
            [value("x", TensorProto.STRING, ("n",))],
            [value("y", TensorProto.STRING, ("n",))],
        )
    )
    assert m.run(texts)["y"].tolist() == ["a", "ü"]


def test_empty_batch() -> None:
    assert loaded(relu(inputs=[value("x", F, ("n", 3))], outputs=[value("y", F, ("n", 3))])).run(ONES[:0])[
        "y"
    ].shape == (0, 3)


def test_threads_share_a_model() -> None:
    m = loaded(add())
    wrong: list[Any] = []

    def work(number: int) -> None:
        for size in range(1, 60):
            x = np.full((size, 3), number, np.float32)
            found = m.run(x, x)["z"]
            if found.shape != x.shape or not (found == 2 * number).all():
                wrong.append((number, size))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_runner_has_fixed_buffers() -> None:
    m = loaded(add())
    runner = m.bind(ONES, ONES)
    buffer = runner.outputs["z"]
    for number in (1, 7):
        runner.inputs["x"][:] = number
        assert runner.run()["z"] is buffer
        np.testing.assert_array_equal(buffer, m.run(runner.inputs)["z"])
    with pytest.raises(TypeError):  # a new array would not be looked at
        runner.inputs["x"] = ONES  # type: ignore[index]
    with pytest.raises(UsageError) as error:
        loaded(
            model(
                [node("Identity", ["x"], ["y"])],
                [value("x", TensorProto.STRING, ())],
                [value("y", TensorProto.STRING, ())],
            )
        ).bind("a")
    assert error.value.code == "IX823"


def test_warm_up_finds_sizes_that_the_guards_admit() -> None:
    guards = [{"condition": "batch%4 == 0", "why": "w"}, {"condition": "batch >= 9", "why": "w"}]
    m = loaded(add(guards=guards, dims={"batch": [2, None]}), warm_up=True)
    assert m.warm_up() == {"batch": 12}
    assert m.warm_up({"batch": 16}) == {"batch": 16}
    for sizes in ({"btach": 16}, {"batch": 2.5}, 5):
        with pytest.raises(UsageError, match="IX822"):
            m.warm_up(sizes)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a size is missing"):
        m.zeros({})
    with pytest.raises(UsageError) as error:
        loaded(add(guards=[{"condition": "batch >= 1000", "why": "w"}])).warm_up()
    assert error.value.code == "IX822"


def test_evidence_and_metadata_are_there() -> None:
    m = loaded(add(evidence={"ok": True}))
    assert m.evidence == {"ok": True}
    assert loaded(add()).evidence is None


def test_saved_again(tmp_path: Path) -> None:
    m = loaded(add(guards=[{"condition": "batch%2 == 0", "why": "pairs"}]))
    m.save(tmp_path / "again.onnx")
    again = load(tmp_path / "again.onnx")
    assert again.guards == m.guards
    np.testing.assert_array_equal(again.run(ONES, ONES)["z"], 2 * ONES)


def test_external_data(tmp_path: Path) -> None:
    path = external(tmp_path, 12)
    np.testing.assert_array_equal(load(path).run(ONES)["y"], ONES)
    with pytest.raises(FileError) as error:
        load(path.read_bytes(), check=False)
    assert error.value.code == "IX304"


# -- when it fails ----------------------------------------------------------------------------------------------------
def test_run_error_names_node_module_and_line() -> None:
    gather = node("Gather", ["x", "i"], ["y"], "pick")
    gather.metadata_props.add(key="interchange.line", value="model.py:12 in forward")
    gather.metadata_props.add(key="interchange.module", value="encoder.0")
    m = loaded(model([gather], [value("x"), value("i", I64, (1,))], [value("y", F, None)]))
    with pytest.raises(RunError) as error:
        m.run(ONES, [9])
    assert error.value.code == "IX611"
    for part in ("'pick'", "Gather", "encoder.0", "model.py:12", "idx=9", "int64[1]"):
        assert part in str(error.value)
    assert "onnxruntime_src" not in str(error.value)
    np.testing.assert_array_equal(m.run(ONES, [1])["y"], ONES[1:])  # and the model still works


def unranked() -> onnx.ModelProto:
    return relu(inputs=[value("x", F, None)], outputs=[value("y", F, None)])


def double_conv() -> onnx.ModelProto:
    nodes = [node("Cast", ["x"], ["d"], "cast", to=TensorProto.DOUBLE), node("Conv", ["d", "w"], ["y"], "conv")]
    outputs = [value("y", TensorProto.DOUBLE, None)]
    return model(nodes, [value("x", F, (1, 1, 4, 4))], outputs, [const("w", np.ones((1, 1, 3, 3)), np.float64)])


@pytest.mark.parametrize(
    ("code", "proto", "parts"),
    [
        ("IX620", relu(opsets={"": 99}), ["opset 99", "pip install"]),
        ("IX621", double_conv(), ["'conv'", "d: float64[1, 1, 4, 4]", "float32"]),
        (
            "IX622",
            model([node("Foo", ["x"], ["y"], domain="my.dom")], opsets={"": 21, "my.dom": 1}),
            ["Foo", "'bad_node'"],
        ),
        (
            "IX623",
            model([node("MatMul", ["x", "w"], ["y"])], initializers=[const("w", np.ones((4, 4)))]),
            ["'bad_node'"],
        ),
        ("IX624", noted(relu(), guards="[{"), ["metadata"]),
        ("IX625", unranked(), ["'x'", "allow_unranked"]),
    ],
)
def test_load_errors(code: str, proto: onnx.ModelProto, parts: list[str]) -> None:
    with pytest.raises(LoadError) as error:
        load(proto.SerializeToString(), check=False)
    assert error.value.code == code
    for part in parts:
        assert part.strip("'") in str(error.value), str(error.value)


def test_unranked_input_can_be_allowed() -> None:
    assert loaded(unranked(), allow_unranked=True).run(ONES)["y"].shape == (2, 3)


def test_broken_model_is_refused_with_its_finding() -> None:
    with pytest.raises(CheckError) as error:
        loaded(model([node("Add", ["x", "ghost"], ["y"])]))
    assert error.value.code == "IX506"


def test_not_a_model(tmp_path: Path) -> None:
    for content in (b"", b"PK\x03\x04zip", b"\x00\x01\x02"):
        with pytest.raises(FileError) as error:
            load(content)
        assert error.value.code == "IX302"
    with pytest.raises(FileError) as error:
        load(tmp_path / "none.onnx")
    assert error.value.code == "IX301"


def test_threads_are_checked_and_session_options_are_passed() -> None:
    for threads in (0, 100_000, 2.5, "2"):
        with pytest.raises(UsageError) as error:
            load(add().SerializeToString(), threads=threads)  # type: ignore[arg-type]
        assert error.value.code == "IX820"
    m = loaded(add(), optimize=False, options={"session.intra_op.allow_spinning": "0"})
    np.testing.assert_array_equal(m.run(ONES, ONES)["z"], 2 * ONES)


def test_production_loads_no_eager_code(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(add().SerializeToString())
    script = (
        "import sys, numpy as np, interchange.runtime as r\n"
        "assert 'onnxruntime' not in sys.modules and 'onnx' not in sys.modules\n"
        f"x = np.ones((2, 3), np.float32); r.load({str(path)!r}).run(x, x)\n"
        "ours = ('interchange.eager', 'interchange.ops', 'interchange.frontends')\n"
        "bad = [m for m in sys.modules if m.startswith(ours)]\n"
        "assert not bad, bad\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


# -- validation -------------------------------------------------------------------------------------------------------
GUARDED = add(
    dims={"batch": [2, 64]},
    guards=[{"condition": "batch%4 == 0", "why": "the reshape makes groups of 4", "where": "model.py:12 in forward"}],
)


def problems(m: Model, *args: Any, **kwargs: Any) -> list[InterchangeError]:
    with pytest.raises(InputsError) as error:
        m.run(*args, **kwargs)
    assert error.value.where
    assert "test_runtime.py" in error.value.where
    return list(error.value.problems)


@pytest.mark.parametrize(
    ("code", "feeds", "parts"),
    [
        ("IX601", {"x": ONES}, ["input w is missing", "w: float32[batch, 3]"]),
        ("IX602", {"x": ONES, "w": ONES, "xx": ONES}, ["'xx'", "did you mean x?"]),
        ("IX603", {"x": ONES.astype("float64"), "w": ONES}, ["float64", "x.astype('float32')"]),
        ("IX604", {"x": np.ones((2, 4), np.float32), "w": ONES}, ["axis 1 is 4 instead of 3"]),
        ("IX604", {"x": np.ones(3, np.float32), "w": ONES}, ["1 axes", "x[None]"]),
        ("IX604", {"x": np.ones((3, 5), np.float32), "w": ONES[[0, 1, 0, 1, 0]]}, ["x.transpose(1, 0)"]),
        ("IX605", {"x": ONES, "w": np.ones((4, 3), np.float32)}, ["batch", "2 at axis 0 of x", "4 at axis 0 of w"]),
        ("IX608", {"x": [[1, 2, 3], [1]], "w": ONES}, ["input x cannot be read"]),
        ("IX608", {"x": object(), "w": ONES}, ["object"]),
        ("IX603", {"x": [["a", "b", "c"]] * 2, "w": ONES}, ["input x takes float32"]),
        ("IX603", {"x": [[True, False, True]] * 2, "w": ONES}, ["bool"]),
    ],
)
def test_each_problem(code: str, feeds: dict[str, Any], parts: list[str]) -> None:
    (found,) = problems(loaded(add()), **feeds)
    assert found.code == code
    for part in parts:
        assert part in str(found)


def test_too_many_and_twice() -> None:
    m = loaded(add())
    assert [p.code for p in problems(m, ONES, ONES, ONES)] == ["IX610"]
    assert [p.code for p in problems(m, ONES, ONES, x=ONES)] == ["IX610"]


def test_bounds_and_guards_quote_the_reason_and_the_line() -> None:
    m = loaded(GUARDED)
    six, one, big = (np.ones((n, 3), np.float32) for n in (6, 1, 128))
    (guard,) = problems(m, six, six)
    assert guard.code == "IX607"
    for part in (
        "batch%4 == 0",
        "the reshape makes groups of 4",
        "model.py:12 in forward",
        "batch = 6 (axis 0 of x)",
        "batch = 4",
    ):
        assert part in str(guard)
    assert [p.code for p in problems(m, one, one)] == ["IX606", "IX607"]
    (high,) = problems(m, big, big)
    assert high.code == "IX606"
    assert "2 <= batch <= 64" in str(high)
    four = np.ones((4, 3), np.float32)
    assert m.run(four, four)["z"].shape == (4, 3)
    assert [p.code for p in problems(m, six, six)] == ["IX607"]  # and again, after shapes were remembered


def test_all_problems_at_once() -> None:
    found = problems(loaded(GUARDED), x=ONES.astype("int32"), w=np.ones((2, 5), np.float32), y=1)
    assert [p.code for p in found] == ["IX602", "IX603", "IX604", "IX607"]
    with pytest.raises(InputsError) as error:
        loaded(GUARDED).run(x=ONES.astype("int32"), y=1)
    assert error.value.code == "IX602"
    assert len(error.value.to_dict()["problems"]) == len(error.value.problems) == 4
    assert all(p.message in str(error.value) for p in error.value.problems)


def test_whole_numbers_are_never_cut_or_wrapped() -> None:
    m = loaded(
        model(
            [node("Identity", ["x"], ["y"])],
            [value("x", TensorProto.INT8, ("n",))],
            [value("y", TensorProto.INT8, ("n",))],
        )
    )
    assert m.run([1, -128])["y"].tolist() == [1, -128]
    assert [p.code for p in problems(m, [300])] == ["IX608"]
    assert [p.code for p in problems(m, [1.5])] == ["IX603"]
    assert [p.code for p in problems(m, np.array([1], np.int64))] == ["IX603"]
    assert m.run([])["y"].shape == (0,)


def test_sizes_in_expressions() -> None:
    inputs = [value("x", F, ("2*n",)), value("w", F, ("n + 1",))]
    m = loaded(
        model(
            [node("Relu", ["x"], ["y"], "r"), node("Neg", ["w"], ["v"], "n")],
            inputs,
            [value("y", F, None), value("v", F, None)],
        )
    )
    ok = m.run(np.ones(6, np.float32), np.ones(4, np.float32))
    assert ok["y"].shape == (6,)
    (found,) = problems(m, np.ones(6, np.float32), np.ones(5, np.float32))
    assert found.code == "IX605"
    assert "n + 1 = 4" in str(found)
    (odd,) = problems(m, np.ones(7, np.float32), np.ones(4, np.float32))
    assert "axis 0 of x" in str(odd)


def test_scalars_and_bools() -> None:
    m = loaded(
        model(
            [node("Where", ["c", "x", "w"], ["y"])],
            [value("c", BOOL, ()), value("x", F, ()), value("w", F, ())],
            [value("y", F, ())],
        )
    )
    assert m.run(True, 1, 2.5)["y"] == 1
    assert m.run(np.bool_(False), np.float32(1), 2.5)["y"] == np.float32(2.5)
    (found,) = problems(m, 1, 1, 1)
    assert found.code == "IX603"
    assert "bools" in str(found)


def test_sequences_are_passed_on() -> None:
    seq = helper.make_tensor_sequence_value_info("s", F, None)
    m = loaded(
        model([node("SequenceAt", ["s", "i"], ["y"])], [seq, value("i", I64, ())], [value("y", F, None)]), check=True
    )
    assert str(m.inputs["s"]) == "s: seq(tensor(float32))"
    np.testing.assert_array_equal(m.run([ONES, 2 * ONES], 1)["y"], 2 * ONES)


def identity_proto(kind: int, shape: Any = ("n",)) -> onnx.ModelProto:
    return model([node("Identity", ["x"], ["y"])], [value("x", kind, shape)], [value("y", kind, shape)])


def identity(kind: int, shape: Any = ("n",)) -> Model:
    return loaded(identity_proto(kind, shape))


def test_numbers_of_python_are_never_lost() -> None:
    """A large float does not become an infinity, large whole numbers stay exact."""
    half, unsigned = identity(TensorProto.FLOAT16), identity(TensorProto.UINT64)
    assert [p.code for p in problems(half, [70000.0])] == ["IX608"]
    assert [p.code for p in problems(half, [10**400])] == ["IX608"]
    assert [p.code for p in problems(identity(TensorProto.FLOAT8E4M3FN), [1000.0])] == ["IX608"]
    np.testing.assert_array_equal(half.run([np.inf, np.nan])["y"], np.array([np.inf, np.nan], np.float16))
    assert identity(TensorProto.FLOAT).run([3.4028235e38])["y"][0] == np.finfo(np.float32).max
    assert unsigned.run([2**64 - 1, 0])["y"].tolist() == [2**64 - 1, 0]
    for wrong in ([2**64, 0], [2**64 - 1, -1]):
        assert [p.code for p in problems(unsigned, wrong)] == ["IX608"]


def test_a_wrong_shape_of_many_axes_is_told_at_once() -> None:
    m = identity(TensorProto.FLOAT, tuple(range(1, 13)))
    begin = time.perf_counter()
    assert [p.code for p in problems(m, np.ones((1,) * 12, np.float32))] == ["IX604"]
    assert time.perf_counter() - begin < 1  # all orders of 12 axes would take minutes


def test_no_outputs_are_asked_for() -> None:
    m = loaded(add())
    assert m.run(ONES, ONES, outputs=[]) == {}
    with pytest.raises(UsageError, match="IX821"):
        m.run(ONES, ONES, outputs=5)  # type: ignore[arg-type]


@pytest.mark.parametrize("source", [5, None, ["m.onnx"]])
@pytest.mark.parametrize("check", [True, False])
def test_what_is_neither_path_nor_model(source: Any, check: bool) -> None:
    with pytest.raises(FileError, match="IX302"):
        load(source, check=check)


def test_a_model_that_is_replaced_while_it_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was checked, what the inputs are held against and what runs are one model."""
    path, looked = tmp_path / "m.onnx", []
    path.write_bytes(identity_proto(F, ("n",)).SerializeToString())
    real = checker.check

    def replacing(source: Any, **options: Any) -> Any:
        report = real(source, **options)
        looked.append(source)
        if len(looked) == 1:
            (tmp_path / "new").write_bytes(identity_proto(F, ("n", 3)).SerializeToString())
            (tmp_path / "new").replace(path)
        return report

    monkeypatch.setattr(checker, "check", replacing)
    m = load(path, threads=1)
    assert len(looked) == 2
    np.testing.assert_array_equal(m.run(ONES)["y"], ONES)


def test_links_out_of_the_folder_are_followed_where_they_are_trusted(tmp_path: Path) -> None:
    """As package managers and model caches store files."""
    for folder in ("store", "model"):
        (tmp_path / folder).mkdir()
    external(tmp_path / "store", 12)
    for file in (tmp_path / "store").iterdir():
        (tmp_path / "model" / file.name).symlink_to(file)
    with pytest.raises(CheckError, match="IX532"):
        load(tmp_path / "model" / "m.onnx")
    m = load(tmp_path / "model" / "m.onnx", trust_links=True)
    np.testing.assert_array_equal(m.run(ONES)["y"], ONES)


def test_save_is_of_this_model_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(identity_proto(F).SerializeToString())
    m = load(path, threads=1)
    assert m.save(tmp_path / "copy.onnx") == [tmp_path / "copy.onnx"]
    path.unlink()
    path.write_bytes(identity_proto(F, ("n", 3)).SerializeToString())
    with pytest.raises(FileError, match="has changed"):
        m.save(tmp_path / "copy.onnx")


def test_messages_about_many_inputs_stay_short() -> None:
    names = [f"x{i}" for i in range(500)]
    m = loaded(model([node("Sum", names, ["y"])], [value(n, F, ()) for n in names], [value("y", F, ())]))
    with pytest.raises(InputsError, match="and 488 more") as error:
        m.run()
    assert len(str(error.value)) < 1000
