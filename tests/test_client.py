"""The client: what a caller gets, and that nothing a server or a network does harms or hangs it. Both clients alike."""

import asyncio
import json
import os
import ssl
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest
from scripted import Blocking, Scripted, X, binary_reply, clients, fails, head, infer, reply

from interchange.client import AsyncClient, Client, ClientError, RemoteError
from interchange.client import retrying as pauses
from interchange.errors import UsageError
from interchange.runtime import InputsError

client = pytest.fixture(params=[Client, Blocking], ids=["sync", "async"])(clients)


@pytest.fixture
def waits(monkeypatch):
    """The waits between attempts, which take no time."""
    found = []

    async def asleep(seconds):
        found.append(seconds)

    monkeypatch.setattr("interchange.client.synchronous.time.sleep", found.append)
    monkeypatch.setattr("interchange.client.asynchronous.asyncio.sleep", asleep)
    return found


# -- what is asked and answered ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("binary", [None, True, False])
def test_arrays_and_lists_are_answered_with_arrays(client, binary):
    with Scripted() as server:
        ask = client(server.url)
        for given in (X, X.tolist(), X.astype(">f4"), [[1, 2.0, np.float32(3)]]):
            found = ask.infer("m", x=given, binary=binary)["y"]
            assert found.dtype == np.float32
            assert found.tolist() == [[2, 4, 6]]
            found += 1  # it belongs to the caller
        kinds = {r.headers["content-type"] for r in server.inferences}
        assert kinds == {"application/json" if binary is False else "application/octet-stream"}


def test_json_is_spoken_with_a_server_that_does_not_offer_the_binary_form(client):
    with Scripted(binary=False) as server:
        assert client(server.url).infer("m", x=X)["y"].tolist() == [[2, 4, 6]]
        assert server.inferences[0].headers["content-type"] == "application/json"


def test_what_is_asked_beside_the_tensors_is_in_the_request(client):
    with Scripted() as server:
        ask = client(server.url, "secret", headers={"X-Tenant": "blue"})
        ask.infer("m", {"x": X}, version="1", outputs=["y"], priority=1, timeout=2.5, id="abc")
        (sent,) = server.inferences
        document = json.loads(sent.body[: int(sent.headers["inference-header-content-length"])])
        assert sent.path == "/v2/models/m/versions/1/infer"
        assert (sent.headers["authorization"], sent.headers["x-tenant"]) == ("Bearer secret", "blue")
        assert document == {
            "id": "abc",
            "parameters": {"priority": 1, "timeout": 2500000, "binary_data_output": True},
            "inputs": [
                {"name": "x", "shape": [1, 3], "datatype": "FP32", "parameters": {"binary_data_size": 12}},
            ],
            "outputs": [{"name": "y"}],
        }


def test_requests_that_look_alike_are_not_taken_for_each_other(client):
    with Scripted() as server:
        ask = client(server.url)
        for rows, version in [(1, ""), (2, ""), (1, "1"), (2, "1"), (1, ""), (0, "")]:
            given = np.random.default_rng(rows).random((rows, 3), np.float32)
            assert np.array_equal(ask.infer("m", x=given, version=version)["y"], given * 2)


def test_every_datatype_comes_back_as_it_went(client):
    import ml_dtypes

    arrays = {
        "BOOL": np.array([True, False]),
        "UINT8": np.array([0, 255], np.uint8),
        "INT64": np.array([-(2**63), 2**63 - 1]),
        "UINT64": np.array([0, 2**64 - 1], np.uint64),
        "FP16": np.array([1.5, -2], np.float16),
        "BF16": np.array([1.5, -2], ml_dtypes.bfloat16),
        "FP64": np.array([np.pi, np.nan]),
        "BYTES": np.array(["é", ""], object),
    }
    for datatype, array in arrays.items():
        inputs = [{"name": "x", "datatype": datatype, "shape": [2]}]
        with Scripted(metadata={"inputs": inputs}, script=[_echo] * 3) as server:
            ask = client(server.url)
            for binary in (True, True, False):
                if datatype in ("FP16", "BF16", "FP64") and not binary:
                    fails("IX687", ask.infer, "m", x=array, binary=False)
                    continue
                server.script = [lambda sock, s=server: sock.sendall(_echo(s.inferences[-1]))]
                found = ask.infer("m", x=array, binary=binary)["x"]
                assert found.dtype == array.dtype
                assert np.array_equal(found, array, equal_nan=datatype == "FP64")


