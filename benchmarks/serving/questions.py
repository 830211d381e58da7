"""The request of each protocol for arrays, and the arrays of an answer."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from interchange.client.load_grpc import METHOD, infer_message


@dataclass(frozen=True)
class Question:
    """One request without its address. protocol: json, binary or grpc.  headers: of HTTP."""

    protocol: str
    model: str
    body: bytes
    headers: Mapping[str, str]

    @property
    def path(self) -> str:
        """Of the URL."""
        return METHOD if self.protocol == "grpc" else f"/v2/models/{self.model}/infer"


def question(protocol: str, model: str, feeds: Mapping[str, np.ndarray]) -> Question:
    """The request for float32 arrays."""
    if protocol == "grpc":
        return Question(protocol, model, infer_message(model, "", feeds), {})
    inputs = [{"name": n, "shape": list(a.shape), "datatype": "FP32"} for n, a in feeds.items()]
    if protocol == "json":
        for entry, array in zip(inputs, feeds.values(), strict=True):
            # as a client would: the digits of a float32, not of the float64 beside it
            entry["data"] = [float(str(v)) for v in array.ravel()]
        text = json.dumps({"inputs": inputs}, separators=(",", ":")).encode()
        return Question(protocol, model, text, {"content-type": "application/json"})
    for entry, array in zip(inputs, feeds.values(), strict=True):
        entry["parameters"] = {"binary_data_size": array.nbytes}
    head = json.dumps({"parameters": {"binary_data_output": True}, "inputs": inputs}, separators=(",", ":")).encode()
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    return Question(protocol, model, head + b"".join(a.tobytes() for a in feeds.values()), headers)


def ask(port: int, asked: Question) -> np.ndarray:
    """The only output that a server answers. Raises RuntimeError with what it says instead."""
    if asked.protocol == "grpc":
        import grpc

        from interchange.serving.grpc.messages import message_class

        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            answer = message_class("ModelInferResponse").FromString(channel.unary_unary(METHOD)(asked.body, timeout=60))
        (output,) = answer.outputs
        if answer.raw_output_contents:
            return np.frombuffer(answer.raw_output_contents[0], np.float32).reshape(output.shape)
        return np.array(output.contents.fp32_contents, np.float32).reshape(output.shape)
    url = f"http://127.0.0.1:{port}{asked.path}"
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, asked.body, dict(asked.headers)), timeout=60
        ) as response:
            body, size = response.read(), response.headers.get("inference-header-content-length")
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{asked.model}: {error.code}: {error.read()[:500]!r}") from None
    text, tail = (body[: int(size)], body[int(size) :]) if size else (body, b"")
    (output,) = json.loads(text)["outputs"]
    data = np.frombuffer(tail, np.float32) if tail else np.array(output["data"], np.float32)
    return data.reshape(output["shape"])
