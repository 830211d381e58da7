"""Tensors in JSON, both ways: exact types, exact counts, no number that JSON cannot say."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain, islice
from typing import Any

import numpy as np
import orjson

from interchange.dtypes import BY_NAME, Array, is_float, string
from interchange.protocol.errors import ServingError
from interchange.serving.served import Port

# how `struct` packs a datatype; it refuses what is out of range and what is no number
_CODES = {
    "FP32": "f", "FP64": "d", "FP16": "e", "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q", "UINT8": "B",
    "UINT16": "H", "UINT32": "I", "UINT64": "Q",
}  # fmt: skip
_NUMBERS = frozenset((int, float))
_WHOLE = frozenset((int,))
_ALLOWED: dict[str, frozenset[type]] = {"BOOL": frozenset((bool,)), "BYTES": frozenset((str,))}
# what JSON has no number for; the words of protobuf's JSON
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_BFLOAT16 = BY_NAME["bfloat16"]
MAX_AXES = 64  # numpy's
_MANY = 1 << 20  # lists and objects in one body
_LOOKED_INTO = 4 * _MANY  # bytes; a smaller body cannot have many


@lru_cache(maxsize=1024)
def _packer(code: str, count: int) -> struct.Struct:
    return struct.Struct(f"<{count}{code}")


def read_shape(shape: Any, name: str, max_elements: int) -> tuple[int, ...]:
    """The shape of a tensor. Raises ServingError IX631 for what is none, IX652 for one that is too large."""
    if (
        type(shape) is not list
        or len(shape) > MAX_AXES
        or not _WHOLE.issuperset(map(type, shape))
        or (shape and min(shape) < 0)
    ):
        raise ServingError(
            "IX631",
            f"{name} has no valid shape",
            input=name,
            found=f"shape = {shown(shape)}",
            expected=f"a list of at most {MAX_AXES} whole numbers, 0 or more",
            fix='for example "shape": [1, 64]',
        )
    # an empty tensor has sizes as well
    if math.prod(shape) > max_elements or (0 in shape and math.prod(filter(None, shape)) > max_elements):
        raise ServingError(
            "IX652",
            f"{name} is too large",
            input=name,
            found=f"shape {shown(shape)}",
            expected=f"at most {max_elements} elements",
            fix="split the request",
        )
    return tuple(shape)


def read_data(data: Any, port: Port, shape: tuple[int, ...]) -> Array:
    """The tensor that a JSON list holds, flat or nested as the shape is.

    Raises ServingError IX632 when it does not fill the shape, IX633 for a value that the datatype cannot have.
    """
    count = math.prod(shape)
    if type(data) is not list:
        raise _misfit(port, shape, f"data = {shown(data)}")
    flat = _flat(data, port, shape) if data and type(data[0]) is list else data
    if len(flat) != count:
        raise _misfit(port, shape, f"{len(flat)} values")
    datatype = port.datatype
    types = frozenset(map(type, flat))
    code = _CODES.get(datatype)
    if is_float(port.dtype):
        if str in types:
            flat = [_WORDS.get(v, v) if type(v) is str else v for v in flat]
            types = frozenset(map(type, flat))
        allowed = _NUMBERS
    else:
        allowed = _ALLOWED.get(datatype, _WHOLE)
    if not types <= allowed:
        raise _bad_value(port, next(v for v in flat if type(v) not in allowed))
    if code is None:
        if datatype == "BF16":
            try:
                wide = np.array(flat, np.float64)
            except OverflowError:
                raise _bad_value(port, _first_bad(flat, "d")) from None
            with np.errstate(over="ignore"):
                narrow = wide.astype(_BFLOAT16)
            if (np.isinf(narrow) & np.isfinite(wide)).any():
                raise _bad_value(port, float(wide[np.isinf(narrow) & np.isfinite(wide)][0]))
            return narrow.reshape(shape)
        return np.array(flat, port.dtype).reshape(shape)
    try:
        packed = _packer(code, count).pack(*flat)
    except (struct.error, OverflowError):
        raise _bad_value(port, _first_bad(flat, code)) from None
    array: Array = np.ndarray(shape, port.dtype, packed)
    return array


def _flat(data: list[Any], port: Port, shape: tuple[int, ...]) -> list[Any]:
    """The values of nested lists whose lengths are those of the shape."""
    if not shape or len(data) != shape[0]:
        raise _misfit(port, shape, f"a list of {len(data)} lists")
    for size in shape[1:]:
        if set(map(type, data)) != {list} or set(map(len, data)) != {size}:
            raise _misfit(port, shape, "nested lists of other lengths")
        data = list(chain.from_iterable(data))
    return data


def _misfit(port: Port, shape: tuple[int, ...], found: str) -> ServingError:
    return ServingError(
        "IX632",
        f"the data of {port.name} does not fill its shape",
        input=port.name,
        found=found,
        expected=f"shape {list(shape)}: {math.prod(shape)} values, in one list or in nested lists of these lengths",
        fix="send the values in row-major order, and their shape",
    )


def _first_bad(flat: Sequence[Any], code: str) -> Any:
    for value in flat:
        try:
            struct.pack(f"<{code}", value)
        except (struct.error, OverflowError):
            return value
    return None


def _bad_value(port: Port, value: Any) -> ServingError:
    kind = {"BOOL": "true or false", "BYTES": "texts"}.get(port.datatype)
    if kind is None and is_float(port.dtype):
        kind = 'numbers within its range; "NaN", "Infinity" and "-Infinity" as texts'
    return ServingError(
        "IX633",
        f"{port.name} has a value that {port.datatype} cannot have",
        input=port.name,
        found=shown(value),
        expected=f"{port.datatype}: {kind or 'whole numbers within its range'}",
        fix="convert it before it is sent: nothing is rounded or cut here",
    )


def shown(value: Any) -> str:
    """A value out of a request, for a message: as JSON, of bounded length whatever it is."""
    text = orjson.dumps(_cut(value, 3)).decode()
    return text if len(text) <= 100 else f"{text[:97]}..."


def _cut(value: Any, levels: int) -> Any:
    match value:
        case str():
            return value[:100]
        case list():
            return [_cut(v, levels - 1) for v in value[:50]] if levels else "..."
        case dict():
            return {k[:50]: _cut(v, levels - 1) for k, v in islice(value.items(), 8)} if levels else "..."
    return value


# -- answers ----------------------------------------------------------------------------------------------------------
def data_json(array: Array) -> bytes:
    """The values of a tensor as one flat JSON list; NaN and infinities are the texts "NaN", "Infinity", "-Infinity"."""
    flat = array.ravel()
    if array.dtype == string:
        return orjson.dumps([v if isinstance(v, str) else str(v) for v in flat])
    if not is_float(array.dtype):
        return orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY)
    if array.dtype == _BFLOAT16:
        flat = flat.astype(np.float32)
    text = orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY)
    if b"n" not in text:
        return text
    # it writes null for what JSON has no number for
    first, *rest = text.split(b"null")
    odd = (_word(v) for v in flat[~np.isfinite(flat)].tolist())
    return b"".join((first, *chain.from_iterable(zip(odd, rest, strict=True))))


def _word(value: float) -> bytes:
    return b'"NaN"' if math.isnan(value) else b'"Infinity"' if value > 0 else b'"-Infinity"'


@lru_cache(maxsize=1024)
def shape_json(shape: tuple[int, ...]) -> bytes:
    """``[1,64]``"""
    return orjson.dumps(list(shape))


def parse(body: bytes | bytearray | memoryview) -> Mapping[str, Any]:
    """The JSON object of a body. Raises ServingError IX630, IX652 for one of more lists than memory should hold."""
    if len(body) > _LOOKED_INTO:
        data = bytes(body)
        many = data.count(b"[") + data.count(b"{")
        if many > _MANY:
            # each takes a hundred bytes of memory, and two of the body
            raise ServingError(
                "IX652",
                "the body is too large",
                found=f"{many} lists and objects",
                expected=f"at most {_MANY}",
                fix="send the data as one flat list, or as binary data",
            )
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        found = f"{error.msg}: line {error.lineno} column {error.colno}"
    except RecursionError as error:
        found = str(error)
    else:
        if type(document) is dict:
            return document
        found = f"a JSON {_KINDS.get(type(document), 'value')}"
    raise ServingError(
        "IX630",
        "the body is no JSON object",
        found=found if len(body) else "an empty body",
        expected='{"inputs": [{"name": ..., "shape": [...], "datatype": ..., "data": [...]}]}',
        fix='send valid JSON: NaN and infinities as the texts "NaN", "Infinity", "-Infinity"',
    )


_KINDS = {list: "list", str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}
