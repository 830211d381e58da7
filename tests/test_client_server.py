"""The client and the server of this project, together: what one says the other understands, over every door."""

import asyncio

import numpy as np
import pytest
from scripted import Blocking, clients, fails
from serving import identity, linear, scaled

from interchange import runtime
from interchange.client import AsyncClient, Client
from interchange.client.load import measure
from interchange.client.load_grpc import infer_message, measure_grpc
from interchange.client.targets import target_of
from interchange.dtypes import to_onnx
from interchange.errors import InterchangeError
from interchange.protocol.datatypes import DTYPES
from interchange.serving import Server
from interchange.serving.settings import Token

client = pytest.fixture(params=[Client, Blocking], ids=["sync", "async"])(clients)
SECRETS = {"user": "u" * 20, "admin": "a" * 20}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    scaled(folder / "double.onnx")
    linear(folder / "mlp.onnx")
    identity(folder / "same.onnx", {n: to_onnx(d) for n, d in DTYPES.items() if n != "BF16"})
    identity(folder / "brief.onnx", {"BF16": to_onnx(DTYPES["BF16"])})
    with Server(folder, http_port=0, grpc_port=0, uds=folder / "s.sock") as running:
        running.folder = folder
        yield running


@pytest.mark.parametrize("binary", [True, False])
def test_answers_are_those_of_the_model_itself(client, server, binary):
    model = runtime.load(server.folder / "mlp.onnx")
    for url in (server.url, f"unix://{server.folder}/s.sock"):
        ask = client(url)
        for rows in (1, 5, 0):
            x = np.random.default_rng(rows).random((rows, 64), np.float32)
            np.testing.assert_allclose(ask.infer("mlp", x=x, binary=binary)["y"], model.run(x)["y"], 1e-5)


@pytest.mark.parametrize("binary", [None, False])
def test_every_datatype_survives_the_way_there_and_back(client, server, binary):
    rng = np.random.default_rng(0)
    given = {}
    for name, dtype in DTYPES.items():
        if name == "BYTES":
            given[f"x_{name}"] = np.array([["é", ""]], object)
        else:
            given[f"x_{name}"] = rng.integers(0, 2, (1, 2)).astype(dtype)
    brief = given.pop("x_BF16")
    if binary is False:
        fails("IX687", client(server.url).infer, "same", given, binary=False)
        return
    ask = client(server.url)
    found = ask.infer("same", given) | ask.infer("brief", x_BF16=brief)
    given["x_BF16"] = brief
    for name, dtype in DTYPES.items():
        assert found[f"y_{name}"].dtype == dtype
        assert np.array_equal(found[f"y_{name}"], given[f"x_{name}"])


def test_errors_arrive_with_the_servers_own_parts(client, server):
    ask = client(server.url)
    x = [[1, 2, 3]]
    error = fails("IX640", ask.infer, "doubel", x=x)
    assert (error.status, error.fix) == (404, "did you mean double?")
    assert fails("IX641", ask.infer, "double", x=x, version="7").status == 404
    assert fails("IX637", ask.infer, "double", x=x, outputs=["z"]).found == "z"
    assert fails("IX638", ask.infer, "double", x=x, priority=1000).status == 400
    assert fails("IX601", ask.infer, "double").expected == "x: float32[batch, 3]"
    assert fails("IX655", ask.load, "double").status == 403
    assert ask.infer("double", x=x)["y"].tolist() == [[2, 4, 6]]


def test_the_other_calls(client, server):
    ask = client(server.url)
    ask.infer("double", x=[[1, 2, 3]], id="seen", priority=1, timeout=5)
    assert ask.live()
    assert ask.ready()
    assert ask.ready("double", "1")
    assert not ask.ready("none")
    assert ask.metadata("double")["inputs"][0]["datatype"] == "FP32"
    assert ask.config("double")["name"] == "double"
    assert ask.statistics("double")["model_stats"][0]["inference_stats"]["success"]["count"] > 0
    assert {m["name"] for m in ask.index(ready=True)} == {"double", "mlp", "same", "brief"}


def test_tokens_and_a_model_that_is_replaced(client, tmp_path):
    tokens = (Token(secret=SECRETS["user"]), Token(secret=SECRETS["admin"], admin=True))
    scaled(tmp_path / "m.onnx", 2.0)
    with Server(tmp_path, http_port=0, grpc_port=None, tokens=tokens, watch_seconds=None) as server:
        assert fails("IX654", client(server.url).infer, "m", x=[[1, 2, 3]]).status == 401
        user, admin = client(server.url, SECRETS["user"]), client(server.url, SECRETS["admin"])
        assert user.infer("m", x=[[1, 2, 3]])["y"].tolist() == [[2, 4, 6]]
        assert fails("IX655", user.unload, "m").status == 403
        identity(tmp_path / "m.onnx", {"FP64": 11})
        admin.load("m")
        fails("IX602", user.infer, "m", x=[[1, 2, 3]])
        assert user.infer("m", x_FP64=[[1, 2]])["y_FP64"].dtype == np.float64
        admin.unload("m")
        assert not user.ready("m")


def test_many_tasks_at_once(server):
    async def work():
        async with AsyncClient(server.url) as ask:
            rows = [np.full((1, 3), n, np.float32) for n in range(100)]
            found = await asyncio.gather(*(ask.infer("double", x=row) for row in rows))
            assert all(np.array_equal(f["y"], row * 2) for f, row in zip(found, rows, strict=True))

    asyncio.run(work())


def test_load_over_http_and_grpc(server):
    with Client(server.url) as ask:
        asked = target_of(ask, "mlp", {}, pids=())
        arrays = ask.arrays("mlp", {"x": np.ones((1, 64), np.float32)})
    for rate in (None, 100):
        found = measure(asked, clients=4, rate=rate, seconds=0.2, warm_up=0)
        assert (found.errors, found.requests > 0) == ({}, True)
        address = server.grpc_address
        found = measure_grpc(address, [infer_message("mlp", "1", arrays)], clients=4, rate=rate, seconds=0.2, warm_up=0)
        assert (found.errors, found.requests > 0) == ({}, True)
    wrong = measure_grpc(address, [infer_message("none", "", arrays)], clients=1, seconds=0.1, warm_up=0)
    assert [k.split(":")[0] for k in wrong.errors] == ["NOT_FOUND"]
    with pytest.raises(InterchangeError, match="IX681"):
        measure_grpc("127.0.0.1:9", [b""], seconds=0.1)
