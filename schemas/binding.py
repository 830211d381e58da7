"""Types of a call: which dtypes an operator takes together, and which come out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from interchange.dtypes import DType
from interchange.errors import SchemaError, user_line
from interchange.schemas.typetext import plain, reader_name, to_dtype, to_text

if TYPE_CHECKING:
    from interchange.schemas.opschema import Formal, OpSchema


def bind_types(schema: OpSchema, dtypes: Sequence[DType | None]) -> tuple[DType | None, ...]:
    """See `OpSchema.bind_types`."""
    texts = bind_type_texts(schema, [None if d is None else to_text(d) for d in dtypes])
    return tuple(to_dtype(text) for text in texts)


def bind_type_texts(schema: OpSchema, types: Sequence[str | None]) -> tuple[str | None, ...]:
    """See `OpSchema.bind_type_texts`."""
    _check_count(schema, types)
    bound: dict[str, tuple[str, str]] = {}  # type variable -> (its type, the input which said so)
    for i, text in enumerate(types):
        if text is None:
            continue
        formal, name = _formal_at(schema, i)
        allowed = schema.type_constraints.get(formal.type, (formal.type,))
        if text not in allowed:
            raise _refused(schema, name, text, allowed)
        if not formal.homogeneous:
            continue
        first, said_by = bound.setdefault(formal.type, (text, name))
        if first != text:
            raise _disagree(schema, formal.type, said_by, first, name, text)
    return tuple(_output(schema, formal, bound) for formal in schema.outputs)


def _output(schema: OpSchema, formal: Formal, bound: dict[str, tuple[str, str]]) -> str | None:
    if not formal.homogeneous:
        return None
    if formal.type in bound:
        return bound[formal.type][0]
    allowed = schema.type_constraints.get(formal.type, (formal.type,))
    return allowed[0] if len(allowed) == 1 else None


def _formal_at(schema: OpSchema, index: int) -> tuple[Formal, str]:
    """The formal input of the index-th actual one, and the name a reader knows it by."""
    last = len(schema.inputs) - 1
    formal = schema.inputs[min(index, last)]
    return formal, f"{formal.name}[{index - last}]" if formal.option == "variadic" else formal.name


def _check_count(schema: OpSchema, types: Sequence[str | None]) -> None:
    given = len(types)
    while given and types[given - 1] is None:
        given -= 1  # trailing optional inputs that are left out count for nothing
    missing = [f.name for i, f in enumerate(schema.inputs) if f.option == "single" and (i >= given or types[i] is None)]
    if not missing and schema.min_inputs <= given <= schema.max_inputs:
        return
    names = ", ".join(f.name + {"single": "", "optional": "?", "variadic": "..."}[f.option] for f in schema.inputs)
    if missing:
        message, fix = f"{schema.title} misses its input {', '.join(missing)}", f"give {', '.join(missing)}"
    elif given < schema.min_inputs:
        message, fix = f"{schema.title} has too few inputs", f"give at least {schema.min_inputs}"
    else:
        message, fix = f"{schema.title} has too many inputs", f"give at most {schema.max_inputs}"
    raise SchemaError(
        "IX404",
        message,
        where=user_line(),
        found=f"{given} input{'' if given == 1 else 's'}",
        expected=f"({names})" if names else "no inputs",
        fix=fix,
    )


def _refused(schema: OpSchema, name: str, text: str, allowed: Sequence[str]) -> SchemaError:
    found = reader_name(text)
    return SchemaError(
        "IX405",
        f"{schema.title} does not take {found} for its input {name}",
        where=user_line(),
        found=f"{name}: {found}",
        expected=f"{name}: {plain(allowed)}",
        fix=f"cast {name} to {_nearest(found, allowed)}",
    )


def _disagree(schema: OpSchema, variable: str, first: str, first_type: str, second: str, text: str) -> SchemaError:
    a, b = reader_name(first_type), reader_name(text)
    return SchemaError(
        "IX405",
        f"{schema.title} takes {first} and {second} of one dtype, and got two",
        where=user_line(),
        found=f"{first}: {a}, {second}: {b}",
        expected=f"{first} and {second} alike, one of {plain(schema.type_constraints.get(variable, (variable,)))}",
        fix=f"cast {second} to {a}, or {first} to {b}",
    )


def _nearest(found: str, allowed: Sequence[str]) -> str:
    """The dtype a user most likely wants instead: the same kind of number, not narrower."""
    names = [reader_name(t) for t in allowed]
    ladders = (
        ("bool", "uint8", "int32", "int64", "float32"),
        ("uint4", "uint8", "uint16", "uint32", "uint64", "int64", "float32", "float64"),
        ("int4", "int8", "int16", "int32", "int64", "float32", "float64"),
        ("float8e4m3fn", "float16", "bfloat16", "float32", "float64"),
    )
    for ladder in ladders:
        if found in ladder:
            wider = [n for n in ladder[ladder.index(found) :] if n in names]
            if wider:
                return wider[0]
    return next((n for n in ("float32", "int64", "bool") if n in names), names[0])
