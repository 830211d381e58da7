"""Look-up, type binding, attributes, differences."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interchange import schemas
from interchange.errors import SchemaError

F32, F64, I64, BOOL = (np.dtype(t) for t in (np.float32, np.float64, np.int64, np.bool_))


def fails(code, call, *args, **kwargs):
    with pytest.raises(SchemaError) as info:
        call(*args, **kwargs)
    assert info.value.code == code
    assert info.value.found
    assert info.value.expected
    assert info.value.fix
    return str(info.value)


# --- look-up


@pytest.mark.parametrize(("opset", "since"), [(1, 1), (10, 1), (11, 11), (17, 11), (21, 11), (22, 22), (None, 22)])
def test_newest_version_at_or_below_the_opset(opset, since):
    assert schemas.schema("Conv", opset).since == since


def test_look_up_is_one_object():
    assert schemas.schema("Conv", 17) is schemas.schema("Conv", 21) is schemas.schema("Conv", 17, "ai.onnx")


def test_signature_is_one_readable_line():
    line = schemas.schema("Softmax", 17).signature()
    assert (
        line == "Softmax-13(input: T; axis: int = -1) -> (output: T)  where T in {float16, float32, float64, bfloat16}"
    )
    assert "bias" not in schemas.schema("Conv").signature()
    assert schemas.schema("Upsample").signature().endswith("[deprecated]")
    assert schemas.schema("Concat").signature().startswith("Concat-13(inputs...: T; axis: int) -> ")


def test_operators_are_those_of_the_opset():
    at_17, newest = schemas.operators(opset=17), schemas.operators()
    assert "LayerNormalization" in at_17
    assert "Gelu" not in at_17
    assert "Gelu" in newest
    assert "Upsample" not in newest  # deprecated
    assert "Upsample" in schemas.operators(opset=9)
    assert list(newest) == sorted(newest)
    assert "FusedMatMul" in schemas.operators("com.microsoft")


def test_domains_and_latest_opset():
    assert schemas.domains()[0] == ""
    assert schemas.latest_opset() == schemas.latest_opset("ai.onnx") == 28
    assert schemas.latest_opset("ai.onnx.ml") == 5
    assert schemas.versions("Resize") == (10, 11, 13, 18, 19)


def test_unknown_operator_suggests_a_name():
    assert "did you mean Conv" in fails("IX401", schemas.schema, "conv")
    assert "did you mean LayerNormalization" in fails("IX401", schemas.schema, "LayerNorm1zation")


def test_operator_of_another_domain_is_pointed_out():
    assert "com.microsoft" in fails("IX401", schemas.schema, "FusedMatMul")
    assert "ai.onnx" in fails("IX401", schemas.schema, "Conv", domain="ai.onnx.ml")


def test_unknown_domain():
    assert "did you mean com.microsoft" in fails("IX401", schemas.schema, "Gelu", domain="com.microsft")
    fails("IX401", schemas.operators, "nowhere")
    fails("IX401", schemas.latest_opset, "nowhere")


def test_operator_of_a_later_opset():
    assert "opset 20" in fails("IX402", schemas.schema, "Gelu", 17)


@pytest.mark.parametrize("opset", [0, -1, 29, 1000])
def test_opset_out_of_range(opset):
    fails("IX403", schemas.schema, "Conv", opset)
    fails("IX403", schemas.operators, "", opset)


# --- type binding


def test_binding_gives_the_outputs():
    assert schemas.schema("Add").bind_types([F32, F32]) == (F32,)
    assert schemas.schema("TopK").bind_types([F64, I64]) == (F64, I64)
    assert schemas.schema("Greater").bind_types([F32, F32]) == (BOOL,)
    assert schemas.schema("Shape").bind_types([F32]) == (I64,)
    assert schemas.schema("Where").bind_types([BOOL, F32, F32]) == (F32,)
    bfloat16 = np.dtype(ml_dtypes.bfloat16)
    assert schemas.schema("MatMul").bind_types([bfloat16, bfloat16]) == (bfloat16,)


def test_what_the_inputs_do_not_decide_is_none():
    assert schemas.schema("Cast").bind_types([F32]) == (None,)
    assert schemas.schema("SequenceConstruct").bind_types([F32]) == (None,)
    assert schemas.schema("RandomNormal").bind_types([]) == (None,)


def test_sequences_by_text():
    schema = schemas.schema("SequenceAt")
    assert schema.bind_type_texts(["seq(tensor(float))", "tensor(int64)"]) == (None,)
    assert schemas.schema("SequenceInsert").bind_type_texts(["seq(tensor(float))", "tensor(float)"]) == (
        "seq(tensor(float))",
    )


def test_optional_inputs_may_be_left_out():
    resize = schemas.schema("Resize", 19)
    assert resize.bind_types([F32, None, F32]) == (F32,)
    assert resize.bind_types([F32, None, None, I64]) == (F32,)
    assert schemas.schema("Clip").bind_types([F32, None, F32]) == (F32,)
    assert schemas.schema("Conv").bind_types([F32, F32, None]) == (F32,)
    assert schemas.schema("Relu").bind_types([F32, None]) == (F32,)  # one left out at the end is not given at all


def test_homogeneous_variadic_agrees_and_another_does_not_have_to():
    assert schemas.schema("Concat").bind_types([F32] * 5) == (F32,)
    text = fails("IX405", schemas.schema("Concat").bind_types, [F32, F32, I64])
    assert "inputs[0]: float32, inputs[2]: int64" in text
    assert schemas.schema("Loop").bind_types([I64, BOOL, F32, I64]) == (None,)


def test_two_dtypes_for_one_variable():
    text = fails("IX405", schemas.schema("Add").bind_types, [F32, I64])
    assert "A: float32, B: int64" in text
    assert "cast B to float32" in text


def test_dtype_outside_the_constraint():
    text = fails("IX405", schemas.schema("Conv").bind_types, [np.dtype("int32"), F32])
    assert "float16, float32, float64, bfloat16" in text
    assert "X: int32" in text
    assert "cast X to float32" in text
    assert "indices" in fails("IX405", schemas.schema("Gather").bind_types, [F32, F32])


def test_the_fix_prefers_a_wider_number_of_the_same_kind():
    assert "cast K to int64" in fails("IX405", schemas.schema("TopK").bind_types, [F32, np.dtype("int32")])
    assert "cast X to float32" in fails("IX405", schemas.schema("TopK", 10).bind_types, [BOOL, I64])
    assert "cast X to float16" in fails("IX405", schemas.schema("Relu").bind_types, [np.dtype(ml_dtypes.float8_e4m3fn)])


def test_number_of_inputs():
    assert "misses its input W" in fails("IX404", schemas.schema("Conv").bind_types, [F32])
    assert "misses its input X" in fails("IX404", schemas.schema("Conv").bind_types, [None, F32])
    assert "too many inputs" in fails("IX404", schemas.schema("Relu").bind_types, [F32, F32])
    assert "too few" in fails("IX404", schemas.schema("Concat").bind_types, [])


def plain_schemas():
    for name in schemas.operators(opset=21):
        schema = schemas.schema(name, 21)
        constraints = [schema.type_constraints.get(f.type, (f.type,)) for f in schema.inputs]
        if constraints and all(any(t.startswith("tensor(") for t in c) for c in constraints):
            yield schema


@pytest.mark.parametrize("schema", list(plain_schemas()), ids=lambda s: s.title)
def test_every_operator_takes_each_type_it_names_and_no_other(schema):
    first = {f.type: schema.type_constraints.get(f.type, (f.type,))[0] for f in schema.inputs}
    for formal in schema.inputs:
        for text in schema.type_constraints.get(formal.type, (formal.type,)):
            chosen = {**first, formal.type: text}
            outputs = schema.bind_type_texts([chosen[f.type] for f in schema.inputs])
            for out, got in zip(schema.outputs, outputs, strict=True):
                if out.type in chosen and out.homogeneous:
                    assert got == chosen[out.type]
        wrong = [first[f.type] if f is not formal else "tensor(nothing)" for f in schema.inputs]
        fails("IX405", schema.bind_type_texts, wrong)


# --- attributes


def test_defaults_are_filled_in_and_what_has_no_value_stays_out():
    assert schemas.schema("Conv").check_attributes({}) == {"auto_pad": "NOTSET", "group": 1}
    assert schemas.schema("Conv").check_attributes({"pads": None}) == {"auto_pad": "NOTSET", "group": 1}


def test_values_are_normalised():
    conv = schemas.schema("Conv").check_attributes(
        {"pads": np.array([1, 1, 1, 1]), "strides": [np.int32(2), 2], "group": np.int64(4), "auto_pad": b"VALID"}
    )
    assert conv == {"auto_pad": "VALID", "group": 4, "pads": (1, 1, 1, 1), "strides": (2, 2)}
    assert all(type(v) is int for v in (conv["group"], *conv["pads"], *conv["strides"]))
    elu = schemas.schema("Elu").check_attributes({"alpha": np.float16(0.5)})
    assert type(elu["alpha"]) is float
    assert schemas.schema("Elu").check_attributes({"alpha": 2}) == {"alpha": 2.0}
    assert schemas.schema("StringNormalizer").check_attributes({"locale": b"\xff"})["locale"] == b"\xff"
    assert schemas.schema("ReduceMean").check_attributes({"keepdims": False})["keepdims"] == 0
    assert schemas.schema("LSTM").check_attributes({"activations": ["Tanh"]})["activations"] == ("Tanh",)


@pytest.mark.parametrize("to", [np.float64, np.dtype("float64"), "float64", "double", 11, np.int64(11)])
def test_a_dtype_stands_for_its_number(to):
    assert schemas.schema("Cast", 21).check_attributes({"to": to})["to"] == 11


def test_tensors_are_passed_on():
    array = np.arange(3)
    assert schemas.schema("Constant").check_attributes({"value": array})["value"] is array
    assert schemas.schema("Constant").check_attributes({"value": np.float32(1)})["value"].shape == ()
    fails("IX408", schemas.schema("Constant").check_attributes, {"value": 3.0})


def test_graphs_are_any_object_but_plain_values():
    body = object()
    assert schemas.schema("Loop").check_attributes({"body": body}) == {"body": body}
    fails("IX408", schemas.schema("Loop").check_attributes, {"body": "text"})


def test_unknown_attribute():
    text = fails("IX406", schemas.schema("Conv").check_attributes, {"pad": [1], "stride": [1], "zzz": 1})
    assert "write pads instead of pad; write strides instead of stride; take zzz out" in text
    fails("IX406", schemas.schema("ReduceSum", 13).check_attributes, {"axes": [0]})
    schemas.schema("ReduceSum", 12).check_attributes({"axes": [0]})


def test_missing_attribute():
    assert "to" in fails("IX407", schemas.schema("Cast").check_attributes, {})


@pytest.mark.parametrize(
    ("op", "attrs"),
    [
        ("Conv", {"group": 1.0}),
        ("Conv", {"group": "1"}),
        ("Conv", {"pads": 1}),
        ("Conv", {"pads": [1.5]}),
        ("Conv", {"pads": np.zeros((2, 2), np.int64)}),
        ("Conv", {"pads": np.array(1)}),
        ("Conv", {"auto_pad": 1}),
        ("Conv", {"group": 2**63}),
        ("Conv", {"group": np.float32}),
        ("Elu", {"alpha": True}),
        ("Elu", {"alpha": "1"}),
        ("Elu", {"alpha": np.zeros(2)}),
        ("LSTM", {"activations": "Tanh"}),
        ("Cast", {"to": "float31"}),
        ("Cast", {"to": np.datetime64}),
    ],
)
def test_wrong_type(op, attrs):
    assert next(iter(attrs)) in fails("IX408", schemas.schema(op).check_attributes, attrs)


def test_a_bare_value_for_a_list_is_told_how_to_write_it():
    assert "write [1]" in fails("IX408", schemas.schema("Conv").check_attributes, {"pads": 1})
    assert "write ['Tanh']" in fails("IX408", schemas.schema("LSTM").check_attributes, {"activations": "Tanh"})


def test_value_outside_the_allowed_set():
    assert "did you mean 'SAME_UPPER'" in fails(
        "IX409", schemas.schema("Conv").check_attributes, {"auto_pad": "same_uper"}
    )
    assert "'Foo'" in fails("IX409", schemas.schema("LSTM").check_attributes, {"activations": ["Tanh", "Foo"]})
    fails("IX409", schemas.schema("ReduceMean").check_attributes, {"keepdims": 2})
    assert "complex64" in fails("IX409", schemas.schema("Cast", 21).check_attributes, {"to": "complex64"})
    fails("IX409", schemas.schema("Pad", 18).check_attributes, {"mode": "wrap"})


def test_errors_name_the_users_line():
    assert "test_schemas.py" in fails("IX406", schemas.schema("Conv").check_attributes, {"pad": 1})
    assert "test_schemas.py" in fails("IX405", schemas.schema("Relu").bind_types, [BOOL])


plain_values = st.one_of(st.booleans(), st.integers(), st.floats(), st.sampled_from(["", "Tanh", "float32", b"\xff"]))
odd_values = [None, np.float32, np.dtype("int8"), np.zeros(2), np.float16(1), object(), {"a": 1}, {1}, ..., int]
values = st.one_of(plain_values, st.lists(plain_values, max_size=3), st.sampled_from(odd_values))


@given(
    op=st.sampled_from(["Conv", "Cast", "LSTM", "Resize", "Constant", "Scan", "QuantizeLinear"]),
    attrs=st.dictionaries(st.sampled_from(["pads", "to", "group", "mode", "value", "activations", "axis"]), values),
)
def test_any_value_is_accepted_or_refused_with_a_code(op, attrs):
    schema = schemas.schema(op)
    try:
        checked = schema.check_attributes(attrs)
    except SchemaError as error:
        code = error.code
    else:
        code = None
        assert schema.check_attributes(checked).keys() == checked.keys()
    assert code in (None, "IX406", "IX407", "IX408", "IX409")


# --- differences


def test_diff_names_what_changed():
    found = schemas.diff("ReduceSum", 11, 13)
    assert {(c.kind, c.name, c.what) for c in found.changes} == {
        ("input", "axes", "added"),
        ("attribute", "axes", "removed"),
        ("attribute", "noop_with_empty_axes", "added"),
        ("type", "T", "changed"),
    }
    assert "  ~ type T: also bfloat16" in str(found).splitlines()
    assert found.to_dict()["old_version"] == 11


def test_diff_of_a_default_and_of_values():
    assert "~ attribute axis: int = 1 -> axis: int = -1" in str(schemas.diff("Softmax", 12, 13))
    assert "'wrap'" in str(schemas.diff("Pad", 18, 19))


def test_diff_backwards_turns_it_round():
    there, back = schemas.diff("Resize", 13, 19), schemas.diff("Resize", 19, 13)
    swap = {"added": "removed", "removed": "added", "changed": "changed"}
    assert {(c.kind, c.name, c.what) for c in back.changes} == {(c.kind, c.name, swap[c.what]) for c in there.changes}


def test_diff_of_a_renamed_input_is_a_change():
    (change,) = [
        c for c in schemas.diff("BatchNormalization", 9, 14).changes if c.old and "mean" in c.old and c.kind == "input"
    ]
    assert change.what == "changed"
    assert "input_mean" in change.new


def test_diff_within_one_version_is_empty():
    found = schemas.diff("Relu", 14, 21)
    assert not found
    assert "the same version" in str(found)
    assert "deprecated" in str(schemas.diff("Upsample", 9, 10))


def test_diff_refuses_what_is_not_there():
    fails("IX402", schemas.diff, "Gelu", 13, 20)
    fails("IX401", schemas.diff, "Geluu", 13, 20)
