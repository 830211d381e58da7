"""The gRPC door as an operator knows it: TLS, ports, limits on connections, what observers are told, start and stop."""

import asyncio
import queue
import socket
import subprocess
import threading

import grpc
import numpy as np
import pytest
import serving
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from interchange.serving import Server
from interchange.serving.access import Access
from interchange.serving.app import App
from interchange.serving.configuration import ConfigurationError
from interchange.serving.engine import Engine
from interchange.serving.grpc import GrpcDoor
from interchange.serving.lifecycle import Lifecycle
from interchange.serving.operations import Operations
from interchange.serving.settings import Settings, Token

X = np.arange(3, dtype=np.float32).reshape(1, 3)


@pytest.fixture
def folder(tmp_path):
    serving.scaled(tmp_path / "models" / "scaled.onnx")
    return tmp_path / "models"


def served(folder, **overrides):
    return Server(folder, **{"http_port": None, "grpc_port": 0, "watch_seconds": None} | overrides)


def ask(address, **options):
    """What `scaled` answers to a client of its own."""
    with triton.InferenceServerClient(address, **options) as client:
        fed = triton.InferInput("x", [1, 3], "FP32").set_data_from_numpy(X)
        return client.infer("scaled", [fed], request_id="i").as_numpy("y").tolist()


# -- TLS --------------------------------------------------------------------------------------------------------------
@pytest.fixture
def certificate(tmp_path):
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("openssl makes no certificate here")
    return tmp_path


def test_tls(folder, certificate):
    files = {"tls_certificate": certificate / "cert.pem", "tls_key": certificate / "key.pem"}
    with served(folder, **files) as server:
        trusting = {"ssl": True, "root_certificates": str(certificate / "cert.pem")}
        assert ask(server.grpc_address, **trusting) == [[0, 2, 4]]
        with pytest.raises(InferenceServerException):
            ask(server.grpc_address)


# -- ports ------------------------------------------------------------------------------------------------------------
def test_a_port_that_is_taken(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigurationError) as caught:
        served(folder, grpc_port=taken.getsockname()[1]).start()
    assert caught.value.code == "IX676"
    assert "grpc_port" in str(caught.value)


def test_several_processes_may_share_a_port(folder):
    # here two doors of one: what the kernel is asked for is the same
    settings = Settings(watch_seconds=None)

    async def run():
        engine = Engine(settings)
        lifecycle = Lifecycle(engine, folder)
        await lifecycle.start()
        app = App(settings, engine, Access(settings), Operations(engine, lifecycle, settings))
        first, second = GrpcDoor(app), GrpcDoor(app)
        port = await first.start("127.0.0.1", 0, reuse_port=True)
        assert await second.start("127.0.0.1", port, reuse_port=True) == port
        third = GrpcDoor(app)
        with pytest.raises(OSError, match="in use"):
            await third.start("127.0.0.1", port)
        assert await first.stop(0) == await third.stop(0) == 0
        answer = await asyncio.to_thread(ask, f"127.0.0.1:{port}")  # the other one still serves
        await second.stop(0)
        await lifecycle.close()
        await engine.close()
        return answer

    assert asyncio.run(run()) == [[0, 2, 4]]


def test_ipv6(folder):
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("no IPv6 here")
    with served(folder, host="::1") as server:
        assert ask(f"[::1]:{server.doors.grpc_port}") == [[0, 2, 4]]


def test_connections_are_limited(folder):
    with served(folder, max_connections=2) as server:
        host, port = server.grpc_address.split(":")
        idle = [socket.create_connection((host, int(port)), timeout=20) for _ in range(2)]
        for client in idle:
            assert client.recv(1)  # the server's settings: it has taken the connection
        with grpc.insecure_channel(server.grpc_address) as channel:
            live = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
            with pytest.raises(grpc.RpcError) as caught:
                live(b"", timeout=5)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            for client in idle:
                client.close()
            assert live(b"", timeout=20, wait_for_ready=True) == b"\x08\x01"


# -- observers --------------------------------------------------------------------------------------------------------
class Recorder:
    def __init__(self):
        self.seen = queue.Queue()

    def finished(self, exchange):
        self.seen.put(exchange)

    def close(self):
        pass


def test_observers_are_told_of_every_request(folder):
    recorder = Recorder()
    with served(folder, tokens=(Token(secret="s"),)) as server:
        server.doors.app.observers = (recorder,)
        headers = {"authorization": "Bearer s", "x-request-id": "r-1", "traceparent": "00-1-2-01"}
        with triton.InferenceServerClient(server.grpc_address) as client:
            fed = triton.InferInput("x", [1, 3], "FP32").set_data_from_numpy(X)
            client.infer("scaled", [fed], headers=headers)
            with pytest.raises(InferenceServerException):
                client.infer("scaled", [fed])
            client.get_model_metadata("scaled", headers=headers)
        request = service_pb2.ModelInferRequest(model_name="none")
        with grpc.insecure_channel(server.grpc_address) as channel:
            stream = channel.stream_stream(
                "/inference.GRPCInferenceService/ModelStreamInfer", service_pb2.ModelInferRequest.SerializeToString
            )
            assert len(list(stream(iter([request]), metadata=tuple(headers.items()), timeout=20))) == 1
        infer, refused, metadata, streamed = (recorder.seen.get(timeout=20) for _ in range(4))
    assert (infer.protocol, infer.method, infer.path) == ("grpc", "POST", "/inference.GRPCInferenceService/ModelInfer")
    assert (infer.status, infer.code, infer.model, infer.version) == (0, None, "scaled", "1")
    assert (infer.id, infer.traceparent, infer.client) == ("r-1", "00-1-2-01", "127.0.0.1")
    assert infer.received_bytes > X.nbytes
    assert infer.sent_bytes > X.nbytes
    assert infer.call.decode_ns > 0
    assert (refused.status, refused.code, refused.model) == (16, "IX654", "scaled")
    assert metadata.path.endswith("/ModelMetadata")
    assert (metadata.status, metadata.model) == (0, "scaled")
    assert (streamed.status, streamed.code, streamed.model) == (5, "IX640", "none")


# -- the end ----------------------------------------------------------------------------------------------------------
def test_stopping_answers_what_is_under_way_and_ends_idle_streams(tmp_path):
    serving.spinning(tmp_path / "spinning.onnx")
    server = served(tmp_path, stop_seconds=20.0).start()
    go = threading.Event()

    def asked():
        one = service_pb2.ModelInferRequest(model_name="spinning")
        one.inputs.add(name="n", datatype="INT64", shape=[1])
        one.raw_input_contents.append(np.array([300_000]).tobytes())
        yield one
        go.wait(20)

    async def runs():
        batcher = server.doors.app.engine.find("spinning").batcher
        async with asyncio.timeout(20):
            while not batcher.running:
                await asyncio.sleep(0.002)

    with grpc.insecure_channel(server.grpc_address) as channel:
        method = channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            service_pb2.ModelInferRequest.SerializeToString,
            service_pb2.ModelStreamInferResponse.FromString,
        )
        answers = method(asked(), timeout=20)
        server.call(runs())
        server.stop()
        assert not next(answers).error_message
        with pytest.raises(grpc.RpcError) as caught:
            next(answers)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        go.set()
