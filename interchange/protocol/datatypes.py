"""The protocol's datatypes: their names, and tensors as bytes (the binary extension, and gRPC's raw contents)."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np

from interchange.dtypes import BY_NAME, Array, DType, string
from interchange.protocol.errors import ServingError

# BF16 is Triton's and KServe's addition; no other element type has a name in the protocol
DTYPES: dict[str, DType] = {
    "BOOL": BY_NAME["bool"],
    "UINT8": BY_NAME["uint8"],
    "UINT16": BY_NAME["uint16"],
    "UINT32": BY_NAME["uint32"],
    "UINT64": BY_NAME["uint64"],
    "INT8": BY_NAME["int8"],
    "INT16": BY_NAME["int16"],
    "INT32": BY_NAME["int32"],
    "INT64": BY_NAME["int64"],
    "FP16": BY_NAME["float16"],
    "BF16": BY_NAME["bfloat16"],
    "FP32": BY_NAME["float32"],
    "FP64": BY_NAME["float64"],
    "BYTES": string,
}
DATATYPES: dict[DType, str] = {d: n for n, d in DTYPES.items()}
_LENGTH = struct.Struct("<I")


def read_tensor(data: bytes | bytearray | memoryview, datatype: str, shape: Sequence[int], name: str) -> Array:
    """The tensor that little-endian bytes hold, without a copy where they are aligned; BYTES become texts.

    Raises ServingError IX636 when the bytes do not fill the shape exactly, IX633 for BYTES that are no UTF-8 or a BOOL
    that is neither 0 nor 1.
    """
    view = memoryview(data).cast("B")
    count = math.prod(shape)
    if datatype == "BYTES":
        return _texts(view, count, name).reshape(shape)
    dtype = DTYPES[datatype]
    if len(view) != count * dtype.itemsize:
        raise ServingError(
            "IX636",
            f"the bytes of {name} do not fill its shape",
            input=name,
            found=f"{len(view)} bytes",
            expected=f"{datatype}{list(shape)}: {count} x {dtype.itemsize} = {count * dtype.itemsize} bytes",
            fix="send the elements in row-major order, little endian, without padding",
        )
    array: Array = np.frombuffer(view, dtype).reshape(shape)
    if datatype == "BOOL" and count and view.tobytes().strip(b"\x00\x01"):
        raise ServingError(
            "IX633",
            f"{name} has bytes that are no BOOL",
            input=name,
            found="a byte above 1",
            expected="0 or 1 in each byte",
            fix="send numpy's bool_ array with tobytes()",
        )
    return array if array.flags.aligned else array.copy()


def _texts(view: memoryview, count: int, name: str) -> Array:
    texts: list[str] = []
    at, end = 0, len(view)
    try:
        while at < end and len(texts) <= count:
            (length,) = _LENGTH.unpack_from(view, at)
            at += 4
            if at + length > end:
                raise struct.error
            texts.append(str(view[at : at + length], "utf-8"))
            at += length
    except (struct.error, UnicodeDecodeError) as error:
        utf8 = isinstance(error, UnicodeDecodeError)
        raise ServingError(
            "IX633" if utf8 else "IX636",
            f"element {len(texts)} of {name} is no text" if utf8 else f"the bytes of {name} end within an element",
            input=name,
            found=f"bytes that are no UTF-8: {error}" if utf8 else f"{end} bytes",
            expected="BYTES: for each element its length (4 bytes, little endian), then UTF-8 text",
            fix="encode the texts as UTF-8; ONNX's strings are text, raw data belongs into UINT8",
        ) from None
    if len(texts) != count or at != end:
        raise ServingError(
            "IX636",
            f"the bytes of {name} do not fill its shape",
            input=name,
            found=f"more than {count} elements" if len(texts) > count else f"{len(texts)} elements",
            expected=f"{count} elements",
            fix="send one length and text for each element",
        )
    array = np.empty(count, object)
    array[:] = texts
    return array


def tensor_bytes(array: Array) -> bytes:
    """The bytes of a tensor: little endian, row-major; for texts each with its length before it."""
    if array.dtype != string:
        return array.tobytes()
    parts: list[bytes] = []
    for text in array.reshape(-1):
        data = text.encode() if isinstance(text, str) else bytes(text)
        parts += (_LENGTH.pack(len(data)), data)
    return b"".join(parts)
