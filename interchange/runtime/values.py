"""Element types which numpy lacks (bfloat16, float8, 4 and 2 bits), in and out of the runtime.

The runtime's Python `run` refuses ml_dtypes arrays, or takes one type for another; its OrtValue holds them all. Their
bytes are copied through its address; packed types are packed here.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np

from interchange.dtypes import Array, DType, bits, from_onnx, nbytes, to_onnx
from interchange.graph.tensor import pack, unpack


def is_native(dtype: DType) -> bool:
    """Whether numpy itself, and so the runtime's plain `run`, has the type."""
    return dtype.isbuiltin == 1


def to_ort(array: Array) -> Any:
    """An OrtValue with the content of a C-contiguous array; numpy's own types are not copied."""
    import onnxruntime

    if is_native(array.dtype):
        return onnxruntime.OrtValue.ortvalue_from_numpy(array)
    value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(list(array.shape), to_onnx(array.dtype))
    width = bits(array.dtype)
    codes = np.ascontiguousarray(array).view(np.uint8)
    data = codes if width >= 8 else pack(codes.reshape(-1), width)
    if data.size:
        ctypes.memmove(value.data_ptr(), data.ctypes.data, data.nbytes)
    return value


def from_ort(value: Any) -> Array:
    """The content of an OrtValue that holds a tensor: an array of the element type it really has."""
    dtype = from_onnx(value.element_type())
    if dtype is None or is_native(dtype):
        result: Array = value.numpy()
        return result
    shape = tuple(value.shape())
    count = math.prod(shape)
    data = np.empty(nbytes(dtype, count), np.uint8)
    if data.size:
        ctypes.memmove(data.ctypes.data, value.data_ptr(), data.nbytes)
    codes = data if bits(dtype) >= 8 else unpack(data, bits(dtype), count)
    return codes.view(dtype).reshape(shape)
