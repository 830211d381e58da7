"""Prediction against the loader: what the tables say of a model is what the release says when it loads it.

The installed release is asked in every run, those in ``.runtimes/`` (`make conformance` fetches them) in the long one.
"""

from __future__ import annotations

import json
import locale
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import onnx
import pytest
from node_suite import node_suite
from onnx import helper

import interchange as ix
from interchange import schemas
from interchange.checker import check
from interchange.checker.context import Context
from interchange.checker.deploy import predict
from interchange.eager import nn
from interchange.graph import opening
from interchange.schemas import runtimes
from interchange.schemas.functions import type_proto

ROOT = Path(__file__).parent.parent
FETCHED = sorted(
    (p for p in (ROOT / ".runtimes").glob("1.*") if (p / "onnxruntime").is_dir()), key=lambda p: int(p.name[2:])
)


def installed() -> str:
    import onnxruntime

    name = ".".join(onnxruntime.__version__.split(".")[:2])
    if name not in runtimes.releases():
        pytest.skip(f"onnxruntime {name} is newer than the data: make runtimes RELEASES={name}")
    return name


# -- what is not predicted, and why: an entry that no model needs fails the test ---------------------------------------
def _has_locale() -> bool:
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, "en_US.UTF-8")
    except locale.Error:
        return False
    locale.setlocale(locale.LC_CTYPE, before)
    return True


MISSES: dict[str, str] = {}  # operator -> why a release may refuse it although its tables do not say so
if not _has_locale():
    MISSES["StringNormalizer"] = "its kernel asks the host for the locale en_US, which this host does not have"


def expected_miss(model: onnx.ModelProto) -> bool:
    return any(node.op_type in MISSES for node in model.graph.node)


# -- the models -------------------------------------------------------------------------------------------------------
@cache
def suite() -> dict[str, onnx.ModelProto]:
    """ONNX's node tests."""
    return {name: test.model for name, test in node_suite().items()}


@cache
def packaged() -> dict[str, onnx.ModelProto]:
    """The models that lie in onnx's own package: small ones, and layers as PyTorch exports them."""
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data"
    return {f"{p.parent.name}_file": onnx.load(p) for p in sorted(folder.rglob("model.onnx"))}


@cache
def exports() -> dict[str, onnx.ModelProto]:
    """Our own exports: the networks of the samples, and blocks in other dtypes and opsets."""
    found: dict[str, onnx.ModelProto] = {}

    def add(name: str, model: Any, inputs: Any, **options: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            ix.export(model, inputs, f"{folder}/m.onnx", verify=False, load=False, **options)
            found[f"export_{name}"] = onnx.load(f"{folder}/m.onnx")

    sys.path.insert(0, str(ROOT / "sample_models"))
    try:
        import digits_cnn
        import iris_regression
    finally:
        sys.path.pop(0)
    for opset in (17, 20, 21, 22, 23, 25, 28):
        add(f"digits_{opset}", digits_cnn.DigitReader(), {"x": "float32[batch, 1, 8, 8]"}, opset=opset)
        add(f"iris_{opset}", iris_regression.PetalWidth(), {"x": "float32[batch, 3]"}, opset=opset)
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        for name, net, inputs in blocks(dtype):
            # 22 is the first whose Conv may have bfloat16
            add(f"{name}_{dtype}", net, inputs, opset=22 if dtype == "bfloat16" else 20)
    return found


def blocks(dtype: str) -> Iterable[tuple[str, Any, dict[str, str]]]:
    """Networks whose weights and inputs have a dtype."""

    def conv() -> Any:
        return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2))

    def attention(q: Any, k: Any, v: Any) -> Any:
        scores = q @ k.transpose(0, 2, 1)
        return softmax(scores) @ v

    yield "conv", conv().to(dtype).eval(), {"x": f"{dtype}[n, 2, 8, 8]"}
    yield (
        "mlp",
        nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.Linear(5, 2)).to(dtype).eval(),
        {"x": f"{dtype}[n, 4]"},
    )
    yield "attention", attention, dict.fromkeys("qkv", f"{dtype}[b, 3, 4]")


def softmax(x: Any) -> Any:
    from interchange.ops import Softmax

    return Softmax(x, axis=-1)


@cache
def stamped() -> dict[str, onnx.ModelProto]:
    """The node tests at older opsets, where they are right there: more for the releases that load only those."""
    found = {}
    for name, model in suite().items():
        for opset in (17, 20, 22, 24):
            if any(o.domain in ("", "ai.onnx") and o.version > opset for o in model.opset_import):
                older = onnx.ModelProto()
                older.CopyFrom(model)
                older.ir_version = min(10, max(8, schemas.ir_for_opset(opset)))
                for entry in older.opset_import:
                    if entry.domain in ("", "ai.onnx"):
                        entry.version = opset
                if check(older).ok:
                    found[f"{name}_at_{opset}"] = older
    return found


