"""The whole HTTP protocol as an OpenAPI 3.1 document, with a path of its own for every model that is served.

https://spec.openapis.org/oas/v3.1.0; the protocol: github.com/kserve/open-inference-protocol, and Triton's extensions.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from interchange.dtypes import is_float
from interchange.errors import InterchangeError
from interchange.serving.http.tensors import data_json
from interchange.serving.page.schemas import SCHEMAS, Schema, listing, record, ref, text

if TYPE_CHECKING:
    from interchange.serving.app import App
    from interchange.serving.served import Port, Served
    from interchange.serving.settings import Token

_EXAMPLE = 256  # elements of a request; a larger one is no example
_JSON = "application/json"
_ASKED = (401, 403)  # where a token is needed
_INFERENCE = (400, 404, 408, 413, 415, 429, 431, 500, 503, 504)  # what an inference may be told instead of an answer


def openapi(app: App, token: Token | None = None) -> Schema:
    """The document. token: who asks, where the server asks for one; it describes the models that the token may see."""
    paths = _generic()
    schemas = dict(SCHEMAS)
    known = app.access.tokens == () or token is not None
    for name, versions in sorted(app.engine.models.items()):
        if known and app.access.sees(token, name):
            _add_model(name, app.engine.find(name), versions, paths, schemas)
    metadata = app.operations.server_metadata()
    statuses = sorted({*_INFERENCE, *_ASKED, 405})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": metadata["name"],
            "version": metadata["version"],
            "description": "Models behind the Open Inference Protocol (v2). Every error names its code, and for a "
            "request that does not fit the model the input, what was found, what was expected, and the repair.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": n} for n in ("models", "inference", "health", "repository", "operation")],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {f"Error{s}": _error(s) for s in statuses},
            "parameters": {n: _parameter(n) for n in ("model", "version")} | {"json_length": _JSON_LENGTH},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}] if app.access.tokens else [],
    }


_JSON_LENGTH = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "schema": {"type": "integer", "minimum": 0},
    "description": "bytes of JSON before the bytes of the tensors; 0: the body is the data of the only input",
}


def _parameter(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _error(status: int) -> Schema:
    found: Schema = {"description": HTTPStatus(status).phrase, "content": {_JSON: {"schema": ref("Error")}}}
    if status in (429, 503):
        found["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
    return found


def _errors(*statuses: int) -> Schema:
    return {str(s): ref(f"Error{s}", "responses") for s in statuses}


def _operation(tag: str, name: str, summary: str, answer: Schema | None, *errors: int, **more: Any) -> Schema:
    content = {} if answer is None else {"content": {_JSON: {"schema": answer}}}
    responses = {"200": {"description": "the answer", **content}, **_errors(*errors)}
    return {"tags": [tag], "operationId": name, "summary": summary, "responses": responses, **more}


def _body(schema: Schema, required: bool = False) -> Schema:
    return {"required": required, "content": {_JSON: {"schema": schema}}}


# -- the protocol -----------------------------------------------------------------------------------------------------
def _generic() -> Schema:
    """The paths that every server has."""
    public: Schema = {"security": []}
    health = {
        "/v2/health/live": {"get": _operation("health", "live", "Whether it answers", ref("Live"), **public)},
        "/v2/health/ready": {
            "get": _operation("health", "ready", "Whether to send requests here", ref("Ready"), **public)
        },
        "/v2": {"get": _operation("health", "server_metadata", "The server", ref("ServerMetadata"), **public)},
    }
    health["/v2/health/ready"]["get"]["responses"]["503"] = {
        "description": "not now: it loads, or goes down",
        "content": {_JSON: {"schema": ref("Ready")}},
    }
    models: Schema = {
        "/v2/models/stats": {
            "get": _operation("operation", "all_statistics", "What was counted and timed", ref("Statistics"), *_ASKED)
        }
    }
    for version in (False, True):
        prefix = "/v2/models/{model}" + ("/versions/{version}" if version else "")
        ending = "_of_version" if version else ""
        parameters = [ref(n, "parameters") for n in ("model", "version")[: 2 if version else 1]]
        models |= {
            f"{prefix}/infer": {"post": _infer(f"infer{ending}", ref("InferRequest"), ref("InferResponse"))},
            prefix: {
                "get": _operation("models", f"model_metadata{ending}", "A model", ref("ModelMetadata"), 404, *_ASKED)
            },
            f"{prefix}/ready": {
                "get": _operation(
                    "models", f"model_ready{ending}", "Whether a model answers", ref("ModelReady"), 404, *_ASKED
                )
            },
            f"{prefix}/config": {
                "get": _operation(
                    "models", f"model_config{ending}", "How a model is served", ref("ModelConfig"), 404, *_ASKED
                )
            },
            f"{prefix}/stats": {
                "get": _operation(
                    "models", f"statistics{ending}", "What was counted and timed", ref("Statistics"), 404, *_ASKED
                )
            },
        }
        models[f"{prefix}/ready"]["get"]["responses"]["503"] = {
            "description": "it does not answer",
            "content": {_JSON: {"schema": ref("ModelReady")}},
        }
        for rest in ("", "/infer", "/ready", "/config", "/stats"):
            models[prefix + rest]["parameters"] = parameters
    return health | models | _repository() | _operating()


def _repository() -> Schema:
    index = _operation(
        "repository", "index", "All models and their states", listing(ref("IndexEntry")), 400, *_ASKED,
        requestBody=_body(ref("IndexRequest")),
    )  # fmt: skip
    found: Schema = {"/v2/repository/index": {"post": index}}
    for name, summary in (("load", "Load a model, or load it again"), ("unload", "Serve a model no longer")):
        found[f"/v2/repository/models/{{model}}/{name}"] = {
            "parameters": [ref("model", "parameters")],
            "post": _operation(
                "repository", name, summary, None, 400, 404, *_ASKED,
                requestBody=_body(ref("LoadRequest")), security=[{"token": []}],
            ),
        }  # fmt: skip
    return found


def _operating() -> Schema:
    metrics = _operation("operation", "metrics", "Counters and histograms for Prometheus", None, *_ASKED)
    metrics["responses"]["200"]["content"] = {"text/plain": {"schema": text()}}
    return {
        "/metrics": {"get": metrics},
        "/openapi.json": {"get": _operation("operation", "openapi", "This document", {"type": "object"})},
        "/page/state.json": {
            "get": _operation("operation", "page_state", "What the page at / shows", {"type": "object"}, *_ASKED)
        },
    }


def _infer(name: str, request: Schema, response: Schema, example: Any = None) -> Schema:
    json = {"schema": request} if example is None else {"schema": request, "example": example}
    answer = _operation("inference", name, "Ask a model", response, *sorted({*_INFERENCE, *_ASKED}))
    answer["responses"]["200"]["content"]["application/octet-stream"] = {
        "schema": {"type": "string", "format": "binary"}
    }
    return answer | {
        "parameters": [ref("json_length", "parameters")],
        "requestBody": {
            "required": True,
            "content": {
                _JSON: json,
                # the binary tensor extension: JSON, then the bytes of the tensors, little endian, in their order
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        },
    }


# -- what is served here ----------------------------------------------------------------------------------------------
def _add_model(name: str, newest: Served, versions: dict[str, Served], paths: Schema, schemas: Schema) -> None:
    for version, served in sorted(versions.items(), key=lambda item: int(item[0])):
        title = f"{name}.{version}"
        schemas[f"{title}.request"] = _request(served)
        schemas[f"{title}.response"] = _response(served)
        ways = [(f"/v2/models/{name}/versions/{version}/infer", f"infer.{title}")]
        if served is newest:
            ways.insert(0, (f"/v2/models/{name}/infer", f"infer.{name}"))
        for path, operation in ways:
            ask = _infer(operation, ref(f"{title}.request"), ref(f"{title}.response"), _example(served))
            paths[path] = {"post": ask | {"summary": f"Ask {name}", "description": _signature(served)}}


def _signature(served: Served) -> str:
    def lines(ports: dict[str, Port]) -> str:
        return "\n".join(f"    {port.spec}" for port in ports.values())

    guards = "".join(f"\n\nValid where {g.condition}." for g in served.model.guards)
    return f"takes\n\n{lines(served.inputs)}\n\ngives\n\n{lines(served.outputs)}{guards}"


def _request(served: Served) -> Schema:
    inputs = [_input(p) for p in served.inputs.values()]
    required = sum(not p.optional for p in served.inputs.values())
    items = inputs[0] if len(inputs) == 1 else {"anyOf": inputs}
    output = {"type": "string", "enum": list(served.output_names)}
    wanted = SCHEMAS["RequestOutput"] | {"properties": SCHEMAS["RequestOutput"]["properties"] | {"name": output}}
    return record(
        {
            "model_name": {"const": served.name},
            "id": text(),
            "parameters": ref("InferParameters"),
            "inputs": listing(items, minItems=required, maxItems=len(inputs)),
            "outputs": listing(wanted),
        },
        "inputs",
        closed=True,
    )


def _input(port: Port) -> Schema:
    return record(
        {
            "name": {"const": port.name},
            "datatype": {"const": port.datatype},
            "shape": _shape(port),
            "data": listing(_element(port), description="row-major, in one list; nested lists are read as well"),
        },
        "name datatype shape data",
        str(port.spec),
        closed=True,
    )


def _shape(port: Port) -> Schema:
    if not port.spec.ranked:
        return listing({"type": "integer", "minimum": 0})
    rank = len(port.shape)
    sizes = [{"type": "integer", "minimum": max(d, 0)} | ({"maximum": d} if d >= 0 else {}) for d in port.shape]
    found = {"prefixItems": sizes} if rank else {}
    return listing({"type": "integer"}, minItems=rank, maxItems=rank, **found)


def _element(port: Port) -> Schema:
    if port.datatype in ("BOOL", "BYTES"):
        return {"type": "boolean" if port.datatype == "BOOL" else "string"}
    if is_float(port.dtype):
        return ref("Number")
    limits = np.iinfo(port.dtype)
    return {"type": "integer", "minimum": int(limits.min), "maximum": int(limits.max)}


def _response(served: Served) -> Schema:
    outputs = [
        record(
            {
                "name": {"const": port.name},
                "datatype": {
                    "type": "string",
                    "enum": [port.datatype, "BYTES"] if port.datatype != "BYTES" else ["BYTES"],
                },
                "shape": listing({"type": "integer", "minimum": 0}),
                "data": listing({}),
                "parameters": ref("BinarySize"),
            },
            "name datatype shape",
            f"{port.spec}; BYTES where classification was asked for",
        )
        for port in served.outputs.values()
    ]
    items = outputs[0] if len(outputs) == 1 else {"anyOf": outputs}
    return record(
        {
            "model_name": {"const": served.name},
            "model_version": {"const": served.version},
            "id": text(),
            "outputs": listing(items),
        },
        "model_name model_version outputs",
    )


def _example(served: Served) -> Schema | None:
    """A request of zeros, at the sizes at which the model answered when it was loaded; None for one that is large."""
    try:
        zeros = served.model.zeros(served.trial.sizes)
    except InterchangeError:
        return None  # it was tried on a sample
    if sum(math.prod(a.shape) for a in zeros.values()) > _EXAMPLE:
        return None
    return {
        "inputs": [
            {
                "name": name,
                "datatype": served.inputs[name].datatype,
                "shape": list(array.shape),
                "data": orjson.loads(data_json(array)),
            }
            for name, array in zeros.items()
        ]
    }
