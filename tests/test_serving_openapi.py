"""/openapi.json: a valid description of everything the server answers, which validators and generators understand."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from importlib.util import find_spec

import numpy as np
import pytest
import serving
from onnx import TensorProto, helper

from interchange.protocol.errors import ServingError
from interchange.serving import Server
from interchange.serving.http import people, rest
from interchange.serving.http.routes import find_route
from interchange.serving.settings import Token

TYPES = {"BOOL": TensorProto.BOOL, "INT8": TensorProto.INT8, "UINT64": TensorProto.UINT64, "FP16": TensorProto.FLOAT16}
HOSTILE = "</script>\"'$(x)`\\ name"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    serving.scaled(folder / "scaled.onnx")
    serving.scaled(folder / "versions" / "1" / "model.onnx")
    serving.linear(folder / "versions" / "3" / "model.onnx", 3, 2)
    serving.identity(folder / "types.onnx", TYPES)
    serving.identity(folder / "texts.onnx", {"BYTES": TensorProto.STRING})
    serving.linear(folder / "large.onnx", 300)
    float_of = (TensorProto.FLOAT, ["n"])
    serving.node_model(
        [helper.make_node("Neg", [HOSTILE], ["y"])], [(HOSTILE, *float_of)], [("y", *float_of)], folder / "names.onnx"
    )
    return folder


@pytest.fixture(scope="module")
def server(folder):
    with Server(folder, http_port=0, grpc_port=None, watch_seconds=None) as running:
        yield running


def ask(server, path, body=None, token=""):
    """(status, JSON) of a GET, or of a POST with a body."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(server.url + path, None if body is None else json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.fixture(scope="module")
def document(server):
    return ask(server, "/openapi.json")[1]


def validator(document, schema):
    from openapi_schema_validator import OAS31Validator

    return OAS31Validator({**schema, "components": document["components"]})


def schemas_of(document, path, method="post", status="200"):
    operation = document["paths"][path][method]
    answer = operation["responses"][status]["content"]["application/json"]["schema"]
    asked = operation["requestBody"]["content"]["application/json"]["schema"] if "requestBody" in operation else {}
    return validator(document, asked), validator(document, answer)


def test_it_is_a_valid_document(document):
    from openapi_spec_validator import validate

    validate(document)
    assert document["openapi"].startswith("3.1")
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_every_path_of_the_server_is_described_and_every_described_one_is_answered(document):
    described = {
        (method.upper(), path)
        for path, entry in document["paths"].items()
        for method in entry
        if method in ("get", "post")
    }
    assert {(r.method, r.template) for r in (*rest.ROUTES, *people.ROUTES)} - described == {
        ("GET", "/"),
        ("GET", "/page/{file}"),
    }
    for method, path in described:
        find_route(method, path.replace("{model}", "m").replace("{version}", "1"))
    names = [entry[m]["operationId"] for entry in document["paths"].values() for m in entry if m != "parameters"]
    assert len(names) == len(set(names))


def test_what_is_asked_for_by_get_has_the_described_form(server, document):
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/stats"):
        status, found = ask(server, path)
        assert status == 200
        schemas_of(document, path, "get")[1].validate(found)
    for rest_of_path in ("", "/ready", "/config", "/stats"):
        status, found = ask(server, f"/v2/models/scaled{rest_of_path}")
        assert status == 200
        schemas_of(document, f"/v2/models/{{model}}{rest_of_path}", "get")[1].validate(found)
    asked, answered = schemas_of(document, "/v2/repository/index")
    asked.validate({"ready": True})
    answered.validate(ask(server, "/v2/repository/index", {"ready": True})[1])


@pytest.mark.parametrize("path", ["scaled", "versions", "versions/versions/3", "types", "texts", "names"])
def test_the_example_of_a_model_is_answered_as_described(server, document, path):
    path = f"/v2/models/{path}/infer"
    asked, answered = schemas_of(document, path)
    example = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
    asked.validate(example)
    schemas_of(document, "/v2/models/{model}/infer")[0].validate(example)
    status, answer = ask(server, path, example)
    assert status == 200, answer
    answered.validate(answer)
    schemas_of(document, "/v2/models/{model}/infer")[1].validate(answer)


def test_names_types_and_shapes_are_those_of_the_model(document):
    asked = document["components"]["schemas"]["names.1.request"]["properties"]["inputs"]
    assert asked["items"]["properties"]["name"] == {"const": HOSTILE}
    assert (asked["minItems"], asked["maxItems"]) == (1, 1)
    types = document["components"]["schemas"]["types.1.request"]["properties"]["inputs"]
    properties = [i["properties"] for i in types["items"]["anyOf"]]
    assert [p["datatype"]["const"] for p in properties] == list(TYPES)
    assert properties[1]["data"]["items"] == {"type": "integer", "minimum": -128, "maximum": 127}
    assert properties[1]["shape"]["prefixItems"] == [
        {"type": "integer", "minimum": 0},
        {"type": "integer", "minimum": 2, "maximum": 2},
    ]
    large = document["paths"]["/v2/models/large/infer"]["post"]["requestBody"]["content"]["application/json"]
    assert "example" not in large
    assert "versions.3.request" in document["components"]["schemas"]
    newest = document["paths"]["/v2/models/versions/infer"]["post"]["requestBody"]["content"]["application/json"]
    assert newest["schema"]["$ref"].endswith("/versions.3.request")


