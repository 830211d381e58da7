"""The client before servers that are slow, wrong or hostile: an error with a code, in time, within bounds; never a
hang, and never the answer to another request. Both clients alike."""

import socket
import threading
import time

import numpy as np
import pytest
from scripted import Blocking, Scripted, X, binary_reply, clients, fails, head, infer, reply

from interchange.client import Client
from interchange.client.steps import Request

client = pytest.fixture(params=[Client, Blocking], ids=["sync", "async"])(clients)


# -- a server that is slow, wrong or hostile ---------------------------------------------------------------------------
def _trickle(sock):
    """A right answer, a byte at a time: no byte is late, and the whole is."""
    for byte in binary_reply([("y", "FP32", [1, 3], bytes(12))]):
        sock.sendall(bytes([byte]))
        time.sleep(0.01)


def _silence(sock):
    sock.recv(1)


def _deaf(sock):
    threading.Event().wait(0.5)


def _interim_for_ever(sock):
    while True:
        sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


def _heads_for_ever(sock):
    sock.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        sock.sendall(b"X-More: yes\r\n")


def _chunks_for_ever(sock):
    sock.sendall(head(None, Transfer_Encoding="chunked"))
    while True:
        sock.sendall(b"1\r\n \r\n" * 1000)


def _bytes_for_ever(sock):
    sock.sendall(head(None, Connection="close"))
    while True:
        sock.sendall(b" " * 10_000)


@pytest.mark.parametrize("step", [_trickle, _silence])
def test_no_server_holds_a_caller_longer_than_the_timeout(client, step):
    with Scripted(script=[step]) as server:
        ask = client(server.url)
        ask.metadata("m")
        error = fails("IX682", ask.infer, "m", x=X, timeout=0.2)
        assert "0.2 s" in str(error)
        assert ask.infer("m", x=X)["y"].tolist() == [[2, 4, 6]]


