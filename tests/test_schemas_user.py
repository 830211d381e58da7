"""Operators that users register, from Python and from files."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from interchange import schemas
from interchange.errors import SchemaError

F32 = np.dtype("float32")


def fails(code, call, *args, **kwargs):
    with pytest.raises(SchemaError) as info:
        call(*args, **kwargs)
    assert info.value.code == code
    assert info.value.fix
    return str(info.value)


SCALE = {
    "domain": "test.company",
    "name": "Scale",
    "inputs": [{"name": "X", "type": "T"}, {"name": "bias", "type": "T", "option": "optional"}],
    "outputs": [{"name": "Y", "type": "T"}],
    "types": {"T": ["float16", "float32"]},
    "attributes": {
        "factor": {"type": "float", "default": 1.0, "doc": "what to multiply by"},
        "mode": {"type": "string", "required": True, "allowed": ["up", "down"]},
    },
}


@pytest.fixture(autouse=True)
def nothing_stays_registered():
    yield
    for domain, name in list(schemas.registry._registered):
        schemas.unregister(name, domain)


def test_a_registered_operator_is_like_any_other():
    made = schemas.register(**SCALE)
    found = schemas.schema("Scale", 7, "test.company")  # its author numbers the domain: any opset may be imported
    assert found is made
    assert found.signature() == (
        "test.company::Scale-1(X: T, bias?: T; factor: float = 1.0, mode: string) -> (Y: T)"
        "  where T in {float16, float32}"
    )
    assert found.bind_types([F32]) == (F32,)
    assert found.check_attributes({"mode": "up"}) == {"factor": 1.0, "mode": "up"}
    assert found.attributes["factor"].doc == "what to multiply by"
    fails("IX405", found.bind_types, [np.dtype("int8")])
    fails("IX409", found.check_attributes, {"mode": "left"})
    assert "test.company" in schemas.domains()
    assert schemas.operators("test.company") == ("Scale",)
    assert schemas.latest_opset("test.company") == 1


def test_versions_and_diff_of_a_registered_operator():
    schemas.register(**SCALE)
    schemas.register(**{**SCALE, "since": 3, "types": {"T": ["float16", "float32", "float64"]}})
    assert schemas.versions("Scale", "test.company") == (1, 3)
    assert schemas.schema("Scale", 2, "test.company").since == 1
    assert "also float64" in str(schemas.diff("Scale", 1, 3, "test.company"))
    schemas.unregister("Scale", "test.company", since=3)
    assert schemas.schema("Scale", domain="test.company").since == 1


def test_the_same_again_is_fine_another_is_not():
    first = schemas.register(**SCALE)
    assert schemas.register(**SCALE) is first
    assert schemas.register(first) is first
    other = {**SCALE, "types": {"T": ["float64"]}}
    fails("IX412", schemas.register, **other)
    assert schemas.register(**other, replace=True) is schemas.schema("Scale", domain="test.company")
    assert schemas.schema("Scale", domain="test.company").bind_types([np.dtype("float64")]) == (np.dtype("float64"),)


def test_an_opschema_can_be_registered():
    conv = schemas.schema("Conv")
    own = schemas.OpSchema(
        "test.company", "MyConv", 1, conv.inputs, conv.outputs, conv.attributes, conv.type_constraints
    )
    made = schemas.register(own)
    assert (made.min_inputs, made.max_inputs, made.min_outputs) == (2, 3, 1)  # counted, not believed
    assert made.attributes["auto_pad"].allowed == conv.attributes["auto_pad"].allowed


def test_built_in_operators_cannot_be_replaced():
    fails("IX412", schemas.register, **{**SCALE, "domain": "ai.onnx"}, replace=True)
    fails("IX412", schemas.register, **{**SCALE, "domain": "ai.onnx.ml"})
    fails("IX412", schemas.register, **{**SCALE, "domain": "com.microsoft", "name": "Gelu"}, replace=True)
    fails("IX401", schemas.unregister, "Conv", "")
    fails("IX401", schemas.unregister, "Scale", "test.company")


def test_a_look_up_never_answers_from_before():
    schemas.register(**SCALE)
    assert schemas.schema("Scale", domain="test.company").since == 1
    schemas.register(**{**SCALE, "since": 2})
    assert schemas.schema("Scale", domain="test.company").since == 2
    schemas.unregister("Scale", "test.company")
    fails("IX401", schemas.schema, "Scale", domain="test.company")


def test_outputs_that_may_differ_are_not_bound_by_the_inputs():
    outputs = [{"name": "Y", "type": "T"}, {"name": "rest", "type": "T", "option": "variadic", "homogeneous": False}]
    made = schemas.register(**{**SCALE, "outputs": outputs})
    assert made.bind_types([F32]) == (F32, None)


def test_minimal_forms():
    made = schemas.register(
        domain="test",
        name="Sum3",
        inputs=[{"name": "X", "type": "tensor(float)", "option": "variadic", "min_arity": 2}],
        outputs=[{"name": "Y", "type": np.float32}],
        attributes={"alpha": "float"},
    )
    assert made.bind_types([F32, F32]) == (F32,)
    assert (made.min_inputs, made.max_inputs) == (2, schemas.UNBOUNDED)
    assert made.check_attributes({}) == {}
    fails("IX404", made.bind_types, [F32])


TOML = """
[[operators]]
domain = "test.company"
name = "Scale"
doc = "Multiplies."
inputs = [{ name = "X", type = "T" }]
outputs = [{ name = "Y", type = "T" }]
types.T = ["float16", "float32"]

