"""The HTTP door, asked by clients that nobody here wrote: tritonclient (threads and asyncio), KServe's, curl, Python's
own library. The table of them is in docs/protocol.md; a generated client is in test_serving_openapi.py, gRPC in
test_serving_grpc.py.
"""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import serving
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from serving import DTYPES
from tritonclient.utils import InferenceServerException

from interchange.serving import ModelSettings, Server
from interchange.serving.settings import Token

ROOT = Path(__file__).parents[1]
OTHERS = ROOT / ".clients"  # packages that `make conformance` fetches
ARRAYS = {
    "BOOL": np.array([[True, False]]),
    **{n: np.array([[np.iinfo(n.lower()).min, np.iinfo(n.lower()).max]], n.lower()) for n in DTYPES if "INT" in n},
    "FP16": np.array([[1.5, -0.0]], np.float16),
    "BF16": np.array([[1.0078125, 2.0]], ml_dtypes.bfloat16),
    "FP32": np.array([[0.1, -0.0]], np.float32),
    "FP64": np.array([[0.1, 1e300]]),
    "BYTES": np.array([["", "häß\0lich"]], object),
}
BINARY_ONLY = ("BF16",)  # the client refuses to write them as JSON
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
    with Server(folder, http_port=0, grpc_port=0, watch_seconds=None, models=models) as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    with triton.InferenceServerClient(server.url.removeprefix("http://"), concurrency=4) as made:
        yield made


def fed(name, array, datatype, *, binary=True, of=triton):
    made = of.InferInput(name, list(array.shape), datatype)
    more = {} if of is triton_grpc else {"binary_data": binary}
    try:
        return made.set_data_from_numpy(array, **more)
    except InferenceServerException:
        if datatype != "BF16":
            raise
        return made.set_data_from_numpy(array.astype(np.float32), **more)  # what it took until 2026


def x(array=X, **more):
    return fed("x", array, "FP32", **more)


# -- tritonclient.http ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("answered", [True, False], ids=["binary answer", "JSON answer"])
@pytest.mark.parametrize("asked", [True, False], ids=["binary", "JSON"])
@pytest.mark.parametrize("datatype", DTYPES)
def test_every_datatype(client, datatype, asked, answered):
    array = ARRAYS[datatype]
    if datatype in BINARY_ONLY and not asked:
        with pytest.raises(InferenceServerException, match=r"BF16|binary"):
            fed("x", array, datatype, binary=False)
        return
    outputs = [triton.InferRequestedOutput(f"y_{datatype}", binary_data=answered)]
    result = client.infer(
        f"identity_{datatype}", [fed(f"x_{datatype}", array, datatype, binary=asked)], outputs=outputs
    )
    found = result.as_numpy(f"y_{datatype}")
    assert result.get_output(f"y_{datatype}")["datatype"] == datatype
    if datatype == "BYTES":
        assert [v.decode() if isinstance(v, bytes) else v for v in found.flat] == list(array.flat)
    elif datatype == "BF16" and not answered:
        assert result.get_output("y_BF16")["data"] == array.astype(float).ravel().tolist()  # numpy has no such type
    else:
        np.testing.assert_array_equal(found.astype(array.dtype), array)
        np.testing.assert_array_equal(np.signbit(found.astype(np.float64)), np.signbit(array.astype(np.float64)))


def test_what_the_client_does_by_default(client):
    """Binary both ways; all outputs; an id only when there is one."""
    result = client.infer("scaled", [x()])
    np.testing.assert_array_equal(result.as_numpy("y"), 2 * X)
    told = result.get_response()
    assert (told["model_name"], told["model_version"]) == ("scaled", "1")
    assert "id" not in told
    assert client.infer("scaled", [x()], request_id="42").get_response()["id"] == "42"


