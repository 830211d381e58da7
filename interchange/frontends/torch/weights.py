"""PyTorch's tensors as numpy's and back, sharing memory; each storage becomes one initializer."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import torch

from interchange.dtypes import Array, DType, name_of
from interchange.eager.tensor import Buffer, Parameter, Variable, to_array
from interchange.errors import ConvertError

_DTYPES: dict[Any, DType] = {
    getattr(torch, name): np.dtype(kind)
    for name, kind in {
        "float32": np.float32,
        "float64": np.float64,
        "float16": np.float16,
        "bfloat16": ml_dtypes.bfloat16,
        "int8": np.int8,
        "int16": np.int16,
        "int32": np.int32,
        "int64": np.int64,
        "uint8": np.uint8,
        "uint16": np.uint16,
        "uint32": np.uint32,
        "uint64": np.uint64,
        "bool": np.bool_,
        "complex64": np.complex64,
        "complex128": np.complex128,
        "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
        "float8_e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
        "float8_e5m2": ml_dtypes.float8_e5m2,
        "float8_e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
    }.items()
}
_BACK = {d: t for t, d in _DTYPES.items()}
_CARRIERS = {1: torch.uint8, 2: torch.int16}  # what numpy does not know travels as integers of its width


def dtype_of(dtype: Any) -> DType:
    """The numpy dtype of a torch.dtype. Raises ConvertError IX925 for quantised and other ones ONNX has no type for."""
    found = _DTYPES.get(dtype)
    if found is None:
        raise ConvertError(
            "IX925",
            f"ONNX has no element type for {dtype}",
            found=str(dtype),
            expected=", ".join(sorted(name_of(d) for d in _BACK)),
            fix="convert the tensor, or dequantise the model, first",
        )
    return found


def to_numpy(tensor: Any) -> Array:
    """A tensor's elements; of a contiguous one on the CPU without a copy. Raises ConvertError IX925."""
    dtype = dtype_of(tensor.dtype)
    if tensor.layout != torch.strided or tensor.is_meta:
        raise ConvertError(
            "IX925",
            f"a {'meta' if tensor.is_meta else 'sparse'} tensor has no elements that a file could hold",
            found=f"{'device meta' if tensor.is_meta else tensor.layout} of shape {list(tensor.shape)}",
            expected="a dense tensor with data",
            fix="load the weights first (options={'weights': path})" if tensor.is_meta else "call .to_dense()",
        )
    plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    if dtype.type.__module__ != "numpy":
        return plain.view(_CARRIERS[dtype.itemsize]).numpy().view(dtype)  # type: ignore[no-any-return]
    return plain.numpy()  # type: ignore[no-any-return]


def as_array(leaf: Any) -> Array:
    """A tensor of PyTorch's, or what numpy makes an array of."""
    return to_numpy(leaf) if isinstance(leaf, torch.Tensor) else to_array(leaf)


def to_torch(array: Array) -> Any:
    """A tensor of its own memory with an array's elements."""
    data = np.array(array, copy=True, order="C")
    wanted = _BACK[data.dtype]
    if data.dtype.type.__module__ != "numpy":
        carrier = {1: np.uint8, 2: np.int16}[data.dtype.itemsize]
        return torch.from_numpy(data.reshape(-1).view(carrier)).view(wanted).reshape(data.shape)
    return torch.from_numpy(data)


def variable(tensor: Any, name: str, kind: str) -> Variable:
    """A parameter or buffer as a Variable around the same memory."""
    made: Variable = object.__new__(Buffer if kind == "buffer" else Parameter)
    made._data, made._edge, made.name = to_numpy(tensor), None, name
    if kind == "parameter" and tensor.requires_grad:
        made.requires_grad = True
    return made


def storage_key(tensor: Any) -> tuple[Any, ...] | None:
    """What two tensors share that are one: their memory and how it is looked at; None where there is no memory."""
    if tensor.is_meta or tensor.layout != torch.strided or not tensor.numel():
        return None
    return tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride()
