"""What a hostile request is, and the servers that are asked: for the table in hostile_requests.py."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import serving
from onnx import TensorProto, helper
from raw_http import Answer, Wire, document, infer

from interchange.serving import ModelSettings, Server
from interchange.serving.settings import Token

MAX_BODY, MAX_ELEMENTS = 1 << 20, 1 << 20
DTYPES = {
    "BOOL": TensorProto.BOOL,
    "INT8": TensorProto.INT8,
    "UINT8": TensorProto.UINT8,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}


LONG = document(name="n", datatype="INT64", shape=[1], data=[10**12])


# -- servers ----------------------------------------------------------------------------------------------------------
def models(folder: Path) -> Path:
    """The models that the requests are about."""
    serving.scaled(folder / "scaled.onnx")
    serving.spinning(folder / "spin.onnx")
    serving.identity(folder / "same.onnx", {"FP32": TensorProto.FLOAT, "INT64": TensorProto.INT64})
    for name, number in DTYPES.items():
        serving.identity(folder / f"{name.lower()}.onnx", {name: number})
    table = helper.make_tensor("table", TensorProto.FLOAT, [4], [0.0, 1.0, 2.0, 3.0])
    serving.node_model(
        [helper.make_node("Gather", ["table", "i"], ["y"])],
        [("i", TensorProto.INT64, ["n"])],
        [("y", TensorProto.FLOAT, ["n"])],
        folder / "pick.onnx",
        initializers=[table],
    )
    serving.node_model(
        [helper.make_node("ConstantOfShape", ["n"], ["y"])],
        [("n", TensorProto.INT64, [1])],
        [("y", TensorProto.FLOAT, ["size"])],
        folder / "space.onnx",
    )
    serving.node_model(
        [helper.make_node("Neg", ["x"], ["y"])],
        [("x", TensorProto.FLOAT, [])],
        [("y", TensorProto.FLOAT, [])],
        folder / "scalar.onnx",
    )
    serving.node_model(
        [helper.make_node("Neg", ["x"], ["y"])],
        [("x", TensorProto.FLOAT, ["rows", "columns"])],
        [("y", TensorProto.FLOAT, ["rows", "columns"])],
        folder / "bounded.onnx",
        metadata={
            "interchange.dims": json.dumps({"rows": [1, 4], "columns": [1, None]}),
            "interchange.guards": json.dumps([{"condition": "columns%2 == 0", "why": "pairs", "where": ""}]),
        },
    )
    return folder


TOKENS = (
    Token(secret="reads-scaled", name="reader", models=("sc*",)),
    Token(secret="rules", name="ruler", inference=False, admin=True),
)
SERVERS: dict[str, dict[str, Any]] = {
    "plain": {"max_body": MAX_BODY, "max_elements": MAX_ELEMENTS},
    "slow": {"slow_seconds": 0.5},
    "guarded": {"tokens": TOKENS},
    "busy": {"max_connections": 4, "models": {"spin": ModelSettings(max_queue=1)}},
}


def server(kind: str, folder: Path) -> Server:
    """A server with the settings of this name. folder: of `models`."""
    return Server(folder, http_port=0, grpc_port=None, watch_seconds=None, **SERVERS[kind])


# -- cases ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Case:
    """One request. title: what it is.  send: its bytes, in the parts that are sent.

    status, code: of the answer; code "" for none. status 0: the connection is ended without an answer.
    says: texts that the body holds.  closes: whether the connection ends with the answer.
    server: which one is asked.  slow: seconds between the parts.  around: what holds meanwhile.
    answers: the statuses of all answers, where there are several.  end: the client sends nothing after it.
    check: looks at the last answer.  talk: does everything itself; returns the answer, or None.
    """

    family: str
    title: str
    send: Callable[[], tuple[bytes, ...]]
    status: int
    code: str = ""
    says: tuple[str, ...] = ()
    closes: bool = False
    server: str = "plain"
    pause: float = 0.0
    end: bool = False
    to_head: bool = False
    answers: tuple[int, ...] = ()
    around: Callable[[Server], Any] = field(default=lambda server: nullcontext())
    check: Callable[[Answer], bool] = field(default=lambda answer: True)
    talk: Callable[[Server], Answer | None] | None = None

    @property
    def slug(self) -> str:
        """For the name of its test."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self.family} {self.title}".lower()).strip("-")


CASES: list[Case] = []


def case(
    family: str,
    title: str,
    sent: bytes | tuple[bytes, ...] | Callable[[], Any],
    status: int,
    code: str = "",
    *says: str,
    **more: Any,
) -> None:
    """Add a row. sent: bytes, several parts, or what makes them when they are needed."""

    def send() -> tuple[bytes, ...]:
        data = sent() if callable(sent) else sent
        return (data,) if isinstance(data, bytes) else data

    CASES.append(Case(family, title, send, status, code, says, **more))


# -- what holds meanwhile --------------------------------------------------------------------------------------------
@contextmanager
def full(server: Server) -> Iterator[None]:
    """The model runs, and as many requests wait as may."""
    batcher = server.doors.app.engine.find("spin").batcher
    with Wire(server.url).send(infer(LONG, model="spin")):
        _until(lambda: len(batcher.running) == 1)
        with Wire(server.url).send(infer(LONG, model="spin")):
            _until(lambda: batcher.waiting == 1)
            yield
    _until(lambda: not batcher.running and not batcher.waiting)


@contextmanager
def connected(server: Server) -> Iterator[None]:
    """As many connections as may be."""
    app = server.doors.app
    wires = [Wire(server.url) for _ in range(app.settings.max_connections)]
    _until(lambda: app.connections == len(wires))
    yield
    for wire in wires:
        wire.socket.close()
    _until(lambda: app.connections <= 1)


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def slow_reader(server: Server) -> None:
    """Ask for an answer of tens of megabytes, and do not take it: the server lets the connection go."""
    app = server.doors.app
    with Wire(server.url, receive_buffer=1 << 12) as wire:
        before = app.connections
        size = 8_000_000
        wire.send(infer(document(name="n", datatype="INT64", shape=[1], data=[size]), model="space"))
        _until(lambda: app.connections > before or before > 0)
        _until(lambda: app.connections == 0)


def vanish(server: Server) -> None:
    """Ask for what takes long, and go."""
    batcher = server.doors.app.engine.find("spin").batcher
    with Wire(server.url).send(infer(LONG, model="spin")):
        _until(lambda: len(batcher.running) == 1)
    _until(lambda: not batcher.running)


def nothing() -> tuple[bytes, ...]:
    """For a case that talks by itself."""
    return ()
