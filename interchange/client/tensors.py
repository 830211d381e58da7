"""Inference in the protocol's words: arrays to the bytes of a request, the bytes of an answer to arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import orjson

from interchange.client.answers import Answer, Known, Memory, json_of
from interchange.client.errors import ClientError, no_protocol
from interchange.dtypes import INTEGERS, Array, string
from interchange.errors import UsageError
from interchange.protocol.datatypes import DATATYPES, DTYPES, read_tensor, tensor_bytes
from interchange.protocol.errors import ServingError

_REMEMBERED = 256  # heads of requests that were made before
_COPIED = 1 << 16  # bytes up to which a tensor is copied: cheaper than a buffer of its own
_LENGTH = b"inference-header-content-length"
_ONLY_BINARY = ("FP16", "BF16")
_CHECKED = frozenset((DTYPES["BYTES"], DTYPES["BOOL"]))  # whose bytes say more, or may be wrong


class Asked(NamedTuple):
    """What is asked beside the tensors.

    timeout: seconds that the server may take, or None.  binary: None is decided by what the server offers.
    """

    model: str
    version: str = ""
    outputs: tuple[str, ...] | None = None
    priority: int = 0
    timeout: float | None = None
    binary: bool | None = None


def model_path(model: str, version: str = "") -> str:
    """Where a model, or one of its versions, is. Names are quoted: none leads elsewhere."""
    path = f"/v2/models/{quote(str(model), safe='')}"
    return f"{path}/versions/{quote(str(version), safe='')}" if version else path


class Writer:
    """Writes inference requests. common: the lines of every head (host, token). Threads may share it.

    A request like an earlier one, of arrays of the same dtypes and shapes, has the same head and the same JSON, and was
    found to fit the model: that is remembered until `forget`.
    """

    def __init__(self, prefix: str, common: str) -> None:
        self._prefix, self._common = prefix, common
        self._known: dict[Any, bytes] = {}

    def again(self, asked: Asked, given: Mapping[str, Any]) -> list[Any] | None:
        """The bytes of a request, in parts, if one like it was written before."""
        key: list[Any] = [asked]
        for name, array in given.items():
            if type(array) is not np.ndarray or not array.flags.c_contiguous:
                return None
            key.append((name, array.dtype, array.shape))
        head = self._known.get(tuple(key))
        return None if head is None else [head, *[_raw(a) for a in given.values()]]

    def write(self, asked: Asked, binary: bool, arrays: Mapping[str, Array], id: str | None = None) -> list[Any]:
        """The bytes of a whole request, in parts. Raises UsageError IX687 for what JSON has no form for."""
        if not binary:
            plain = _document(asked, False, id, [_plain(n, a) for n, a in arrays.items()])
            body = orjson.dumps(plain, option=orjson.OPT_SERIALIZE_NUMPY)
            return [self._head(asked, len(body), None) + body]
        texts = {n: tensor_bytes(a) for n, a in arrays.items() if a.dtype == string}
        entries = []
        size = 0
        for name, array in arrays.items():
            count = len(texts[name]) if name in texts else array.nbytes
            size += count
            entries.append(_entry(name, array) | {"parameters": {"binary_data_size": count}})
        document = orjson.dumps(_document(asked, True, id, entries))
        head = self._head(asked, len(document) + size, len(document)) + document
        if id is None and not texts:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[(asked, *[(n, a.dtype, a.shape) for n, a in arrays.items()])] = head
        return [head, *[texts[n] if n in texts else _raw(a) for n, a in arrays.items()]]

    def forget(self) -> None:
        """A model has changed: what fitted it may not any more."""
        self._known.clear()

    def _head(self, asked: Asked, length: int, binary: int | None) -> bytes:
        kind = "application/json" if binary is None else "application/octet-stream"
        extra = "" if binary is None else f"Inference-Header-Content-Length: {binary}\r\n"
        return (
            f"POST {self._prefix}{model_path(asked.model, asked.version)}/infer HTTP/1.1\r\n{self._common}"
            f"Content-Type: {kind}\r\n{extra}Content-Length: {length}\r\n\r\n"
        ).encode("ascii")


def _document(asked: Asked, binary: bool, id: str | None, inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    if asked.priority:
        parameters["priority"] = asked.priority
    if asked.timeout is not None:
        parameters["timeout"] = max(int(asked.timeout * 1e6), 1)  # microseconds; 0 would be no limit
    if binary:
        parameters["binary_data_output"] = True
    document: dict[str, Any] = {} if id is None else {"id": id}
    if parameters:
        document["parameters"] = parameters
    document["inputs"] = inputs
    if asked.outputs is not None:
        document["outputs"] = [{"name": n} for n in asked.outputs]
    return document


def _entry(name: str, array: Array) -> dict[str, Any]:
    return {"name": name, "shape": array.shape, "datatype": DATATYPES[array.dtype]}


def _raw(array: Array) -> Any:
    return array.tobytes() if array.nbytes <= _COPIED else memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]


def _plain(name: str, array: Array) -> dict[str, Any]:
    """A tensor as JSON. Raises UsageError IX687."""
    datatype = DATATYPES[array.dtype]
    found = f"{datatype} elements" if datatype in _ONLY_BINARY else ""
    if not found and array.dtype.kind == "f" and not np.isfinite(array).all():
        found = "NaN or an infinity"
    if found:
        raise UsageError(
            "IX687",
            f"input {name} cannot be sent as JSON",
            found=found,
            expected="what JSON has a form for: finite numbers of 32 or 64 bits, whole numbers, booleans, texts",
            fix="send it in the binary form: binary=True",
        )
    flat = array.reshape(-1)
    return _entry(name, array) | {"data": flat.tolist() if array.dtype == string else flat}


# -- answers ----------------------------------------------------------------------------------------------------------
def read_outputs(answer: Answer, memory: Memory) -> dict[str, Array]:
    """The outputs of an answer by name; arrays that belong to the caller. Raises ClientError IX684.

    memory: where answers are remembered. A server says the same of every answer of the same shapes: reading that once
    saves most of the work.
    """
    known, whole = answer.known, answer.whole
    if known is not None and whole is not None:
        return {name: np.ndarray(shape, dtype, whole, at).copy() for name, dtype, shape, at in known.tensors}
    body = answer.body
    length = answer.headers.get(_LENGTH)
    size = len(body) if length is None else _size(length, len(body))
    document = json_of(body[:size])
    outputs = document.get("outputs") if isinstance(document, dict) else None
    if not isinstance(outputs, list):
        raise no_protocol(f"{document!r}"[:100], "an object with a list of outputs")
    found: dict[str, Array] = {}
    places = []
    at = size
    for entry in outputs:
        match entry:
            case {"name": str(name), "datatype": str(datatype), "shape": list(shape)} if datatype in DTYPES:
                pass
            case _:
                raise no_protocol(f"the output {entry!r}"[:200], f"its name, shape and one of {', '.join(DTYPES)}")
        if not all(type(d) is int and d >= 0 for d in shape):
            raise no_protocol(f"the shape {shape!r} of {name}"[:200], "sizes: whole numbers")
        parameters = entry.get("parameters")
        count = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
        if count is None:
            found[name] = _from_json(name, datatype, shape, entry.get("data"))
            continue
        if type(count) is not int or not 0 <= count <= len(body) - at:
            raise no_protocol(f"binary_data_size {count!r} of {name}, and {len(body) - at} bytes", "as many bytes")
        try:
            found[name] = read_tensor(body[at : at + count], datatype, shape, name)
        except ServingError as error:  # what a server would say of a request is here the server's mistake
            raise no_protocol(f"{error.message}: {error.found}", error.expected or datatype) from None
        places.append((name, DTYPES[datatype], tuple(shape), at))
        at += count
    if at != len(body):
        raise no_protocol(f"{len(body) - at} bytes behind the last tensor", "an end there")
    if (
        whole is not None
        and len(whole) <= _COPIED
        and len(places) == len(found)
        and not _CHECKED & {p[1] for p in places}
    ):
        _remember(memory, answer, whole, size, places)
    return found


def _remember(memory: Memory, answer: Answer, whole: bytes, size: int, places: Sequence[Any]) -> None:
    head = len(whole) - len(answer.body)
    if whole[head:] == answer.body:  # not in chunks
        if len(memory) >= _REMEMBERED:
            memory.clear()
        tensors = tuple((name, dtype, shape, head + at) for name, dtype, shape, at in places)
        memory[len(whole)] = Known(whole[: head + size], head, answer.headers, tensors)


def _size(text: bytes, most: int) -> int:
    if not text.isdigit() or len(text) > 12 or int(text) > most:
        raise no_protocol(
            f"Inference-Header-Content-Length: {text[:40]!r}, in a body of {most} bytes", "the length of the JSON in it"
        )
    return int(text)


def _from_json(name: str, datatype: str, shape: Sequence[int], data: Any) -> Array:
    dtype = DTYPES[datatype]
    try:
        if dtype == string:
            array = np.asarray(data, object)
            wrong = next((v for v in array.flat if not isinstance(v, str)), None)
        else:
            array = np.array(data, dtype)  # flat or nested; "NaN" and null are NaN, as some servers write it
            wrong = None
            if dtype in INTEGERS or dtype.kind == "b":
                wrong = next((v for v in np.asarray(data, object).flat if not isinstance(v, int)), None)
        if not isinstance(data, list) or wrong is not None:
            raise ValueError(f"{wrong if wrong is not None else data!r} among the elements"[:100])
        return array.reshape(shape)
    except (ValueError, TypeError, OverflowError) as error:
        raise _misfit(name, datatype, shape, error) from None


def _misfit(name: str, datatype: str, shape: Sequence[int], error: Exception) -> ClientError:
    return no_protocol(f"the data of {name}: {error}"[:200], f"elements of {datatype}{list(shape)}")