def _echo(asked):
    size = asked.headers.get("inference-header-content-length")
    if size is None:
        return reply({"outputs": json.loads(asked.body)["inputs"]})
    (entry,) = json.loads(asked.body[: int(size)])["inputs"]
    return binary_reply([("x", entry["datatype"], entry["shape"], asked.body[int(size) :])])


def test_json_answers_of_other_servers_are_read(client):
    body = '{"outputs": [{"name": "y", "datatype": "FP32", "shape": [2, 2], "data": [[NaN, 1], ["Infinity", null]]}]}'
    with Scripted(script=[head(len(body)) + body.encode()]) as server:
        found = client(server.url).infer("m", x=X)["y"]
        assert np.array_equal(found, np.array([[np.nan, 1], [np.inf, np.nan]], np.float32), equal_nan=True)


def test_large_tensors_are_whole(client):
    big = np.random.default_rng(0).random((200_000, 3), np.float32)
    with Scripted() as server:
        ask = client(server.url)
        for _ in range(2):
            found = ask.infer("m", x=big)["y"]
            assert np.array_equal(found, big * 2)
            found[:] = 0
        assert len({r.connection for r in server.requests}) == 1


def test_the_other_questions(client):
    with Scripted(scripted="/ready") as server:
        ask = client(server.url)
        assert ask.live()
        assert ask.ready()
        assert ask.ready("m")
        assert ask.metadata()["name"] == "scripted"
        assert ask.metadata("m")["inputs"][0]["name"] == "x"
        assert ask.index() == [{"name": "m", "version": "1", "state": "READY", "reason": ""}]
        assert ask.load("m") is None
        assert ask.unload("m") is None
        server.script = [reply({"error": "no"}, 400), reply({"name": "m", "ready": False}), reply(status=503)]
        assert not ask.ready("m")
        assert not ask.ready("m")
        assert not ask.ready()
        assert ask.ready()
        fails("IX686", ask.statistics)
        fails("IX686", ask.config, "m")
    assert not ask.live()
    assert not ask.ready()


# -- what a caller does wrong ------------------------------------------------------------------------------------------
def test_wrong_inputs_are_told_before_anything_is_sent(client):
    with Scripted() as server:
        ask = client(server.url)
        for code, given in [
            ("IX602", {"z": X}),
            ("IX603", {"x": X.astype(np.float64)}),
            ("IX604", {"x": X[0]}),
            ("IX604", {"x": np.ones((1, 4), np.float32)}),
            ("IX608", {"x": [[1, 2], [3]]}),
        ]:
            with pytest.raises(InputsError) as info:
                ask.infer("m", given)
            assert info.value.code == code
            assert info.value.where.split(":")[0] in ("test_client.py", "scripted.py")
        assert server.inferences == []


def test_values_without_a_dtype_need_a_server_that_tells_it(client):
    with Scripted(metadata={"name": "m"}) as server:
        ask = client(server.url)
        fails("IX688", ask.infer, "m", x=[[1, 2, 3]])
        assert ask.infer("m", x=X)["y"].tolist() == [[2, 4, 6]]


@pytest.mark.parametrize(
    "url",
    ["localhost:8000", "ftp://h", "http://", "http://h:port", "http://u:p@h", "http://h/?a=1", "unix://", "", None, 3,
     "http://h\r\nX: y", "http://a b"],
)  # fmt: skip
def test_addresses_that_are_none(client, url):
    fails("IX680", client, url)


@pytest.mark.parametrize("token", ["", "a\r\nX-Other: b", "ä", "a\n"])
def test_tokens_that_would_break_out_of_their_line(client, token):
    fails("IX680", client, "http://h", token)


