"""The gRPC door, asked by clients that nobody here wrote: tritonclient (with threads and with asyncio), and grpc's own
stubs of health checking and reflection."""

import asyncio
import queue
import types

import grpc
import ml_dtypes
import numpy as np
import pytest
import serving
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from serving import DTYPES
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException, deserialize_bytes_tensor

from interchange.serving import ModelSettings, Server
from interchange.serving.grpc import stream as streaming
from interchange.serving.grpc.rpc import Message
from interchange.serving.settings import Token

ARRAYS = {
    "BOOL": np.array([[True, False]]),
    **{n: np.array([[0, np.iinfo(n.lower()).max]], n.lower()) for n in DTYPES if "INT" in n},
    "FP16": np.array([[1.5, np.inf]], np.float16),
    "FP32": np.array([[1.5, -0.0]], np.float32),
    "FP64": np.array([[1.5, np.nan]], np.float64),
    "BF16": np.array([[1.0078125, 2.0]], ml_dtypes.bfloat16),
    "BYTES": np.array([["", "häß\0lich"]], object),
}
CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    serving.scaled(folder / "scaled.onnx")
    serving.scaled(folder / "versions" / "1" / "model.onnx", 10.0)
    serving.scaled(folder / "versions" / "2" / "model.onnx", 20.0)
    serving.spinning(folder / "spinning.onnx")
    for datatype, number in DTYPES.items():
        serving.identity(folder / f"identity_{datatype}.onnx", {datatype: number})
    models = {"versions": ModelSettings(versions="all"), "scaled": ModelSettings(labels=("a", "b", "c"))}
    with Server(folder, http_port=None, grpc_port=0, watch_seconds=None, models=models) as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    with triton.InferenceServerClient(server.grpc_address) as made:
        yield made


def fed(name, array, datatype):
    made = triton.InferInput(name, list(array.shape), datatype)
    try:
        return made.set_data_from_numpy(array)
    except InferenceServerException:
        if datatype != "BF16":
            raise
        return made.set_data_from_numpy(array.astype(np.float32))  # what it took until 2026


def x(array=X):
    return fed("x", array, "FP32")


def spin(turns):
    return fed("n", np.array([turns], np.int64), "INT64")


LONG = 1 << 40  # turns that nobody waits for


# -- inference --------------------------------------------------------------------------------------------------------
def test_infer(client):
    result = client.infer("scaled", [x()], request_id="r1")
    np.testing.assert_array_equal(result.as_numpy("y"), 2 * X)
    answer = result.get_response()
    assert (answer.model_name, answer.model_version, answer.id) == ("scaled", "1", "r1")
    assert [(o.name, o.datatype, list(o.shape)) for o in answer.outputs] == [("y", "FP32", [2, 3])]


@pytest.mark.parametrize(("version", "factor"), [("", 20.0), ("1", 10.0), ("2", 20.0)])
def test_versions(client, version, factor):
    result = client.infer("versions", [x()], model_version=version)
    np.testing.assert_array_equal(result.as_numpy("y"), factor * X)
    assert result.get_response().model_version == (version or "2")


@pytest.mark.parametrize("datatype", DTYPES)
def test_every_datatype_raw(client, datatype):
    array = ARRAYS[datatype]
    result = client.infer(f"identity_{datatype}", [fed(f"x_{datatype}", array, datatype)])
    if datatype == "BYTES":
        raw = deserialize_bytes_tensor(result.get_response().raw_output_contents[0])
        assert [t.decode() for t in raw] == array.reshape(-1).tolist()
    else:
        assert result.get_response().raw_output_contents[0] == array.tobytes()
        np.testing.assert_array_equal(result.as_numpy(f"y_{datatype}").astype(array.dtype), array)


