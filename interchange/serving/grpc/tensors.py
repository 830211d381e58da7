"""The tensors of a request: raw bytes beside the message, or elements in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from interchange.dtypes import BY_NAME, Array, DType
from interchange.protocol.datatypes import DTYPES, read_tensor
from interchange.protocol.errors import ServingError
from interchange.runtime.errors import InputError, InputsError
from interchange.serving.http.infer import other_datatype, unknown_input
from interchange.serving.http.tensors import read_shape
from interchange.serving.parameters import known
from interchange.serving.served import Port, twice

# datatype -> the field of InferTensorContents that is for it, and the type of that field's elements
CONTENTS: dict[str, tuple[str, DType]] = {
    "BOOL": ("bool_contents", BY_NAME["bool"]),
    **dict.fromkeys(("INT8", "INT16", "INT32"), ("int_contents", BY_NAME["int32"])),
    "INT64": ("int64_contents", BY_NAME["int64"]),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), ("uint_contents", BY_NAME["uint32"])),
    "UINT64": ("uint64_contents", BY_NAME["uint64"]),
    "FP32": ("fp32_contents", BY_NAME["float32"]),
    "FP64": ("fp64_contents", BY_NAME["float64"]),
    "BYTES": ("bytes_contents", DTYPES["BYTES"]),
}


def read_inputs(
    ports: Mapping[str, Port], inputs: Sequence[Any], raws: Sequence[memoryview], most: int
) -> dict[str, Array]:
    """The arrays of a request's inputs. raws: raw_input_contents.  most: elements of one tensor.

    Raises ServingError IX631 for tensors that come twice, IX636 for raw bytes that are not one for each input, and
    InputsError with what is wrong with each input.
    """
    if raws:
        _check_raw(inputs, raws)
    feeds: dict[str, Array] = {}
    problems: list[InputError | ServingError] = []
    for i, tensor in enumerate(inputs):
        name = tensor.name
        try:
            if name in feeds:
                raise twice("input", name)
            if tensor.parameters:
                known(tensor.parameters, (), f"input {name}", name)
            port = ports.get(name)
            if port is None:
                raise unknown_input(name, ports)
            if tensor.datatype != port.datatype:
                raise other_datatype(port, tensor.datatype)
            shape = read_shape(list(tensor.shape), name, most)
            if raws:
                feeds[name] = read_tensor(raws[i], port.datatype, shape, name)
            else:
                feeds[name] = _read_contents(tensor.contents, port, shape)
        except (ServingError, InputError) as error:
            problems.append(error)
    if problems:
        raise InputsError(problems)
    return feeds


def _check_raw(inputs: Sequence[Any], raws: Sequence[memoryview]) -> None:
    both = next((t.name for t in inputs if t.HasField("contents")), None)
    if both is not None:
        raise ServingError(
            "IX631",
            "the tensors come twice: as raw bytes and as contents",
            input=both,
            found=f"raw_input_contents, and contents of input {both}",
            expected="raw_input_contents for all inputs, or contents for all",
            fix="leave the contents out",
        )
    if len(raws) != len(inputs):
        raise ServingError(
            "IX636",
            "raw_input_contents are not those of the inputs",
            found=f"{len(raws)} for {len(inputs)} inputs",
            expected="one for each input, in their order",
            fix="append the bytes of a tensor whenever you add an input",
        )


def _read_contents(contents: Any, port: Port, shape: tuple[int, ...]) -> Array:
    """The tensor in the field that is for its datatype. Raises ServingError IX631, IX632, IX633."""
    name, datatype, count = port.name, port.datatype, math.prod(shape)
    if datatype not in CONTENTS:
        raise ServingError(
            "IX631",
            f"{datatype} has no contents",
            input=name,
            found=f"input {name} without raw bytes",
            expected="raw_input_contents",
            fix="send the bytes of all inputs as raw_input_contents",
        )
    field, dtype = CONTENTS[datatype]
    filled = [f.name for f, _ in contents.ListFields()]
    if any(f != field for f in filled):
        raise ServingError(
            "IX631",
            f"the contents of {name} are not in the field of its datatype",
            input=name,
            found=", ".join(filled),
            expected=f"{field}, for {datatype}",
            fix=f"fill {field} only, or send raw_input_contents",
        )
    elements = getattr(contents, field)
    if len(elements) != count:
        raise ServingError(
            "IX632",
            f"the data of {name} does not fill its shape",
            input=name,
            found=f"{len(elements)} values",
            expected=f"shape {list(shape)}: {count} values",
            fix="send the values in row-major order, and their shape",
        )
    if datatype == "BYTES":
        return _texts(elements, name).reshape(shape)
    array: Array = np.array(elements, dtype).reshape(shape)
    if port.dtype == dtype:
        return array
    narrow: Array = array.astype(port.dtype)
    wrong = array[narrow != array]
    if wrong.size:
        raise ServingError(
            "IX633",
            f"{name} has a value that {datatype} cannot have",
            input=name,
            found=str(wrong[0]),
            expected=f"{datatype}: whole numbers within its range",
            fix="convert it before it is sent: nothing is rounded or cut here",
        )
    return narrow


def _texts(elements: Sequence[bytes], name: str) -> Array:
    array = np.empty(len(elements), object)
    for i, element in enumerate(elements):
        try:
            array[i] = element.decode()
        except UnicodeDecodeError as error:
            raise ServingError(
                "IX633",
                f"element {i} of {name} is no text",
                input=name,
                found=f"bytes that are no UTF-8: {error}",
                expected="BYTES: UTF-8 text",
                fix="encode the texts as UTF-8; ONNX's strings are text, raw data belongs into UINT8",
            ) from None
    return array


def plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a message by name. One without a value is None."""
    found: dict[str, Any] = {}
    for name, parameter in parameters.items():
        kind = parameter.WhichOneof("parameter_choice")
        found[name] = None if kind is None else getattr(parameter, kind)
    return found
