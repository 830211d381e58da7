"""The type and the value of an AttributeProto."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interchange.graph.core import AttrType
from interchange.graph.reading import ATTR_FIELD

if TYPE_CHECKING:
    import onnx


def type_of(proto: onnx.AttributeProto) -> str:
    """The registry's word for the type of an attribute: ``ints``; empty where the file does not say."""
    number = int(proto.type)
    if number:
        return AttrType(number).name.lower() if number in set(AttrType) else ""
    present = {field.name for field, _ in proto.ListFields()}
    return next((kind.name.lower() for kind, field in ATTR_FIELD.items() if field in present), "")


def value_of(proto: onnx.AttributeProto) -> Any:
    """The value of an attribute; texts as `str`."""
    field = ATTR_FIELD[AttrType[type_of(proto).upper()]]
    value = getattr(proto, field)
    if field == "s":
        return value.decode("utf-8", "replace")
    if field == "strings":
        return [v.decode("utf-8", "replace") for v in value]
    return list(value) if field in ("ints", "floats") else value