@pytest.mark.parametrize("datatype", CONTENTS)
def test_every_datatype_as_contents(server, datatype):
    array = ARRAYS[datatype]
    request = service_pb2.ModelInferRequest(model_name=f"identity_{datatype}")
    tensor = request.inputs.add(name=f"x_{datatype}", datatype=datatype, shape=array.shape)
    values = array.reshape(-1).tolist()
    getattr(tensor.contents, CONTENTS[datatype]).extend([v.encode() for v in values] if datatype == "BYTES" else values)
    answer = ask(server, request)
    assert not answer.outputs[0].HasField("contents")
    (raw,) = answer.raw_output_contents
    if datatype == "BYTES":
        assert [t.decode() for t in deserialize_bytes_tensor(raw)] == values
    else:
        assert raw == array.tobytes()


def ask(server, request):
    """The answer to a request that is written by hand."""
    with grpc.insecure_channel(server.grpc_address) as channel:
        method = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            type(request).SerializeToString,
            service_pb2.ModelInferResponse.FromString,
        )
        return method(request, timeout=20)


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (500, 3)])
def test_sizes(client, shape):
    array = np.ones(shape, np.float32)
    np.testing.assert_array_equal(client.infer("scaled", [x(array)]).as_numpy("y"), 2 * array)


def test_a_large_tensor(client):
    array = np.random.default_rng(0).random((1 << 20, 3), np.float32)
    np.testing.assert_array_equal(client.infer("scaled", [x(array)]).as_numpy("y"), 2 * array)


def test_classification(client):
    asked = triton.InferRequestedOutput("y", class_count=2)
    result = client.infer("scaled", [x()], outputs=[asked])
    texts = result.as_numpy("y")
    assert texts.shape == (2, 2)
    assert texts[0].tolist() == [b"4.000000:2:c", b"2.000000:1:b"]


def test_requested_outputs(client):
    result = client.infer("scaled", [x()], outputs=[triton.InferRequestedOutput("y")])
    assert [o.name for o in result.get_response().outputs] == ["y"]


def test_priority_and_timeout(client):
    result = client.infer("scaled", [x()], priority=1, timeout=5_000_000)
    np.testing.assert_array_equal(result.as_numpy("y"), 2 * X)


def test_compressed(client):
    result = client.infer("scaled", [x()], compression_algorithm="gzip")
    np.testing.assert_array_equal(result.as_numpy("y"), 2 * X)


def test_requests_at_once_are_answered_each_with_its_own(client):
    answers = queue.Queue()
    for i in range(64):
        client.async_infer("scaled", [x(X + i)], lambda result, error, i=i: answers.put((i, result, error)))
    for _ in range(64):
        i, result, error = answers.get(timeout=20)
        assert error is None
        np.testing.assert_array_equal(result.as_numpy("y"), 2 * (X + i))


def test_asyncio_client(server):
    async def run():
        async with triton_aio.InferenceServerClient(server.grpc_address) as client:
            results = await asyncio.gather(*(client.infer("scaled", [x(X + i)]) for i in range(20)))
            assert await client.is_server_ready()
            with pytest.raises(InferenceServerException, match="IX640"):
                await client.infer("none", [x()])
            return results

    for i, result in enumerate(asyncio.run(run())):
        np.testing.assert_array_equal(result.as_numpy("y"), 2 * (X + i))


