"""A server that says what a test tells it to: right answers, and every way in which an answer can be wrong. And the
clients that ask it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from interchange.client import AsyncClient
from interchange.errors import InterchangeError

X = np.array([[1, 2, 3]], np.float32)
Step = bytes | Callable[[socket.socket], None]


@dataclass
class Asked:
    """One request that came. connection: the number of its connection, from 0."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int


@dataclass
class Scripted:
    """A server on loopback, or on the Unix socket `path`, of the model m: y = 2 x, x: FP32[-1, 3].

    script: what the first requests of `scripted` paths are answered with, one entry each; afterwards the right answer.
    An entry is the bytes of an answer, or is called with the connection; what raises closes it.
    """

    script: list[Step] = field(default_factory=list)
    scripted: str = "/infer"
    path: str = ""
    tls: Any = None
    binary: bool = True
    metadata: dict[str, Any] = field(
        default_factory=lambda: {
            "name": "m",
            "versions": ["1"],
            "platform": "onnx_onnxv1",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
        }
    )
    requests: list[Asked] = field(default_factory=list)

    def __enter__(self) -> Scripted:
        if self.path:
            self._listening = socket.socket(socket.AF_UNIX)
            self._listening.bind(self.path)
            self._listening.listen()
        else:
            self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self.drop()
        for thread in self._threads:
            thread.join()
        self._listening.close()

    @property
    def url(self) -> str:
        if self.path:
            return f"unix://{self.path}"
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self._listening.getsockname()[1]}"

    @property
    def inferences(self) -> list[Asked]:
        return [r for r in self.requests if r.path.endswith("/infer")]

    def drop(self) -> None:
        """End all connections that are open, as a server that is restarted does."""
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # it has ended by itself

    def _accept(self) -> None:
        number = 0
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with self._lock:
                self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection, number))
            self._threads.append(thread)
            thread.start()
            number += 1

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            if self.tls is not None:
                plain, connection = connection, self.tls.wrap_socket(connection, server_side=True)
                with self._lock:
                    self._open[self._open.index(plain)] = connection
            buffer = b""
            while True:
                while b"\r\n\r\n" not in buffer:
                    buffer += _more(connection)
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                first, *lines = head.decode().split("\r\n")
                headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
                size = int(headers.get("content-length", 0))
                while len(buffer) < size:
                    buffer += _more(connection)
                method, path, _ = first.split(" ")
                asked = Asked(method, path, headers, buffer[:size], number)
                buffer = buffer[size:]
                self.requests.append(asked)
                step = self.script.pop(0) if self.scripted in asked.path and self.script else self.answer(asked)
                if isinstance(step, bytes):
                    connection.sendall(step)
                else:
                    step(connection)
        except (OSError, EOFError):
            pass
        finally:
            with self._lock:
                self._open.remove(connection)
            connection.close()

    # -- right answers ------------------------------------------------------------------------------------------------
    def answer(self, asked: Asked) -> bytes:
        match asked.method, asked.path.removeprefix("/v2"):
            case "GET", "":
                return reply({"name": "scripted", "extensions": ["binary_tensor_data"] if self.binary else []})
            case "GET", "/models/m" | "/models/m/versions/1":
                return reply(self.metadata)
            case "GET", "/health/live" | "/health/ready" | "/models/m/ready":
                return reply()
            case "POST", "/models/m/infer" | "/models/m/versions/1/infer":
                return infer(asked)
            case "POST", "/repository/index":
                return reply([{"name": "m", "version": "1", "state": "READY", "reason": ""}])
            case "POST", "/repository/models/m/load" | "/repository/models/m/unload":
                return reply()
        return reply({"error": "no such path"}, status=404)


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 16)
    if not data:
        raise EOFError
    return data


def head(length: int | None, status: int = 200, **headers: Any) -> bytes:
    """A head; header names are written with _ for -."""
    lines = [f"HTTP/1.1 {status} Reason", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def reply(document: Any = None, status: int = 200, **headers: Any) -> bytes:
    """A whole answer with a JSON body."""
    body = b"" if document is None else json.dumps(document).encode()
    return head(len(body), status, **headers) + body


def infer(asked: Asked) -> bytes:
    """What the model says: 2 x, in the form of the request."""
    size = asked.headers.get("inference-header-content-length")
    if size is None:
        (entry,) = json.loads(asked.body)["inputs"]
        data = (np.array(entry["data"], np.float32) * 2).tolist()
        return reply({"outputs": [{"name": "y", "datatype": "FP32", "shape": entry["shape"], "data": data}]})
    (entry,) = json.loads(asked.body[: int(size)])["inputs"]
    data = (np.frombuffer(asked.body[int(size) :], np.float32) * 2).tobytes()
    return binary_reply([("y", "FP32", entry["shape"], data)])


def binary_reply(outputs: list[tuple[str, str, list[int], bytes]], **headers: Any) -> bytes:
    """A whole answer in the binary form."""
    entries = [
        {"name": n, "datatype": d, "shape": s, "parameters": {"binary_data_size": len(b)}} for n, d, s, b in outputs
    ]
    document = json.dumps({"model_name": "m", "outputs": entries}).encode()
    body = document + b"".join(b for *_, b in outputs)
    return head(len(body), Inference_Header_Content_Length=len(document), **headers) + body


# -- clients ----------------------------------------------------------------------------------------------------------
class Blocking:
    """An AsyncClient whose calls are run to their end."""

    def __init__(self, *args, **kwargs):
        self._client = AsyncClient(*args, **kwargs)
        self._loop = asyncio.new_event_loop()

    def __getattr__(self, name):
        async def call(*args, **kwargs):
            return await getattr(self._client, name)(*args, **kwargs)

        return lambda *args, **kwargs: self._loop.run_until_complete(call(*args, **kwargs))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
        self._loop.close()


def clients(request):
    """A fixture: makes clients of the class in `request.param`, and closes them."""
    made = []

    def make(*args, **kwargs):
        made.append(request.param(*args, **kwargs))
        return made[-1]

    yield make
    for one in made:
        one.__exit__()


def fails(code, call, *args, **kwargs):
    """The error of that code which a call raises."""
    with pytest.raises(InterchangeError) as info:
        call(*args, **kwargs)
    assert info.value.code == code, str(info.value)
    return info.value
