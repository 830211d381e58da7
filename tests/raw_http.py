"""HTTP by hand: requests as bytes that no library would send, and a reader of answers that lets nothing pass."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

TIMEOUT = 20.0  # seconds: nothing here takes so long unless it hangs
_STATUS = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) [A-Za-z -]+\r\n")


class Answer(NamedTuple):
    """One answer. headers: by name in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON: of the whole body, or of its first part where bytes of tensors follow."""
        length = self.headers.get("inference-header-content-length")
        return json.loads(self.body if length is None else self.body[: int(length)])

    @property
    def closes(self) -> bool:
        """Whether the connection ends with it."""
        return self.headers.get("connection") == "close"


class Wire:
    """A connection to a server at ``http://host:port``."""

    def __init__(self, url: str, *, receive_buffer: int | None = None) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect((parts.hostname, parts.port))
        self._read = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> Wire:
        """Send parts, one after the other; what a server that has refused the request does not read is let go."""
        for part in parts:
            try:
                self.socket.sendall(part)
            except (BrokenPipeError, ConnectionResetError):
                break
        return self

    def end(self) -> Wire:
        """Send nothing more."""
        with suppress(OSError):  # the server may have gone already
            self.socket.shutdown(socket.SHUT_WR)
        return self

    def answer(self, *, to_head: bool = False) -> Answer:
        """The next answer. Raises EOFError when the connection ends before it, AssertionError for what is no HTTP."""
        status = 100
        while status == 100:  # Continue
            head = self._until(b"\r\n\r\n")
            match = _STATUS.match(head)
            assert match is not None, head
            status = int(match[1])
        lines = head[match.end() : -4].decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        for line in lines if lines != [""] else ():
            name, colon, value = line.partition(": ")
            assert colon, line
            assert re.fullmatch(r"[A-Za-z-]+", name), line
            assert re.fullmatch(r"[ -~]*", value), line
            assert name.lower() not in headers, line
            headers[name.lower()] = value
        body = b"" if to_head else self._exactly(int(headers["content-length"]))
        return Answer(status, headers, body)

    def receive(self) -> bytes:
        """What has come; nothing when the connection has ended."""
        try:
            return self.socket.recv(1 << 16)
        except ConnectionResetError:
            return b""

    def ended(self) -> bool:
        """Whether the server has ended the connection, with nothing more said."""
        try:
            return not self._read and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._read:
            self._more()
        head, _, self._read = self._read.partition(mark)
        return head + mark

    def _exactly(self, size: int) -> bytes:
        parts = [self._read]
        have = len(self._read)
        while have < size:
            self._read = b""
            self._more()
            parts.append(self._read)
            have += len(self._read)
        whole = b"".join(parts)
        self._read = whole[size:]
        return whole[:size]

    def _more(self) -> None:
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionResetError as error:
            raise EOFError(repr(error)) from None
        if not data:
            raise EOFError(f"the connection ended behind {self._read[:100]!r}")
        self._read += data


def request(method: str, path: str, headers: Iterable[str] = (), body: bytes = b"", host: str = "Host: test") -> bytes:
    """A request line, these headers as they are, and a body without a word about its length."""
    lines = (f"{method} {path} HTTP/1.1", host, *headers)
    return "".join(f"{line}\r\n" for line in lines if line).encode("latin-1") + b"\r\n" + body


def get(path: str, *headers: str, method: str = "GET") -> bytes:
    """A request without a body."""
    return request(method, path, headers)


def post(path: str, body: bytes | str | Any, *headers: str) -> bytes:
    """A request with a body and its length; what is neither bytes nor text becomes JSON."""
    data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return request("POST", path, (f"Content-Length: {len(data)}", *headers), data)


def infer(body: Any, *headers: str, model: str = "scaled") -> bytes:
    """An inference."""
    return post(f"/v2/models/{model}/infer", body, *headers)


def document(**changes: Any) -> dict[str, Any]:
    """A request for ``scaled`` (x: float32[batch, 3]) with members of its input changed, or left out by `...`."""
    entry = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]} | changes
    return {"inputs": [{k: v for k, v in entry.items() if v is not ...}]}


def binary(document: Any, *tensors: bytes, model: str = "scaled", length: int | str | None = None) -> bytes:
    """A request of the binary tensor data extension. length: what the header says of the JSON."""
    text = json.dumps(document).encode()
    told = len(text) if length is None else length
    return infer(text + b"".join(tensors), f"Inference-Header-Content-Length: {told}", model=model)


def chunked(*chunks: bytes, path: str = "/v2/models/scaled/infer", end: bytes = b"0\r\n\r\n") -> bytes:
    """A body in chunks, as they are."""
    return request("POST", path, ["Transfer-Encoding: chunked"], b"".join(chunks) + end)


def chunk(data: bytes) -> bytes:
    """A good chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


GOOD = infer(document())
GOOD_OUTPUTS = [{"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [2.0, 4.0, 6.0]}]


def read_answers(data: bytes, *, to_head: bool = False) -> list[Answer]:
    """All the answers that bytes hold, and nothing else. to_head: some of them may be to HEAD, without their bodies."""
    answers = []
    while data:
        head, mark, rest = data.partition(b"\r\n\r\n")
        assert mark, data[:200]
        match = _STATUS.match(head + b"\r\n")
        assert match is not None, data[:200]
        lines = [
            line.partition(": ") for line in (head + b"\r\n")[match.end() :].decode("latin-1").split("\r\n") if line
        ]
        headers = {name.lower(): value for name, _, value in lines}
        assert len(headers) == len(lines), head
        data = rest
        if match[1] == b"100":
            continue
        size = int(headers["content-length"])
        if to_head and (not rest or rest.startswith(b"HTTP/1.1 ")):
            size = 0
        assert len(rest) >= size, (head, rest)
        answers.append(Answer(int(match[1]), headers, rest[:size]))
        data = rest[size:]
    return answers