# -- what is said of models -------------------------------------------------------------------------------------------
def test_health(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("scaled")
    assert client.is_model_ready("versions", "2")


def test_server_metadata(client):
    found = client.get_server_metadata(as_json=True)
    assert found["name"] == "interchange"
    assert {"binary_tensor_data", "statistics", "model_repository"} <= set(found["extensions"])


def test_model_metadata(client):
    found = client.get_model_metadata("versions", as_json=True)
    assert found["name"] == "versions"
    assert found["versions"] == ["1", "2"]
    assert found["inputs"] == [{"name": "x", "datatype": "FP32", "shape": ["-1", "3"]}]
    assert found["outputs"] == [{"name": "y", "datatype": "FP32", "shape": ["-1", "3"]}]


def test_model_config(client):
    config = client.get_model_config("scaled").config
    assert config.name == "scaled"
    assert config.backend == "onnxruntime"
    assert config.max_batch_size == 64
    assert [(i.name, i.data_type, list(i.dims)) for i in config.input] == [("x", 11, [3])]


def test_statistics_count_what_was_asked(server, client):
    def now():
        (found,) = client.get_inference_statistics("scaled", "1").model_stats
        return found

    before = now()
    client.infer("scaled", [x()])
    with pytest.raises(InferenceServerException):
        client.infer("scaled", [x(np.ones((1, 4), np.float32))])
    after = now()
    success, old = after.inference_stats.success, before.inference_stats.success
    assert success.count == old.count + 1
    assert success.ns > old.ns
    assert after.inference_stats.fail.count == before.inference_stats.fail.count + 1
    assert after.inference_count == before.inference_count + 2
    for phase in ("queue", "compute_input", "compute_infer", "compute_output"):
        assert getattr(after.inference_stats, phase).count == getattr(before.inference_stats, phase).count + 1
    assert after.inference_stats.compute_input.ns > before.inference_stats.compute_input.ns
    assert {s.batch_size for s in after.batch_stats} >= {2}
    assert len(client.get_inference_statistics().model_stats) == len(server.doors.app.engine.models) + 1


def test_repository_index(client):
    found = {(m.name, m.version): m.state for m in client.get_model_repository_index().models}
    assert found["versions", "2"] == "READY"
    assert found["scaled", "1"] == "READY"


# -- streams ----------------------------------------------------------------------------------------------------------
def test_stream_answers_in_order_and_goes_on_after_an_error(server):
    answers = queue.Queue()
    with triton.InferenceServerClient(server.grpc_address) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for i in range(200):
            name = "none" if i == 7 else "scaled"
            client.async_stream_infer(name, [x(X + i)], request_id=str(i))
        found = [answers.get(timeout=20) for _ in range(200)]
        client.stop_stream()
    assert "IX640" in str(found[7][1])
    for i, (result, error) in enumerate(found):
        if i != 7:
            assert error is None
            assert result.get_response().id == str(i)
            np.testing.assert_array_equal(result.as_numpy("y"), 2 * (X + i))


def stream(channel, requests, **options):
    method = channel.stream_stream(
        "/inference.GRPCInferenceService/ModelStreamInfer",
        service_pb2.ModelInferRequest.SerializeToString,
        service_pb2.ModelStreamInferResponse.FromString,
    )
    return method(requests, **options)


def request(name="scaled", array=X, **fields):
    made = service_pb2.ModelInferRequest(model_name=name, **fields)
    made.inputs.add(name="x", datatype="FP32", shape=array.shape)
    made.raw_input_contents.append(array.tobytes())
    return made


def test_a_stream_is_read_no_further_while_too_much_of_it_is_under_way(monkeypatch):
    """A stand-in for an RPC whose requests are never answered: how many of them are read."""

    async def read(size, most):
        loop = asyncio.get_running_loop()
        count = 0

        class Rpc:
            app = types.SimpleNamespace(settings=types.SimpleNamespace(max_body=most))

            async def receive(self, until):
                nonlocal count
                count += 1
                await asyncio.sleep(0)
                return Message(bytes(size))

        begun = types.SimpleNamespace(future=loop.create_future())
        monkeypatch.setattr(streaming, "begin", lambda rpc, message: begun)
        reader = loop.create_task(streaming._Stream(Rpc()).read())
        for _ in range(1000):
            await asyncio.sleep(0)
        reader.cancel()
        return count

    assert asyncio.run(read(size=1, most=1 << 20)) == 64
    assert asyncio.run(read(size=300, most=1000)) == 4


def test_an_error_in_a_stream_tells_whose_it_is(server):
    with grpc.insecure_channel(server.grpc_address) as channel:
        bad = request(array=np.ones((1, 4), np.float32), id="bad", model_version="1")
        first, second = stream(channel, iter([bad, request(id="good")]), timeout=20)
    assert first.error_message.startswith("IX604")
    assert (first.infer_response.model_name, first.infer_response.id) == ("scaled", "bad")
    assert not second.error_message
    assert second.infer_response.id == "good"


# -- deadlines, and clients that go away ------------------------------------------------------------------------------
def test_client_timeout_ends_the_run(server, client):
    with pytest.raises(InferenceServerException) as caught:
        client.infer("spinning", [spin(LONG)], client_timeout=0.3)
    assert caught.value.status() == "StatusCode.DEADLINE_EXCEEDED"  # said by whichever end is first
    assert spins(server)


def test_the_clients_deadline_is_the_calls(server, client):
    answers = queue.Queue()
    pending = client.async_infer(
        "spinning", [spin(LONG)], lambda result, error: answers.put(error), client_timeout=15, timeout=40_000_000
    )
    wait_until(server, lambda batcher: batcher.running)

    async def left():
        batcher = server.doors.app.engine.find("spinning").batcher
        return next(iter(batcher.running)).calls[0].deadline - asyncio.get_running_loop().time()

    assert 0 < server.call(left()) < 20  # gRPC rounds it up on its way
    pending.cancel()
    assert answers.get(timeout=20)


def test_timeout_parameter(client):
    with pytest.raises(InferenceServerException, match="IX644") as caught:
        client.infer("spinning", [spin(LONG)], timeout=200_000)
    assert caught.value.status() == "StatusCode.DEADLINE_EXCEEDED"


def test_cancelled_run_ends(server, client):
    answers = queue.Queue()
    pending = client.async_infer("spinning", [spin(LONG)], lambda result, error: answers.put(error))
    wait_until(server, lambda batcher: batcher.running)
    pending.cancel()
    assert "cancelled" in str(answers.get(timeout=20)).lower()
    assert spins(server)


def test_cancelled_while_it_waits_is_never_run(server, client):
    answers = queue.Queue()
    running = client.async_infer("spinning", [spin(LONG)], lambda result, error: answers.put(error))
    wait_until(server, lambda batcher: batcher.running)
    waiting = client.async_infer("spinning", [spin(LONG)], lambda result, error: answers.put(error))
    wait_until(server, lambda batcher: batcher.waiting == 1)
    waiting.cancel()
    wait_until(server, lambda batcher: batcher.waiting == 0)
    running.cancel()
    assert spins(server)


def test_a_stream_that_is_cancelled_leaves_nothing_behind(server):
    with grpc.insecure_channel(server.grpc_address) as channel:
        one = service_pb2.ModelInferRequest(model_name="spinning")
        one.inputs.add(name="n", datatype="INT64", shape=[1])
        one.raw_input_contents.append(np.array([LONG]).tobytes())
        answers = stream(channel, iter([one, one, one]), timeout=600)
        wait_until(server, lambda batcher: batcher.running and batcher.waiting == 2)
        answers.cancel()
        wait_until(server, lambda batcher: batcher.waiting == 0)
    assert spins(server)


def spins(server):
    """Whether the model answers, which it does after its run before was ended."""
    return server.infer("spinning", n=np.array([1]))["y"].shape == (64,)


def wait_until(server, condition):
    async def wait():
        batcher = server.doors.app.engine.find("spinning").batcher
        async with asyncio.timeout(20):
            while not condition(batcher):
                await asyncio.sleep(0.002)

    server.call(wait())


# -- gRPC's own services ----------------------------------------------------------------------------------------------
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(server.grpc_address) as made:
        yield made


@pytest.mark.parametrize("service", ["", "inference.GRPCInferenceService"])
def test_health_check(channel, service):
    asked = health_pb2.HealthCheckRequest(service=service)
    assert health_pb2_grpc.HealthStub(channel).Check(asked, timeout=20).status == SERVING


def test_health_of_an_unknown_service(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(health_pb2.HealthCheckRequest(service="other"), timeout=20)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    watched = stub.Watch(health_pb2.HealthCheckRequest(service="other"), timeout=20)
    assert next(watched).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watched.cancel()


def test_health_follows_draining(server, client, channel):
    watched = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=20)
    assert next(watched).status == SERVING
    app = server.doors.app
    app.draining = True
    try:
        assert next(watched).status == NOT_SERVING
        assert not client.is_server_ready()
        assert client.is_server_live()
        client.infer("scaled", [x()])  # still served
    finally:
        app.draining = False
    assert next(watched).status == SERVING
    watched.cancel()


def reflect(channel, **asked):
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    (answer,) = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(**asked)]), timeout=20)
    return answer