# -- both answers -----------------------------------------------------------------------------------------------------
def loaded(models: Mapping[str, onnx.ModelProto], folder: Path, home: Path | None = None) -> dict[str, str | None]:
    """Model -> None, or why the release in the folder `home` (None: the installed one) does not load it."""
    if not any(folder.iterdir()):
        for name, model in models.items():
            (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
    env = os.environ | {"OMP_NUM_THREADS": "1"} | ({} if home is None else {"PYTHONPATH": str(home)})
    script = ROOT / "tests" / "load_models.py"
    done = subprocess.run([sys.executable, script, folder], capture_output=True, text=True, check=True, env=env)
    return {name.removesuffix(".onnx"): refusal for name, refusal in json.loads(done.stdout).items()}


def predictions(models: Mapping[str, onnx.ModelProto], releases: Iterable[str]) -> dict[str, Any]:
    releases = tuple(releases)
    return {name: predict(Context(opening.in_memory(model), None, name), releases) for name, model in models.items()}


def assert_right(release: str, models: Mapping[str, onnx.ModelProto], predicted: Mapping[str, Any], real: Any) -> None:
    wrong = {}
    for name, prediction in predicted.items():
        says = release in prediction.loading
        if says != (real[name] is None):
            wrong[name] = f"predicted {'loads' if says else prediction.refusals}, but {real[name] or 'it loads'}"
    judged = sum(release not in p.limits for p in predicted.values())
    shares = f"{1 - len(wrong) / len(models):.2%} of {len(models)}, {1 - len(wrong) / judged:.2%} of the {judged}"
    print(f"onnxruntime {release}: {shares} whose opset and IR version it accepts")
    assert [n for n in wrong if real[n] is None] == [], "false refusals"
    assert {n: why for n, why in wrong.items() if not expected_miss(models[n])} == {}
    assert not any(map(expected_miss, models.values())) or wrong or not judged, "MISSES are predicted by now"


@pytest.mark.parametrize("group", [suite, packaged, exports], ids=lambda g: g.__name__)
def test_the_installed_release_loads_what_is_predicted(group: Any, tmp_path: Path) -> None:
    release, models = installed(), group()
    assert_right(release, models, predictions(models, [release]), loaded(models, tmp_path))


@pytest.mark.conformance
def test_older_releases_load_what_is_predicted(tmp_path: Path) -> None:
    assert len(FETCHED) >= 5, "make runtimes fetches them into .runtimes/"
    for group in (suite, packaged, exports, stamped):
        folder = tmp_path / group.__name__
        folder.mkdir()
        models = group()
        predicted = predictions(models, [home.name for home in FETCHED])
        for home in FETCHED:
            assert_right(home.name, models, predicted, loaded(models, folder, home))


# -- every operator, every dtype --------------------------------------------------------------------------------------
_NO_KERNEL = ("NOT_IMPLEMENTED", "Could not find an implementation", "Failed to find kernel")
_USUAL = {"int": 1, "float": 0.5, "string": "x", "ints": [1], "floats": [0.5], "strings": ["x"]}


@cache
def sweep() -> dict[str, onnx.ModelProto]:
    """A model of one node for each operator and each type that a type variable of its inputs may stand for."""
    found = {}
    for domain, opset in (("", 20), ("", 17), ("com.microsoft", 1), ("ai.onnx.ml", 4)):
        for op in schemas.operators(domain, opset):
            schema = schemas.schema(op, opset, domain)
            needed = [a for a in schema.attributes.values() if a.required]
            attributes = {a.name: a.allowed[0] if a.allowed else _USUAL.get(a.type) for a in needed}
            if None in attributes.values():  # a subgraph or a tensor
                continue
            for variable in dict.fromkeys(f.type for f in schema.inputs if f.type in schema.type_constraints):
                for text in schema.type_constraints[variable]:
                    model = one_node(schema, {"": 20, domain: opset}, variable, text, attributes)
                    if model is not None:
                        found[f"{domain or 'onnx'}_{opset}_{op}_{variable}_{text}"] = model
    return found


def one_node(schema: Any, opsets: dict[str, int], variable: str, text: str, attributes: dict[str, Any]) -> Any:
    def type_of(formal: Any) -> str:
        texts = schema.type_constraints.get(formal.type, (formal.type,))
        usual = (t for t in ("tensor(float)", "tensor(int64)", "tensor(uint8)") if t in texts)
        return text if formal.type == variable else next(usual, texts[0])

    formals = [schema.inputs[min(i, len(schema.inputs) - 1)] for i in range(max(schema.min_inputs, 1))]
    types = [type_proto(type_of(f)) for f in formals]
    if None in types:  # a map
        return None
    inputs = [onnx.ValueInfoProto(name=f"i{i}", type=t) for i, t in enumerate(types)]
    outputs = [onnx.ValueInfoProto(name=f"o{i}") for i in range(max(schema.min_outputs, 1))]
    names = [v.name for v in inputs], [v.name for v in outputs]
    node = helper.make_node(schema.name, *names, domain=schema.domain, **attributes)
    imports = [helper.make_opsetid(d, v) for d, v in opsets.items()]
    return helper.make_model(helper.make_graph([node], "g", inputs, outputs), ir_version=9, opset_imports=imports)


@pytest.mark.conformance
def test_every_operator_with_every_dtype(tmp_path: Path) -> None:
    made = sweep()
    # a call that the format does not allow is a finding of its own (IX562), and no question of kernels
    models = {n: m for n, m in made.items() if not Context(opening.in_memory(m), None, n).inferred.problems}
    predicted = predictions(models, [home.name for home in FETCHED])
    for home in FETCHED:
        real = loaded(models, tmp_path, home)
        # what fails for its shapes or attributes says nothing of kernels
        told = {n: p for n, p in predicted.items() if real[n] is None or any(w in real[n] for w in _NO_KERNEL)}
        assert len(told) > 3000
        wrong = [n for n, p in told.items() if (home.name in p.loading) != (real[n] is None)]
        print(f"onnxruntime {home.name}: {len(told) - len(wrong)} of {len(told)} calls right")
        assert wrong == [], home.name


def test_a_runtime_that_dies_at_a_model_loses_that_model_alone(tmp_path: Path) -> None:
    """A stand-in for an old release, which dies at the second of three models."""
    (tmp_path / "onnxruntime.py").write_text(
        "import os\n"
        "class SessionOptions: pass\n"
        "def set_default_logger_severity(level): pass\n"
        "def InferenceSession(path, options, providers):\n"
        "    if 'b.onnx' in path: os.abort()\n"
        "    if 'c.onnx' in path: raise ValueError('no')\n"
    )
    models = dict.fromkeys("abc", onnx.ModelProto())
    folder = tmp_path / "models"
    folder.mkdir()
    found = loaded(models, folder, tmp_path)
    assert (found["a"], found["c"]) == (None, "no")
    assert "died" in (found["b"] or "")


# -- what decides ------------------------------------------------------------------------------------------------------
def verdicts(text: str, release: str = "1.32") -> list[str]:
    """The reasons for which a release refuses a model."""
    model = onnx.parser.parse_model(text)
    prediction = predict(Context(opening.in_memory(model), None, "m"), [release])
    return [r.verdicts[release].reason for r in prediction.refusals] + [str(limit) for limit in prediction.limits]


def test_the_types_of_every_call_of_a_function_count() -> None:
    model = """<ir_version: 10, opset_import: ["": 21, "my": 1]>
    main (float[1, 1, 8] x, {dtype}[1, 1, 8] y) => (float[1, 1, 8] a, {dtype}[1, 1, 8] b) {{
      b = my.double(y)
      a = my.double(x)
    }}
    <domain: "my", opset_import: ["": 21]> double (x) => (y) {{ y = Erf(x) }}"""
    assert verdicts(model.format(dtype="float")) == []
    assert verdicts(model.format(dtype="double")) == ["dtype"]


def test_functions_that_nobody_calls_do_not_count() -> None:
    model = """<ir_version: 10, opset_import: ["": 21, "my": 1]>
    main (float[2] x) => (float[2] y) { y = Relu(x) }
    <domain: "my", opset_import: ["": 21]> f (x) => (y) { y = ImageDecoder(x) }"""
    assert verdicts(model) == []


def test_subgraphs_count() -> None:
    model = """<ir_version: 10, opset_import: ["": 21]>
    main (double[2] x, bool c) => (double[2] y) {
      y = If (c) <
        then_branch = a () => (double[2] p) { p = Erf(x) },
        else_branch = b () => (double[2] q) { q = Neg(x) }
      >
    }"""
    assert verdicts(model) == ["dtype"]


def test_float16_is_computed_in_float32_and_bfloat16_is_not() -> None:
    model = """<ir_version: 10, opset_import: ["": 21]>
    main ({0}[2, 3] x, {0}[3, 2] w) => ({0}[2, 2] y) {{ y = MatMul(x, w) }}"""
    assert verdicts(model.format("float16"), "1.20") == []
    assert verdicts(model.format("bfloat16"), "1.20") == ["dtype"]


def test_an_open_end_of_a_kernel_does_not_reach_newer_versions() -> None:
    model = '<ir_version: 10, opset_import: ["": {}]> main (float[2] x) => (float[2] y) {{ y = RandomNormalLike(x) }}'
    assert verdicts(model.format(21), "1.23") == []
    assert verdicts(model.format(22), "1.23") == ["version"]


def test_a_body_counts_only_where_its_operators_mean_the_same() -> None:
    model = '<ir_version: 12, opset_import: ["": {}]> main (float[2] x) => (float[2] y) {{ y = Swish(x) }}'
    assert verdicts(model.format(24), "1.24") == []
    assert verdicts(model.format(25), "1.24") == ["version"]


def test_a_transposed_product_of_float64_is_fused_to_pieces() -> None:
    model = """<ir_version: 9, opset_import: ["": 20]>
    main ({0}[2, 3, 4] x, {0}[2, 3, 4] w) => ({0}[2, 3, 3] y) {{ t = Transpose<perm = [{1}]>(w)  y = MatMul(x, t) }}"""
    assert verdicts(model.format("double", "0, 2, 1"), "1.25") == ["quirk"]
    assert verdicts(model.format("double", "0, 2, 1"), "1.26") == []
    assert verdicts(model.format("float", "0, 2, 1"), "1.25") == []


def test_two_transposes_are_one() -> None:
    model = """<ir_version: 9, opset_import: ["": 20]>
    main (double[2, 3, 4, 5] x, double[2, 4, 3, 5] z) => (double[2, 3, 4, 4] y)
    { s = Transpose<perm = [0, 2, 1, 3]>(z)  t = Transpose<perm = [0, 1, 3, 2]>(s)  y = MatMul(x, t) }"""
    assert verdicts(model, "1.25") == []


def test_a_gate_of_float64_is_fused_to_pieces() -> None:
    model = """<ir_version: 9, opset_import: ["": 20]>
    main ({0}[2] x, {0}[2] w) => ({0}[2] y, {0}[2] z) {{ s = Sigmoid(x)  y = Mul(s, {1})  z = Neg({2}) }}"""
    assert verdicts(model.format("double", "x", "x"), "1.30") == ["quirk"]
    assert verdicts(model.format("double", "x", "x"), "1.31") == []
    assert verdicts(model.format("double", "w", "x"), "1.30") == []
    assert verdicts(model.format("double", "x", "s"), "1.30") == []
    assert verdicts(model.format("float", "x", "x"), "1.30") == []


def test_operators_a_user_registered_are_not_the_releases_affair() -> None:
    sides = {"inputs": [{"name": "X", "type": "T"}], "outputs": [{"name": "Y", "type": "T"}]}
    schemas.register(domain="my.company", name="Twice", **sides, types={"T": ["float32"]})
    model = """<ir_version: 10, opset_import: ["": 21, "my.company": 1]>
    main (float[2] x) => (float[2] y) { y = my.company.Twice(x) }"""
    try:
        assert verdicts(model) == []
    finally:
        schemas.unregister("Twice", "my.company")
    assert verdicts(model) == ["operator"]


def test_limits_are_the_whole_models() -> None:
    model = '<ir_version: 10, opset_import: ["": 21]> m (float[2] x) => (float[2] y) { y = Relu(x) }'
    prediction = predict(Context(opening.in_memory(onnx.parser.parse_model(model)), None, "m"), ["1.17", "1.18"])
    assert prediction.loading == ("1.18",)
    assert [limit[:] for limit in prediction.limits["1.17"]] == [("opset of ai.onnx", 21, 20), ("IR version", 10, 9)]


def test_many_equal_nodes_are_one_refusal() -> None:
    nodes = [helper.make_node("Erf", [f"v{i}"], [f"v{i + 1}"], f"erf{i}") for i in range(500)]
    sides = [helper.make_tensor_value_info(n, onnx.TensorProto.DOUBLE, [2]) for n in ("v0", "v500")]
    graph = helper.make_graph(nodes, "g", sides[:1], sides[1:])
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)])
    (finding,) = check(model, target="onnxruntime>=1.20").errors
    assert finding.code == "IX584"
    assert "499 more nodes" in finding.message
    assert finding.where.node == "'erf0'"
