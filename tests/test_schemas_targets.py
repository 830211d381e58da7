"""Targets: the opset and IR version for a range of runtime releases."""

import itertools

import onnx
import pytest

from interchange import schemas
from interchange.errors import SchemaError
from interchange.schemas import targets


def fails(code, *args):
    with pytest.raises(SchemaError) as info:
        schemas.resolve(*args)
    assert info.value.code == code
    assert info.value.expected
    assert info.value.fix
    return str(info.value)


@pytest.mark.parametrize(
    ("target", "opset", "expected"),
    [
        (None, None, (21, 10)),
        (None, 17, (17, 8)),
        (None, 28, (28, 14)),
        ("onnxruntime==1.20", None, (21, 10)),
        ("onnxruntime==1.20.1", None, (21, 10)),
        ("onnxruntime>=1.18", None, (21, 10)),
        ("onnxruntime", None, (20, 9)),
        ("onnxruntime>=1.17", None, (20, 9)),
        (" OnnxRuntime ~= 1.18 ", None, (21, 10)),
        ("onnxruntime>=1.18,<1.25", 18, (18, 10)),
        ("onnxruntime<1.18", 17, (17, 9)),
        ("onnxruntime==1.23", 23, (23, 11)),
        ("onnxruntime>=1.24", 25, (25, 13)),
        ("onnxruntime==1.24.*", 24, (24, 12)),
        ("onnxruntime==1.32", None, (21, 10)),
        ("onnxruntime>=1.32", 28, (28, 14)),
    ],
)
def test_what_is_written(target, opset, expected):
    found = schemas.resolve(target, opset)
    assert (found.opset, found.ir_version) == expected
    assert found.opsets[""] == found.opset
    assert f"opset {expected[0]}, IR {expected[1]}" in found.text


def test_releases_are_those_admitted():
    assert schemas.resolve("onnxruntime>=1.18,<1.21").releases == ("1.18", "1.19", "1.20")
    assert schemas.resolve("onnxruntime>=1.18,!=1.19.*,<1.21").releases == ("1.18", "1.20")
    assert schemas.resolve().releases == ()
    assert schemas.resolve("onnxruntime==1.20").text == "onnxruntime 1.20: opset 21, IR 10"
    assert schemas.resolve("onnxruntime>=1.31").text.startswith("onnxruntime 1.31 to 1.32")


def test_opsets_of_the_other_domains():
    assert schemas.resolve().opsets["ai.onnx.ml"] == 5
    assert schemas.resolve(None, 17).opsets["ai.onnx.ml"] == 3
    assert schemas.resolve("onnxruntime>=1.17").opsets["ai.onnx.ml"] == 4
    assert schemas.resolve("onnxruntime>=1.18").opsets["com.microsoft"] == 1


@pytest.mark.parametrize("opset", range(17, 29))
@pytest.mark.parametrize("release", targets.RELEASES["onnxruntime"], ids=lambda r: r.name)
def test_a_written_model_is_within_the_limits_of_the_release(release, opset):
    target = f"onnxruntime=={release.name}"
    if opset > release.opset:
        text = fails("IX422", target, opset)
        assert f"opset {release.opset} or lower" in text
    else:
        found = schemas.resolve(target, opset)
        assert found.opset == opset
        assert schemas.ir_for_opset(opset) <= found.ir_version <= release.ir_version
        assert found.opsets["ai.onnx.ml"] <= release.ml_opset


def test_limits_never_fall_with_a_newer_release():
    for releases in targets.RELEASES.values():
        for older, newer in itertools.pairwise(releases):
            assert all(a <= b for a, b in zip(older[1:], newer[1:], strict=True))


def test_ir_and_ml_of_an_opset_are_those_of_onnx():
    first = {}
    for _, ir_version, opset, ml_opset, *_ in onnx.helper.VERSION_TABLE:
        first.setdefault(opset, (ir_version, ml_opset))
    for opset, expected in first.items():
        if opset <= targets.LATEST_OPSET:
            assert targets._onnx_release(opset) == expected, opset


def test_the_newest_opset_is_that_of_the_registry():
    assert schemas.latest_opset() == targets.LATEST_OPSET


@pytest.mark.parametrize("opset", [0, 29])
def test_ir_of_no_opset(opset):
    with pytest.raises(SchemaError) as info:
        schemas.ir_for_opset(opset)
    assert info.value.code == "IX403"


def test_installed_runtime_loads_what_is_resolved_for_it(tmp_path):
    import onnxruntime

    release = ".".join(onnxruntime.__version__.split(".")[:2])
    known = {r.name: r for r in targets.RELEASES["onnxruntime"]}
    if release not in known:
        pytest.skip(f"onnxruntime {release} is newer than the table")

    def load(opset, ir_version, ml_opset):
        value = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1]) for n in "xy"]
        graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:])
        imports = [onnx.helper.make_opsetid("", opset), onnx.helper.make_opsetid("ai.onnx.ml", ml_opset)]
        model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=ir_version)
        onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    for opset in (None, *range(17, known[release].opset + 1)):
        found = schemas.resolve(f"onnxruntime=={release}", opset)
        load(found.opset, found.ir_version, found.opsets["ai.onnx.ml"])


@pytest.mark.parametrize(
    ("target", "fix"),
    [
        ("onnxruntime=1.20", "onnxruntime==1.20"),
        ("onnxruntime 1.20", "onnxruntime==1.20"),
        ("onnxruntime>>1", "onnxruntime==1"),
        ("onnxruntime>=x", "onnxruntime>=1.18"),
        ("onnxruntme>=1.20", "onnxruntime>=1.20"),
        ("tensorrt", "onnxruntime>=1.18"),
        (">=1.20", "onnxruntime>=1.18"),
        ("", "onnxruntime>=1.18"),
        (3, "onnxruntime>=1.18"),
    ],
)
def test_targets_that_cannot_be_read(target, fix):
    assert fix in fails("IX420", target)


@pytest.mark.parametrize("target", ["onnxruntime>=2", "onnxruntime<1.17", "onnxruntime>1.20,<1.19"])
def test_targets_that_admit_nothing(target):
    assert "1.17 to 1.32" in fails("IX421", target)


def test_an_opset_beyond_the_target_names_the_release_that_loads_it():
    text = fails("IX422", "onnxruntime>=1.18", 22)
    assert "opset 21 or lower" in text
    assert "onnxruntime>=1.21" in text


@pytest.mark.parametrize("opset", [16, 29, 0, True, "21", 21.0])
def test_opsets_that_are_not_written(opset):
    assert "17 to 28" in fails("IX423", None, opset)
