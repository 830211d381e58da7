"""Attributes of a call: checked against the schema, normalised, defaults filled in."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from interchange.dtypes import FLOATS, dtype_of, from_onnx, name_of, to_onnx
from interchange.errors import InterchangeError, SchemaError, user_line

if TYPE_CHECKING:
    from interchange.schemas.opschema import Attribute, OpSchema

_MISFIT = object()  # what a normaliser returns for a value that is not of its type
_EXPECTED = {
    "int": "an int, e.g. 1",
    "float": "a float, e.g. 0.5",
    "string": "a str",
    "tensor": "an array, e.g. np.array(0, 'float32')",
    "graph": "a graph",
    "sparse_tensor": "a sparse tensor",
    "type_proto": "a type",
}
# int attributes whose value is an element type's number: a dtype or its name may stand for it
DTYPE_ATTRIBUTES = frozenset(
    ("to", "dtype", "output_dtype", "output_datatype", "stash_type", "softmax_precision", "detect_dtype")
)


def check_attributes(schema: OpSchema, attrs: Mapping[str, object]) -> dict[str, Any]:
    """See `OpSchema.check_attributes`."""
    given = {name: value for name, value in attrs.items() if value is not None}
    unknown = [name for name in given if name not in schema.attributes]
    if unknown:
        raise _unknown(schema, unknown)
    missing = [a.name for a in schema.attributes.values() if a.required and a.name not in given]
    if missing:
        raise _missing(schema, missing, given)
    values: dict[str, Any] = {}
    for name, attribute in schema.attributes.items():
        if name in given:
            value = normalise(attribute.type, given[name], name)
            if value is _MISFIT:
                raise _wrong_type(schema, attribute, given[name])
            _check_allowed(schema, attribute, value)
            values[name] = value
        elif attribute.default is not None:
            values[name] = attribute.default
    return values


def fits(type_: str, value: object, name: str = "") -> bool:
    """Whether `value` may stand for an attribute of that type."""
    return normalise(type_, value, name) is not _MISFIT


def normalise(type_: str, value: object, name: str = "") -> Any:
    """`value` as an attribute of `type_` holds it, or a marker (see `fits`) if it cannot be one."""
    if type_ in _NORMALISERS:
        return _NORMALISERS[type_](value, name)
    element = _NORMALISERS[type_.removesuffix("s")]
    if isinstance(value, np.ndarray):
        if value.ndim != 1:
            return _MISFIT
        value = list(value)
    if not isinstance(value, Sequence) or isinstance(value, str | bytes | bytearray):
        return _MISFIT
    elements = tuple(element(v, name) for v in value)
    return _MISFIT if any(e is _MISFIT for e in elements) else elements


def _int(value: object, name: str) -> Any:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, int | np.integer | np.bool_):  # a bool is a flag: keepdims=True
        number = int(value)
        return number if -(2**63) <= number < 2**63 else _MISFIT
    if name in DTYPE_ATTRIBUTES and isinstance(value, str | type | np.dtype):
        try:
            return to_onnx(dtype_of(value))
        except InterchangeError:
            return _MISFIT
    return _MISFIT


def _float(value: object, name: str) -> Any:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, bool | np.bool_):
        return _MISFIT
    if isinstance(value, int | float | np.integer):
        return float(value)
    # bfloat16 and the other floats of ml_dtypes are numpy scalars, but no np.floating
    return float(value) if isinstance(value, np.generic) and value.dtype in FLOATS else _MISFIT


def _string(value: object, name: str) -> Any:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value  # ONNX's strings are bytes, and some operators keep a binary blob in one
    return _MISFIT


def _tensor(value: object, name: str) -> Any:
    if isinstance(value, np.generic):
        return np.asarray(value)
    # a tensor that wraps its bytes (memory-mapped, say) is passed on as it is: nothing is read here
    return value if hasattr(value, "__array__") else _MISFIT


def _object(value: object, name: str) -> Any:
    """A graph or a type: their classes live above the registry, so only what is certainly none is refused."""
    plain = isinstance(value, str | bytes | int | float | complex | np.generic | np.ndarray | list | tuple | dict)
    return _MISFIT if plain else value


_NORMALISERS: dict[str, Callable[[object, str], Any]] = {
    "int": _int,
    "float": _float,
    "string": _string,
    "tensor": _tensor,
    "graph": _object,
    "sparse_tensor": _object,
    "type_proto": _object,
}
TYPES = (*_NORMALISERS, *(f"{name}s" for name in _NORMALISERS))
"""All attribute types."""


def _expected(attribute: Attribute) -> str:
    """What a value of the attribute looks like."""
    if attribute.type == "int" and attribute.name in DTYPE_ATTRIBUTES:
        return "a dtype, its name or its ONNX number, e.g. 'float32'"
    if attribute.type in _EXPECTED:
        return _EXPECTED[attribute.type]
    return f"a list, each element {_EXPECTED[attribute.type.removesuffix('s')]}"


def _check_allowed(schema: OpSchema, attribute: Attribute, value: Any) -> None:
    if attribute.allowed is None:
        return
    for element in value if isinstance(value, tuple) else (value,):
        if element not in attribute.allowed:
            shown = ", ".join(value_text(attribute, v) for v in attribute.allowed)
            near = _closest(element, attribute.allowed)
            raise SchemaError(
                "IX409",
                f"{schema.title} does not allow this value of its attribute {attribute.name}",
                where=user_line(),
                found=f"{attribute.name}={value_text(attribute, element)}",
                expected=f"one of {shown}",
                fix=f"did you mean {near!r}?"
                if near is not None
                else f"write one of them, or leave {attribute.name} out",
            )


def value_text(attribute: Attribute, value: Any) -> str:
    """A value as a reader wants it: ``'SAME_UPPER'``, ``0``, and ``float32`` for an element type's number."""
    dtype = from_onnx(value) if attribute.name in DTYPE_ATTRIBUTES and isinstance(value, int) else None
    return repr(value) if dtype is None else name_of(dtype)


