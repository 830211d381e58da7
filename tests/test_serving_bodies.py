"""Bodies of requests: what is remembered of them, and how much may be on its way at once."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
from raw_http import Wire, document, infer
from serving import scaled

from interchange.serving import Server


def started(folder: Path, **more: int) -> Server:
    scaled(folder / "scaled.onnx")
    return Server(folder, http_port=0, grpc_port=None, watch_seconds=None, **more)


def test_a_binary_request_like_an_earlier_one_has_its_own_data(tmp_path: Path) -> None:
    entry = {"name": "x", "shape": [1, 3], "datatype": "FP32", "parameters": {"binary_data_size": 12}}
    text = json.dumps({"inputs": [entry], "id": "same"}).encode()
    length = f"Inference-Header-Content-Length: {len(text)}"
    with started(tmp_path) as server, Wire(server.url) as wire:
        for number in range(4):
            x = np.full((1, 3), number, np.float32)
            answer = wire.send(infer(text + x.tobytes(), length)).answer()
            assert answer.json["outputs"][0]["data"] == (2 * x).ravel().tolist()
            assert answer.json["id"] == "same"
        short = wire.send(infer(text + bytes(8), length)).answer()  # other bytes behind it than it says
        assert (short.status, short.json["code"]) == (400, "IX636")


def test_what_is_received_at_once_has_a_limit_over_all_connections(tmp_path: Path) -> None:
    body = json.dumps(document() | {"id": "a" * 2000}).encode()
    sent = infer(body)
    with started(tmp_path, max_incoming=1500) as small, Wire(small.url) as first, Wire(small.url) as second:
        door = small.doors.http
        first.send(sent[:-1000])
        while door.incoming < 1000:  # until it was read
            time.sleep(0.005)
        second.send(sent[:-1000])
        refused = second.answer()
        assert (refused.status, refused.json["code"], refused.closes) == (503, "IX659", True)
        assert refused.headers["retry-after"] == "1"
        assert first.send(sent[-1000:]).answer().status == 200
        assert door.incoming == 0
        with Wire(small.url) as third:
            assert third.send(sent).answer().status == 200
