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

if TYPE_CHECKING:
    from interchange.protocol.errors import ServingError
    from interchange.serving.engine import Engine
    from interchange.serving.server import Server
    from interchange.serving.settings import ModelSettings, Settings

# imported when they are asked for: the process that supervises the others needs next to nothing
_HOME = {
    "Engine": "interchange.serving.engine",
    "ModelSettings": "interchange.serving.settings",
    "Server": "interchange.serving.server",
    "ServingError": "interchange.protocol.errors",
    "Settings": "interchange.serving.settings",
}

__all__ = ["Engine", "ModelSettings", "Server", "ServingError", "Settings"]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is not None:
        return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'interchange.serving' has no attribute {name!r}")