def test_reflection_lists_and_describes_the_services(channel):
    names = [s.name for s in reflect(channel, list_services="").list_services_response.service]
    assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= set(names)
    for name in names:
        found = reflect(channel, file_containing_symbol=name)
        assert found.file_descriptor_response.file_descriptor_proto, name
    assert reflect(channel, file_containing_symbol="no.Such").HasField("error_response")


def test_reflection_of_the_newer_version(channel):
    method = channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = method(iter([asked]), timeout=20)
    assert "inference.GRPCInferenceService" in [s.name for s in answer.list_services_response.service]


# -- the repository, and who may --------------------------------------------------------------------------------------
@pytest.fixture
def guarded(tmp_path):
    serving.scaled(tmp_path / "scaled.onnx")
    serving.scaled(tmp_path / "other.onnx")
    tokens = (
        Token(secret="user", models=("scaled",)),
        Token(secret="admin", admin=True),
        Token(secret="nothing", inference=False),
    )
    with Server(tmp_path, http_port=None, grpc_port=0, watch_seconds=None, tokens=tokens) as running:
        yield running


def bearer(secret):
    return {"authorization": f"Bearer {secret}"}


def test_load_and_unload(guarded):
    with triton.InferenceServerClient(guarded.grpc_address) as client:
        client.unload_model("scaled", headers=bearer("admin"))
        with pytest.raises(InferenceServerException, match="scaled"):
            client.infer("scaled", [x()], headers=bearer("admin"))
        client.load_model("scaled", headers=bearer("admin"))
        client.infer("scaled", [x()], headers=bearer("admin"))
        with pytest.raises(InferenceServerException, match="IX638"):
            client.load_model("scaled", headers=bearer("admin"), config="{}")
        with pytest.raises(InferenceServerException) as caught:
            client.load_model("none", headers=bearer("admin"))
        assert caught.value.status() == "StatusCode.NOT_FOUND"


