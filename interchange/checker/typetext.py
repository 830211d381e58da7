"""TypeProto as text: as a schema writes it (``tensor(float)``), and as a reader does (``float32[batch, 3]``)."""

from __future__ import annotations

from typing import Any

from interchange.dtypes import from_onnx, name_of, to_onnx
from interchange.schemas.typetext import to_dtype, to_text


def onnx_text(proto: Any) -> str:
    """``tensor(float)``, ``seq(tensor(int64))``: the text by which schemas know a type."""
    match proto.WhichOneof("value"):
        case "tensor_type":
            return _tensor(proto.tensor_type.elem_type)
        case "sparse_tensor_type":
            return f"sparse_{_tensor(proto.sparse_tensor_type.elem_type)}"
        case "sequence_type":
            return f"seq({onnx_text(proto.sequence_type.elem_type)})"
        case "optional_type":
            return f"optional({onnx_text(proto.optional_type.elem_type)})"
        case "map_type":
            key = _tensor(proto.map_type.key_type).removeprefix("tensor(").removesuffix(")")
            return f"map({key}, {onnx_text(proto.map_type.value_type)})"
    return "undefined"


def _tensor(number: int) -> str:
    dtype = from_onnx(number)
    return "tensor(undefined)" if dtype is None else to_text(dtype)


def elem_text(text: str | None) -> int:
    """The element type's number of ``tensor(float)``; 0 for what is no tensor."""
    dtype = to_dtype(text) if text is not None else None
    return 0 if dtype is None else to_onnx(dtype)


def reader_text(proto: Any) -> str:
    """``float32[batch, 3]``; ``?`` for a size that is not known, no brackets where the rank is not."""
    kind = proto.WhichOneof("value")
    if kind == "sequence_type":
        return f"seq({reader_text(proto.sequence_type.elem_type)})"
    if kind == "optional_type":
        return f"optional({reader_text(proto.optional_type.elem_type)})"
    if kind not in ("tensor_type", "sparse_tensor_type"):
        return onnx_text(proto)
    tensor = getattr(proto, kind)
    dtype = from_onnx(tensor.elem_type)
    name = "?" if dtype is None else name_of(dtype)
    if not tensor.HasField("shape"):
        return name
    return f"{name}[{', '.join(map(dim_text, tensor.shape.dim))}]"


def dim_text(dim: Any) -> str:
    """One size: a number, a name, or ``?``."""
    return str(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or "?"
