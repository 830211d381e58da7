"""The capability registry: its data is what each release says of itself, and questions get an answer with a way out."""

from __future__ import annotations

import gzip
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from shell import Ran

from interchange import schemas
from interchange.checker import check
from interchange.checker.targets import targets
from interchange.errors import CheckError, SchemaError, UsageError
from interchange.schemas import runtimes
from interchange.schemas.calls import Call
from interchange.schemas.capability import judge
from interchange.schemas.runtimes import runtime
from interchange.schemas.support import span
from interchange.schemas.targets import RELEASES

HERE = ".".join(onnxruntime.__version__.split(".")[:2])


# -- the data ---------------------------------------------------------------------------------------------------------
def test_the_installed_release_is_as_its_data_says(tmp_path: Path) -> None:
    shipped = runtimes.FOLDER / f"onnxruntime-{HERE}.json.gz"
    if HERE not in runtimes.releases() or runtime(HERE).version != onnxruntime.__version__:
        pytest.skip(f"onnxruntime {onnxruntime.__version__} is not the patch release that was measured")
    made = tmp_path / "made.json.gz"
    script = importlib.util.find_spec("interchange.schemas.runtimes.dump")
    assert script is not None
    assert script.origin is not None
    subprocess.run([sys.executable, script.origin, made], check=True)
    assert json.loads(gzip.decompress(made.read_bytes())) == json.loads(gzip.decompress(shipped.read_bytes()))
    assert made.read_bytes() == shipped.read_bytes()


def test_the_dumper_needs_the_runtime_alone(tmp_path: Path) -> None:
    script = Path(runtimes.FOLDER) / "dump.py"
    code = "import runpy, sys; runpy.run_path(sys.argv[1]); print({'onnx', 'onnxruntime'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code, script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"  # nor does it load the runtime before it is asked


def test_targets_and_data_agree() -> None:
    assert [r.name for r in RELEASES["onnxruntime"]] == list(runtimes.releases())
    for release in RELEASES["onnxruntime"]:
        found = runtime(release.name)
        assert (found.opsets[""], found.ir_version, found.opsets["ai.onnx.ml"]) == release[1:], release.name
        assert found.version.startswith(f"{release.name}.")


def test_the_files_stay_small() -> None:
    for path in runtimes.FOLDER.glob("*.gz"):
        assert path.stat().st_size < 25_000, path.name


@pytest.mark.parametrize("name", runtimes.releases())
def test_every_kernel_is_of_an_operator_and_speaks_of_its_types(name: str) -> None:
    release = runtime(name)
    for domain in ("", "ai.onnx.ml", "com.microsoft"):
        for op in release.operators(domain):
            versions = release.versions(domain, op)
            for kernel in release.kernels(domain, op):
                served = [v for v in versions if kernel.serves(v)]
                for since in served:
                    form = release.form(domain, op, since)
                    names = {name for f in (*form.inputs, *form.outputs) for name in (f.name, f.type)}
                    assert kernel.types.keys() <= names | form.variables.keys(), (op, since)
    assert not release.kernels("", "NoSuchOperator")


def test_a_kernel_with_an_open_end_serves_its_first_version_alone() -> None:
    kernels = {(k.first, k.last): k for k in runtime("1.23").kernels("", "RandomNormalLike")}
    assert kernels == {(1, 0): kernels[1, 0]}
    assert kernels[1, 0].serves(1)
    assert not kernels[1, 0].serves(22)


# -- the question -----------------------------------------------------------------------------------------------------
def test_one_release_is_asked() -> None:
    answer = schemas.supports("Conv", ["float64", "float64"], runtime="onnxruntime==1.23", opset=21)
    assert not answer
    verdict = answer.verdicts["1.23"]
    assert verdict.reason == "dtype"
    assert "float64" in verdict.found
    assert verdict.expected == "float32"
    assert answer.ways.casts is not None
    assert answer.ways.casts.lossy
    assert "cast float64 to float32 and back, which rounds values" in str(answer)
    assert schemas.supports("Conv", ["float32", "float32"], runtime="onnxruntime==1.23", opset=21)


def test_one_dtype_stands_for_all_inputs_that_may_have_it() -> None:
    assert schemas.supports("Conv", ["float64"]).call == schemas.supports("Conv", ["float64", "float64"]).call
    assert schemas.supports("Gather", ["float32"]).call.inputs == ("tensor(float)", "tensor(int64)")
    assert schemas.supports("Where", ["float32"]).call.inputs == ("tensor(bool)", "tensor(float)", "tensor(float)")