def test_nan_and_infinities(client):
    odd = np.array([[np.nan, np.inf, -np.inf]], np.float32)
    for binary in (True, False):
        outputs = [triton.InferRequestedOutput("y", binary_data=binary)]
        np.testing.assert_array_equal(client.infer("scaled", [x(odd)], outputs=outputs).as_numpy("y"), odd)
    with pytest.raises(InferenceServerException, match=r"IX630.*NaN"):  # the client writes NaN, which is no JSON
        client.infer("scaled", [x(odd, binary=False)])


def test_versions(client):
    assert client.infer("versions", [x()]).as_numpy("y")[0, 1] == 20
    assert client.infer("versions", [x()], model_version="1").as_numpy("y")[0, 1] == 10
    with pytest.raises(InferenceServerException, match="IX641"):
        client.infer("versions", [x()], model_version="3")


def test_classification(client):
    for binary in (True, False):
        outputs = [triton.InferRequestedOutput("y", binary_data=binary, class_count=2)]
        found = client.infer("scaled", [x()], outputs=outputs).as_numpy("y")
        texts = [v.decode() if isinstance(v, bytes) else v for v in found.flat]
        assert texts == ["4.000000:2:c", "2.000000:1:b", "10.000000:2:c", "8.000000:1:b"]
        assert found.shape == (2, 2)


