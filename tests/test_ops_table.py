"""The vocabulary as a table: every operator is defined wholly, and as the registry describes it."""

from __future__ import annotations

from typing import Any

import pytest
from ops_cases import CASES

from interchange.ops import TABLE, Op

OPERATORS = [pytest.param(op, id=op.name) for op in TABLE.values()]

# attributes of the newest schema that the definition leaves out, and why
LEFT_OUT = {
    (
        "Range",
        "stash_type",
    ): "the type in which ONNX Runtime accumulates a half-precision range; ours is computed exactly",
}

# operators whose derivative is 0 wherever it exists, or whose results are no numbers that change continuously
NO_GRADIENT = {
    "Sign",
    "Floor",
    "Ceil",
    "Round",
    "Equal",
    "Less",
    "LessOrEqual",
    "Greater",
    "GreaterOrEqual",
    "And",
    "Or",
    "Xor",
    "Not",
    "IsNaN",
    "IsInf",
    "BitShift",
    "BitwiseAnd",
    "BitwiseOr",
    "BitwiseXor",
    "BitwiseNot",
    "ConstantOfShape",
    "Range",
    "EyeLike",
    "OneHot",
    "NonZero",
    "Shape",
    "Size",
    "ArgMax",
    "ArgMin",
    "RandomUniformLike",
    "RandomNormalLike",
}


@pytest.mark.parametrize("op", OPERATORS)
def test_parameters_are_the_schemas(op: Op[Any]) -> None:
    formals = [f.name for f in op.schema.inputs]
    own = [*op.inputs, *([op.variadic] if op.variadic else [])]
    assert own == formals[: len(own)], "the inputs, in order, with the schema's names"
    assert len(own) == len(formals), "every input"
    missing = {a for a in op.schema.attributes if (op.name, a) not in LEFT_OUT} - op.keywords
    assert not missing, "every attribute"
    assert op.keywords - set(op.schema.attributes) <= {"outputs"}, "no other keyword"


@pytest.mark.parametrize("op", OPERATORS)
def test_optional_inputs_may_be_left_out(op: Op[Any]) -> None:
    import inspect

    defaults = {n: p.default for n, p in inspect.signature(op.kernel).parameters.items()}
    for formal in op.schema.inputs:
        if formal.option == "optional":
            assert defaults[formal.name] is None, formal.name


@pytest.mark.parametrize("op", OPERATORS)
def test_is_documented_and_has_a_shape_rule(op: Op[Any]) -> None:
    assert op.__doc__
    assert op.__doc__.strip().splitlines()[0].endswith((".", ":", "]", "``"))
    assert op.shape_rule is not None


@pytest.mark.parametrize("op", OPERATORS)
def test_has_a_gradient_or_none_on_purpose(op: Op[Any]) -> None:
    assert (op.rule is None) == (op.name in NO_GRADIENT)


@pytest.mark.parametrize("op", OPERATORS)
def test_has_a_case(op: Op[Any]) -> None:
    assert any(c.op == op.name for c in CASES), f"add a Case for {op.name} to tests/ops_cases.py"


@pytest.mark.parametrize("op", OPERATORS)
def test_newer_than_the_default_opset_can_be_decomposed(op: Op[Any]) -> None:
    assert op.since <= 21 or op.fallback is not None


def test_lists_name_operators_that_exist() -> None:
    names = {op.name for op in TABLE.values()}
    assert names >= NO_GRADIENT
    assert names >= {name for name, _ in LEFT_OUT}
