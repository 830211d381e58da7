"""Weights: a tensor is a numpy array, or a range of bytes that is not read before it is needed.

The bytes are ONNX's packed little-endian form; they may be a window into a memory-mapped file. Nothing here copies
without need: `Tensor.of` wraps the array, `Tensor.from_raw` wraps the bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from interchange.dtypes import Array, DType, bits, bool_, dtype_of, name_of, nbytes, string
from interchange.errors import FileError

MAX_RANK = 64  # numpy's own limit; no ONNX runtime goes beyond it
MAX_SIZE = 2**63 - 1  # ONNX counts elements and bytes in int64

# bits per element -> (bytes per group, elements per group): elements lie in a group least significant bit first
_GROUPS = {2: (1, 4), 4: (1, 2), 6: (3, 4)}


def unpack(data: Array, width: int, count: int) -> Array:
    """uint8[count], one code of `width` (2, 4, 6) bits each, from packed uint8[n]. Formula: onnx.proto, `raw_data`."""
    size, per_group = _GROUPS[width]
    groups = -(-count // per_group)
    if data.size < groups * size:  # the last group may be cut short
        data = np.concatenate([data, np.zeros(groups * size - data.size, np.uint8)])
    word: Any = np.zeros(groups, np.uint8 if size == 1 else np.uint32)
    for i in range(size):
        word |= data[i : groups * size : size].astype(word.dtype) << (8 * i)
    out = np.empty((groups, per_group), np.uint8)
    for i in range(per_group):
        out[:, i] = (word >> (width * i)) & ((1 << width) - 1)
    return out.reshape(-1)[:count]


def pack(codes: Array, width: int) -> Array:
    """Packed uint8[ceil(n*width/8)] from uint8[n] codes: the inverse of `unpack`."""
    size, per_group = _GROUPS[width]
    padded = np.zeros(-(-codes.size // per_group) * per_group, np.uint8)
    padded[: codes.size] = codes.reshape(-1) & ((1 << width) - 1)
    word: Any = np.zeros(padded.size // per_group, np.uint8 if size == 1 else np.uint32)
    for i in range(per_group):
        word |= padded[i::per_group].astype(word.dtype) << (width * i)
    out = np.empty((word.size, size), np.uint8)
    for i in range(size):
        out[:, i] = (word >> (8 * i)) & 0xFF
    return out.reshape(-1)[: (codes.size * width + 7) // 8]


def check_shape(shape: Sequence[int], where: str | None = None) -> tuple[int, ...]:
    """The shape as a tuple, if it can be one. Raises FileError IX313."""
    result = tuple(shape)
    volume = math.prod(d for d in result if d)  # numpy refuses (0, 2**62, 2**62) as well
    if len(result) > MAX_RANK or any(d < 0 for d in result) or volume * 16 > MAX_SIZE:
        raise FileError(
            "IX313",
            "a tensor has an impossible shape",
            where=where,
            found=f"rank {len(result)}, shape {list(result[:8])}{'...' if len(result) > 8 else ''}",
            expected=f"at most {MAX_RANK} dimensions, none negative, and a size that fits 63 bits",
            fix="the file is damaged or hostile: get it again from its source",
        )
    return result


class Tensor:
    """Constant data: a weight, or the value of an attribute.

    dtype: the element type.  shape: tuple of ints.  name, doc, metadata: as in the file. Strings are an object array of
    `str` (bytes that are not UTF-8 are kept as surrogate escapes).
    """

    __slots__ = ("_array", "_raw", "doc", "dtype", "metadata", "name", "shape")

    def __init__(
        self,
        dtype: DType,
        shape: tuple[int, ...],
        *,
        array: Array | None = None,
        raw: bytes | memoryview | None = None,
        name: str = "",
        doc: str = "",
        metadata: dict[str, str] | None = None,
    ) -> None:
        self.dtype, self.shape, self.name, self.doc = dtype, shape, name, doc
        self.metadata: dict[str, str] = {} if metadata is None else metadata
        self._array, self._raw = array, raw

    @classmethod
    def of(cls, array: Any, name: str = "", doc: str = "", metadata: dict[str, str] | None = None) -> Tensor:
        """Wrap an array (or what `np.asarray` takes), without a copy where the array is native-endian.

        Raises UsageError IX801 for an element type that ONNX does not have.
        """
        array = np.asarray(array)
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        dtype = dtype_of(array.dtype)
        if dtype == string and not (array.dtype == string and all(type(s) is str for s in array.flat)):
            array = _as_text(array, name)
        return cls(dtype, array.shape, array=array, name=name, doc=doc, metadata=metadata)

    @classmethod
    def from_raw(
        cls,
        raw: bytes | memoryview,
        dtype: DType,
        shape: Sequence[int],
        name: str = "",
        doc: str = "",
        metadata: dict[str, str] | None = None,
        where: str | None = None,
    ) -> Tensor:
        """Wrap packed little-endian bytes, for instance a window into a mapped file; they are read when used.

        where: the place for the error. Raises FileError IX313 when the size is not what dtype and shape need.
        """
        checked = check_shape(shape, where)
        if dtype == string:
            _bad_payload(where, f"{len(raw)} raw bytes", "string data has no raw form", "store it in string_data")
        need = nbytes(dtype, math.prod(checked))
        if len(raw) != need:
            what = f"{name_of(dtype)}{list(checked)}"
            _bad_payload(where, f"{len(raw)} bytes", f"{need} bytes for {what}", "export the model again")
        return cls(dtype, checked, raw=raw, name=name, doc=doc, metadata=metadata)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes the data takes in a file (for strings: of their text)."""
        if self.dtype == string:
            return sum(len(encode(s)) for s in self.numpy().flat)
        return nbytes(self.dtype, self.size)

    def numpy(self) -> Array:
        """The data as a read-only array; sub-byte types one element a byte (`ml_dtypes`). Copies only what it must."""
        if self._array is not None:
            view = self._array.view()
            view.flags.writeable = False
            return view
        assert self._raw is not None
        width = bits(self.dtype)
        data: Array = np.frombuffer(self._raw, np.uint8)
        if width < 8:
            array = unpack(data, width, self.size).view(self.dtype)
        else:
            if self.dtype == bool_ and data.size and data.max() > 1:
                found, fix = f"the byte {data.max()}", "export the model again"
                _bad_payload(f"tensor {self.name!r}", found, "0 or 1 in a bool tensor", fix)
            array = np.require(data.view(self.dtype), requirements="A")
        array = array.reshape(self.shape)
        array.flags.writeable = False
        return array

    def raw(self) -> memoryview:
        """The data in the file's form: packed, little-endian, C order. No copy for bytes and for contiguous arrays."""
        if self._raw is not None:
            return memoryview(self._raw)
        assert self._array is not None
        assert self.dtype != string, "string data has no raw form"
        codes = np.ascontiguousarray(self._array).reshape(-1).view(np.uint8)
        width = bits(self.dtype)
        return (pack(codes, width) if width < 8 else codes).data

    def storage(self) -> tuple[int, int]:
        """What two tensors have in common exactly when they are views of the same bytes: (address, length).

        It holds while both are alive. A tensor that is not contiguous has its bytes for itself: (its id, -1).
        """
        if self._array is not None and (bits(self.dtype) < 8 or not self._array.flags.c_contiguous):
            return id(self), -1
        data = np.frombuffer(self.raw(), np.uint8)
        return data.__array_interface__["data"][0], data.size

    def __repr__(self) -> str:
        return f"Tensor({self.name!r}, {name_of(self.dtype)}{list(self.shape)})"