def _closest(value: Any, allowed: tuple[Any, ...]) -> Any:
    if not isinstance(value, str):
        return None
    folded = {v.lower(): v for v in allowed if isinstance(v, str)}
    near = difflib.get_close_matches(value.lower(), folded, 1)
    return folded[near[0]] if near else None


def _unknown(schema: OpSchema, names: Sequence[str]) -> SchemaError:
    known = list(schema.attributes)
    hints = []
    for name in names:
        near = _closest(name, tuple(known))
        hints.append(f"write {near} instead of {name}" if near else f"take {name} out")
    plural = "s" if len(names) > 1 else ""
    return SchemaError(
        "IX406",
        f"{schema.title} has no attribute{plural} {', '.join(names)}",
        where=user_line(),
        found=", ".join(names),
        expected=", ".join(known) or "no attributes",
        fix="; ".join(hints),
    )


def _missing(schema: OpSchema, names: Sequence[str], given: Mapping[str, object]) -> SchemaError:
    plural = "s" if len(names) > 1 else ""
    types = ", ".join(f"{name}: {_expected(schema.attributes[name])}" for name in names)
    return SchemaError(
        "IX407",
        f"{schema.title} needs the attribute{plural} {', '.join(names)}",
        where=user_line(),
        found=", ".join(given) or "no attributes",
        expected=types,
        fix=f"give {', '.join(names)}",
    )


def _wrong_type(schema: OpSchema, attribute: Attribute, value: object) -> SchemaError:
    expected = _expected(attribute)
    shown = repr(value)
    fix = f"give {expected}"
    if attribute.type.endswith("s") and fits(attribute.type.removesuffix("s"), value, attribute.name):
        fix = f"write [{shown}]"
    return SchemaError(
        "IX408",
        f"attribute {attribute.name} of {schema.title} is of another type",
        where=user_line(),
        found=f"{attribute.name}={shown if len(shown) < 80 else shown[:77] + '...'} ({type(value).__name__})",
        expected=expected,
        fix=fix,
    )