def test_a_server_that_takes_nothing_is_given_up(client):
    """The connection is accepted by the system, and never read."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        ask = client(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=0.2)
        fails("IX682", ask.metadata)
        assert not ask.live()


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (_interim_for_ever, "IX684"),
        (_heads_for_ever, "IX684"),
        (_chunks_for_ever, "IX685"),
        (_bytes_for_ever, "IX685"),
        (head(10**6), "IX685"),
        (head(10**17), "IX685"),
        (head(10**30), "IX684"),
        (head(-1), "IX684"),
        (head(None, Content_Length="1, 2"), "IX684"),
        (head(5, Content_length=7), "IX684"),
        (head(5, Transfer_Encoding="chunked") + b"0\r\n\r\n", "IX684"),
        (head(None, Transfer_Encoding="chunked") + b"zz\r\n", "IX684"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "IX684"),
        (b"\x00" * 100, "IX684"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", "IX684"),
        (b"HTTP/1.1 99999 Odd\r\n\r\n", "IX684"),
    ],
)
def test_what_is_no_http_within_bounds_is_an_error(client, step, code):
    with Scripted(script=[step]) as server:
        ask = client(server.url, max_answer=1 << 18)
        fails(code, ask.infer, "m", x=X)
        assert len(server.inferences) == 1
        assert ask.infer("m", x=X)["y"].tolist() == [[2, 4, 6]]


@pytest.mark.parametrize(
    "answer",
    [
        reply([]),
        reply({}),
        reply({"outputs": {}}),
        reply({"outputs": [3]}),
        head(8) + b"not JSON",
        head(0),
        head(100_000) + b"[" * 100_000,
        reply({"outputs": [{"name": "y", "datatype": "FP32", "shape": [1]}]}),
        reply({"outputs": [{"name": "y", "datatype": "FP8", "shape": [1], "data": [1]}]}),
        reply({"outputs": [{"name": "y", "datatype": ["FP32"], "shape": [1], "data": [1]}]}),
        reply({"outputs": [{"name": "y", "datatype": "FP32", "shape": [2], "data": [1]}]}),
        reply({"outputs": [{"name": "y", "datatype": "FP32", "shape": [-1], "data": [1]}]}),
        reply({"outputs": [{"name": "y", "datatype": "FP32", "shape": [1.0], "data": [1]}]}),
        reply({"outputs": [{"name": "y", "datatype": "FP32", "shape": [True], "data": [1]}]}),
        reply({"outputs": [{"name": "y", "datatype": "FP32", "shape": [1] * 100, "data": [1]}]}),
        reply({"outputs": [{"name": "y", "datatype": "FP32", "shape": [0, 10**30], "data": []}]}),
        reply({"outputs": [{"name": "y", "datatype": "FP32", "shape": [2], "data": [[1], [1, 2]]}]}),
        reply({"outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": ["one"]}]}),
        reply({"outputs": [{"name": "y", "datatype": "INT32", "shape": [1], "data": [1.5]}]}),
        reply({"outputs": [{"name": "y", "datatype": "INT8", "shape": [1], "data": [1000]}]}),
        reply({"outputs": [{"name": "y", "datatype": "BYTES", "shape": [1], "data": [1]}]}),
        reply({"outputs": [{"name": "y", "datatype": "BYTES", "shape": [1], "data": "a"}]}),
        reply({"outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}}]}),
        binary_reply([("y", "FP32", [2], bytes(4))]),
        binary_reply([("y", "FP32", [10**6, 10**6], bytes(4))]),
        binary_reply([("y", "FP32", [0, 10**30], b"")]),
        binary_reply([("y", "BOOL", [1], b"\x02")]),
        binary_reply([("y", "BYTES", [1], b"\xff\xff\xff\xffa")]),
        binary_reply([("y", "BYTES", [10**9], b"")]),
        reply({"outputs": []}, Inference_Header_Content_Length=10**6),
        reply({"outputs": []}, Inference_Header_Content_Length=-1),
        reply({"outputs": []}, Inference_Header_Content_Length="1_0"),
        head(18, Inference_Header_Content_Length=15) + b'{"outputs": []}' + bytes(3),
    ],
)
def test_answers_that_are_not_the_protocols(client, answer):
    with Scripted(script=[answer]) as server:
        ask = client(server.url)
        fails("IX684", ask.infer, "m", x=X)
        assert ask.infer("m", x=X)["y"].tolist() == [[2, 4, 6]]


@pytest.mark.parametrize(
    "metadata",
    [[], {"inputs": {}}, {"inputs": [{"name": "x"}]}, {"inputs": [{"name": 1, "datatype": "", "shape": []}]}],
)
def test_metadata_that_is_not_the_protocols(client, metadata):
    with Scripted(metadata=metadata) as server:
        fails("IX684", client(server.url).infer, "m", x=X)


@pytest.mark.parametrize("rows", [1, 100_000])
def test_two_answers_to_one_request_end_the_connection(client, rows):
    """What comes behind an answer would be taken for that of the next request."""
    lie = binary_reply([("y", "FP32", [1, 3], bytes(12))])
    given = np.ones((rows, 3), np.float32)
    with Scripted() as server:
        ask = client(server.url)
        ask.infer("m", x=given)
        server.script = [lambda sock: sock.sendall(infer(server.inferences[-1]) + lie[:20])]
        for _ in range(3):
            assert np.array_equal(ask.infer("m", x=given)["y"], given * 2)
        assert [r.connection for r in server.inferences] == [0, 0, 1, 1]


def test_answers_of_one_length_are_not_taken_for_each_other(client):
    outputs = [("y", [1, 3]), ("y", [3, 1]), ("z", [1, 3]), ("y", [1, 3])]
    with Scripted() as server:
        ask = client(server.url)
        for name, shape in outputs * 2:
            server.script = [binary_reply([(name, "FP32", shape, np.arange(3, dtype=np.float32).tobytes())])]
            (found,) = ask.infer("m", x=X).items()
            assert (found[0], list(found[1].shape), found[1].ravel().tolist()) == (name, shape, [0, 1, 2])


def test_interim_answers_are_passed_over(client):
    with Scripted() as server:
        server.script = [
            lambda sock: sock.sendall(
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nX: y\r\n\r\n" + infer(server.inferences[-1])
            )
        ]
        ask = client(server.url)
        for _ in range(2):
            assert ask.infer("m", x=X)["y"].tolist() == [[2, 4, 6]]
        assert {r.connection for r in server.requests} == {0}


def test_chunks_and_single_bytes_and_no_length_are_read(client):
    def chunked(sock):
        start, _, body = infer(server.inferences[-1]).partition(b"\r\n\r\n")
        start = b"\r\n".join(line for line in start.split(b"\r\n") if not line.lower().startswith(b"content-length"))
        parts = [body[i : i + 7] for i in range(0, len(body), 7)]
        chunks = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(p), p) for p in parts)
        sock.sendall(start + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nTrailer: x\r\n\r\n")

    def bytewise(sock):
        for byte in infer(server.inferences[-1]):
            sock.sendall(bytes([byte]))

    def unbounded(sock):
        start, _, body = infer(server.inferences[-1]).partition(b"\r\n\r\n")
        start = b"\r\n".join(line for line in start.split(b"\r\n") if not line.lower().startswith(b"content-length"))
        sock.sendall(start.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n\r\n" + body)
        raise EOFError

    with Scripted(script=[chunked, bytewise, unbounded]) as server:
        ask = client(server.url)
        for _ in range(4):
            assert ask.infer("m", x=X)["y"].tolist() == [[2, 4, 6]]


def test_an_answer_before_the_request_was_read_is_told(client):
    """A server refuses a body by its length, and closes: the reason arrives, not a broken pipe."""
    told = {"error": "too large", "code": "IX652", "message": "the body is too large"}
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        ended = threading.Event()

        def serve():
            with listening.accept()[0] as sock:
                sock.recv(1000)
                sock.sendall(reply(told, 413, Connection="close"))
                sock.shutdown(socket.SHUT_WR)
                ended.wait(5)

        thread = threading.Thread(target=serve)
        thread.start()
        ask = Client(url, retries=0, timeout=5)
        request = Request([b"POST / HTTP/1.1\r\nContent-Length: 30000000\r\n\r\n", bytes(100_000)])
        answer = ask._answer(request, time.monotonic() + 5, 5)
        assert answer.json() == told
        ended.set()
        thread.join()