@pytest.mark.parametrize(
    ("secret", "allowed"),
    [
        (None, set()),
        ("wrong", set()),
        ("nothing", set()),
        ("user", {"infer", "config", "index"}),
        ("admin", {"infer", "config", "index", "infer other", "unload"}),
    ],
)
def test_tokens(guarded, secret, allowed):
    headers = {} if secret is None else bearer(secret)
    denied = "PERMISSION_DENIED" if secret in ("nothing", "user", "admin") else "UNAUTHENTICATED"
    with triton.InferenceServerClient(guarded.grpc_address) as client:
        assert client.is_server_ready()
        attempts = {
            "infer": lambda: client.infer("scaled", [x()], headers=headers),
            "config": lambda: client.get_model_config("scaled", headers=headers),
            "index": lambda: client.get_model_repository_index(headers=headers),
            "infer other": lambda: client.infer("other", [x()], headers=headers),
            "unload": lambda: client.unload_model("other", headers=headers),
        }
        for name, attempt in attempts.items():
            if name in allowed:
                attempt()
            else:
                with pytest.raises(InferenceServerException) as caught:
                    attempt()
                assert caught.value.status() == f"StatusCode.{denied}", name


def test_a_token_sees_its_models_only(guarded):
    with triton.InferenceServerClient(guarded.grpc_address) as client:
        index = client.get_model_repository_index(headers=bearer("user"))
        statistics = client.get_inference_statistics(headers=bearer("user"))
    assert [m.name for m in index.models] == ["scaled"]
    assert [m.name for m in statistics.model_stats] == ["scaled"]


def test_a_stream_needs_a_token_and_obeys_its_models(guarded):
    with grpc.insecure_channel(guarded.grpc_address) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            list(stream(channel, iter([request()]), timeout=20))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        metadata = tuple(bearer("user").items())
        first, second = stream(channel, iter([request("other"), request()]), metadata=metadata, timeout=20)
    assert first.error_message.startswith("IX655")
    assert not second.error_message


def test_administration_is_off_without_a_token_for_it(client):
    with pytest.raises(InferenceServerException) as caught:
        client.unload_model("scaled")
    assert caught.value.status() == "StatusCode.PERMISSION_DENIED"
