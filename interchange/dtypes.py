"""Element types: ONNX's, as numpy dtypes (ml_dtypes supplies those numpy lacks).

A dtype is a `np.dtype` everywhere in interchange; ONNX's number and names exist only at the file's edge.
Strings are arrays of Python `str` (dtype object).
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from interchange.errors import UsageError

Array = npt.NDArray[Any]
DType = np.dtype[Any]

# (ONNX name, TensorProto.DataType number, numpy type, bits per element in a file)
_TABLE: tuple[tuple[str, int, Any, int], ...] = (
    ("float32", 1, np.float32, 32),
    ("uint8", 2, np.uint8, 8),
    ("int8", 3, np.int8, 8),
    ("uint16", 4, np.uint16, 16),
    ("int16", 5, np.int16, 16),
    ("int32", 6, np.int32, 32),
    ("int64", 7, np.int64, 64),
    ("string", 8, np.object_, 0),
    ("bool", 9, np.bool_, 8),
    ("float16", 10, np.float16, 16),
    ("float64", 11, np.float64, 64),
    ("uint32", 12, np.uint32, 32),
    ("uint64", 13, np.uint64, 64),
    ("complex64", 14, np.complex64, 64),
    ("complex128", 15, np.complex128, 128),
    ("bfloat16", 16, ml_dtypes.bfloat16, 16),
    ("float8e4m3fn", 17, ml_dtypes.float8_e4m3fn, 8),
    ("float8e4m3fnuz", 18, ml_dtypes.float8_e4m3fnuz, 8),
    ("float8e5m2", 19, ml_dtypes.float8_e5m2, 8),
    ("float8e5m2fnuz", 20, ml_dtypes.float8_e5m2fnuz, 8),
    ("uint4", 21, ml_dtypes.uint4, 4),
    ("int4", 22, ml_dtypes.int4, 4),
    ("float4e2m1", 23, ml_dtypes.float4_e2m1fn, 4),
    ("float8e8m0", 24, ml_dtypes.float8_e8m0fnu, 8),
    ("uint2", 25, ml_dtypes.uint2, 2),
    ("int2", 26, ml_dtypes.int2, 2),
    ("float6e2m3", 27, ml_dtypes.float6_e2m3fn, 6),
    ("float6e3m2", 28, ml_dtypes.float6_e3m2fn, 6),
)

BY_NAME: dict[str, DType] = {name: np.dtype(t) for name, _, t, _ in _TABLE}
_NAME: dict[DType, str] = {d: n for n, d in BY_NAME.items()}
_NUMBER: dict[DType, int] = {np.dtype(t): number for _, number, t, _ in _TABLE}
_BY_NUMBER: dict[int, DType] = {number: d for d, number in _NUMBER.items()}
_BITS: dict[DType, int] = {np.dtype(t): bits for _, _, t, bits in _TABLE}
_ALIASES = {"float": "float32", "double": "float64", "half": "float16", "str": "string", "long": "int64"}
# ONNX's text for a type in a schema, "tensor(float)", uses C's names for two of them
_ONNX_TEXT = {"float": "float32", "double": "float64"}

float32, float64, float16, bfloat16 = (BY_NAME[n] for n in ("float32", "float64", "float16", "bfloat16"))
int8, int16, int32, int64 = (BY_NAME[n] for n in ("int8", "int16", "int32", "int64"))
uint8, uint16, uint32, uint64 = (BY_NAME[n] for n in ("uint8", "uint16", "uint32", "uint64"))
bool_, string = BY_NAME["bool"], BY_NAME["string"]

FLOATS = frozenset(d for n, d in BY_NAME.items() if "float" in n)
INTEGERS = frozenset(d for n, d in BY_NAME.items() if "int" in n)
COMPLEX = frozenset((BY_NAME["complex64"], BY_NAME["complex128"]))


def name_of(dtype: DType) -> str:
    """ONNX's name of a dtype, as in the shape language: ``float32``, ``bfloat16``, ``string``."""
    found = _NAME.get(dtype) or (_NAME.get(dtype.newbyteorder("=")) if dtype.kind in "iufc" else None)
    if found:
        return found
    if dtype.kind in "SUT":
        return "string"
    raise UsageError(
        "IX801",
        f"{dtype} is not an ONNX element type",
        found=str(dtype),
        expected=", ".join(BY_NAME),
        fix="convert it first, e.g. array.astype('float32')",
    )


def dtype_of(like: Any) -> DType:
    """The dtype named by a string (``"float32"``, ``"bfloat16"``), a numpy type or a dtype.

    Raises UsageError IX801 for what ONNX has no element type for.
    """
    if isinstance(like, str):
        found = BY_NAME.get(_ALIASES.get(like, like))
        if found is not None:
            return found
    try:
        dtype = np.dtype(like)
    except TypeError:
        dtype = None
    if dtype is None or (dtype not in _NAME and dtype.kind not in "SUT"):
        raise UsageError(
            "IX801",
            f"{like!r} is not an ONNX element type",
            found=repr(like),
            expected=", ".join(BY_NAME),
            fix="name one of them",
        )
    return string if dtype.kind in "SUT" else dtype


def to_onnx(dtype: DType) -> int:
    """TensorProto.DataType number of a dtype."""
    return _NUMBER[BY_NAME[name_of(dtype)]]


def from_onnx(number: int) -> DType | None:
    """The dtype of a TensorProto.DataType number; None for 0 (undefined) and numbers this release does not know."""
    return _BY_NUMBER.get(number)


def from_onnx_text(text: str) -> DType | None:
    """The dtype of a schema's type text, ``tensor(float)``; None for sequences, maps and optionals."""
    if not text.startswith("tensor("):
        return None
    inner = text[len("tensor(") : -1]
    return BY_NAME.get(_ONNX_TEXT.get(inner, inner))


def bits(dtype: DType) -> int:
    """Bits an element takes in a file: 6, 4 and 2 for packed types, 0 for strings (length varies)."""
    return _BITS[dtype]


def nbytes(dtype: DType, count: int) -> int:
    """Bytes `count` packed elements take in a file."""
    return (bits(dtype) * count + 7) // 8


def is_float(dtype: DType) -> bool:
    """Whether it is a floating-point type: the only ones that carry gradients."""
    return dtype in FLOATS


def is_integer(dtype: DType) -> bool:
    """Whether it is a signed or unsigned integer type (bool is not)."""
    return dtype in INTEGERS