[operators.attributes]
factor = { type = "float", default = 1, doc = "by what" }
table = { type = "tensor", default = { dtype = "int8", value = [1, 2] } }
axes = { type = "ints", default = [0, 1] }
"""


def test_toml_file(tmp_path):
    path = tmp_path / "ops.toml"
    path.write_text(TOML)
    (made,) = schemas.register_file(path)
    assert schemas.schema("Scale", domain="test.company") is made
    checked = made.check_attributes({})
    assert checked["factor"] == 1.0
    assert checked["axes"] == (0, 1)
    assert checked["table"].dtype == np.int8
    json.dumps(made.to_dict())
    schemas.register_file(str(path))  # again: the same
    assert made.doc == "Multiplies."


def test_json_file(tmp_path):
    path = tmp_path / "ops.json"
    path.write_text(json.dumps({"operators": [SCALE, {**SCALE, "name": "Other"}]}))
    assert [s.name for s in schemas.register_file(path)] == ["Scale", "Other"]


def problems(tmp_path, content):
    path = tmp_path / "ops.json"
    path.write_text(json.dumps(content))
    with pytest.raises(SchemaError) as info:
        schemas.register_file(path)
    assert info.value.code == "IX410"
    assert info.value.where == "ops.json"
    return dict(line.strip().split(": ", 1) for line in info.value.found.splitlines())


def test_all_problems_are_named_with_their_place(tmp_path):
    bad = {
        "domain": "my company",
        "nam": "Scale",
        "since": 0,
        "inputs": [
            {"name": "X", "type": "flaot32"},
            {"name": "X", "type": "T", "option": "variadic"},
            {"name": "Z", "option": "maybe", "type": "T"},
            3,
        ],
        "outputs": [],
        "types": {"T": ["float16", "float33"], "U": "float32"},
        "attributes": {
            "a": {"type": "flot"},
            "b": {"type": "int", "default": 1.5},
            "c": {"type": "int", "default": 3, "allowed": [1, 2]},
            "d": {"type": "int", "default": 3, "required": True},
            "e": {"type": "tensor", "default": {"dtype": "float32"}},
            "f": {"type": "graph", "allowed": []},
            "g": {"type": "tensor", "default": {"dtype": "int64", "value": [1.5]}},
            "h": {"type": "tensor", "default": {"dtype": "int64", "value": [2**70]}},
            "i": {"type": "tensor", "default": {"dtype": "int4", "value": [99]}},
        },
    }
    found = problems(tmp_path, {"operators": [SCALE, bad], "operator": []})
    assert set(found) == {
        "operator",
        "operators[1].nam",
        "operators[1].domain",
        "operators[1].name",
        "operators[1].since",
        "operators[1].types.T[1]",
        "operators[1].types.U",
        "operators[1].inputs[0].type",
        "operators[1].inputs[1].name",
        "operators[1].inputs[1].option",
        "operators[1].inputs[2].option",
        "operators[1].inputs[3]",
        "operators[1].outputs",
        "operators[1].attributes.a.type",
        "operators[1].attributes.b.default",
        "operators[1].attributes.c.default",
        "operators[1].attributes.d.default",
        "operators[1].attributes.g.default",
        "operators[1].attributes.h.default",
        "operators[1].attributes.i.default",
        "operators[1].attributes.e.default",
        "operators[1].attributes.f.allowed",
    }
    assert "did you mean float32" in found["operators[1].inputs[0].type"]
    assert "did you mean name" in found["operators[1].nam"]
    assert "test.company" not in schemas.domains()  # nothing of the file was registered, the good one neither


@pytest.mark.parametrize(
    ("content", "places"),
    [
        ({}, {"operators"}),
        ({"operators": []}, {"operators"}),
        ({"operators": {}}, {"operators"}),
        ([], {"file"}),
        ({"operators": [{}]}, {"operators[0].domain", "operators[0].name", "operators[0].outputs"}),
        ({"operators": [SCALE, SCALE]}, {"operators[1]"}),
        ({"operators": [{**SCALE, "types": {"T": ["float32"], "U": ["int8"]}}]}, {"operators[0].types.U"}),
        ({"operators": [3]}, {"operators[0]"}),
        ({"operators": [{**SCALE, "attributes": []}]}, {"operators[0].attributes"}),
        ({"operators": [{**SCALE, "deprecated": 1}]}, {"operators[0].deprecated"}),
        ({"operators": [{**SCALE, "since": True}]}, {"operators[0].since"}),
    ],
)
def test_places_of_problems(tmp_path, content, places):
    found = set(problems(tmp_path, content))
    assert found == places


def test_an_input_that_must_be_there_may_not_follow_one_that_need_not(tmp_path):
    inputs = [{"name": "A", "type": "T", "option": "optional"}, {"name": "B", "type": "T"}]
    assert set(problems(tmp_path, {"operators": [{**SCALE, "inputs": inputs}]})) == {"operators[0].inputs[1].option"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ops.toml", b"[[operators]\n"),
        ("ops.json", b"{"),
        ("ops.json", b"[" * 100_000),
        ("ops.toml", b"\xff\xfe"),
        ("ops.yaml", b""),
        ("ops", b""),
        ("missing.toml", None),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert name in fails("IX411", schemas.register_file, tmp_path / name)


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "ops.toml").mkdir()
    fails("IX411", schemas.register_file, tmp_path / "ops.toml")


def test_description_from_python_names_its_problems():
    text = fails(
        "IX410", schemas.register, domain="test", name="X", inputs=3, outputs=[{"name": "Y", "type": object()}]
    )
    assert "inputs: must be a list" in text
    assert "outputs[0].type" in text
    assert "extra: is not known" in fails("IX410", schemas.register, **SCALE, extra=1)


def test_the_guides_file_is_a_valid_one(tmp_path):
    guide = Path(__file__).parents[1].joinpath("docs/schemas.md").read_text("utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    path = tmp_path / "ops.toml"
    path.write_text(example)
    made = schemas.register_file(path)
    assert [s.title for s in made] == ["my.company::ScaledAdd-1", "my.company::Route-1"]
    assert made[0].bind_types([F32, F32]) == (F32,)