@pytest.mark.parametrize("request_algorithm", [None, "gzip", "deflate"])
@pytest.mark.parametrize("response_algorithm", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_compression(client, request_algorithm, response_algorithm, binary):
    large = np.arange(3000, dtype=np.float32).reshape(1000, 3)
    result = client.infer(
        "scaled",
        [x(large, binary=binary)],
        outputs=[triton.InferRequestedOutput("y", binary_data=binary)],
        request_compression_algorithm=request_algorithm,
        response_compression_algorithm=response_algorithm,
    )
    np.testing.assert_array_equal(result.as_numpy("y"), 2 * large)


def test_a_large_tensor(client):
    large = np.ones((500_000, 3), np.float32)
    np.testing.assert_array_equal(client.infer("scaled", [x(large)]).as_numpy("y"), 2 * large)


def test_parameters(client):
    np.testing.assert_array_equal(client.infer("scaled", [x()], priority=1, timeout=10_000_000).as_numpy("y"), 2 * X)
    with pytest.raises(InferenceServerException, match=r"IX638.*sequence_id"):
        client.infer("scaled", [x()], sequence_id=7, sequence_start=True)
    with pytest.raises(InferenceServerException, match=r"IX638.*mine"):
        client.infer("scaled", [x()], parameters={"mine": 1})
    long = fed("n", np.array([1 << 40]), "INT64")
    with pytest.raises(InferenceServerException, match="IX644"):
        client.infer("spinning", [long], timeout=50_000)


def test_what_is_wrong_is_told_in_the_clients_error(client):
    with pytest.raises(InferenceServerException, match=r"IX602.*'X'.*x: float32"):
        client.infer("scaled", [fed("X", X, "FP32")])
    with pytest.raises(InferenceServerException, match=r"IX603.*FP32"):
        client.infer("scaled", [fed("x", X.astype(np.int64), "INT64")])
    with pytest.raises(InferenceServerException, match="IX604"):
        client.infer("scaled", [x(X.T)])
    with pytest.raises(InferenceServerException, match="IX637"):
        client.infer("scaled", [x()], outputs=[triton.InferRequestedOutput("z")])
    with pytest.raises(InferenceServerException, match="IX640"):
        client.infer("none", [x()])


def test_requests_at_once(client):
    waiting = [client.async_infer("scaled", [x(X + n)]) for n in range(20)]
    for n, request in enumerate(waiting):
        np.testing.assert_array_equal(request.get_result().as_numpy("y"), 2 * (X + n))


def test_bodies_made_and_read_by_the_client(server):
    """Its functions for those who send by other means."""
    body, size = triton.InferenceServerClient.generate_request_body([x()], request_id="a")
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
    headers = {} if size is None else {"Inference-Header-Content-Length": str(size)}
    connection.request("POST", "/v2/models/scaled/infer", body, headers)
    answer = connection.getresponse()
    length = answer.getheader("Inference-Header-Content-Length")
    result = triton.InferenceServerClient.parse_response_body(
        answer.read(), header_length=None if length is None else int(length)
    )
    connection.close()
    np.testing.assert_array_equal(result.as_numpy("y"), 2 * X)


def test_a_raw_binary_request(server):
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
    connection.request("POST", "/v2/models/scaled/infer", X.tobytes(), {"Inference-Header-Content-Length": "0"})
    answer = connection.getresponse()
    length = int(answer.getheader("Inference-Header-Content-Length"))
    result = triton.InferenceServerClient.parse_response_body(answer.read(), header_length=length)
    connection.close()
    np.testing.assert_array_equal(result.as_numpy("y"), 2 * X)


def test_health_metadata_and_configuration(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("scaled")
    assert not client.is_model_ready("none")
    told = client.get_server_metadata()
    assert told["name"] == "interchange"
    assert {"binary_tensor_data", "classification", "statistics", "model_repository"} <= set(told["extensions"])
    assert client.get_model_metadata("scaled") == {
        "name": "scaled",
        "versions": ["1"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
    }
    config = client.get_model_config("scaled")
    assert config["name"] == "scaled"
    assert config["input"][0]["data_type"] == "TYPE_FP32"


def test_statistics(client):
    before = client.get_inference_statistics("versions", "1")["model_stats"][0]
    client.infer("versions", [x()], model_version="1")
    after = client.get_inference_statistics("versions", "1")["model_stats"][0]
    assert after["inference_count"] == before["inference_count"] + 2
    assert after["inference_stats"]["success"]["count"] == before["inference_stats"]["success"]["count"] + 1
    assert len(client.get_inference_statistics()["model_stats"]) > len(DTYPES)


def test_the_repository(tmp_path):
    serving.scaled(tmp_path / "scaled.onnx")
    tokens = (Token(secret="rules", admin=True), Token(secret="asks"))
    with Server(tmp_path, http_port=0, grpc_port=None, watch_seconds=None, tokens=tokens) as server:
        rules, asks = ({"Authorization": f"Bearer {secret}"} for secret in ("rules", "asks"))
        with triton.InferenceServerClient(server.url.removeprefix("http://")) as client:
            states = client.get_model_repository_index(headers=asks)
            assert [(m["name"], m["version"], m["state"]) for m in states] == [("scaled", "1", "READY")]
            with pytest.raises(InferenceServerException, match="IX655"):
                client.unload_model("scaled", headers=asks)
            with pytest.raises(InferenceServerException, match="IX654"):
                client.infer("scaled", [x()])
            client.unload_model("scaled", headers=rules)
            assert not client.is_model_ready("scaled", headers=asks)
            serving.scaled(tmp_path / "scaled.onnx", 5.0)
            client.load_model("scaled", headers=rules)
            np.testing.assert_array_equal(client.infer("scaled", [x()], headers=asks).as_numpy("y"), 5 * X)
            with pytest.raises(InferenceServerException, match="IX638"):
                client.load_model("scaled", headers=rules, config="{}", files={"file:1/model.onnx": b"no"})


def test_asyncio_client(server):
    async def ask():
        async with triton_aio.InferenceServerClient(server.url.removeprefix("http://")) as client:
            assert await client.is_server_ready()
            assert (await client.get_model_metadata("scaled"))["name"] == "scaled"
            results = await asyncio.gather(*(client.infer("scaled", [x(X + n)]) for n in range(20)))
            zipped = await client.infer("scaled", [x()], response_compression_algorithm="gzip")
            with pytest.raises(InferenceServerException, match="IX602"):
                await client.infer("scaled", [fed("X", X, "FP32")])
            return [*results, zipped]

    *found, zipped = asyncio.run(ask())
    for n, result in enumerate(found):
        np.testing.assert_array_equal(result.as_numpy("y"), 2 * (X + n))
    np.testing.assert_array_equal(zipped.as_numpy("y"), 2 * X)


def test_grpc_beside_it(server):
    with triton_grpc.InferenceServerClient(server.grpc_address) as client:
        np.testing.assert_array_equal(client.infer("scaled", [x(of=triton_grpc)]).as_numpy("y"), 2 * X)


# -- curl -------------------------------------------------------------------------------------------------------------
BODY = json.dumps({"inputs": [{"name": "x", "shape": [2, 3], "datatype": "FP32", "data": X.tolist()}]})
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def curl(*arguments, **more):
    done = subprocess.run(["curl", "-sS", "--max-time", "20", *arguments], capture_output=True, check=False, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_curl
def test_curl(server, tmp_path):
    url = f"{server.url}/v2/models/scaled/infer"
    doubled = (2 * X).ravel().tolist()
    assert json.loads(curl(url, "-d", BODY))["outputs"][0]["data"] == doubled  # its content type is that of a form
    assert json.loads(curl(url, "-H", "Transfer-Encoding: chunked", "-d", BODY))["outputs"][0]["data"] == doubled
    (tmp_path / "body.gz").write_bytes(gzip.compress(BODY.encode()))
    zipped = ("-H", "Content-Encoding: gzip", "--compressed", "--data-binary", f"@{tmp_path / 'body.gz'}")
    assert json.loads(curl(url, *zipped))["outputs"][0]["data"] == doubled
    (tmp_path / "raw").write_bytes(X.tobytes())
    out = curl(url, "-H", "Inference-Header-Content-Length: 0", "--data-binary", f"@{tmp_path / 'raw'}")
    assert out.endswith((2 * X).tobytes())
    asks_first = ("-H", "Expect: 100-continue", "-d", BODY)
    assert json.loads(curl(url, *asks_first))["outputs"][0]["data"] == doubled
    assert curl("-0", url, "-d", BODY).startswith(b'{"model_name"')
    assert curl("--http2", url, "-d", BODY).startswith(b'{"model_name"')  # an offer that need not be taken
    told = json.loads(curl(url, "-d", BODY.replace("FP32", "FP64")))
    assert told["code"] == "IX603"
    status = curl("-o", os.devnull, "-w", "%{http_code}", "-I", f"{server.url}/v2/health/ready")
    assert status == b"200"
    two = curl(f"{server.url}/v2/health/live", f"{server.url}/v2/health/ready", "-w", "%{num_connects} ")
    assert two.decode().split() == ['{"live":true}1', '{"ready":true}0'], "one connection for both"


@needs_curl
def test_curl_reads_why_a_large_body_is_refused(tmp_path, server):
    serving.scaled(tmp_path / "models" / "scaled.onnx")
    (tmp_path / "large").write_bytes(bytes(8 << 20))
    with Server(tmp_path / "models", http_port=0, grpc_port=None, watch_seconds=None, max_body=1000) as small:
        url = f"{small.url}/v2/models/scaled/infer"
        for more in ((), ("-H", "Expect:"), ("-H", "Transfer-Encoding: chunked", "-H", "Expect:")):
            told = json.loads(curl(url, *more, "--data-binary", f"@{tmp_path / 'large'}"))
            assert told["code"] == "IX652", more


# -- packages that do not live beside the others ----------------------------------------------------------------------
@pytest.mark.conformance
def test_kserve(server):
    if not list(OTHERS.glob("kserve/lib/python*/site-packages/kserve")):
        pytest.skip("make conformance fetches kserve")
    python = OTHERS / "kserve" / "bin" / "python"
    script = ROOT / "tests" / "clients" / "kserve_client.py"
    done = subprocess.run([python, script, server.url], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "7 datatypes, binary" in done.stdout


@pytest.mark.conformance
def test_the_newest_tritonclient():
    """All of this page again."""
    packages = OTHERS / "tritonclient"
    if not (packages / "tritonclient").exists():
        pytest.skip("make conformance fetches the newest tritonclient")
    pages = [ROOT / "tests" / name for name in ("test_serving_clients.py", "test_serving_grpc.py")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "not conformance", *pages],
        env=os.environ | {"PYTHONPATH": str(packages)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
