"""The client: models that a server of the Open Inference Protocol has, from Python.

    from interchange.client import Client

    with Client("http://127.0.0.1:8000") as client:
        client.infer("iris", x=array)                    # -> {"y": array}

    async with AsyncClient("unix:///run/interchange.sock", token=secret) as client:
        await client.infer("iris", {"x": array}, timeout=0.5)

It speaks to any server of the protocol: this one, Triton, MLServer, KServe. It needs the extra interchange[client].
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from interchange.client.errors import ClientError, RemoteError

if TYPE_CHECKING:
    from interchange.client.asynchronous import AsyncClient
    from interchange.client.synchronous import Client

_HOME = {"AsyncClient": "interchange.client.asynchronous", "Client": "interchange.client.synchronous"}

__all__ = ["AsyncClient", "Client", "ClientError", "RemoteError"]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'interchange.client' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(home), name)
    except ModuleNotFoundError as error:
        if error.name not in ("httptools", "orjson"):
            raise
        from interchange.client.errors import missing_extra

        raise missing_extra(error.name) from None