def test_a_target_asks_all_releases_it_admits() -> None:
    answer = schemas.supports("RotaryEmbedding", ["float32"], runtime="onnxruntime>=1.22", opset=23)
    assert list(answer.verdicts) == [r for r in runtimes.releases() if int(r[2:]) >= 22]
    assert answer.releases == tuple(r for r in runtimes.releases() if int(r[2:]) >= 23)
    assert answer.verdicts["1.22"].reason == "opset"
    assert answer.ways.release == "1.23"
    assert "run it in onnxruntime 1.23 or newer" in str(answer)


@pytest.mark.parametrize(
    ("question", "reason", "way"),
    [
        ({"op": "RandomNormalLike", "dtypes": ["float32"], "opset": 22}, "version", "write it at opset 21"),
        ({"op": "MatMul", "dtypes": ["bfloat16"]}, "dtype", "cast bfloat16 to float32 and back"),
        ({"op": "Swish", "dtypes": ["float32"], "opset": 25}, "version", "write it at opset 24"),
        ({"op": "GRU", "dtypes": ["float32"], "attributes": {"layout": 1}}, "quirk", "build it from other operators"),
        ({"op": "Adam", "dtypes": ["float32"], "domain": "ai.onnx.preview.training"}, "operator", "build it"),
        ({"op": "GatedAdd", "dtypes": ["float32"], "domain": "com.microsoft"}, "operator", "or newer"),
        (
            {"op": "Attention", "dtypes": ["float32"], "opset": 25, "attributes": {"left_window_size": 2}},
            "form",
            "run it in onnxruntime 1.32 or newer",
        ),
        ({"op": "Conv", "dtypes": ["bfloat16"], "opset": 22}, "dtype", "cast bfloat16 to float32 and back"),
    ],
    ids=lambda v: v["op"] if isinstance(v, dict) else "",
)
def test_reasons_and_ways_out(question: dict[str, Any], reason: str, way: str) -> None:
    answer = schemas.supports(runtime="onnxruntime>=1.24,<1.27", **question)
    assert {v.reason for v in answer.verdicts.values()} == {reason}
    assert way in answer.ways.text(answer.call)
    data = answer.to_dict()
    assert json.loads(json.dumps(data)) == data
    assert data["releases"] == []


def test_attributes_choose_the_dtype_of_the_result() -> None:
    assert schemas.supports("Cast", ["float32"], attributes={"to": "float16"})
    answer = schemas.supports(
        "Cast", ["float32"], attributes={"to": "float4e2m1"}, opset=23, runtime="onnxruntime>=1.23"
    )
    assert answer.verdicts["1.23"].reason == "dtype"
    assert "float4e2m1" in answer.verdicts["1.23"].found


@pytest.mark.parametrize(
    ("code", "question"),
    [
        ("IX401", {"op": "Convv", "dtypes": ["float32"]}),
        ("IX402", {"op": "Gelu", "dtypes": ["float32"], "opset": 17}),
        ("IX403", {"op": "Conv", "dtypes": ["float32"], "opset": 99}),
        ("IX404", {"op": "Relu", "dtypes": ["float32", "float32"]}),
        ("IX405", {"op": "Conv", "dtypes": ["int32"]}),
        ("IX406", {"op": "Conv", "dtypes": ["float32"], "attributes": {"stride": 2}}),
        ("IX420", {"op": "Conv", "dtypes": ["float32"], "runtime": "tensorrt"}),
        ("IX421", {"op": "Conv", "dtypes": ["float32"], "runtime": "onnxruntime<1"}),
    ],
)
def test_questions_that_cannot_be_asked(code: str, question: dict[str, Any]) -> None:
    with pytest.raises(SchemaError) as info:
        schemas.supports(**question)
    assert info.value.code == code


def test_a_dtype_that_is_none() -> None:
    with pytest.raises(UsageError) as info:
        schemas.supports("Conv", ["float31"])
    assert info.value.code == "IX801"


def test_types_that_are_not_known_fit() -> None:
    call = Call("", "Conv", {"": 21}, ("", ""), ("",))
    assert judge(call, runtime("1.20"))
    # an operator without a kernel, whose body depends on types and ranks; and one without a body
    assert judge(Call("", "CausalConvWithState", {"": 28}, ("", ""), ("", "")), runtime("1.32"))
    assert judge(Call("", "CausalConvWithState", {"": 28}, ("tensor(float)",) * 2, ("", "")), runtime("1.32"))
    assert judge(Call("", "RandomNormalLike", {"": 28}, ("",), ("",)), runtime("1.32")).reason == "version"


