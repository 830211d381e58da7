"""What goes over HTTP, as JSON Schema: the components of the OpenAPI document."""

from __future__ import annotations

from typing import Any

from interchange.protocol.datatypes import DTYPES

Schema = dict[str, Any]


def ref(name: str, kind: str = "schemas") -> Schema:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def record(properties: dict[str, Schema], required: str = "", description: str = "", *, closed: bool = False) -> Schema:
    """An object. required: names of properties.  closed: others are refused."""
    found: Schema = {"type": "object", "properties": properties}
    if required:
        found["required"] = required.split()
    if description:
        found["description"] = description
    if closed:
        found["additionalProperties"] = False
    return found


def listing(items: Schema, **more: Any) -> Schema:
    """An array."""
    return {"type": "array", "items": items, **more}


def text(description: str = "") -> Schema:
    """A string."""
    return {"type": "string", "description": description} if description else {"type": "string"}


def whole(description: str = "", minimum: int | None = 0) -> Schema:
    """An integer."""
    found: Schema = {"type": "integer"} if minimum is None else {"type": "integer", "minimum": minimum}
    return found | ({"description": description} if description else {})


YES: Schema = {"type": "boolean"}
ANY: Schema = {"type": "object", "additionalProperties": True}

_DATATYPE = {"type": "string", "enum": list(DTYPES)}
_SHAPE = listing(whole())
_DATA: Schema = {
    "type": "array",
    "items": {},
    "description": "row-major, in one list or in nested lists as the shape has them. FP16, FP32, FP64 and BF16: "
    'numbers, and the texts "NaN", "Infinity", "-Infinity". BOOL: true and false. BYTES: texts.',
}
_TENSOR = record(
    {
        "name": text(),
        "datatype": ref("Datatype"),
        "shape": listing(whole(minimum=-1), description="-1: an open size; the axis of the batch is in it"),
    },
    "name datatype shape",
)
_DURATION = record({"count": whole(), "ns": whole("all of them together, nanoseconds")}, "count ns")
_PROBLEM = {
    "code": text("IXnnn: docs/errors explains each"),
    "message": text(),
    "input": text("the tensor that it is about"),
    "found": text(),
    "expected": text(),
    "fix": text("what to do"),
}

SCHEMAS: dict[str, Schema] = {
    "Datatype": _DATATYPE,
    "Number": {"anyOf": [{"type": "number"}, ref("NoNumber")]},
    "NoNumber": {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"], "description": "JSON has none for them"},
    "Error": record(
        {
            "error": text("all of it in one line"),
            **_PROBLEM,
            "problems": listing(ref("Problem"), description="each by itself, where there are several"),
        },
        "error",
    ),
    "Problem": record(_PROBLEM, "code message"),
    "InferParameters": record(
        {
            "priority": {**whole("1 comes first, 0 is the default"), "maximum": 100},
            "timeout": whole("microseconds; 0: no limit of the request's own"),
            "binary_data_output": {**YES, "description": "answer with bytes behind the JSON"},
        },
        closed=True,
    ),
    "RequestInput": record(
        {
            "name": text(),
            "datatype": ref("Datatype"),
            "shape": _SHAPE,
            "data": _DATA,
            "parameters": ref("BinarySize"),
        },
        "name datatype shape",
        "`data`, or `binary_data_size` and its bytes behind the JSON",
        closed=True,
    ),
    "RequestOutput": record(
        {
            "name": text(),
            "parameters": ref("OutputParameters"),
        },
        "name",
        closed=True,
    ),
    "OutputParameters": record(
        {
            "binary_data": {**YES, "description": "answer with bytes behind the JSON"},
            "classification": whole("how many of the best classes: texts score:index:label", 1),
        },
        closed=True,
    ),
    "BinarySize": record({"binary_data_size": whole("bytes of this tensor behind the JSON")}, closed=True),
    "InferRequest": record(
        {
            "model_name": text("the one of the path; KServe's client repeats it"),
            "id": text("comes back in the answer"),
            "parameters": ref("InferParameters"),
            "inputs": listing(ref("RequestInput")),
            "outputs": listing(ref("RequestOutput"), description="those that are wanted; without it all"),
        },
        "inputs",
        closed=True,
    ),
    "ResponseOutput": record(
        {
            "name": text(),
            "datatype": ref("Datatype"),
            "shape": _SHAPE,
            "data": _DATA | {"description": "row-major, in one list"},
            "parameters": ref("BinarySize"),
        },
        "name datatype shape",
    ),
    "InferResponse": record(
        {
            "model_name": text(),
            "model_version": text(),
            "id": text(),
            "outputs": listing(ref("ResponseOutput")),
        },
        "model_name outputs",
    ),
    "Live": record({"live": YES}, "live"),
    "Ready": record({"ready": YES}, "ready"),
    "ModelReady": record({"name": text(), "ready": YES}, "name ready"),
    "ServerMetadata": record(
        {"name": text(), "version": text(), "extensions": listing(text())}, "name version extensions"
    ),
    "Tensor": _TENSOR,
    "ModelMetadata": record(
        {
            "name": text(),
            "versions": listing(text()),
            "platform": text(),
            "inputs": listing(ref("Tensor")),
            "outputs": listing(ref("Tensor")),
        },
        "name platform inputs outputs",
    ),
    "ModelConfig": ANY | {"description": "Triton's ModelConfig as JSON"},
    "Duration": _DURATION,
    "ModelStatistics": record(
        {
            "name": text(),
            "version": text(),
            "last_inference": whole("milliseconds since 1970; 0: none yet"),
            "inference_count": whole("rows"),
            "execution_count": whole("runs: fewer than rows where requests shared them"),
            "inference_stats": {"type": "object", "additionalProperties": ref("Duration")},
            "batch_stats": listing(ANY),
        },
        "name version inference_count execution_count inference_stats",
    ),
    "Statistics": record({"model_stats": listing(ref("ModelStatistics"))}, "model_stats"),
    "IndexRequest": record({"ready": {**YES, "description": "only those that are ready"}}),
    "IndexEntry": record(
        {
            "name": text(),
            "version": text(),
            "state": {"type": "string", "enum": ["READY", "UNAVAILABLE", "LOADING", "UNLOADING"]},
            "reason": text("why it is not ready"),
        },
        "name",
    ),
    "LoadRequest": record({"parameters": ANY}),
}
