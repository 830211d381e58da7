"""Fuzzing of the HTTP door: requests changed at random, cut into packets at random, and what must hold of the answers.

``python tests/fuzzing_serving.py --seconds 600`` runs it (`make fuzz`). A case is told by its seed and number alone:
``--seed 7 --first 1234 --count 1`` runs it again.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import gzip
import json
import math
import random
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import serving
from onnx import TensorProto
from raw_http import GOOD, Answer, binary, chunk, chunked, document, get, infer, read_answers

from interchange.protocol.datatypes import DTYPES, read_tensor
from interchange.serving import Server
from interchange.serving.http.connection import Connection
from interchange.serving.http.door import HttpDoor

MAX_BODY = 1 << 16
ROUND = 100  # cases between two lines of a process that tries them
STILL = 120.0  # seconds that a round may take
TYPES = {
    "FP32": TensorProto.FLOAT,
    "FP16": TensorProto.FLOAT16,
    "INT8": TensorProto.INT8,
    "UINT64": TensorProto.UINT64,
    "BOOL": TensorProto.BOOL,
    "BYTES": TensorProto.STRING,
}
VALUES: dict[str, list[Any]] = {
    "FP32": [0.5, -1],
    "FP16": [1.5, "NaN"],
    "INT8": [-128, 127],
    "UINT64": [0, 2**64 - 1],
    "BOOL": [True, False],
    "BYTES": ["", "größe\0"],
}


def server(folder: Path) -> Server:
    """Each datatype as it is (``types``), and ``scaled``."""
    serving.identity(folder / "types.onnx", TYPES)
    serving.scaled(folder / "scaled.onnx")
    return Server(folder, http_port=0, grpc_port=None, watch_seconds=None, max_body=MAX_BODY, max_elements=1 << 16)


def everything() -> dict[str, Any]:
    """A request that says all that can be said."""
    return {
        "id": "42",
        "parameters": {"priority": 1, "timeout": 10_000_000, "binary_data_output": False},
        "inputs": [{"name": f"x_{t}", "shape": [1, 2], "datatype": t, "data": list(VALUES[t])} for t in TYPES],
        "outputs": [
            {"name": "y_FP32", "parameters": {"binary_data": False}},
            {"name": "y_INT8", "parameters": {"classification": 2}},
            {"name": "y_BYTES"},
            {"name": "y_BOOL"},
        ],
    }


def raw(datatype: str) -> bytes:
    """The values of a datatype as bytes."""
    if datatype == "BYTES":
        texts = [v.encode() for v in VALUES["BYTES"]]
        return b"".join(struct.pack("<I", len(t)) + t for t in texts)
    return np.array(VALUES[datatype], DTYPES[datatype]).tobytes()


def all_binary() -> tuple[dict[str, Any], list[bytes]]:
    """The same with its tensors behind the JSON."""
    asked = everything() | {"outputs": [{"name": f"y_{t}", "parameters": {"binary_data": True}} for t in TYPES]}
    for tensor in asked["inputs"]:
        tensor["parameters"] = {"binary_data_size": len(raw(tensor["datatype"]))}
        del tensor["data"]
    return asked, [raw(t) for t in TYPES]


# -- requests, changed ------------------------------------------------------------------------------------------------
_BODY = json.dumps(document()).encode()
CORPUS: tuple[bytes, ...] = (
    GOOD,
    infer(everything(), model="types"),
    binary(*(lambda d: (d[0], *d[1]))(all_binary()), model="types"),
    infer(struct.pack("<3f", 1, 2, 3), "Inference-Header-Content-Length: 0"),
    infer(gzip.compress(_BODY, mtime=0), "Content-Encoding: gzip", "Accept-Encoding: gzip"),
    chunked(chunk(_BODY[:9]), chunk(_BODY[9:]), end=b"0;a=b\r\nA: b\r\n\r\n"),
    get("/v2/health/live", "X-Request-Id: 7"),
    get("/v2/models/scaled", method="HEAD"),
    get("/v2/models/types/config?a=b"),
    get("/v2", "Connection: close"),
    b"GET /v2/health/ready HTTP/1.0\r\n\r\n",
    get("/none"),
)
TOKENS: tuple[bytes, ...] = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\0", b" ", b"\t", b":", b"0", b"-1", b"+", b"9" * 20, b"ffffffff", b"0x",
    b"{", b"}", b"[", b"]", b'"', b",", b"null", b"NaN", b"1e999", b"\\ud800", b"\xff", b"\xc3\xb6", b"%", b"..", b"/",
    b"//", b"?", b"#", b";", b"Content-Length: 3\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Content-Encoding: gzip\r\n", b"Content-Encoding: br\r\n",
    b"Inference-Header-Content-Length: 5\r\n", b"Host: a\r\n", b"HTTP/1.0", b"HTTP/2", b"CONNECT ", b"A: b\r\n c\r\n",
)  # fmt: skip


def bytes_changed(rnd: random.Random) -> bytes:
    """Some requests behind each other, with some bytes changed."""
    data = bytearray(b"".join(rnd.choice(CORPUS) for _ in range(rnd.choice((1, 1, 2, 3)))))
    for _ in range(rnd.choice((0, 1, 1, 1, 2, 4, 16))):
        at = rnd.randrange(len(data) + 1)
        match rnd.randrange(6):
            case 0 if at < len(data):
                data[at] = rnd.randrange(256)
            case 1:
                del data[at : at + rnd.choice((1, 1, 2, 8, 64))]
            case 2:
                data[at:at] = data[at : at + rnd.choice((1, 8, 64))] * rnd.choice((1, 2, 9))
            case 3:
                other = rnd.choice(CORPUS)
                start = rnd.randrange(len(other))
                data[at:at] = other[start : start + rnd.choice((1, 8, 64, 512))]
            case 4:
                del data[at:]
            case _:
                data[at:at] = rnd.choice(TOKENS)
    return bytes(data)


_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 127, 128, 255, 256, 2**31, 2**32, 2**53 + 1, 2**63, 2**64, 2**70, -(2**63), 0.5,
    1e39, 1e308, -0.0, 65504.0, 65520.0, "", "x", "NaN", "Infinity", "-Infinity", "1", "\0", "größe", "y_FP32", "FP32",
    "FP64", "BF16", "BYTES", "a" * 300, [], {}, [[]], [1, 2], [[1, 2]], [[1], [2]], [1, 2, 3], {"name": "y_FP32"},
    [None], [[[]]],
)  # fmt: skip


def _changed(value: Any, rnd: random.Random) -> Any:
    """A JSON value with one place in it changed."""
    if not isinstance(value, (dict, list)) or not value or rnd.random() < 0.15:
        return rnd.choice(_ODD)
    if isinstance(value, list):
        items = list(value)
        at = rnd.randrange(len(items))
        match rnd.randrange(6):
            case 0:
                del items[at]
            case 1:
                items.insert(at, items[at])
            case 2:
                items.insert(at, rnd.choice(_ODD))
            case _:
                items[at] = _changed(items[at], rnd)
        return items
    members = dict(value)
    key = rnd.choice(list(members))
    match rnd.randrange(7):
        case 0:
            del members[key]
        case 1:
            members[rnd.choice(("name", "shape", "data", "datatype", "parameters", "", "ghost"))] = members.pop(key)
        case _:
            members[key] = _changed(members[key], rnd)
    return members


def json_changed(rnd: random.Random) -> bytes:
    """A request whose JSON says something else."""
    value: Any = everything()
    for _ in range(rnd.choice((1, 1, 1, 2, 3))):
        value = _changed(value, rnd)
    return infer(value, model="types")


def binary_changed(rnd: random.Random) -> bytes:
    """A request of the binary extension with other sizes, shapes or bytes."""
    value, parts = all_binary()
    length: int | None = None
    for _ in range(rnd.choice((1, 1, 2))):
        match rnd.randrange(5):
            case 0:
                at = rnd.randrange(len(parts))
                parts[at] = rnd.choice(
                    (b"", parts[at][:-1], parts[at] + b"\0", parts[at] * 2, rnd.randbytes(len(parts[at])))
                )
            case 1:
                at = rnd.randrange(len(parts))
                value["inputs"][at]["parameters"]["binary_data_size"] = rnd.choice(
                    (*_ODD, len(parts[at]), len(parts[at]) + 1)
                )
            case 2:
                at = rnd.randrange(len(parts))
                value["inputs"][at]["shape"] = rnd.choice(
                    ([2, 1], [2], [1, 1, 2], [0, 2], [2**40, 2**40], [-1, 2], [0, 2**62])
                )
            case 3:
                length = rnd.choice((0, 1, len(json.dumps(value)) - 1, len(json.dumps(value)) + 1, 10**9))
            case 4:
                rnd.shuffle(parts)
    return binary(_changed(value, rnd) if rnd.random() < 0.2 else value, *parts, model="types", length=length)


MAKERS: tuple[Callable[[random.Random], bytes], ...] = (bytes_changed, bytes_changed, json_changed, binary_changed)


# -- answers ----------------------------------------------------------------------------------------------------------
class Memory(asyncio.Transport):
    """A client's end in memory: what is written is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = self.paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Talk(NamedTuple):
    """What came back. early: the server ended the connection before the client did."""

    written: bytes
    early: bool