@pytest.mark.parametrize(
    "options", [{"timeout": 0}, {"timeout": float("nan")}, {"timeout": "1"}, {"retries": -1}, {"retries": 1.5}]
)
def test_options_that_cannot_be(client, options):
    fails("IX689", client, "http://h", **options)


def test_inputs_as_a_mapping_and_by_name(client):
    fails("IX689", client("http://h").infer, "m", {"x": X}, y=X)
    fails("IX689", client("http://h").infer, "m", X)
    fails("IX689", client("http://h").infer, "m", x=X, timeout=-1)
    for wrong in ({"outputs": [["y"]]}, {"outputs": [1]}, {"priority": "high"}, {"id": 7}):
        fails("IX689", client("http://h").infer, "m", x=X, **wrong)
    fails("IX689", client("http://h").infer, ["m"], x=X)
    fails("IX689", client("http://h").infer, "", x=X)


def test_names_of_models_lead_nowhere_else(client):
    with Scripted() as server:
        fails("IX686", client(server.url).metadata, "../../v2/repository/index?a=b")
        assert server.requests[-1].path == "/v2/models/..%2F..%2Fv2%2Frepository%2Findex%3Fa%3Db"


# -- what the server says ----------------------------------------------------------------------------------------------
def test_the_servers_own_errors_are_raised(client):
    told = {
        "error": "IX604: another shape; found: ...",
        "code": "IX604",
        "message": "input x has another shape",
        "input": "x",
        "found": "float32[1, 3]",
        "expected": "float32[batch, 3]",
        "fix": "give another",
        "problems": [{"code": "IX604"}, {"code": "IX602"}],
    }
    with Scripted(script=[reply(told, 400)]) as server:
        error = fails("IX604", client(server.url).infer, "m", x=X)
        assert isinstance(error, RemoteError)
        parts = (error.message, error.input, error.found, error.expected, error.fix, error.status)
        assert parts == ("input x has another shape", "x", "float32[1, 3]", "float32[batch, 3]", "give another", 400)
        assert error.where == f"{server.url} model m"
        assert error.to_dict()["problems"] == told["problems"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (reply({"error": "unknown model"}, 404), "unknown model"),
        (reply({"detail": [{"loc": ["body"]}]}, 422), "loc"),
        (head(21, 500) + b"Internal Server Error", "Internal Server Error"),
        (head(0, 302, Location="http://other"), "302"),
        (reply({"error": "\x1b[31mred", "code": "IX1"}, 400), "red"),
        (reply({"error": ["x" * 100_000]}, 400), "xxx"),
        (reply([], 400), "400"),
        (head(3, 400) + b"\xff\xfe\xfd", "400"),
        (head(0, 204), "204"),
    ],
)
def test_errors_of_other_servers(client, answer, words):
    with Scripted(script=[answer]) as server:
        error = fails("IX686", client(server.url).infer, "m", x=X)
        assert words in str(error)
        assert len(str(error)) < 2000
        assert "\x1b" not in str(error)


def test_a_model_that_was_replaced_is_looked_at_again(client):
    with Scripted() as server:
        ask = client(server.url)
        ask.infer("m", x=[[1, 2, 3]])
        server.metadata = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, 3]}]}
        refused = reply({"error": "dtype", "code": "IX603", "message": "x takes float64"}, 400)
        server.script = [refused, lambda sock: sock.sendall(_echo(server.inferences[-1]))]
        assert ask.infer("m", x=[[1, 2, 3]])["x"].dtype == np.float64
        server.metadata = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]}
        server.script = [lambda sock: sock.sendall(_echo(server.inferences[-1]))]
        assert ask.infer("m", x=np.ones((1, 4), np.float32))["x"].shape == (1, 4)
        server.metadata = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, 4]}]}
        server.script = [refused]
        for _ in range(2):  # what was sent before is not sent again once it is known not to fit
            fails("IX603", ask.infer, "m", x=np.ones((1, 4), np.float32))
        assert server.script == []
        assert len(server.inferences) == 5


# -- connections -------------------------------------------------------------------------------------------------------
def test_a_connection_is_kept(client):
    with Scripted() as server:
        ask = client(server.url)
        for _ in range(5):
            ask.infer("m", x=X)
        assert {r.connection for r in server.requests} == {0}


