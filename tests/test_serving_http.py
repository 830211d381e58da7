"""The HTTP door beyond single requests: tensors both ways, limits, who may ask what, connections over time, leaks.

Hostile requests are in test_serving_hostile.py, clients of others in test_serving_clients.py.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import struct
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import serving
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto
from raw_http import GOOD, GOOD_OUTPUTS, Wire, binary, chunk, chunked, document, get, infer, post

from interchange.protocol.datatypes import DTYPES, read_tensor
from interchange.protocol.errors import STATUS, ServingError
from interchange.serving import ModelSettings, Server
from interchange.serving.http import people, rest
from interchange.serving.http.bodies import packed, unpacked
from interchange.serving.http.infer import HttpCall
from interchange.serving.http.routes import Route
from interchange.serving.http.tensors import data_json, parse, read_data, shown
from interchange.serving.served import Port
from interchange.serving.settings import Settings, Token

ROOT = Path(__file__).parents[1]
LONG = infer(document(name="n", datatype="INT64", shape=[1], data=[10**12]), model="spin")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    serving.scaled(folder / "scaled.onnx")
    serving.spinning(folder / "spin.onnx")
    types = {"FP32": TensorProto.FLOAT, "INT64": TensorProto.INT64, "BYTES": TensorProto.STRING}
    serving.identity(folder / "types.onnx", types)
    return folder


def started(folder: Path, **more: Any) -> Server:
    return Server(folder, http_port=0, grpc_port=None, watch_seconds=None, **more)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with started(folder) as running:
        yield running


def until(condition: Any) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it does not come about"
        time.sleep(0.005)


# -- tensors in JSON --------------------------------------------------------------------------------------------------
NUMBERS = sorted(n for n in DTYPES if n != "BYTES")


def port(datatype: str) -> Port:
    return Port("x", datatype, DTYPES[datatype], (-1, -1), spec=SimpleNamespace())  # type: ignore[arg-type]


@pytest.mark.parametrize("datatype", NUMBERS)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_what_is_written_is_read_back(datatype: str, data: Any) -> None:
    dtype = DTYPES[datatype]
    plain = np.dtype("uint16") if datatype == "BF16" else dtype
    array = data.draw(hnp.arrays(plain, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))).view(dtype)
    flat = json.loads(data_json(array))
    nested = np.array(flat, object).reshape(array.shape).tolist() if array.ndim > 1 and array.size else flat
    for values in (flat, nested):
        found = read_data(values, port(datatype), array.shape)
        assert found.dtype == dtype
        if datatype == "BF16":
            np.testing.assert_array_equal(found.astype(np.float64), array.astype(np.float64))
        else:
            np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64", "BF16"])
def test_what_json_has_no_number_for(datatype: str) -> None:
    odd = np.array([np.nan, 1, np.inf, -np.inf, 0.5], np.float64).astype(DTYPES[datatype])
    assert data_json(odd) == b'["NaN",1.0,"Infinity","-Infinity",0.5]'


@pytest.mark.parametrize(
    ("datatype", "value"),
    [("INT8", 128), ("UINT64", -1), ("UINT64", 1e30), ("INT64", 2**63), ("FP32", 3.5e38), ("FP16", 65520),
     ("BF16", 3.4e38), ("FP64", True), ("BOOL", 1), ("BYTES", 1), ("INT32", 1.0), ("FP32", "nan"), ("FP32", None),
     ("INT32", "NaN")],
)  # fmt: skip
def test_a_value_that_a_datatype_cannot_have(datatype: str, value: Any) -> None:
    good: Any = {"BOOL": True, "BYTES": "a"}.get(datatype, 1)
    with pytest.raises(ServingError) as error:
        read_data([good, value], port(datatype), (2,))
    assert error.value.code == "IX633"
    assert error.value.found == shown(value)


def test_the_largest_values_that_it_can_have() -> None:
    for datatype, value in (("FP16", 65519.0), ("BF16", 3.39e38), ("FP32", 3.4e38), ("UINT64", 2**64 - 1)):
        assert np.isfinite(float(read_data([value], port(datatype), (1,))[0]))
    assert read_data([1, 2.5], port("BF16"), (2,)).dtype == ml_dtypes.bfloat16


def test_more_lists_than_memory_should_hold() -> None:
    flat = b'{"inputs": [' + b"1, " * 2_000_000 + b"1]}"
    assert len(parse(flat)["inputs"]) == 2_000_001
    with pytest.raises(ServingError) as error:
        parse(b'{"inputs": [' + b"[], " * 1_200_000 + b"1]}")
    assert error.value.code == "IX652"


def test_values_in_messages_are_short() -> None:
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    for value in (deep, ["a" * 10**6] * 10**4, {"a" * 10**6: deep}, "a" * 10**6, {str(n): deep for n in range(10**4)}):
        assert len(shown(value)) <= 100


def test_binary_tensors_that_are_not_aligned_are_copied() -> None:
    data = memoryview(b"\0" + struct.pack("<3f", 1, 2, 3))
    found = read_tensor(data[1:], "FP32", (3,), "x")
    assert found.flags.aligned
    assert found.tolist() == [1, 2, 3]


# -- outputs ----------------------------------------------------------------------------------------------------------
def asked(server: Server, sent: bytes) -> Any:
    with Wire(server.url) as wire:
        answer = wire.send(sent).answer()
    assert answer.status == 200, answer.body
    return answer


TYPED = {
    "inputs": [
        {"name": "x_BYTES", "shape": [1, 2], "datatype": "BYTES", "data": ["a", "ö"]},
        {"name": "x_FP32", "shape": [1, 2], "datatype": "FP32", "data": [0.1, 2]},
        {"name": "x_INT64", "shape": [1, 2], "datatype": "INT64", "data": [1, -(2**63)]},
    ]
}


def test_outputs_in_the_order_that_was_asked_for(server: Server) -> None:
    wanted = [{"name": "y_INT64"}, {"name": "y_BYTES"}]
    told = asked(server, infer(TYPED | {"outputs": wanted}, model="types")).json["outputs"]
    assert [(o["name"], o["data"]) for o in told] == [("y_INT64", [1, -(2**63)]), ("y_BYTES", ["a", "ö"])]
    everything = asked(server, infer(TYPED | {"outputs": []}, model="types")).json["outputs"]
    assert [o["name"] for o in everything] == ["y_FP32", "y_INT64", "y_BYTES"]


def test_binary_outputs_by_request_and_by_output(server: Server) -> None:
    outputs = [{"name": "y_BYTES"}, {"name": "y_FP32", "parameters": {"binary_data": False}}, {"name": "y_INT64"}]
    answer = asked(
        server, infer(TYPED | {"outputs": outputs, "parameters": {"binary_data_output": True}}, model="types")
    )
    assert answer.headers["content-type"] == "application/octet-stream"
    texts, floats, whole = answer.json["outputs"]
    assert floats["data"] == [0.1, 2.0]
    assert (texts["parameters"], whole["parameters"]) == ({"binary_data_size": 11}, {"binary_data_size": 16})
    rest = answer.body[int(answer.headers["inference-header-content-length"]) :]
    assert rest == struct.pack("<I", 1) + b"a" + struct.pack("<I", 2) + "ö".encode() + struct.pack("<2q", 1, -(2**63))


def test_an_answer_packed_as_the_client_takes_it(server: Server) -> None:
    large = document(shape=[500, 3], data=[0.5] * 1500)
    for accepted, encoding in (
        ("gzip", "gzip"),
        ("br, deflate", "deflate"),
        ("gzip;q=0, deflate;q=0", None),
        ("br", None),
    ):
        answer = asked(server, infer(large, f"Accept-Encoding: {accepted}"))
        assert answer.headers.get("content-encoding") == encoding
        body = unpacked(answer.body, encoding, 1 << 20) if encoding else answer.body
        assert json.loads(body)["outputs"][0]["data"] == [1.0] * 1500
    assert (
        "content-encoding"
        not in asked(server, GOOD.replace(b"Host: test", b"Host: test\r\nAccept-Encoding: gzip")).headers
    )


@given(st.binary(max_size=5000), st.sampled_from(["gzip", "deflate"]))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_packed_and_unpacked(data: bytes, encoding: str) -> None:
    body, name = packed(data, encoding)
    assert name == encoding
    assert unpacked(body, encoding, len(data)) == data
    if data:
        with pytest.raises(ServingError, match="IX652"):
            unpacked(body, encoding, len(data) - 1)


# -- who may ask what -------------------------------------------------------------------------------------------------
ROUTES = (*rest.ROUTES, *people.ROUTES)
TOKENS = (
    Token(secret="scaled-only", models=("scaled",)),
    Token(secret="asks"),
    Token(secret="rules", inference=False, admin=True),
)


def test_every_path_asks_for_its_right(folder: Path) -> None:
    """No path is open that need not be; nothing is told to a token of what it may not see."""
    refused: dict[str, Callable[[Route], bool]] = {
        "scaled-only": lambda r: "{model}" in r.template or r.right == "admin" or r.template == "/metrics",
        "asks": lambda r: r.right == "admin",
        "rules": lambda r: False,
    }
    with started(folder, tokens=TOKENS) as guarded, Wire(guarded.url) as wire:
        for route in ROUTES:
            path = route.template.format(model="types", version="1", file="app.js")
            for secret in (None, "wrong", "scaled-only", "asks", "rules"):
                headers = [] if secret is None else [f"Authorization: Bearer {secret}"]
                sent = get(path, *headers) if route.method == "GET" else post(path, b"{}", *headers)
                answer = wire.send(sent).answer()
                if route.right == "open":
                    assert answer.status not in (403,), path
                    assert answer.status != 401 or secret == "wrong", path
                elif secret in (None, "wrong"):
                    assert answer.status == 401, path
                    assert answer.json["code"] == "IX654"
                elif refused[secret](route):
                    assert answer.status == 403, path
                else:
                    assert answer.status not in (401, 403), path
                if secret in (None, "wrong", "scaled-only"):
                    assert b"types" not in answer.body or path.count("types") or "page" in path or path == "/", path
        assert {r.right for r in ROUTES} == {"open", "inference", "admin"}


def test_lists_show_what_a_token_may_see(folder: Path) -> None:
    with started(folder, tokens=TOKENS) as guarded, Wire(guarded.url) as wire:
        token = "Authorization: Bearer scaled-only"
        index = wire.send(post("/v2/repository/index", b"", token)).answer().json
        assert [m["name"] for m in index] == ["scaled"]
        statistics = wire.send(get("/v2/models/stats", token)).answer().json
        assert [m["name"] for m in statistics["model_stats"]] == ["scaled"]


def test_what_was_remembered_of_requests_is_forgotten(folder: Path) -> None:
    with started(folder, tokens=TOKENS) as guarded, Wire(guarded.url) as wire:
        sent = get("/v2/models/scaled", "Authorization: Bearer asks")
        assert wire.send(sent).answer().status == 200
        doors = guarded.doors

        async def change() -> None:
            doors.app.access.tokens = TOKENS[:1]
            assert doors.http is not None
            doors.http.reconfigure()

        guarded.call(change())
        assert wire.send(sent).answer().status == 401


# -- limits -----------------------------------------------------------------------------------------------------------
def test_a_limit_below_what_one_packet_holds(folder: Path) -> None:
    body = json.dumps(document() | {"id": "a" * 2000}).encode()
    fits = json.dumps(document() | {"id": "a" * 500}).encode()
    with started(folder, max_body=1000) as small:
        for sent in (infer(body), chunked(chunk(body)), infer(body, "Expect: 100-continue")):
            for parts in ([sent], [sent[:300], sent[300:]]):
                with Wire(small.url) as wire:
                    answer = wire.send(*parts).answer()
                    assert (answer.status, answer.json["code"], answer.closes) == (413, "IX652", True)
        asked(small, infer(fits))
        asked(small, chunked(chunk(fits)))


def test_a_client_that_still_sends_can_read_why_it_was_refused(folder: Path) -> None:
    with started(folder, max_body=1000) as small, Wire(small.url) as wire:
        wire.send(infer(b"")[:-4].replace(b"Content-Length: 0", b"Content-Length: 100000000") + b"\r\n\r\n")
        wire.send(*[bytes(1 << 20)] * 20)
        assert wire.answer().json["code"] == "IX652"
        app = small.doors.app
        assert app.connections == 1, "not closed yet: what is in its way would be lost"
        wire.end()
        assert wire.ended()
        until(lambda: app.connections == 0)


def test_how_long_a_client_may_read_why_it_was_refused(folder: Path) -> None:
    """Seconds behind its last byte, and as long as any slow request."""

    class Later:
        """The loop, seconds later."""

        def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
            self.loop, self.seconds, self.start = loop, 0.0, loop.time()

        def time(self) -> float:
            return self.start + self.seconds

        def call_later(self, *_: Any) -> asyncio.TimerHandle:
            return self.loop.call_later(1000, print)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.loop, name)

    with started(folder, slow_seconds=10) as server, Wire(server.url) as wire:
        door: Any = server.doors.http
        door._timer.cancel()
        door.loop = Later(door.loop)

        async def look(seconds: float) -> int:
            door.loop.seconds = seconds
            door._tick()
            await asyncio.sleep(0)
            return len(door.connections)

        assert server.call(look(0)) <= 1
        assert wire.send(b"NO HTTP\r\n\r\n").answer().status == 400
        (connection,) = door.connections
        for seconds in (1.5, 3.0, 4.5, 6.0, 7.5, 9.0):
            assert server.call(look(seconds)) == 1
            wire.send(b"more")
            until(lambda now=seconds: connection.last == door.loop.start + now)
        assert server.call(look(10.5)) == 0, "although it still sends"
        with Wire(server.url).send(b"NO HTTP\r\n\r\n") as other:
            assert other.answer().status == 400
            assert server.call(look(12.0)) == 1
            assert server.call(look(13.0)) == 0


def test_connections_beyond_those_that_can_be_told(folder: Path) -> None:
    """At the limit a client is told why; far above it the connection is dropped, so that they cannot pile up."""
    with started(folder, max_connections=1) as narrow:
        wires = [Wire(narrow.url) for _ in range(80)]
        until(lambda: narrow.doors.app.connections >= 65)
        told = [_told(w) for w in wires[1:]]
        assert told[0] == 503
        assert told.count(503) == 64
        assert told.count(None) == 15
        assert wires[0].send(GOOD).answer().status == 200
        for wire in wires:
            wire.socket.close()
        until(lambda: narrow.doors.app.connections == 0)


def _told(wire: Wire) -> int | None:
    try:
        return wire.answer().status
    except EOFError:
        return None


def test_idle_connections(folder: Path) -> None:
    """One without a request is closed; one whose answer took longer than that is not."""
    with started(folder, idle_seconds=1.5) as server, Wire(server.url) as idle, Wire(server.url) as busy:
        turns = document(name="n", datatype="INT64", shape=[1], data=[10**12]) | {"parameters": {"timeout": 2_200_000}}
        turns = infer(turns, model="spin")
        door: Any = server.doors.http
        assert busy.send(turns).answer().status == 504
        answered = door.clock
        until(lambda: door.clock > answered)  # the connections have been looked at
        assert busy.send(GOOD).answer().status == 200
        assert idle.ended()


# -- what runs --------------------------------------------------------------------------------------------------------
def test_a_client_that_goes_is_counted_and_nothing_runs_for_it(folder: Path) -> None:
    with started(folder) as server:
        served = server.doors.app.engine.find("spin")
        with Wire(server.url).send(LONG):
            until(lambda: served.batcher.running)
            with Wire(server.url).send(LONG):
                until(lambda: served.batcher.waiting)
            until(lambda: not served.batcher.waiting)
            assert served.statistics.failures == {"CANCELED": 1}
        until(lambda: not served.batcher.running)
        assert served.statistics.failures == {"CANCELED": 2}


def test_who_comes_and_goes_fills_no_queue(folder: Path) -> None:
    with started(folder) as server:
        batcher: Any = server.doors.app.engine.find("spin").batcher
        with Wire(server.url).send(LONG):
            until(lambda: batcher.running)
            for _ in range(20):
                with Wire(server.url).send(LONG):
                    until(lambda: batcher.waiting)
                until(lambda: not batcher.waiting)
            assert not batcher._queues
        until(lambda: not batcher.running)


def test_a_mistake_in_one_answer_fails_no_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish = HttpCall.finish

    def sometimes(self: HttpCall, outputs: Any) -> None:
        if self.id == "bad":
            raise ZeroDivisionError("a mistake of ours")
        finish(self, outputs)

    monkeypatch.setattr(HttpCall, "finish", sometimes)
    with started(folder, defaults=ModelSettings(max_delay_ms=30)) as server:
        wires = [Wire(server.url) for _ in range(5)]
        for number, wire in enumerate(wires):
            wire.send(infer(document() | {"id": "bad" if number == 2 else str(number)}))
        answers = [w.answer() for w in wires]
        assert [a.status for a in answers] == [200, 200, 500, 200, 200]
        assert answers[2].json["code"] == "IX648"
        assert wires[2].send(GOOD).answer().status == 200, "on the same connection"
        for wire in wires:
            wire.socket.close()


def test_a_mistake_in_reading_is_told_and_ends_nobody_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(raw: bytes) -> None:
        raise ZeroDivisionError("a mistake of ours")

    with started(folder) as server, Wire(server.url) as wire, Wire(server.url) as other:
        assert other.send(GOOD).answer().status == 200
        monkeypatch.setattr("interchange.serving.http.door.Head", broken)
        answer = wire.send(get("/v2", "A: new")).answer()
        assert (answer.status, answer.json["code"], answer.closes) == (500, "IX648", True)
        assert other.send(GOOD).answer().status == 200


def test_neighbours_in_a_batch_get_their_own(folder: Path) -> None:
    """Good and bad requests at once, of several shapes: each the answer to itself."""
    with started(folder, defaults=ModelSettings(max_delay_ms=5)) as server:
        problems: list[BaseException] = []

        def client(number: int) -> None:
            try:
                with Wire(server.url) as wire:
                    for turn in range(30):
                        rows = (number + turn) % 3 + 1
                        data = [float(number * 1000 + turn)] * (3 * rows)
                        if turn % 5 == 4:
                            bad = wire.send(infer(document(shape=[rows, 3], data=data[1:]))).answer()
                            assert bad.status == 400
                            continue
                        told = wire.send(
                            infer(document(shape=[rows, 3], data=data) | {"id": f"{number}/{turn}"})
                        ).answer()
                        assert told.json["id"] == f"{number}/{turn}"
                        assert told.json["outputs"][0] == GOOD_OUTPUTS[0] | {
                            "shape": [rows, 3],
                            "data": [2 * v for v in data],
                        }
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
        assert max(server.doors.app.engine.find("scaled").statistics.batches) > 3, "they did share runs"


def test_while_the_server_goes_down(folder: Path) -> None:
    """Not ready at once; what is asked on open connections is answered, and they are closed behind the answer."""
    with started(folder) as server, Wire(server.url) as wire, Wire(server.url) as other:
        assert wire.send(get("/v2/health/ready")).answer().status == 200
        server.doors.app.draining = True
        answer = wire.send(GOOD).answer()
        assert (answer.status, answer.closes) == (200, True)
        assert wire.ended()
        answer = other.send(get("/v2/health/ready")).answer()
        assert (answer.status, answer.json, answer.closes) == (503, {"ready": False}, True)


# -- nothing is left behind -------------------------------------------------------------------------------------------
def test_thousands_of_requests_leave_nothing_behind(folder: Path) -> None:
    """Memory, file descriptors, tasks, and what is remembered, after good, bad and broken requests of every kind."""
    kinds = [
        GOOD,
        infer(document() | {"parameters": {"binary_data_output": True}}),
        binary(document(data=..., parameters={"binary_data_size": 12}), struct.pack("<3f", 1, 2, 3)),
        infer(document(data=[1])),
        infer(b"[" * 2000),
        chunked(chunk(b"{"), chunk(b"}")),
        get("/v2/models/scaled/config"),
        get("/v2/repository/none"),
        infer(
            {"inputs": [{"name": "x", "shape": [300, 3], "datatype": "FP32", "data": [0.5] * 900}]},
            "Accept-Encoding: gzip",
        ),
    ]
    broken = [b"NO HTTP\r\n\r\n", GOOD[:-5], chunked(b"zz\r\n"), get("/", "A: b\0")]
    with started(folder) as server:
        app = server.doors.app

        def round_of(count: int) -> None:
            wires = [Wire(server.url) for _ in range(8)]
            for number in range(count):
                wire = wires[number % 8]
                unique = post("/v2/models/scaled/infer", document(), f"X-Request-Id: {number}/{count}")
                wire.send(unique if number % 3 == 0 else kinds[number % len(kinds)]).answer()
                if number % 20 == 0:
                    with Wire(server.url) as other:
                        other.send(broken[number // 20 % len(broken)])
                        if number % 40 == 0:
                            other.end().answer()
                if number % 50 == 0:
                    with Wire(server.url).send(LONG):
                        until(lambda: app.engine.find("spin").batcher.running)
                    until(lambda: not app.engine.find("spin").batcher.running)
            for wire in wires:
                wire.socket.close()
            until(lambda: app.connections == 0)

        round_of(1500)
        prints = [footprint(server)]
        for _ in range(3):
            round_of(1000)
            prints.append(footprint(server))
        first, last = prints[0], prints[-1]
        assert last["descriptors"] == first["descriptors"]
        assert last["tasks"] == first["tasks"]
        assert last["threads"] <= first["threads"]
        # what leaks does so in every round; an allocator takes its pages when it likes
        assert min(b["resident"] - a["resident"] for a, b in pairwise(prints)) < 1 << 19, prints


def footprint(server: Server) -> dict[str, int]:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "resident": pages * os.sysconf("SC_PAGE_SIZE"),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "tasks": server.call(_count_tasks()),
        "threads": threading.active_count(),
    }


async def _count_tasks() -> int:
    return len(asyncio.all_tasks())


# -- the page about it ------------------------------------------------------------------------------------------------
def test_the_page_has_the_status_of_each_code() -> None:
    page = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (IX\d{3}) \| [^|]+ \| (\d{3}) \| ([A-Z_]+) \|$", page, re.MULTILINE)
    assert {code: (int(status), name) for code, status, name in rows} == STATUS


def test_the_page_names_every_path() -> None:
    page = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    for route in rest.ROUTES:
        path = route.template.replace("/versions/{version}", "").replace("{model}", "M")
        assert path in page or (path.endswith("/unload") and "/unload" in page), path


def test_the_settings_of_the_limits_are_as_documented() -> None:
    page = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    for name in (
        "max_head",
        "max_body",
        "max_connections",
        "slow_seconds",
        "idle_seconds",
        "max_elements",
        "max_incoming",
    ):
        assert name in page
        assert hasattr(Settings(), name)