async def talk(door: HttpDoor, parts: Sequence[bytes], settle: Callable[[], bool]) -> Talk:
    """Give a door packets, then the end. settle: whether it gets a rest before the next one."""
    wire = Memory()
    connection = Connection(door)
    connection.connection_made(wire)

    async def rest(until: Callable[[], bool]) -> None:
        for _ in range(10_000):
            await asyncio.sleep(0)
            if until():
                return
        raise AssertionError(f"nothing happens any more: busy {connection.busy}, pending {connection.pending[:80]!r}")

    for part in parts:
        if wire.paused:
            await rest(lambda: wire.closed or not wire.paused)
        if wire.closed:
            break
        connection.data_received(part)
        if settle():
            await rest(lambda: wire.closed or not connection.busy)
    # all that came is answered before the end comes: what an end does to a request is another matter
    await rest(lambda: wire.closed or not (connection.busy or (connection.head is None and _whole_head(connection))))
    early = wire.closed
    if not wire.closed:
        if not connection.eof_received():
            wire.close()
        await rest(lambda: wire.closed)
    connection.connection_lost(None)
    return Talk(bytes(wire.written), early)


def _whole_head(connection: Connection) -> bool:
    """Whether the connection is going to look at what is pending."""
    return b"\r\n\r\n" in connection.pending.lstrip(b"\r\n")


