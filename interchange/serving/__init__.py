"""The server: models behind the Open Inference Protocol (HTTP and gRPC), for production.

    from interchange.serving import Server

    Server("models/").run()                     # until SIGTERM; what `interchange serve models/` does
    with Server("iris.onnx", http_port=0) as server:
        server.infer("iris", x=array)           # the same engine, without a network
        requests.get(f"{server.url}/v2")

One `Engine` (models, versions, batching, statistics) stands under every door.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from interchange.protocol.errors import ServingError
from interchange.serving.settings import ModelSettings, Settings

if TYPE_CHECKING:
    from interchange.serving.engine import Engine
    from interchange.serving.server import Server

_HOME = {"Engine": "interchange.serving.engine", "Server": "interchange.serving.server"}

__all__ = ["Engine", "ModelSettings", "Server", "ServingError", "Settings"]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is not None:
        return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'interchange.serving' has no attribute {name!r}")
