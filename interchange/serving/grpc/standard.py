"""gRPC's own services: health checking and reflection. Whoever may connect may ask them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import aio as reflection

from interchange.protocol.errors import ServingError
from interchange.serving.grpc.messages import POOL, SERVICE, not_a_message, read
from interchange.serving.grpc.methods import is_ready
from interchange.serving.grpc.rpc import Rpc

HEALTH = "grpc.health.v1.Health"
REFLECTIONS = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
_MAX_REQUEST = 1 << 16
_LOOK_SECONDS = 0.25  # how often one who watches is looked after
_Status = health_pb2.HealthCheckResponse


async def check(rpc: Rpc) -> bytes:
    """Health/Check. Raises ServingError IX640 for a service that is not served."""
    name = await _asked_service(rpc)
    if name not in _SERVICES:
        raise ServingError(
            "IX640",
            "there is no such service",
            found=name[:200],
            expected=", ".join(s or '"" for all of it' for s in _SERVICES),
            fix="ModelReady tells of a single model",
        )
    return _status(_now(rpc))


async def watch(rpc: Rpc) -> None:
    """Health/Watch: the status now, and whenever it changes."""
    name = await _asked_service(rpc)
    last = None
    while True:
        status = _now(rpc) if name in _SERVICES else _Status.SERVICE_UNKNOWN
        if status != last:
            await rpc.context.write(_status(status))
            last = status
        await rpc.waiting.wait(asyncio.sleep(_LOOK_SECONDS), math.inf)


async def reflect(rpc: Rpc) -> None:
    """ServerReflectionInfo, of both versions: their messages are the same but for the package."""

    async def requests() -> AsyncIterator[Any]:
        while (message := await rpc.receive(math.inf)) is not None:
            if message.size > _MAX_REQUEST:
                raise not_a_message("ServerReflectionRequest", f"{message.size} bytes")
            yield read(reflection_pb2.ServerReflectionRequest, message.data)

    async for response in _reflection().ServerReflectionInfo(requests(), None):
        await rpc.context.write(response.SerializeToString())


_SERVICES = ("", SERVICE, HEALTH)


@cache
def _reflection() -> Any:
    return reflection.ReflectionServicer((SERVICE, HEALTH, *REFLECTIONS), POOL)


async def _asked_service(rpc: Rpc) -> str:
    message = await rpc.only("HealthCheckRequest", _MAX_REQUEST)
    return str(read(health_pb2.HealthCheckRequest, message.data).service)


def _now(rpc: Rpc) -> int:
    return int(_Status.SERVING if is_ready(rpc.app) else _Status.NOT_SERVING)


def _status(status: int) -> bytes:
    data: bytes = _Status(status=status).SerializeToString()
    return data