@pytest.mark.parametrize("retries", [0, 3])
def test_a_connection_that_the_server_closed_meanwhile_is_no_error(client, retries):
    with Scripted() as server:
        ask = client(server.url, retries=retries)
        for _ in range(3):
            assert ask.infer("m", x=X)["y"].tolist() == [[2, 4, 6]]
            server.drop()


def test_a_server_that_wants_no_more_requests_on_a_connection_gets_a_new_one(client):
    with Scripted() as server:
        ask = client(server.url)
        ask.infer("m", x=X)
        server.script = [
            lambda sock: sock.sendall(infer(server.inferences[-1]).replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        ] * 3
        for _ in range(3):
            assert ask.infer("m", x=X)["y"].tolist() == [[2, 4, 6]]
        assert len({r.connection for r in server.inferences}) == 3


def test_threads_share_a_client():
    with Scripted() as server, Client(server.url) as ask:
        wrong = []

        def work(number):
            given = np.full((1, 3), number, np.float32)
            found = [ask.infer("m", x=given)["y"] for _ in range(30)]
            wrong.extend(number for y in found if not np.array_equal(y, given * 2))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert len(server.inferences) == 240
        assert len({r.connection for r in server.requests}) <= 16


def test_tasks_share_a_client():
    async def work(url):
        async with AsyncClient(url, connections=4) as ask:
            given = [np.full((1, 3), n, np.float32) for n in range(40)]
            for array, found in zip(given, await asyncio.gather(*(ask.infer("m", x=a) for a in given)), strict=True):
                assert np.array_equal(found["y"], array * 2)

    with Scripted() as server:
        asyncio.run(work(server.url))


def test_an_asynchronous_client_outlives_its_loop():
    async def one(ask):
        return await ask.infer("m", x=X)

    with Scripted() as server:
        ask = AsyncClient(server.url)
        first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
        for loop in (first, second, second):
            assert loop.run_until_complete(one(ask))["y"].tolist() == [[2, 4, 6]]
        assert [r.connection for r in server.inferences] == [0, 1, 1]
        second.run_until_complete(ask.close())
        for loop in (first, second):
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()


def test_a_child_process_does_not_use_its_parents_connections():
    with Scripted() as server, Client(server.url) as ask:
        ask.infer("m", x=X)
        child = os.fork()
        if child == 0:
            right = ask.infer("m", x=X)["y"].tolist() == [[2, 4, 6]]
            os._exit(0 if right else 1)
        assert os.waitpid(child, 0)[1] == 0
        ask.infer("m", x=X)
        assert [r.connection for r in server.inferences] == [0, 1, 0]


def test_a_unix_socket(client, tmp_path):
    with Scripted(path=str(tmp_path / "s.sock")) as server:
        assert client(server.url).infer("m", x=X)["y"].tolist() == [[2, 4, 6]]
        assert server.requests[0].headers["host"] == "localhost"
    fails("IX681", client(f"unix://{tmp_path}/none", retries=0).metadata)
    fails("IX681", client(f"unix://{tmp_path}/{'n' * 200}", retries=0).metadata)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=folder, capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("openssl makes no certificate here")
    return folder


def test_tls(client, certificate):
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    trusting = ssl.create_default_context(cafile=certificate / "cert.pem")
    big = np.ones((50_000, 3), np.float32)
    with Scripted(tls=ours) as server:
        ask = client(server.url, tls=trusting)
        assert ask.infer("m", x=X)["y"].tolist() == [[2, 4, 6]]
        assert ask.infer("m", x=big)["y"].sum() == 300_000
        assert {r.connection for r in server.requests} == {0}
        error = fails("IX681", client(server.url).metadata)
        assert "certificate" in f"{error.found} {error.fix}".lower()
        fails("IX681", client(server.url.replace("127.0.0.1", "localhost"), tls=trusting).metadata)


# -- a server that is not there, or not always -------------------------------------------------------------------------
def test_a_server_that_is_not_there(client, waits):
    with Scripted() as server:
        url = server.url
    fails("IX681", client(url, retries=2).infer, "m", x=X)
    assert len(waits) == 2
    fails("IX681", client("http://name.invalid", retries=0).metadata)


def test_a_reset_is_tried_again(client, waits):
    cut = binary_reply([("y", "FP32", [1, 3], bytes(12))])[:-5]
    with Scripted(script=[_hang_up, _reset, lambda sock: (sock.sendall(cut), _hang_up(sock))]) as server:
        assert client(server.url).infer("m", x=X)["y"].tolist() == [[2, 4, 6]]
        assert len(server.inferences) == 4
        assert len(waits) == 2  # the first was on a kept connection, which costs no wait
        server.script = [_hang_up] * 9
        assert "answer" in fails("IX683", client(server.url, retries=1).infer, "m", x=X).message


def _hang_up(sock):
    raise EOFError


def _reset(sock):
    sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER of 0: close sends a reset
    raise EOFError


def test_loading_is_not_repeated_after_a_reset(client, waits):
    with Scripted(scripted="/load", script=[_hang_up] * 3) as server:
        ask = client(server.url)
        assert ask.live()
        fails("IX683", ask.load, "m")
        assert sum(r.path.endswith("/load") for r in server.requests) == 1
        server.script = [reply({"error": "later"}, 503)]
        ask.load("m")


def test_429_and_503_are_tried_again_and_not_before_retry_after(client, waits):
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    script = [reply(status=429, Retry_After=7), reply(status=503, Retry_After=later), reply(status=503)]
    with Scripted(script=script) as server:
        assert client(server.url).infer("m", x=X)["y"].tolist() == [[2, 4, 6]]
    assert 7 < waits[0] < 8
    assert 25 < waits[1] < 31
    assert waits[2] < 1


def test_a_wait_that_would_outlast_the_timeout_is_not_begun(client, waits):
    told = {"error": "full", "code": "IX643", "message": "the queue is full"}
    with Scripted(script=[reply(told, 429, Retry_After=100)]) as server:
        error = fails("IX643", client(server.url, timeout=50).infer, "m", x=X)
        assert (error.status, error.retry_after, waits) == (429, 100, [])


@pytest.mark.parametrize("text", ["", "soon", "-5", "1e9", "9" * 50, "Wed, 99 Foo"])
def test_a_retry_after_that_is_none(client, waits, text):
    with Scripted(script=[reply(status=429, Retry_After=text)]) as server:
        assert client(server.url).infer("m", x=X)["y"].tolist() == [[2, 4, 6]]
    assert waits[0] < 1


def test_other_errors_are_not_tried_again(client, waits):
    with Scripted(script=[reply(status=500), reply(status=504)]) as server:
        ask = client(server.url)
        assert fails("IX686", ask.infer, "m", x=X).status == 500
        assert fails("IX686", ask.infer, "m", x=X).status == 504
        assert waits == []


def test_waits_double_within_bounds_and_differ(monkeypatch):
    monkeypatch.setattr(pauses.random, "uniform", lambda low, high: high)
    attempts = pauses.Attempts(10, time.monotonic() + 1000)
    error = ClientError("IX683", "x")
    assert [attempts.failed(error) for _ in range(10)] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    with pytest.raises(ClientError):
        attempts.failed(error)


def test_a_cancelled_call_closes_its_connection():
    gone = threading.Event()

    def wait(sock):
        sock.recv(1)
        gone.set()

    async def work(url):
        async with AsyncClient(url) as ask:
            await ask.metadata("m")
            task = asyncio.create_task(ask.infer("m", x=X))
            while not server.inferences:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(gone.wait, 5)

    with Scripted(script=[wait]) as server:
        asyncio.run(work(server.url))


def test_the_client_needs_its_packages(monkeypatch):
    import sys

    import interchange.client as package

    monkeypatch.setitem(sys.modules, "httptools", None)
    for name in ("answers", "synchronous", "steps", "tensors", "retrying"):
        monkeypatch.delitem(sys.modules, f"interchange.client.{name}", raising=False)
    with pytest.raises(UsageError, match=r"interchange\[client\]"):
        package.__getattr__("Client")