class SparseTensor:
    """Constant data with few non-zeros: `values` at linear or coordinate `indices` of a dense shape `dims`."""

    __slots__ = ("dims", "indices", "values")

    def __init__(self, values: Tensor, indices: Tensor, dims: tuple[int, ...]) -> None:
        self.values, self.indices, self.dims = values, indices, dims

    def positions(self, where: str | None = None) -> Array:
        """int64[n]: where the values stand in the flat dense data. Raises FileError IX313 for what does not fit."""
        at, size = self.indices.numpy(), math.prod(self.dims)
        shapes = ((self.values.size,), (self.values.size, len(self.dims)))
        if at.dtype != np.int64 or at.shape not in shapes:
            expected = f"int64{[self.values.size]} or int64{list(shapes[1])}"
            _bad_payload(where, f"indices {self.indices.dtype}{list(at.shape)}", expected, "export the model again")
        outside = bool(((at < 0) | (at >= (size if at.ndim == 1 else np.array(self.dims, np.int64)))).any())
        flat: Array = at if at.ndim == 1 or outside else np.ravel_multi_index(tuple(at.T), self.dims)
        if outside or bool((flat[1:] <= flat[:-1]).any()):
            found = f"indices from {at.min()} to {at.max()}" if outside else "indices that are not in order, or twice"
            _bad_payload(where, found, f"rising indices inside of {list(self.dims)}", "export the model again")
        return flat

    def dense(self) -> Array:
        """The data with its zeros. Raises FileError IX313 for indices that do not fit."""
        out = np.zeros(self.dims, self.values.dtype)
        out.reshape(-1)[self.positions(f"sparse tensor {self.values.name!r}")] = self.values.numpy()
        return out

    def __repr__(self) -> str:
        return f"SparseTensor({self.values!r}, dims={list(self.dims)})"


def encode(text: str) -> bytes:
    """A string element as bytes of the file."""
    return text.encode("utf-8", "surrogateescape")


def _as_text(array: Array, name: str) -> Array:
    flat: list[str] = []
    for item in array.flat:
        if isinstance(item, bytes):
            flat.append(item.decode("utf-8", "surrogateescape"))
        elif isinstance(item, str):
            flat.append(str(item))
        else:
            _bad_payload(
                f"tensor {name!r}", f"an element of type {type(item).__name__}", "str", "convert the elements to str"
            )
    out = np.empty(len(flat), object)
    out[:] = flat
    return out.reshape(array.shape)


def _bad_payload(where: str | None, found: str, expected: str, fix: str) -> NoReturn:
    raise FileError(
        "IX313", "the data of a tensor is not what its type says", where=where, found=found, expected=expected, fix=fix
    )
