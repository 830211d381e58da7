"""An inference over HTTP: from a body to a call, and from its outputs to an answer; JSON and the binary extension."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from interchange.dtypes import Array, DType
from interchange.errors import InterchangeError
from interchange.protocol.datatypes import read_tensor, tensor_bytes
from interchange.protocol.errors import ServingError
from interchange.runtime.errors import InputError, InputsError, problem
from interchange.serving.calls import Call
from interchange.serving.http.tensors import data_json, parse, read_data, read_shape, shape_json, shown
from interchange.serving.parameters import INPUT, OUTPUT, classes_wanted, classify, known, read_options
from interchange.serving.served import Port, Served, twice, unknown_output

if TYPE_CHECKING:
    from interchange.serving.http.connection import Connection
    from interchange.serving.http.heads import Head

_MEMBERS = frozenset(("id", "parameters", "inputs", "outputs"))
_INPUT_MEMBERS = frozenset(("name", "shape", "datatype", "parameters", "data"))
_NONE: dict[str, Any] = {}
_NO_NAMES: frozenset[str] = frozenset()
_LONGEST_FORM = 2048  # bytes
_REMEMBERED_FORMS = 256
_MOST_PROBLEMS = 16  # that one answer tells of
_LONGEST_NAME = 256  # characters


class HttpCall(Call):
    """A call of a connection. binary: outputs that are answered as bytes behind the JSON."""

    __slots__ = ("binary", "classes", "connection", "id", "served")

    def __init__(
        self,
        connection: Connection,
        served: Served,
        feeds: Mapping[str, Array],
        wanted: Sequence[str],
        priority: int = 0,
        deadline: float | None = None,
        received: int = 0,
    ) -> None:
        Call.__init__(self, feeds, wanted, priority, deadline, received)
        self.connection, self.served = connection, served
        self.id: str | None = None
        self.binary: frozenset[str] = _NO_NAMES
        self.classes: Mapping[str, int] = _NONE

    def finish(self, outputs: Sequence[Array]) -> None:
        """Write the answer."""
        served = self.served
        if self.id is None and len(outputs) == 1 and not self.binary and not self.classes:  # the usual case
            head = _usual_head(served, self.wanted[0], outputs[0].shape)
            self.connection.answer_json(b"%b%b}]}" % (head, data_json(outputs[0])))
            return
        if self.classes:
            labels = served.settings.labels
            outputs = [
                classify(o, self.classes[n], labels, n) if n in self.classes else o
                for n, o in zip(self.wanted, outputs, strict=True)
            ]
        parts = [_opening(served)]
        if self.id is not None:
            parts.append(b'"id":%b,' % orjson.dumps(self.id))
        parts.append(b'"outputs":[')
        tail: list[bytes] = []
        heads = _output_heads(served)
        comma = b""
        for name, output in zip(self.wanted, outputs, strict=True):
            parts += (comma, _CLASSES_HEAD % orjson.dumps(name) if name in self.classes else heads[name])
            parts.append(shape_json(output.shape))
            if name in self.binary:
                data = tensor_bytes(output)
                parts.append(b',"parameters":{"binary_data_size":%d}}' % len(data))
                tail.append(data)
            else:
                parts += (b',"data":', data_json(output), b"}")
            comma = b","
        parts.append(b"]}")
        text = b"".join(parts)
        if self.binary:
            self.connection.answer_binary(text, tail)
        else:
            self.connection.answer_json(text)

    def fail(self, error: InterchangeError) -> None:
        """Write what is wrong."""
        self.connection.answer_error(error)


_CLASSES_HEAD = b'{"name":%b,"datatype":"BYTES","shape":'


def _opening(served: Served) -> bytes:
    found = served.__dict__.get("_json_opening")
    if found is None:
        found = b'{"model_name":%b,"model_version":%b,' % (orjson.dumps(served.name), orjson.dumps(served.version))
        served.__dict__["_json_opening"] = found
    return found


def _usual_head(served: Served, name: str, shape: tuple[int, ...]) -> bytes:
    """An answer with one output, as far as its data."""
    found = served.heads.get((name, shape))
    if found is None:
        found = b'%b"outputs":[%b%b,"data":' % (_opening(served), _output_heads(served)[name], shape_json(shape))
        if len(served.heads) < _REMEMBERED_FORMS:
            served.heads[name, shape] = found
    return found


def _output_heads(served: Served) -> dict[str, bytes]:
    found = served.__dict__.get("_json_outputs")
    if found is None:
        found = {
            n: b'{"name":%b,"datatype":"%b","shape":' % (orjson.dumps(n), p.datatype.encode())
            for n, p in served.outputs.items()
        }
        served.__dict__["_json_outputs"] = found
    return found


class Asked(NamedTuple):
    """What a request says beside its tensors. timeout: seconds.  classes: output -> how many."""

    wanted: tuple[str, ...]
    classes: Mapping[str, int]
    binary: frozenset[str]
    priority: int
    timeout: float | None
    id: str | None


class Form(NamedTuple):
    """The JSON of a binary request, read: where its tensors lie behind it. size: bytes of all of them."""

    tensors: tuple[tuple[str, DType, tuple[int, ...], int], ...]
    size: int
    asked: Asked

    def feeds(self, rest: memoryview) -> dict[str, Array]:
        """The tensors of another request of this form, without a copy where they are aligned."""
        found: dict[str, Array] = {}
        for name, dtype, shape, at in self.tensors:
            array: Array = np.ndarray(shape, dtype, rest, at)
            found[name] = array if array.flags.aligned else array.copy()
        return found


def begin(connection: Connection, served: Served, head: Head, body: bytes | memoryview, received: int) -> None:
    """Read an inference request and queue it. Raises InterchangeError: all that is wrong with it."""
    size, most = head.json_length, connection.door.settings.max_elements
    if size == 0:
        _begin_raw(connection, served, body, received)
        return
    if size is None:
        feeds, asked = _read(parse(body), served, memoryview(b""), most)
    else:
        feeds, asked = _read_binary(served, body, size, most)
    deadline = None if asked.timeout is None else connection.door.loop.time() + asked.timeout
    call = HttpCall(connection, served, feeds, asked.wanted, asked.priority, deadline, received)
    call.id, call.classes, call.binary = asked.id, asked.classes, asked.binary
    call.decode_ns = perf_counter_ns() - received
    connection.call = call
    served.submit(call)


def _read_binary(served: Served, body: bytes | memoryview, size: int, most: int) -> tuple[dict[str, Array], Asked]:
    """A request with its tensors behind `size` bytes of JSON. The same bytes of JSON are read once: a client that asks
    again and again sends them again and again."""
    if size > len(body):
        raise _bad_size("Inference-Header-Content-Length", size, f"at most the {len(body)} bytes of the body")
    view = memoryview(body)
    text, rest = bytes(view[:size]), view[size:]
    form = served.forms.get(text)
    if form is not None and form.size == len(rest):
        return form.feeds(rest), form.asked
    feeds, asked = _read(parse(text), served, rest, most)
    # bytes of BOOL and BYTES have to be looked at each time
    plain = all(served.inputs[n].datatype not in ("BOOL", "BYTES") for n in feeds)
    if plain and size <= _LONGEST_FORM and sum(a.nbytes for a in feeds.values()) == len(rest):
        ends = accumulate(a.nbytes for a in feeds.values())
        tensors = tuple((n, a.dtype, a.shape, end - a.nbytes) for (n, a), end in zip(feeds.items(), ends, strict=True))
        if len(served.forms) >= _REMEMBERED_FORMS:
            served.forms.clear()
        served.forms[text] = Form(tensors, len(rest), asked)
    return feeds, asked


def _read(document: Mapping[str, Any], served: Served, rest: memoryview, most: int) -> tuple[dict[str, Array], Asked]:
    """The tensors of a request and what it asks for.

    A member that need not be there may be null as well: some clients write all that they know.
    """
    if not _MEMBERS.issuperset(document):
        _look_at_others(document, served)
    entries = document.get("inputs")
    if type(entries) is not list:
        raise _not_a("inputs", "a list", entries)
    parameters = _parameters(document) if "parameters" in document else _NONE
    feeds = read_inputs(served.inputs, entries, rest, most)
    priority, timeout = read_options(parameters) if parameters else (0, None)
    wanted, classes, binary = served.output_names, _NONE, _NO_NAMES
    outputs = document.get("outputs")
    if outputs is not None or "binary_data_output" in parameters:
        wanted, classes, binary = read_outputs(served, outputs, parameters.get("binary_data_output", False))
    name = document.get("id")
    if name is not None and type(name) is not str:
        raise _not_a("id", "a text", name)
    return feeds, Asked(wanted, classes, binary, priority, timeout, name)


def _look_at_others(document: Mapping[str, Any], served: Served) -> None:
    """KServe's client repeats the model's name; whatever else the protocol does not have is refused."""
    others = document.keys() - _MEMBERS - {"model_name"}
    if others:
        raise _bad_member(next(iter(others)), "the request", _MEMBERS)
    if document["model_name"] != served.name:
        raise ServingError(
            "IX631",
            "model_name is another model than that of the path",
            found=shown(document["model_name"]),
            expected=shown(served.name),
            fix="leave it out: the path names the model",
        )


def _parameters(owner: Mapping[str, Any]) -> dict[str, Any]:
    parameters = owner.get("parameters")
    if parameters is None:
        return _NONE
    if type(parameters) is not dict:
        raise _not_a("parameters", "an object", parameters)
    return parameters


def read_inputs(ports: Mapping[str, Port], entries: list[Any], rest: memoryview, most: int) -> dict[str, Array]:
    """The arrays of a request's inputs. rest: the bytes behind the JSON, all of which must belong to an input.

    Raises InputsError with what is wrong with each of them.
    """
    feeds: dict[str, Array] = {}
    problems: list[InputError | ServingError] = []
    at = 0
    for entry in entries:
        begin = -1
        try:
            if type(entry) is not dict or type(name := entry.get("name")) is not str or len(name) > _LONGEST_NAME:
                raise _no_name("inputs", entry)
            size = _binary_size(entry, name, len(rest) - at) if "parameters" in entry else None
            begin, at = at, at + (size or 0)
            if name in feeds:
                raise twice("input", name)
            if not _INPUT_MEMBERS.issuperset(entry):
                raise _bad_member(next(iter(entry.keys() - _INPUT_MEMBERS)), f"input {name}", _INPUT_MEMBERS, name)
            port = ports.get(name)
            if port is None:
                raise unknown_input(name, ports)
            if entry.get("datatype") != port.datatype:
                raise other_datatype(port, entry.get("datatype"))
            shape = read_shape(entry.get("shape"), name, most)
            if size is None:
                feeds[name] = read_data(entry.get("data"), port, shape)
            elif entry.get("data") is not None:
                raise _bad_member("data", f"input {name}, whose data are binary", _INPUT_MEMBERS - {"data"}, name)
            else:
                feeds[name] = read_tensor(rest[begin:at], port.datatype, shape, name)
        except (ServingError, InputError) as error:
            problems.append(error)
            if len(problems) == _MOST_PROBLEMS or (begin < 0 and len(rest)):
                break  # where the bytes of the next input begin is not known
    if at != len(rest) and not problems:
        problems.append(_bad_size("binary_data_size", at, f"the {len(rest)} bytes behind the JSON, over all inputs"))
    if problems:
        raise InputsError(problems)
    return feeds


def _binary_size(entry: Mapping[str, Any], name: str, left: int) -> int | None:
    parameters = _parameters(entry)
    known(parameters, INPUT, f"input {name}", name)
    size = parameters.get("binary_data_size")
    if size is not None and (type(size) is not int or not 0 <= size <= left):
        raise _bad_size("binary_data_size", size, f"at most the {left} bytes that are left behind the JSON", name)
    return size


def read_outputs(
    served: Served, entries: Any, all_binary: Any
) -> tuple[tuple[str, ...], dict[str, int], frozenset[str]]:
    """What is wanted, how many classes of which outputs, and which are answered as bytes."""
    if type(all_binary) is not bool:
        raise _not_a("binary_data_output", "true or false", all_binary)
    if entries is None:
        entries = []
    if type(entries) is not list:
        raise _not_a("outputs", "a list", entries)
    names: list[str] = []
    classes: dict[str, int] = {}
    binary: set[str] = set()
    for entry in entries:
        if type(entry) is not dict or type(name := entry.get("name")) is not str or len(name) > _LONGEST_NAME:
            raise _no_name("outputs", entry)
        if name in names:
            raise twice("output", name)
        if name not in served.outputs:
            raise unknown_output(name, served)
        extra = entry.keys() - {"name", "parameters"}
        if extra:
            raise _bad_member(extra.pop(), f"output {name}", frozenset(("name", "parameters")))
        parameters = _parameters(entry)
        known(parameters, OUTPUT, f"output {name}")
        as_bytes = parameters.get("binary_data", all_binary)
        if type(as_bytes) is not bool:
            raise _not_a("binary_data", "true or false", as_bytes)
        names.append(name)
        if as_bytes:
            binary.add(name)
        count = classes_wanted(parameters, name)
        if count is not None:
            classes[name] = count
    if not names:
        return served.output_names, classes, frozenset(served.output_names if all_binary else ())
    return tuple(names), classes, frozenset(binary)


def _begin_raw(connection: Connection, served: Served, body: bytes | memoryview, received: int) -> None:
    """The whole body is the data of the only input; what is not said is deduced: one open axis, or rows."""
    required = [p for p in served.inputs.values() if not p.optional]
    port = required[0] if len(required) == 1 else None
    if port is None or sum(d < 0 for d in port.shape) > 1:
        raise ServingError(
            "IX636",
            "a raw request is for a model with one input that has at most one open axis",
            found=", ".join(str(p.spec) for p in required),
            expected="one input",
            fix="describe the inputs in JSON before their bytes, and send Inference-Header-Content-Length",
        )
    fixed = port.dtype.itemsize
    for size in port.shape:
        fixed *= max(size, 1) if size >= 0 else 1
    open_size = 1 if port.datatype == "BYTES" else len(body) // fixed
    shape = tuple(open_size if d < 0 else d for d in port.shape)
    if port.datatype == "BYTES":
        body = len(body).to_bytes(4, "little") + bytes(body)
    feeds = {port.name: read_tensor(body, port.datatype, shape, port.name)}
    call = HttpCall(connection, served, feeds, served.output_names, received=received)
    call.binary = frozenset(served.output_names)
    call.decode_ns = perf_counter_ns() - received
    connection.call = call
    served.submit(call)


# -- what can be wrong ------------------------------------------------------------------------------------------------
def unknown_input(name: str, ports: Mapping[str, Port]) -> InputError:
    """The error for an input that the model has not."""
    expected = ", ".join(str(p.spec) for p in ports.values())
    fix = "use the names of the model's inputs"
    return problem("IX602", f"the model has no input {name!r}", repr(name), expected, fix, name)


def other_datatype(port: Port, found: Any) -> InputError:
    """The error for an input of another datatype."""
    message = f"input {port.name} takes {port.datatype}"
    fix = f"convert the data, and send datatype {port.datatype}"
    return problem("IX603", message, shown(found), f"{port.datatype}, for {port.spec}", fix, port.name)


def _bad_member(name: str, whose: str, members: frozenset[str], input: str | None = None) -> ServingError:
    return ServingError(
        "IX631",
        f"{whose} has a member that the protocol does not have",
        input=input,
        found=shown(name),
        expected=", ".join(sorted(members)),
        fix="leave it out, or look at its spelling",
    )


def _no_name(where: str, entry: Any) -> ServingError:
    return ServingError(
        "IX631",
        f"an entry of {where} is no object with a name",
        found=shown(entry),
        expected=f'an object with a text "name" of at most {_LONGEST_NAME} characters',
        fix=f"look at /openapi.json for the form of {where}",
    )


def _not_a(member: str, kind: str, value: Any) -> ServingError:
    return ServingError(
        "IX631",
        f"{member} is not {kind}",
        found=shown(value),
        expected=kind,
        fix="look at /openapi.json for the form of a request",
    )


def _bad_size(name: str, found: Any, expected: str, input: str | None = None) -> ServingError:
    return ServingError(
        "IX636",
        f"{name} does not fit the body",
        input=input,
        found=shown(found),
        expected=expected,
        fix="count the bytes: the JSON, then the data of each input in the order of `inputs`",
    )