def packets(data: bytes, rnd: random.Random) -> list[bytes]:
    """Cut at random."""
    size = rnd.choice((1, 2, 7, 64, 1000))
    cuts = sorted({0, len(data), *(rnd.randrange(len(data) + 1) for _ in range(len(data) // size))})
    return [data[a:b] for a, b in pairwise(cuts)]


def outcome(answer: Answer) -> tuple[Any, ...]:
    """What of an answer may not depend on packets: all but what is said of a request that cannot be read."""
    if (
        answer.headers.get("content-type") != "application/json"
        or answer.headers.get("content-encoding")
        or not answer.body
    ):
        return answer.status, answer.headers["content-length"], answer.closes
    told = answer.json
    if "code" in told:
        return answer.status, told["code"], told.get("input"), answer.closes
    return answer.status, answer.body, answer.closes


def judge(answer: Answer) -> None:
    """A correct answer, or a refusal with a code; never a mistake of ours."""
    assert answer.status < 500 or answer.status == 504, answer
    if answer.status >= 400:
        body = gzip.decompress(answer.body) if answer.headers.get("content-encoding") == "gzip" else answer.body
        if body:  # none with HEAD
            told = json.loads(body)
            assert told["code"].startswith("IX6"), told
            assert told["error"].startswith(("IX6", told["code"])), told
            assert told.get("found"), told
            assert len(body) < 50_000, len(body)


def right(sent: bytes, answer: Answer) -> None:
    """That outputs are the inputs that were sent: ``types`` changes nothing."""
    if answer.status != 200 or "outputs" not in answer.json:
        return
    head, _, body = sent.partition(b"\r\n\r\n")
    size = len(body)
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"inference-header-content-length:"):
            size = int(line.partition(b":")[2])
    asked = json.loads(body[:size])
    given = {}
    at = size
    for tensor in asked["inputs"]:
        count = (tensor.get("parameters") or {}).get("binary_data_size")
        datatype = tensor["datatype"]
        if count is None:
            given[tensor["name"]] = _numbers(tensor["data"], datatype).reshape(tensor["shape"])
        else:
            given[tensor["name"]] = read_tensor(body[at : at + count], datatype, tensor["shape"], "x")
            at += count
    wanted = [o["name"] for o in asked.get("outputs") or ()] or [f"y_{t}" for t in TYPES]
    assert [o["name"] for o in answer.json["outputs"]] == wanted
    options = {o["name"]: o.get("parameters") or {} for o in asked.get("outputs") or ()}
    rest = answer.body[int(answer.headers.get("inference-header-content-length", len(answer.body))) :]
    for output in answer.json["outputs"]:
        expected = given[output["name"].replace("y_", "x_")]
        datatype = output["datatype"]
        size = (output.get("parameters") or {}).get("binary_data_size")
        if options.get(output["name"], {}).get("classification") is not None:
            rest = rest[size or 0 :]
            continue
        if size is None:
            found = _numbers(output["data"], datatype).reshape(output["shape"])
        else:
            found, rest = read_tensor(rest[:size], datatype, output["shape"], "y"), rest[size:]
        assert found.shape == expected.shape
        if datatype == "BYTES":
            assert found.tolist() == expected.tolist()
        else:
            np.testing.assert_array_equal(found, expected)
    assert not rest


_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _numbers(data: Any, datatype: str) -> Any:
    flat: list[Any] = []
    stack = [data]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack.extend(reversed(value))
        else:
            flat.append(_WORDS.get(value, value) if isinstance(value, str) and datatype != "BYTES" else value)
    return np.array(flat, object if datatype == "BYTES" else DTYPES[datatype])


# -- cases ------------------------------------------------------------------------------------------------------------
def try_one(asked: Server, rnd: random.Random, make: Callable[[random.Random], bytes]) -> None:
    """One case: in one packet, and cut at random. Raises AssertionError for what must not be."""
    sent = make(rnd)
    door = asked.doors.http
    assert door is not None
    whole = asked.call(asyncio.wait_for(talk(door, [sent] if sent else [], lambda: False), 30))
    answers = read_answers(whole.written, to_head=_heads(sent))
    for answer in answers:
        judge(answer)
    if make is not bytes_changed:
        assert len(answers) == 1, answers
        right(sent, answers[0])
    for part in (packets(sent, rnd), [bytes([b]) for b in sent] if len(sent) < 3000 else []):
        if part:
            cut = asked.call(asyncio.wait_for(talk(door, part, lambda: rnd.random() < 0.5), 30))
            again = read_answers(cut.written, to_head=_heads(sent))
            if not any(a.status == 504 for a in (*again, *answers)):  # a timeout of microseconds
                assert [outcome(a) for a in again] == [outcome(a) for a in answers], (again, answers)
                assert cut.early == whole.early


def _heads(sent: bytes) -> bool:
    return b"HEAD " in sent


def case(asked: Server, seed: int, number: int) -> str | None:
    """Run a case; what is wrong with it."""
    rnd = random.Random(f"{seed}:{number}")
    try:
        try_one(asked, rnd, rnd.choice(MAKERS))
    except Exception:  # whatever it is
        return traceback.format_exc()
    return None


def try_cases(seed: int, first: int, count: int) -> None:
    """Run cases in this process; a line of JSON for every round and every find."""
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as asked:
        for number in range(first, first + count):
            if (number - first) % ROUND == 0:
                faulthandler.dump_traceback_later(STILL, exit=True)
                print(json.dumps({"case": number}), flush=True)
            problem = case(asked, seed, number)
            if problem is not None:
                print(json.dumps({"case": number, "problem": problem}), flush=True)
        app = asked.doors.app
        assert app.connections == 0
        assert all(s.batcher.waiting == 0 for v in app.engine.models.values() for s in v.values())


def main() -> None:
    """The command: a process that tries cases, and one that watches it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=10**9)
    parser.add_argument("--try", action="store_true", dest="inside", help="run in this process")
    given = parser.parse_args()
    if given.inside:
        try_cases(given.seed, given.first, given.count)
        return
    arguments = ["--try", "--seed", str(given.seed), "--first", str(given.first), "--count", str(given.count)]
    child = subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    end, last, finds = time.monotonic() + given.seconds, given.first, []
    with child:
        for line in child.stdout:
            told = json.loads(line)
            last = told["case"]
            if "problem" in told:
                finds.append(f"seed {given.seed}, case {last}: {told['problem']}")
            if time.monotonic() > end:
                child.kill()
                break
        else:
            if child.wait():
                finds.append(f"seed {given.seed}, from case {last}: the process ended with status {child.returncode}")
    print(f"seed {given.seed}: {last - given.first} cases, {len(finds)} finds", *finds, sep="\n")
    sys.exit(bool(finds))


if __name__ == "__main__":
    main()