def test_operators_that_the_runtime_defines_by_others_itself() -> None:
    assert schemas.supports("FastGelu", ["float64"], domain="com.microsoft", runtime="onnxruntime>=1.21")
    assert not schemas.supports("FastGelu", ["float64"], domain="com.microsoft", runtime="onnxruntime==1.20")
    answer = schemas.supports("QuickGelu", ["float64"], domain="com.microsoft", runtime="onnxruntime==1.30")
    assert answer.ways.release == "1.31"


def test_ranges_of_releases() -> None:
    assert span(["1.17", "1.18", "1.19", "1.21"]) == "1.17 to 1.19, 1.21"
    assert span(["1.17"]) == "1.17"
    assert span([]) == ""


def test_a_locale_of_the_host_is_warned_of() -> None:
    text = """<ir_version: 9, opset_import: ["": 20]>
    m (string[2] x) => (string[k] y) { y = StringNormalizer<case_change_action = "LOWER">(x) }"""
    model = onnx.parser.parse_model(text)
    assert [f.code for f in check(model, target="onnxruntime").findings] == ["IX585"]
    assert check(model).findings == ()


# -- the command ------------------------------------------------------------------------------------------------------
@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A convolution of float64 behind 11 more of them, at opset 21."""
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("Conv", [f"x{i}", "w"], [f"x{i + 1}"], f"conv{i}") for i in range(12)]
    sides = [value("x0", TensorProto.DOUBLE, [1, 1, 1, "n"]), value("x12", TensorProto.DOUBLE, [1, 1, 1, "n"])]
    weight = helper.make_tensor("w", TensorProto.DOUBLE, [1, 1, 1, 1], [2.0])
    graph = helper.make_graph(nodes, "g", sides[:1], sides[1:], [weight])
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)]), path)
    return path


def test_targets_of_a_model(model: Path, capsys: Any) -> None:
    ran = Ran(capsys, "targets", str(model))
    assert ran.status == 1
    assert "onnxruntime 1.17          does not load it" in ran.out
    assert "opset of ai.onnx 21: it loads up to 20" in ran.out
    assert "Conv of node 'conv0' and 11 more nodes: no kernel for X, W, B, Y: float64" in ran.out
    assert "which rounds values" in ran.out
    found = Ran(capsys, "targets", str(model), "--json").json
    assert found["loading"] == []
    assert found["releases"]["1.18"][0]["node"] == "'conv0'"
    assert len(found["releases"]) == len(runtimes.releases())


def test_targets_that_load_the_model(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "m.onnx"
    text = '<ir_version: 9, opset_import: ["": 20]> m (float[n] x) => (float[n] y) { y = Relu(x) }'
    onnx.save(onnx.parser.parse_model(text), path)
    ran = Ran(capsys, "targets", str(path), "--target", "onnxruntime>=1.18,<1.22")
    assert ran.status == 0
    assert ran.out.strip().splitlines()[-1] == "  onnxruntime 1.18 to 1.21  loads it"
    newer = tmp_path / "newer.onnx"
    onnx.save(onnx.parser.parse_model(text.replace("20", "21")), newer)
    assert Ran(capsys, "targets", str(newer)).status == 0  # some load it; of those that are named, all have to
    assert Ran(capsys, "targets", str(newer), "--target", "onnxruntime>=1.17").status == 1
    with pytest.raises(CheckError):
        targets(onnx.parser.parse_model(text.replace("Relu(x)", "Relu(z)")))


def test_targets_of_an_operator(capsys: Any) -> None:
    ran = Ran(capsys, "targets", "--op", "Conv", "--dtype", "float64", "--opset", "21")
    assert ran.status == 1
    assert "1.18 to " in ran.out
    assert Ran(capsys, "targets", "--op", "Conv", "--dtype", "float32", "--opset", "20").status == 0
    found = Ran(capsys, "targets", "--op", "Cast", "--dtype", "float32", "--attribute", "to=16", "--json").json
    assert found["ok"]
    assert Ran(capsys, "targets", "--op", "LSTM", "--dtype", "float32", "--attribute", "layout=1").status == 1


@pytest.mark.parametrize(
    "words", [[], ["m.onnx", "--op", "Conv"], ["m.onnx", "--opset", "3"], ["--op", "Conv", "--attribute", "x"]]
)
def test_targets_asked_wrongly(words: list[str], capsys: Any) -> None:
    assert Ran(capsys, "targets", *words).status == 2


def test_a_target_that_cannot_be_read(capsys: Any) -> None:
    assert "IX420" in Ran(capsys, "targets", "--op", "Conv", "--dtype", "float32", "--target", "tensorrt").err
