"""What both clients do, without the doing: each call is a generator of requests, which is sent the answers."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import orjson

from interchange.client.addresses import header_line, read_url
from interchange.client.answers import Answer, Memory
from interchange.client.errors import no_protocol, remote_error
from interchange.client.retrying import retry_after
from interchange.client.signature import Served
from interchange.client.tensors import Asked, Writer, model_path, read_outputs
from interchange.dtypes import Array
from interchange.errors import UsageError
from interchange.runtime.errors import InputsError
from interchange.runtime.signature import ValueSpec

T = TypeVar("T")
BINARY = "binary_tensor_data"  # the extension's name in a server's metadata


class Request(NamedTuple):
    """The bytes of a request, in parts. repeat: whether it may be sent again when its answer is lost.

    patient: whether it is worth to come again when the server cannot be reached, or says "not now".
    """

    parts: list[Any]
    repeat: bool = True
    patient: bool = True


Steps = Generator[Request, Answer, T]


class Caller:
    """The calls to one server. Threads may share it.

    timeout: seconds of a call, all attempts included.  retries: how many attempts may follow the first.
    """

    def __init__(self, url: str, token: str | None, timeout: float, retries: int, headers: Mapping[str, str]) -> None:
        self.address = read_url(url)
        self.timeout, self.retries = seconds(timeout), retries
        if type(retries) is not int or retries < 0:
            raise _no_option("retries", retries, "a whole number, 0 for none")
        lines = {"Host": self.address.authority, "User-Agent": "interchange"} | dict(headers)
        if token is not None:
            lines["Authorization"] = f"Bearer {token}"
        self._common = "".join(header_line(n, v) for n, v in lines.items())
        self._writer = Writer(self.address.prefix, self._common)
        self._served: dict[tuple[str, str], Served] = {}
        self._binary: bool | None = None
        self.memory: Memory = {}

    # -- inference ----------------------------------------------------------------------------------------------------
    def infer(self, asked: Asked, given: Mapping[str, Any], id: str | None) -> Steps[Any]:
        """The outputs by name. What the model takes is asked once; and again when it seems to have changed."""
        if id is not None and not isinstance(id, str):
            raise _no_option("id", id, "a text")
        key = asked.model, asked.version
        known = self._served.get(key)
        parts = self._writer.again(asked, given) if id is None else None
        answer = yield Request(parts or (yield from self._write(asked, given, id)))
        if answer.status == 400 and known is not None:
            now = yield from self._ask_served(key)
            if now != known:
                answer = yield Request((yield from self._write(asked, given, id)))
        if answer.status != 200:
            raise self._error(answer, asked.model)
        return read_outputs(answer, self.memory)

    def _write(self, asked: Asked, given: Mapping[str, Any], id: str | None) -> Steps[list[Any]]:
        binary = asked.binary
        if binary is None:
            binary = self._binary if self._binary is not None else (yield from self._offers_binary())
        key = asked.model, asked.version
        known = self._served.get(key)
        served = known or (yield from self._ask_served(key))
        try:
            arrays = served.arrays(given)
        except InputsError:
            if known is None:
                raise
            arrays = (yield from self._ask_served(key)).arrays(given)
        return self._writer.write(asked, binary, arrays, id)

    def _ask_served(self, key: tuple[str, str]) -> Steps[Served]:
        before = self._served.pop(key, None)
        served = Served((yield from self.get(model_path(*key), key[0])))
        if served != before:
            self._writer.forget()
        if len(self._served) < 1024:
            self._served[key] = served
        return served

    def _offers_binary(self) -> Steps[bool]:
        metadata = yield from self.get("/v2")
        offered = metadata.get("extensions") if isinstance(metadata, dict) else None
        self._binary = isinstance(offered, list) and BINARY in offered
        return self._binary

    def prepare(self, asked: Asked, given: Mapping[str, Any]) -> Steps[bytes]:
        """The bytes of an inference request."""
        return b"".join((yield from self._write(asked, given, None)))

    def arrays(self, model: str, version: str, given: Mapping[str, Any]) -> Steps[dict[str, Array]]:
        """What `infer` would send of these inputs."""
        return (yield from self._ask_served((model, version))).arrays(given)

    def inputs(self, model: str, version: str) -> Steps[Mapping[str, ValueSpec | None]]:
        """What a model takes, as its metadata says now."""
        return (yield from self._ask_served((model, version))).specs

    # -- everything else ----------------------------------------------------------------------------------------------
    def get(self, path: str, model: str = "") -> Steps[Any]:
        """The JSON that a path answers with."""
        answer = yield self._request("GET", path)
        if answer.status != 200:
            raise self._error(answer, model)
        return answer.json()

    def post(self, path: str, document: Mapping[str, Any], model: str = "", repeat: bool = True) -> Steps[Any]:
        """The JSON that a path answers a JSON document with; None for an empty answer."""
        answer = yield self._request("POST", path, orjson.dumps(document), repeat)
        if not 200 <= answer.status < 300:
            raise self._error(answer, model)
        return answer.json() if len(answer.body) else None

    def yes(self, path: str, key: str) -> Steps[bool]:
        """Whether a health endpoint says yes: by its status, and by its body where it has one."""
        answer = yield self._request("GET", path)._replace(patient=False)
        if answer.status in (401, 403):
            raise self._error(answer, "")
        body = answer.json_or_none() if answer.status == 200 else None
        return answer.status == 200 and (not isinstance(body, dict) or body.get(key) is not False)

    def index(self, ready: bool) -> Steps[Any]:
        """The models of the repository."""
        found = yield from self.post("/v2/repository/index", {"ready": True} if ready else {})
        if not isinstance(found, list):
            raise no_protocol(f"{found!r}"[:100], "a list of models", str(self.address))
        return found

    def change(self, model: str, verb: str) -> Steps[None]:
        """Load or unload a model: sent once, and again only where the server refused it for the moment."""
        path = f"/v2/repository{model_path(model).removeprefix('/v2')}/{verb}"
        yield from self.post(path, {}, model, repeat=False)

    def _request(self, method: str, path: str, body: bytes | None = None, repeat: bool = True) -> Request:
        head = f"{method} {self.address.prefix}{path} HTTP/1.1\r\n{self._common}"
        if body is None:
            return Request([f"{head}\r\n".encode("ascii")], repeat)
        more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        return Request([f"{head}{more}".encode("ascii") + body], repeat)

    def _error(self, answer: Answer, model: str) -> Exception:
        where = f"{self.address} model {model}" if model else str(self.address)
        return remote_error(answer, where, retry_after(answer))


def asked_of(
    model: str,
    version: str,
    outputs: Sequence[str] | None,
    priority: int,
    timeout: float | None,
    binary: bool | None,
) -> Asked:
    """What a caller asks for beside the tensors. Raises UsageError IX689."""
    wanted = None if outputs is None else (outputs,) if isinstance(outputs, str) else tuple(outputs)
    if not isinstance(model, str) or not model:
        raise _no_option("model", model, "the name of a model")
    if wanted is not None and not all(isinstance(o, str) for o in wanted):
        raise _no_option("outputs", outputs, "names of outputs")
    if type(priority) is not int:
        raise _no_option("priority", priority, "a whole number")
    return Asked(model, str(version), wanted, priority, None if timeout is None else seconds(timeout), binary)


def given_of(inputs: Mapping[str, Any] | None, named: Mapping[str, Any]) -> Mapping[str, Any]:
    """The inputs, as one mapping or by name. Raises UsageError IX689 for both."""
    if inputs is None:
        return named
    if named or not isinstance(inputs, Mapping):
        raise UsageError(
            "IX689",
            "the inputs have to be one mapping, or be given by name",
            found=f"a {type(inputs).__name__}" + (f", and {', '.join(named)} by name" if named else ""),
            expected="infer(model, {'x': array}) or infer(model, x=array)",
            fix="put all of them into the mapping",
        )
    return inputs


def seconds(value: float) -> float:
    """A timeout. Raises UsageError IX689."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1e7:
        raise _no_option("timeout", value, "seconds: a number above 0")
    return float(value)


def _no_option(name: str, value: Any, expected: str) -> UsageError:
    return UsageError(
        "IX689",
        f"{name} cannot be this",
        found=f"{name}={value!r}"[:100],
        expected=expected,
        fix="choose another value",
    )