INPUT = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}
WRONG = {
    "another name": [INPUT | {"name": "X"}],
    "another datatype": [INPUT | {"datatype": "FP64"}],
    "another shape": [INPUT | {"shape": [1, 4], "data": [1, 2, 3, 4]}],
    "an axis less": [INPUT | {"shape": [3]}],
    "an axis more": [INPUT | {"shape": [1, 3, 1]}],
    "a text": [INPUT | {"data": [1, 2, "three"]}],
    "null": [INPUT | {"data": [1, 2, None]}],
    "a member too many": [INPUT | {"value": 1}],
    "no input": [],
    "one too many": [INPUT, INPUT | {"name": "y"}],
}


@pytest.mark.parametrize("inputs", WRONG.values(), ids=WRONG)
def test_what_the_document_forbids_the_server_refuses_in_the_described_form(server, document, inputs):
    path = "/v2/models/scaled/infer"
    asked, _ = schemas_of(document, path)
    asked.validate({"inputs": [INPUT]})
    assert ask(server, path, {"inputs": [INPUT]})[0] == 200
    assert not asked.is_valid({"inputs": inputs})
    status, error = ask(server, path, {"inputs": inputs})
    assert status == 400
    validator(document, document["components"]["schemas"]["Error"]).validate(error)
    assert error["code"].startswith("IX")


def test_special_numbers_are_described(server, document):
    asked, answered = schemas_of(document, "/v2/models/scaled/infer")
    request = {"inputs": [INPUT | {"data": ["NaN", "Infinity", "-Infinity"]}]}
    asked.validate(request)
    status, answer = ask(server, "/v2/models/scaled/infer", request)
    assert status == 200
    answered.validate(answer)
    assert answer["outputs"][0]["data"] == ["NaN", "Infinity", "-Infinity"]


def test_a_token_describes_the_models_that_it_may_see(folder):
    tokens = (Token(secret="one", models=("scal*",)), Token(secret="all"))
    with Server(folder, http_port=0, grpc_port=None, watch_seconds=None, tokens=tokens) as server:

        def described(token):
            found = ask(server, "/openapi.json", token=token)[1]
            concrete = {p.split("/")[3] for p in found["paths"] if p.endswith("/infer") and "{model}" not in p}
            assert {s.split(".")[0] for s in found["components"]["schemas"] if s.endswith(".request")} == concrete
            assert found["security"] == [{"token": []}]
            return concrete

        assert described("") == set()
        assert described("one") == {"scaled"}
        assert described("all") == {"scaled", "versions", "types", "texts", "large", "names"}
        assert ask(server, "/openapi.json", token="none")[0] == 401


CLIENT = """
import sys
from made.api.inference import infer, infer_scaled
from made.client import Client
from made.models import Error, InferRequest, Scaled1Request

client = Client(base_url=sys.argv[1])
tensor = {"name": "x", "datatype": "FP32", "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6]}
answer = infer_scaled.sync(client=client, body=Scaled1Request.from_dict({"inputs": [tensor]}))
print(answer.model_name, answer.outputs[0].name, answer.outputs[0].shape, answer.outputs[0].data)
answer = infer.sync("scaled", client=client, body=InferRequest.from_dict({"inputs": [tensor]}))
print(answer.outputs[0].data)
error = infer.sync("scaled", client=client, body=InferRequest.from_dict({"inputs": [{**tensor, "shape": [3, 3]}]}))
print(isinstance(error, Error), error.code, error.input_)
"""


@pytest.mark.skipif(find_spec("openapi_python_client") is None, reason="openapi-python-client is not installed")
def test_a_generated_client_gets_its_answers(server, tmp_path):
    (tmp_path / "config.yml").write_text("post_hooks: []\n")
    command = (
        sys.executable,
        "-m",
        "openapi_python_client",
        "generate",
        "--url",
        f"{server.url}/openapi.json",
        "--fail-on-warning",
    )
    options = ("--meta", "none", "--output-path", "made", "--config", "config.yml")
    made = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, server.url], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    doubled = np.arange(2.0, 14.0, 2.0).tolist()
    assert done.stdout.splitlines() == [f"scaled y [2, 3] {doubled}", str(doubled), "True IX632 x"]


def test_the_document_knows_no_other_paths():
    with pytest.raises(ServingError, match="IX650"):
        find_route("GET", "/docs")
